package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
	"github.com/evenkeel/evenkeel/test/lab/load"
)

func main() {
	keep := flag.Bool("keep", false, "leave the hosts running at the end, until `go run ./test/lab down --all`")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is the stage.
type demo struct {
	lab *lab.Lab
	lb  *lab.HAProxy
	dir string
}

func run(ctx context.Context, keep bool) error {
	say("Three real hosts are made on this machine, each with its own systemd and sshd, and HAProxy before them.")
	dir, err := os.MkdirTemp("", "evenkeel-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := lab.New(ctx, lab.Options{Hosts: 3, Persistent: keep, Log: os.Stdout})
	if err != nil {
		return err
	}
	defer func() {
		if keep {
			l.Detach()
			return
		}
		_ = l.Close()
	}()
	lb, err := l.HAProxy(ctx, lab.HAProxyConfig{Backends: []lab.Backend{{Name: "gateway", ServerPort: 8080}, {Name: "website", ServerPort: 8081}}})
	if err != nil {
		return err
	}
	d := &demo{lab: l, lb: lb, dir: dir}
	if err := fleetRepo(dir, l, lb); err != nil {
		return err
	}
	return d.play(ctx)
}

// play is the demo itself.
func (d *demo) play(ctx context.Context) error {
	say("The fleet repo (%s) wants a gateway and a website on each of them. Nothing runs yet:\nwhat disturbs nobody goes to all hosts at once.", d.dir)
	if err := d.evenkeel(ctx, 0, "apply", "--yes"); err != nil {
		return err
	}
	if err := d.serving(ctx); err != nil {
		return err
	}
	say("Now users come: 150 requests a second and 30 open WebSockets, through HAProxy.")
	gateway, err := load.Start(ctx, load.Config{URL: "http://" + d.lb.FrontendAddr("gateway") + "/", Rate: 100,
		SocketURL: "ws://" + d.lb.FrontendAddr("gateway") + "/ws", Sockets: 30})
	if err != nil {
		return err
	}
	website, err := load.Start(ctx, load.Config{URL: "http://" + d.lb.FrontendAddr("website") + "/", Rate: 50})
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	say("A change is committed: gateways say goodbye a little longer (GATEWAY_GRACE in their env file),\nand their unit may open more files. This is what it means:")
	if err := errors.Join(
		edit(filepath.Join(d.dir, "fleet.yaml"), "gatewayGrace: 2s", "gatewayGrace: 3s"),
		edit(filepath.Join(d.dir, "services/nullspace-gateway/nullspace-gateway.service"), "LimitNOFILE=100000", "LimitNOFILE=200000"),
		commit(d.dir, "gateways say goodbye longer")); err != nil {
		return err
	}
	if err := d.evenkeel(ctx, 1, "plan"); err != nil {
		return err
	}
	say("Rolled through, one host at a time: drain, switch, restart, prove healthy, undrain.")
	if err := d.evenkeel(ctx, 0, "apply", "--yes"); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	gs, ws := gateway.Stop(), website.Stop()
	say("What the users noticed of it:")
	fmt.Printf("  gateway: %s\n  website: %s\n", gs, ws)
	failed := gs.Failed() + ws.Failed()
	fmt.Printf("\n  %d requests and %d WebSocket messages, %d failures\n\n", gs.Requests+ws.Requests, gs.Said, failed)
	if failed > 0 {
		return errors.New("users noticed: there must be no failures")
	}
	return d.rotate(ctx)
}

// say prints a line of the story.
func say(format string, args ...any) {
	fmt.Printf("\n── "+format+"\n\n", args...)
}

// serving waits until the balancer answers for both services.
func (d *demo) serving(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, backend := range []string{"gateway", "website"} {
		for {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.lb.FrontendAddr(backend)+"/", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					break
				}
			}
			if ctx.Err() != nil {
				return fmt.Errorf("the balancer does not serve %s: %w", backend, ctx.Err())
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// evenkeel runs the real binary and expects its exit code.
func (d *demo) evenkeel(ctx context.Context, want int, verb string, args ...string) error {
	if verb == "secret" {
		verb, args = verb+" "+args[0], args[1:]
	}
	args = append(append(strings.Fields(verb), "--repo", d.dir, "--identity", d.lab.IdentityFile(), "--known-hosts", d.lab.KnownHostsFile(), "--ssh-user", "deploy", "--become"), args...)
	fmt.Printf("$ evenkeel %s --repo %s …\n", verb, d.dir)
	c := exec.CommandContext(ctx, "bin/evenkeel", args...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), "SOPS_AGE_KEY_FILE=examples/nullspace/example.agekey")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute
	err := c.Run()
	if code := c.ProcessState.ExitCode(); code != want {
		return fmt.Errorf("evenkeel %s: exit %d, expected %d: %v", verb, code, want, err)
	}
	return nil
}
