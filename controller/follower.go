package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
)

// follower turns the States of a rollout under way into events and the Snapshot's
// rollout. The engine waits for it, so it writes nothing itself: flush does, and a
// goroutine of its own in between.
type follower struct {
	c     *Controller
	began RolloutStatus

	mu    sync.Mutex
	seen  map[int]rollout.Phase
	told  bool
	work  sync.WaitGroup
	queue []Event
	busy  bool
}

// report takes a State.
func (f *follower) report(ctx context.Context, st State) {
	f.mu.Lock()
	if !f.told {
		f.told = true
		f.queue = append(f.queue, Event{Type: Normal, Reason: ReasonRolloutBegan, Rollout: st.ID, Revision: st.Revision,
			Message: fmt.Sprintf("rollout %s begins: %s, %s", st.ID, f.began.Why, number(len(st.Visits), "visit"))})
	}
	for i := range st.Visits {
		v := &st.Visits[i]
		was := f.seen[i]
		if was == v.Phase {
			continue
		}
		f.seen[i] = v.Phase
		if e, ok := visitEvent(&st, v); ok {
			f.queue = append(f.queue, e)
		}
		switch {
		case v.Phase == rollout.PhaseEnded:
			f.c.visited(v, st.Revision)
		case v.Undo != nil && (v.Phase == rollout.PhaseSwitch || v.Switched):
			f.c.goesBack(v.Host)
		}
	}
	f.publish(st)
	if len(f.queue) > 0 && !f.busy {
		f.busy = true
		f.work.Go(func() { f.write(ctx) })
	}
	f.mu.Unlock()
}

// publish shows the State. It is a value whose slices nobody writes to.
func (f *follower) publish(st State) {
	rs := f.began
	rs.State = st
	f.c.mu.Lock()
	f.c.rolling = &rs
	f.c.mu.Unlock()
	f.c.changed()
}

func (f *follower) write(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	for {
		f.mu.Lock()
		events := f.queue
		f.queue = nil
		if len(events) == 0 {
			f.busy = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		for _, e := range events {
			f.c.record(ctx, e)
		}
	}
}

// flush returns once all events are written.
func (f *follower) flush() { f.work.Wait() }

// visitEvent is what a visit's end means to an operator.
func visitEvent(st *State, v *rollout.Visit) (Event, bool) {
	e := Event{Type: Normal, Host: v.Host, Rollout: st.ID, Revision: st.Revision}
	if len(v.Services) == 1 {
		e.Service = v.Services[0]
	}
	if v.Phase != rollout.PhaseEnded {
		return e, false
	}
	switch v.Result {
	case rollout.ResultDone:
		e.Reason, e.Message = ReasonHostDone, v.Host+" is as desired after "+(v.Since-v.Began).Round(10*time.Millisecond).String()
	case rollout.ResultReverted:
		e.Type, e.Reason, e.Message = Warning, ReasonHostReverted, v.Host+" went back to what it ran before: "+v.Reason
	case rollout.ResultLost:
		e.Type, e.Reason, e.Message = Warning, ReasonHostLost, v.Host+" was lost in mid-step: "+v.Reason
	case rollout.ResultFailed:
		e.Type, e.Reason, e.Message = Warning, ReasonHostFailed, v.Host+" failed: "+v.Reason
	default:
		return e, false
	}
	return e, true
}

// goesBack notes that a host is being switched to an earlier revision: that it differs is no drift, as
// soon as an operator wants the newest again.
func (c *Controller) goesBack(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.hosts[host]; e != nil {
		e.synced = ""
	}
}

// visited notes a visit that has ended: the host is as the revision wants it, or is to
// be looked at again.
func (c *Controller) visited(v *rollout.Visit, revision string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.hosts[v.Host]
	if e == nil {
		return
	}
	e.dirty, e.settled = true, time.Now()
	c.queue.Add(healthKey(v.Host))
	for _, x := range c.rolling.State.Visits {
		if x.Host == v.Host && x.ID != v.ID && x.Phase != rollout.PhaseEnded {
			return
		}
	}
	if v.Result == rollout.ResultDone {
		if e.synced = revision; v.Undo != nil {
			e.synced = ""
		}
		e.putRight(func(service string) bool { return slices.Contains(v.Services, service) })
	}
}
