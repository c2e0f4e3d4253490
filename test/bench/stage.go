package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// stage is the hosts and all that both sides are given.
type stage struct {
	options
	self     string // this very program, which is also the floor
	lab      *lab.Lab
	balancer *lab.HAProxy // runs only where drains are measured
	dir      string
	victim   string // the binary to deploy
	fleet    string // the fleet repo
	peer     string // playbooks, inventory and files of the peer
	results  *results
}

// peerPackages are what the peer needs on this machine and on the hosts.
var peerPackages = []string{"ansible-core"}

// setUp makes hosts, repo and playbooks; on an error nothing is left.
func setUp(ctx context.Context, o options) (*stage, error) {
	s := &stage{options: o, results: newResults()}
	var err error
	if s.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if s.evenkeel, err = filepath.Abs(s.evenkeel); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.evenkeel); err != nil {
		return nil, fmt.Errorf("cannot measure %s: %w: run `make build`", o.evenkeel, err)
	}
	if s.dir, err = os.MkdirTemp("", "evenkeel-bench-"); err != nil {
		return nil, err
	}
	if err := s.furnish(ctx); err != nil {
		return nil, errors.Join(err, s.tearDown())
	}
	return s, nil
}

func (s *stage) furnish(ctx context.Context) error {
	here, there := peerPackages, []string{"python3"}
	if s.wants("artifacts") {
		here, there = append([]string{"rsync"}, here...), append(there, "rsync")
	}
	if err := lab.Install(ctx, os.Stderr, here...); err != nil {
		return err
	}
	s.victim = filepath.Join(s.dir, "victim")
	if err := buildVictim(ctx, s.victim); err != nil {
		return err
	}
	var err error
	s.lab, err = lab.New(ctx, lab.Options{Hosts: s.hosts, DiskDir: s.disks, Base: lab.Base{Packages: there}, Generators: true, Log: os.Stderr})
	if err != nil {
		return err
	}
	if s.wants("drained") || s.wants("rotation") {
		s.balancer, err = s.lab.HAProxy(ctx, lab.HAProxyConfig{Backends: []lab.Backend{{Name: "victim", ServerPort: victimPort}}})
		if err != nil {
			return err
		}
		if err := s.balancer.Stop(ctx); err != nil {
			return err
		}
	}
	s.fleet, s.peer = filepath.Join(s.dir, "fleet"), filepath.Join(s.dir, "peer")
	return errors.Join(s.writeFleet(), s.writePeer())
}

// tearDown leaves nothing behind.
func (s *stage) tearDown() error {
	var err error
	if s.peer != "" {
		s.hangUpPeer()
	}
	if s.lab != nil {
		err = s.lab.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// victimSize is the victim's size, whatever Go makes of it.
const victimSize = 8 << 20

// buildVictim builds the victim and pads it with random bytes, which no compression can
// spare either side. An ELF file may have anything at its end.
func buildVictim(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "./test/bench/victim")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the victim (in the module's root?): %w: %s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > victimSize {
		return fmt.Errorf("cannot pad the victim: it has %d bytes already", info.Size())
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails: crypto/rand.Read
	_, err = io.CopyN(f, mathrand.NewChaCha8(seed), victimSize-info.Size())
	return errors.Join(err, f.Close())
}

// resetScript puts a host back to where nothing was ever deployed by either side.
const resetScript = `
systemctl disable --now --quiet ` + unitName + ` 2>/dev/null
rm -rf ` + unitPath + ` ` + unitPath + `.d ` + envPath + ` ` + binaryPath + ` /usr/local/bin/.releases /var/lib/evenkeel /run/evenkeel
rm -rf /root/.ansible /home/deploy/.ansible
systemctl daemon-reload
systemctl reset-failed
systemctl show -p LoadState --value ` + unitName

// reset puts all hosts back, and waits until they are idle again.
func (s *stage) reset(ctx context.Context) error {
	if err := s.everywhere(ctx, func(ctx context.Context, h *lab.Host) error {
		out, err := h.Exec(ctx, resetScript)
		if err == nil && strings.TrimSpace(out) != "not-found" {
			err = fmt.Errorf("cannot reset %s: its unit is still %s", h.Name(), strings.TrimSpace(out))
		}
		return err
	}); err != nil {
		return err
	}
	return settle(ctx)
}

// settle gives the hosts a moment to end what a step has left them to do.
func settle(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// everywhere does the same on all hosts, at most ten at once.
func (s *stage) everywhere(ctx context.Context, do func(context.Context, *lab.Host) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(10)
	for _, h := range s.lab.Hosts() {
		g.Go(func() error { return do(ctx, h) })
	}
	return g.Wait()
}

// verify tells, as an error, which host does not serve that greeting with that binary.
// Without it a bench would praise whoever does nothing.
func (s *stage) verify(ctx context.Context, greeting string) error {
	want, err := digestOf(s.victim)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return s.everywhere(ctx, func(ctx context.Context, h *lab.Host) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Address()+":"+strconv.Itoa(victimPort)+"/", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("%s does not serve: %w", h.Name(), err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		if err != nil || strings.TrimSpace(string(body)) != greeting {
			return fmt.Errorf("%s serves %q, not %q (%v)", h.Name(), body, greeting, err)
		}
		sum, err := h.Exec(ctx, "sha256sum <"+binaryPath+" && systemctl is-enabled "+unitName)
		if err != nil || !strings.HasPrefix(sum, want) {
			return fmt.Errorf("%s runs another binary: %.64s, not %s (%v)", h.Name(), sum, want, err)
		}
		return nil
	})
}
