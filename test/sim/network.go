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
	effect := -1
	if k.changes {
		effect = s.stats.Effects
		s.stats.Effects++
		if s.dieAt(c, effect, dieBefore) {
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
				if s.dieAt(c, effect, dieAfterReply) {
					return
				}
				reply(err)
			})
		})
	}
	trouble := s.faults.troubleFor(t, k)
	switch {
	case s.faults.at(effect, faultLoseAt, "request"):
		trouble = loseRequest
	case s.faults.at(effect, faultLoseAt, "reply"):
		trouble = loseReply
	}
	answer(max(k.limit, time.Millisecond), errLost)
	if trouble == loseRequest {
		answer(deadSession, s.silence(k))
		return
	}
	s.world.After(s.travel(), func() {
		if c.dead && c.dropped {
			return
		}
		s.arrive(c, k, effect, trouble, answer)
	})
}

// arrive is the call at its far end.
func (s *simulation) arrive(c *controller, k call, effect int, trouble trouble, answer func(time.Duration, error)) {
	if k.host != nil && !k.host.Answers() {
		answer(dialTimeout, &hostdriver.Error{Kind: hostdriver.Unreachable, Host: k.host.Name, Op: k.what, Err: errors.New("connection timed out")})
		return
	}
	k.there(func(err error) {
		if s.dieAt(c, effect, dieAfterEffect) {
			return
		}
		s.powerAt(k, effect)
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
