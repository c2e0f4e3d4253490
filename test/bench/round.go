package main

import (
	"context"
	"fmt"
	"os"
)

// loginUser logs in on both sides, and becomes root with sudo.
const loginUser = "deploy"

// How often a round repeats what is cheap.
const (
	coldTimes = 3
	warmTimes = 5
)

// note takes a sample and tells of it.
func (s *stage) note(m measure, took sample) {
	fmt.Fprintf(os.Stderr, "bench: %-45s %s\n", m, seconds(took.wall))
	s.results.add(m, took)
}

// round measures everything once: first the peer, then evenkeel and the floor, each from
// hosts where nothing is deployed to a changed service. What is not wanted is left out,
// except for the deployment, which all else needs.
func (s *stage) round(ctx context.Context, n int) error {
	fmt.Fprintf(os.Stderr, "bench: round %d of %d\n", n, s.rounds)
	if err := s.peerHalf(ctx, n); err != nil {
		return err
	}
	return s.ourHalf(ctx, n)
}

func (s *stage) peerHalf(ctx context.Context, n int) error {
	greeting := fmt.Sprintf("peer-%d", n)
	steps := []step{
		{"", func() error { return s.want(greeting, plain) }},
		{"", func() error { return s.reset(ctx) }},
		{"", func() error { return s.playbook(ctx, deployPeer, true, "site.yml") }},
		{"", func() error { return s.verify(ctx, greeting) }},
		{"pass", func() error { return s.playbook(ctx, passPeer, false, "site.yml") }},
		{"pass", func() error { return s.playbook(ctx, passPeerCheck, false, "site.yml", "--check") }},
		{"rolling", func() error {
			return s.changed(ctx, greeting+"-rolled", plain, func(string) error { return s.playbook(ctx, rollPeer, true, "whole.yml") })
		}},
		{"rolling", func() error {
			return s.changed(ctx, greeting+"-again", plain, func(string) error { return s.playbook(ctx, rollLeast, true, "least.yml") })
		}},
		{"drained", func() error {
			return s.balanced(ctx, func() error {
				return s.changed(ctx, greeting+"-drained", drained, func(string) error { return s.playbook(ctx, drainPeer, true, "drained.yml") })
			})
		}},
	}
	return s.take(steps)
}

func (s *stage) ourHalf(ctx context.Context, n int) error {
	greeting := fmt.Sprintf("evenkeel-%d", n)
	steps := []step{
		{"", func() error { return s.want(greeting, plain) }},
		{"deploy", func() error { return s.reset(ctx) }},
		{"deploy", func() error { return s.floorDeploy(ctx, greeting) }},
		{"", func() error { return s.reset(ctx) }},
		{"", func() error { return s.apply(ctx, deployApply, greeting) }},
		{"pass", func() error { return s.cold(ctx) }},
		{"pass", func() error { return s.warm(ctx, loginUser, warmLook, warmFloor, warmFloorHash, warmTimes) }},
		{"pass", func() error { return s.warm(ctx, "root", warmLookRoot, warmFloorRoot, warmFloorHashRoot, warmTimes) }},
		{"rolling", func() error {
			return s.changed(ctx, greeting+"-rolled", plain, func(to string) error { return s.apply(ctx, rollApply, to) })
		}},
		{"rolling", func() error { return s.restarts(ctx, rollFloor, 0) }},
		{"soaked", func() error {
			return s.changed(ctx, greeting+"-soaked", soaked, func(to string) error { return s.apply(ctx, soakApply, to) })
		}},
		{"soaked", func() error { return s.restarts(ctx, soakFloor, soakTime) }},
		{"drained", func() error {
			return s.balanced(ctx, func() error {
				return s.changed(ctx, greeting+"-drained", drained, func(to string) error { return s.apply(ctx, drainApply, to) })
			})
		}},
	}
	steps = append(steps, step{"rotation", func() error {
		return s.rotate(ctx, greeting+"-peer", rotatePeer, func() error { return s.playbook(ctx, rotatePeer, true, "rotate.yml") })
	}})
	steps = append(steps, step{"rotation", func() error {
		return s.rotate(ctx, greeting, rotateApply, func() error {
			took, _, err := s.evenkeelRun(ctx, loginUser, "apply", "--yes")
			if err == nil {
				s.note(rotateApply, took)
			}
			return err
		})
	}})
	return s.take(steps)
}

// step is one of a round's; name is what it belongs to, "" what is always done.
type step struct {
	name string
	do   func() error
}

func (s *stage) take(steps []step) error {
	for _, x := range steps {
		if x.name != "" && !s.wants(x.name) {
			continue
		}
		if err := x.do(); err != nil {
			return err
		}
	}
	return nil
}

// cold times whole processes, in turn.
func (s *stage) cold(ctx context.Context) error {
	for range coldTimes {
		for _, x := range []step{
			{"", func() error { return s.plan(ctx, passPlan, loginUser) }},
			{"", func() error { return s.floorPass(ctx, passFloor, loginUser, false) }},
			{"", func() error { return s.floorPass(ctx, passFloorHash, loginUser, true) }},
			{"", func() error { return s.plan(ctx, passPlanRoot, "root") }},
			{"", func() error { return s.floorPass(ctx, passFloorRoot, "root", false) }},
			{"", func() error { return s.floorPass(ctx, passFloorHashRoot, "root", true) }},
		} {
			if err := x.do(); err != nil {
				return err
			}
		}
	}
	return nil
}

// changed changes one env key in both sides' source, lets one side bring it to the hosts,
// and makes sure that they serve it.
func (s *stage) changed(ctx context.Context, greeting string, how manner, do func(greeting string) error) error {
	if err := s.want(greeting, how); err != nil {
		return err
	}
	if err := do(greeting); err != nil {
		return err
	}
	return s.verify(ctx, greeting)
}

// balanced puts the balancer before the hosts while do runs. Its health checks cost both
// sides the same.
func (s *stage) balanced(ctx context.Context, do func() error) (err error) {
	if err := s.balancer.Start(ctx); err != nil {
		return err
	}
	defer func() {
		if stopErr := s.balancer.Stop(context.WithoutCancel(ctx)); err == nil {
			err = stopErr
		}
	}()
	for _, h := range s.lab.Hosts() {
		if err := s.balancer.WaitServer(ctx, "victim", h.Name(), "UP"); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	for _, h := range s.lab.Hosts() {
		if err := s.balancer.WaitServer(ctx, "victim", h.Name(), "UP"); err != nil {
			return fmt.Errorf("a rollout left a server out of rotation: %w", err)
		}
	}
	return nil
}
