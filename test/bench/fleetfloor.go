package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/test/bench/simhost"
)

// bareAtOnce is how many are dialled, or asked, at once.
const bareAtOnce = 64

// dialAll connects to every address, HOST:PORT, as knownHosts has its key.
func dialAll(ctx context.Context, l floorLogin, addresses []string) (*floor, error) {
	key, err := os.ReadFile(l.identity)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	known, err := readKnownKeys(l.knownHosts)
	if err != nil {
		return nil, err
	}
	return connect(ctx, addresses, bareAtOnce, func(a string) *ssh.ClientConfig {
		return &ssh.ClientConfig{User: l.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
			HostKeyCallback: ssh.FixedHostKey(known[knownhosts.Normalize(a)]), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}}
	})
}

// bare runs one command on each that tells nothing.
func (f *floor) bare(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(bareAtOnce)
	for _, c := range f.clients {
		g.Go(func() error {
			out, err := execOn(ctx, c, simhost.FloorCommand)
			if err == nil && len(out) != simhost.FloorBytes {
				err = fmt.Errorf("%s: %d bytes came, not %d", c.RemoteAddr(), len(out), simhost.FloorBytes)
			}
			return err
		})
	}
	return g.Wait()
}

// readKnownKeys reads known_hosts into a map, by name: package knownhosts compares with
// every line, which for a fleet would measure little else.
func readKnownKeys(file string) (map[string]ssh.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys := map[string]ssh.PublicKey{}
	for len(text) > 0 {
		_, hosts, key, _, rest, err := ssh.ParseKnownHosts(text)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			keys[h] = key
		}
		text = rest
	}
	return keys, nil
}
