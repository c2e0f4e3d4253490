package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/test/bench/simhost"
)

// What a fleet costs that no machine could hold: the hosts are simulated (package
// simhost), in a process of their own; the controller's side is the real one, in another.

// fleetServices are the sizes that are measured: services on every host.
var fleetServices = []int{1, 5}

// The targets at 10,000 hosts.
const (
	fleetFirst  = 20 * time.Second
	fleetWarm   = 4 * time.Second
	fleetMemory = 1_000_000_000
)

// fleetIdle is how long the loop is watched while there is nothing to do.
const fleetIdle = 30 * time.Second

// fleetSize is one row: so many services on each host.
type fleetSize struct {
	services int
	looks    []lookFigures
	serve    *serveFigures
}

// fleetFigures are what was measured.
type fleetFigures struct {
	hosts int
	bare  []bareFigures
	sizes []fleetSize
}

// fleetBench measures simulated hosts.
type fleetBench struct {
	options
	self     string
	dir      fleetDir
	listener *os.File
	port     int
	figures  *fleetFigures
}

// measureFleet measures in so many rounds, and returns what it has where that fails.
func measureFleet(ctx context.Context, o options) (f *fleetFigures, err error) {
	b := &fleetBench{options: o, figures: &fleetFigures{hosts: o.simulated}}
	if b.self, err = os.Executable(); err != nil {
		return b.figures, err
	}
	dir, err := os.MkdirTemp("", "evenkeel-fleet-")
	if err != nil {
		return b.figures, err
	}
	b.dir = fleetDir(dir)
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := simhost.Listen(ctx)
	if err != nil {
		return b.figures, err
	}
	defer l.Close()
	b.port = simhost.Port(l)
	if b.listener, err = l.File(); err != nil {
		return b.figures, err
	}
	defer b.listener.Close()
	if err := writeIdentity(b.dir.identity()); err != nil {
		return b.figures, err
	}
	for _, n := range fleetServices {
		if err := b.size(ctx, n); err != nil {
			return b.figures, err
		}
	}
	return b.figures, nil
}

func writeIdentity(file string) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "bench")
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

// size measures a fleet with so many services on each host.
func (b fleetBench) size(ctx context.Context, services int) (err error) {
	if err := os.RemoveAll(b.dir.repo()); err != nil {
		return err
	}
	if err := os.CopyFS(b.dir.repo(), simhost.FleetRepo(b.simulated, services, b.port)); err != nil {
		return err
	}
	sim, err := b.startHosts(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.end()) }()
	b.figures.sizes = append(b.figures.sizes, fleetSize{services: services})
	one := &b.figures.sizes[len(b.figures.sizes)-1]
	pid := strconv.Itoa(sim.cmd.Process.Pid)
	if b.profile != "" {
		b.profile = filepath.Join(b.profile, fmt.Sprintf("%d-services", services))
		if err := os.MkdirAll(b.profile, 0o750); err != nil {
			return err
		}
	}
	if b.wants("fleet") {
		if err := b.looks(ctx, one, pid); err != nil {
			return err
		}
	}
	if !b.wants("loop") {
		return nil
	}
	fmt.Fprintf(os.Stderr, "bench: %d simulated hosts, %d services each, the controller's loop\n", b.simulated, services)
	var serve serveFigures
	if err := b.ask(ctx, &serve, serveVerb, "-sim", pid, "-idle", fleetIdle.String(), "-profile", b.profile); err != nil {
		return err
	}
	one.serve = &serve
	return nil
}

// looks measures passes, and the floor beside them.
func (b *fleetBench) looks(ctx context.Context, one *fleetSize, pid string) error {
	for n := range b.rounds {
		fmt.Fprintf(os.Stderr, "bench: %d simulated hosts, %d services each, round %d of %d\n", b.simulated, one.services, n+1, b.rounds)
		var bare bareFigures
		if err := b.ask(ctx, &bare, bareVerb, "-sim", pid); err != nil {
			return err
		}
		b.figures.bare = append(b.figures.bare, bare)
		var look lookFigures
		if err := b.ask(ctx, &look, lookVerb, "-sim", pid, "-profile", b.profile); err != nil {
			return err
		}
		one.looks = append(one.looks, look)
		fmt.Fprintf(os.Stderr, "bench: dial %s, exec %s; first %s, warm %s, %s\n", seconds(bare.Dial.Wall), seconds(bare.Exec.Wall),
			seconds(look.First.Wall), seconds(look.Warm[len(look.Warm)-1].Wall), megabytes(look.Holds.Peak))
	}
	return nil
}

// ask runs one of the other processes, and reads what it says.
func (b *fleetBench) ask(ctx context.Context, into any, verb string, args ...string) error {
	p := program{argv: append([]string{b.self, verb, "-dir", string(b.dir)}, args...), dir: string(b.dir)}
	_, out, err := p.run(ctx)
	if err != nil {
		return err
	}
	return json.NewDecoder(bytes.NewReader([]byte(out.stdout))).Decode(into)
}

// hostsProcess is the process of the simulated hosts.
type hostsProcess struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func (b *fleetBench) startHosts(ctx context.Context) (*hostsProcess, error) {
	p := &hostsProcess{cmd: exec.CommandContext(ctx, b.self, simVerb, "-dir", string(b.dir))} // #nosec G204 -- itself
	p.cmd.ExtraFiles, p.cmd.Stderr = []*os.File{b.listener}, os.Stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("the simulated hosts do not start: %q: %w", line, err), p.end())
	}
	return p, nil
}

func (p *hostsProcess) end() error {
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the simulated hosts: %w", err)
	}
	return nil
}
