package main

import (
	"errors"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// How long it takes to notice that nobody answers.
const (
	dialTimeout = 3 * time.Second
	deadSession = 6 * time.Second // a connection's keepalive
)

// travel is how long one way over the network takes; it differs from call to call.
func (s *simulation) travel() time.Duration {
	s.trips++
	x := s.sc.Seed + s.trips*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	d := time.Millisecond + time.Duration(x%6_000_000)
	if x>>60 == 0 {
		d += time.Duration(x>>32%80) * time.Millisecond
	}
	return d
}

// send takes one call over the network and back; reply runs once, unless the
// controller dies before.
func (s *simulation) send(t *task, k call, reply func(error)) {
	c := t.c
	boundary := -1
	if k.changes {
		boundary = s.stats.Effects
		s.stats.Effects++
		if s.dieAt(c, boundary, dieBefore) {
			return
		}
	}
	answered := false
	answer := func(d time.Duration, err error) {
		s.world.After(d, func() {
			if answered || c.dead {
				return
			}
			answered = true
			c.whenAwake(func() {
				if s.dieAt(c, boundary, dieAfterReply) {
					return
				}
				reply(err)
			})
		})
	}
	trouble := s.faults.troubleFor(t, k)
	answer(max(k.limit, time.Millisecond), errLost)
	if trouble == loseRequest {
		answer(deadSession, s.silence(k))
		return
	}
	s.world.After(s.travel(), func() {
		if c.dead && c.dropped {
			return
		}
		s.arrive(c, k, boundary, trouble, answer)
	})
}

// arrive is the call at its far end.
func (s *simulation) arrive(c *controller, k call, boundary int, trouble trouble, answer func(time.Duration, error)) {
	if k.host != nil && !k.host.Answers() {
		answer(dialTimeout, &hostdriver.Error{Kind: hostdriver.Unreachable, Host: k.host.Name, Op: k.what, Err: errors.New("connection timed out")})
		return
	}
	k.there(func(err error) {
		if s.dieAt(c, boundary, dieAfterEffect) {
			return
		}
		d := s.travel()
		if trouble == delayReply {
			d += s.faults.delay
		}
		switch {
		case trouble == loseReply, k.host != nil && !k.host.Answers():
			answer(deadSession, s.silence(k))
		default:
			answer(d, err)
		}
	})
}

// silence is what is known of a call nobody answered.
func (s *simulation) silence(k call) error {
	if k.host == nil {
		return errLost
	}
	return &hostdriver.Error{Kind: hostdriver.Unknown, Host: k.host.Name, Op: k.what, Err: errors.New("the connection broke")}
}

// Where at an effect's boundary a controller dies.
const (
	dieBefore      = "before"
	dieAfterEffect = "after effect"
	dieAfterReply  = "after reply"
)

// dieAt kills c where the scenario says so, and tells whether it is dead.
func (s *simulation) dieAt(c *controller, boundary int, point string) bool {
	if c.dead {
		return true
	}
	if boundary < 0 {
		return false
	}
	for i := range s.sc.Faults {
		if f := &s.sc.Faults[i]; f.Kind == faultKillAt && f.Arg == boundary && f.Point == point && !s.faults.used[i] {
			s.faults.used[i] = true
			s.count(f.Kind)
			c.kill(false)
			return true
		}
	}
	return false
}
