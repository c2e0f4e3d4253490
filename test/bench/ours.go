package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
)

// evenkeelRun runs the binary with a verb, as a user who logs in as that user, and expects
// exit code 0: of plan, that there is nothing to do; of apply, that it converged.
func (s *stage) evenkeelRun(ctx context.Context, user, verb string, args ...string) (sample, output, error) {
	argv := []string{s.evenkeel, verb, "--repo", s.fleet, "--identity", s.lab.IdentityFile(), "--known-hosts", s.lab.KnownHostsFile(), "--ssh-user", user}
	if user != "root" {
		argv = append(argv, "--become")
	}
	return s.watched(ctx, program{argv: append(argv, args...), dir: s.dir})
}

// plan times a cold pass with nothing to do.
func (s *stage) plan(ctx context.Context, m measure, user string) error {
	took, _, err := s.evenkeelRun(ctx, user, "plan")
	if err == nil {
		s.note(m, took)
	}
	return err
}

// apply times what it takes to have every host serve greeting.
func (s *stage) apply(ctx context.Context, m measure, greeting string) error {
	took, out, err := s.evenkeelRun(ctx, loginUser, "apply", "--yes", "--log-level", "debug", "--log-format", "json")
	if err != nil {
		return err
	}
	if err := s.verify(ctx, greeting); err != nil {
		return fmt.Errorf("%w%s", err, tail(out))
	}
	ph, err := parsePhases(out.stderr)
	if err != nil {
		return err
	}
	ph.wall = took.wall
	s.note(m, took)
	s.results.phases[m] = append(s.results.phases[m], ph)
	return nil
}

// floorPass times a process of its own that dials all hosts and reads them once.
func (s *stage) floorPass(ctx context.Context, m measure, user string, hash bool) error {
	argv := []string{s.self, floorVerb, "-user", user, "-identity", s.lab.IdentityFile(), "-known-hosts", s.lab.KnownHostsFile()}
	if hash {
		argv = append(argv, "-hash")
	}
	took, _, err := s.watched(ctx, program{argv: append(argv, s.addresses()...), dir: s.dir})
	if err == nil {
		s.note(m, took)
	}
	return err
}

func (s *stage) addresses() []string {
	var all []string
	for _, h := range s.lab.Hosts() {
		all = append(all, h.Address())
	}
	return all
}

func (s *stage) login(user string) floorLogin {
	return floorLogin{user: user, identity: s.lab.IdentityFile(), knownHosts: s.lab.KnownHostsFile()}
}

// warm times passes with nothing to do on connections that are kept: evenkeel's look (resolve,
// observe, diff, plan) and the floor's reading, in turn, in this process.
func (s *stage) warm(ctx context.Context, user string, look, bare, hashed measure, times int) error {
	rev, err := desired.Load(ctx, os.DirFS(s.fleet), desired.LoadOptions{})
	if err != nil {
		return err
	}
	driver, err := sshdriver.New(sshdriver.Options{User: user, IdentityFiles: []string{s.lab.IdentityFile()},
		KnownHosts: []string{s.lab.KnownHostsFile()}, Become: user != "root", ConfigFile: "none", Agent: "none"})
	if err != nil {
		return err
	}
	defer driver.Close()
	f, err := dialFloor(ctx, s.login(user), s.addresses())
	if err != nil {
		return err
	}
	defer f.close()
	fleet := &controller.Fleet{Revision: rev, Driver: driver, Log: zerolog.Nop(), Holder: "bench"}
	for i := range times + 1 {
		looked, err := s.once(func() error { return lookIdle(ctx, fleet, s.hosts) })
		if err != nil {
			return err
		}
		read, err := s.once(func() error { return f.read(ctx, false) })
		if err != nil {
			return err
		}
		readHashed, err := s.once(func() error { return f.read(ctx, true) })
		if err != nil {
			return err
		}
		if i == 0 {
			continue // it dialled
		}
		s.note(look, looked)
		s.note(bare, read)
		s.note(hashed, readHashed)
	}
	return nil
}

// lookIdle looks once and makes sure that every host was seen and that nothing is to be done.
func lookIdle(ctx context.Context, fleet *controller.Fleet, hosts int) error {
	view, err := fleet.Look(ctx)
	if err != nil {
		return err
	}
	for name, err := range view.Errors {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(view.Input.Hosts) != hosts || len(view.Plan.Visits) > 0 {
		return fmt.Errorf("a look at %d hosts with %d visits to make, where %d and none are expected", len(view.Input.Hosts), len(view.Plan.Visits), hosts)
	}
	return nil
}

// restarts times the floor of a rolling restart with a soak, on kept connections.
func (s *stage) restarts(ctx context.Context, m measure, soak time.Duration) error {
	f, err := dialFloor(ctx, s.login(loginUser), s.addresses())
	if err != nil {
		return err
	}
	defer f.close()
	took, err := s.once(func() error { return f.restart(ctx, soak) })
	if err != nil {
		return errors.Join(errors.New("the floor cannot restart"), err)
	}
	s.note(m, took)
	return nil
}

// once times what is done in this process.
func (s *stage) once(do func() error) (sample, error) {
	used, err := s.hostCPU()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	err = do()
	took := sample{wall: time.Since(began)}
	now, cpuErr := s.hostCPU()
	took.host = now - used
	return took, errors.Join(err, cpuErr)
}
