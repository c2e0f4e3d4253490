package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"
)

// floorVerb is this program's argument by which it is the floor: a process of its own that
// reads hosts and ends.
const floorVerb = "floor"

// floorLogin is how the floor logs in.
type floorLogin struct{ user, identity, knownHosts string }

// floorMain is the whole of such a process.
func floorMain(args []string) error {
	var l floorLogin
	flags := flag.NewFlagSet(floorVerb, flag.ContinueOnError)
	flags.StringVar(&l.user, "user", "root", "log in as")
	flags.StringVar(&l.identity, "identity", "", "private key")
	flags.StringVar(&l.knownHosts, "known-hosts", "", "known_hosts")
	hash := flags.Bool("hash", false, "hash the binary as well")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := dialFloor(ctx, l, flags.Args())
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.read(ctx, *hash); err != nil {
		return err
	}
	fmt.Printf("%d hosts read\n", len(f.clients))
	return nil
}

// floor is one connection to each host.
type floor struct {
	clients []*ssh.Client
	sudo    bool
}

// dialFloor connects to all addresses at once.
func dialFloor(ctx context.Context, l floorLogin, addresses []string) (*floor, error) {
	key, err := os.ReadFile(l.identity)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	known, err := knownhosts.New(l.knownHosts)
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{User: l.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: known,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}}
	var at []string
	for _, a := range addresses {
		at = append(at, net.JoinHostPort(a, "22"))
	}
	f, err := connect(ctx, at, len(at), func(string) *ssh.ClientConfig { return config })
	if err == nil {
		f.sudo = l.user != "root"
	}
	return f, err
}

// connect dials all addresses, some at once.
func connect(ctx context.Context, addresses []string, atOnce int, config func(address string) *ssh.ClientConfig) (*floor, error) {
	f := &floor{clients: make([]*ssh.Client, len(addresses))}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, a := range addresses {
		g.Go(func() error {
			c, err := dialOne(ctx, a, config(a))
			f.clients[i] = c
			return err
		})
	}
	if err := g.Wait(); err != nil {
		f.close()
		return nil, fmt.Errorf("the floor cannot connect: %w", err)
	}
	return f, nil
}

func dialOne(ctx context.Context, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return ssh.NewClient(c, channels, requests), nil
}

func (f *floor) close() {
	for _, c := range f.clients {
		if c != nil {
			_ = c.Close()
		}
	}
}

// read reads all hosts at once, one exec each, and understands the answers.
func (f *floor) read(ctx context.Context, hash bool) error {
	var g errgroup.Group
	for _, c := range f.clients {
		g.Go(func() error {
			out, err := execOn(ctx, c, readingCommand(hash, f.sudo))
			if err != nil {
				return err
			}
			r, err := parseReading(out)
			if err == nil {
				err = r.check(hash)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.RemoteAddr(), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// execOn runs a command on a kept connection.
func execOn(ctx context.Context, c *ssh.Client, command string) (string, error) {
	session, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	var stdout, stderr bytes.Buffer
	session.Stdout, session.Stderr = &stdout, &stderr
	if err := session.Run(command); err != nil {
		return "", fmt.Errorf("%s: %w: %.500s", c.RemoteAddr(), err, stderr.String())
	}
	return stdout.String(), nil
}

// restart restarts the victim on one host after the other and waits until each answers
// again and, with a soak, has for that long: the least that a rolling restart takes.
func (f *floor) restart(ctx context.Context, soak time.Duration) error {
	command := "systemctl restart " + unitName
	if f.sudo {
		command = "sudo -n " + command
	}
	for _, c := range f.clients {
		if _, err := execOn(ctx, c, command); err != nil {
			return err
		}
		if err := untilHealthy(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.RemoteAddr(), err)
		}
		time.Sleep(soak)
	}
	return nil
}

// untilHealthy asks /healthz on the host itself, through the connection, every 5 ms.
func untilHealthy(ctx context.Context, c *ssh.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.DialContext(ctx, network, address)
		}}}
	url := "http://127.0.0.1:" + strconv.Itoa(victimPort) + "/healthz"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10))
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not healthy: %w", errors.Join(err, context.Cause(ctx)))
		case <-time.After(5 * time.Millisecond):
		}
	}
}
