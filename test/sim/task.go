package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// call is one thing said to a host or to the balancer over the network.
type call struct {
	what string
	host *world.Host // nil: the balancer
	// changes tells that it has an effect: a boundary at which a controller can die.
	changes bool
	limit   time.Duration // after which nobody waits any more
	// there runs on the far side and answers once, maybe later.
	there func(answer func(error))
}

// task is straight-line code of a controller that is suspended at every call: it is
// run by the simulation's one loop, so a crash can come between any two calls.
type task struct {
	c     *controller
	phase string // of the command it carries out, for faults
	on    string // the host of the visit it works for
	co    *coroutine
	errs  []error
	left  int // calls without an answer yet
	then  func()
	ended bool
}

// errKilled unwinds the tasks of a controller that died.
var errKilled = errors.New("the controller was killed")

// errLost is what a caller knows whose reply was lost.
var errLost = context.DeadlineExceeded

// coroutine runs the bodies of tasks, one after another: a goroutine whose stack has
// grown already is worth keeping.
type coroutine struct {
	body   func()
	yield  func([]call) bool
	resume func() ([]call, bool)
	cancel func()
}

// coroutine is one that is free.
func (s *simulation) coroutine() *coroutine {
	if n := len(s.idle); n > 0 {
		co := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return co
	}
	co := &coroutine{}
	co.resume, co.cancel = iter.Pull(func(yield func([]call) bool) {
		defer func() {
			if r := recover(); r != nil && r != any(errKilled) {
				panic(r)
			}
		}()
		co.yield = yield
		for {
			co.body()
			if !yield(nil) { // the body has ended
				return
			}
		}
	})
	return co
}

// run starts a task and runs it up to its first call; then follows its end.
func (c *controller) run(phase, on string, body func(*task), then func()) {
	t := &task{c: c, phase: phase, on: on, then: then, co: c.sim.coroutine()}
	t.co.body = func() { body(t) }
	c.tasks = append(c.tasks, t)
	t.proceed()
}

// proceed runs a task on to its next calls, or its end.
func (t *task) proceed() {
	calls, _ := t.co.resume()
	if calls == nil {
		t.end()
		t.then()
		return
	}
	t.errs, t.left = make([]error, len(calls)), len(calls)
	for i, call := range calls {
		t.c.sim.send(t, call, func(err error) {
			t.errs[i] = err
			if t.left--; t.left == 0 && !t.ended {
				t.proceed()
			}
		})
	}
}

func (t *task) end() {
	t.ended = true
	t.c.sim.idle = append(t.c.sim.idle, t.co)
	for i, x := range t.c.tasks {
		if x == t {
			t.c.tasks = append(t.c.tasks[:i], t.c.tasks[i+1:]...)
			return
		}
	}
}

// all makes calls at once and returns when each is answered, or was given up.
func (t *task) all(calls []call) []error {
	if len(calls) == 0 {
		return nil
	}
	if !t.co.yield(calls) {
		panic(errKilled)
	}
	return t.errs
}

func (t *task) do(c call) error {
	if c.limit <= 0 {
		return errLost // its time was over before it was sent
	}
	return t.all([]call{c})[0]
}

// observe is hostdriver.Observer over this network.
func (t *task) observe(h *world.Host, q hostdriver.Query, limit time.Duration) (hostdriver.Observation, error) {
	var o hostdriver.Observation
	err := t.do(observing(h, q, limit, &o))
	return o, err
}

func observing(h *world.Host, q hostdriver.Query, limit time.Duration, o *hostdriver.Observation) call {
	return call{what: "observe", host: h, limit: limit, there: func(answer func(error)) {
		*o = h.Observe(q)
		answer(nil)
	}}
}

// apply is hostdriver.Applier over this network.
func (t *task) apply(h *world.Host, a *world.Actor, f hostdriver.Fence, op hostdriver.Op, limit time.Duration) (hostdriver.Result, error) {
	var res hostdriver.Result
	_, reads := op.(hostdriver.Precheck)
	err := t.do(call{what: hostdriver.OpName(op), host: h, changes: !reads, limit: limit, there: func(answer func(error)) {
		h.Do(a, f, op, func(r hostdriver.Result, err error) {
			res = r
			answer(err)
		})
	}})
	return res, err
}

// server asks or tells the balancer about one server.
func (t *task) server(what, service, host string, changes bool, limit time.Duration, f func(*world.Server)) error {
	b := t.c.sim.world.Balancer
	return t.do(call{what: what, changes: changes, limit: limit, there: func(answer func(error)) {
		s, err := b.Ask(service, host)
		if err == nil {
			f(s)
		}
		answer(err)
	}})
}
