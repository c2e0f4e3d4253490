package controller

import (
	"context"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// aheadHolds is for how long what a host said ahead of its visit still counts.
const aheadHolds = 1500 * time.Millisecond

// ahead is what is done for a host's visit while another host is still in hand: looking
// whether anything is in its way, and bringing what it needs. Nothing that is in use is
// touched, nothing is recorded, and whatever goes wrong is left to the visit itself to
// find. The visit takes it if it is young enough, else does the same once more.
type ahead struct {
	done chan struct{} // closed once all below is set

	at       time.Time // when the look began
	seen     hostdriver.Observation
	looked   bool // the host has nothing in the way
	from, to uint64
	staged   bool
}

// aheads are the visits prepared so far, by ID.
type aheads struct {
	mu sync.Mutex
	of map[int]*ahead
}

// next is the visit to be prepared while c is carried out, or -1: the first one that is
// to disturb another host. One at a time, for it is a guess, and hosts have other work.
func (a *aheads) next(st *State, c rollout.Command) int {
	if c.Visit < 0 {
		return -1
	}
	v := &st.Visits[c.Visit]
	switch { // what the host in hand waits for is the time for it
	case c.Kind == rollout.CmdProbe && st.SoaksOut(v), c.Kind == rollout.CmdSwitch && len(v.Actions) == 0:
	case c.Kind == rollout.CmdUnits && !st.Soaks(v), c.Kind == rollout.CmdWait && c.After > 0 && !st.Soaks(v):
	default:
		return -1
	}
	if v.Quiet || v.Reverting || v.Failing != "" || st.Halted != nil || st.Stopping != "" || st.Paused != nil {
		return -1
	}
	for i := range st.Visits {
		x := &st.Visits[i]
		if x.Phase != rollout.PhasePending || x.Quiet || x.Recover || x.Host == v.Host {
			continue
		}
		if !firstOpen(st, i) {
			continue
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.of[i] != nil {
			return -1
		}
		a.of[i] = &ahead{done: make(chan struct{})}
		return i
	}
	return -1
}

// firstOpen tells whether a host has no other visit before this one that has not ended.
func firstOpen(st *State, visit int) bool {
	for i := range st.Visits[:visit] {
		if x := &st.Visits[i]; x.Host == st.Visits[visit].Host && x.Phase != rollout.PhaseEnded {
			return false
		}
	}
	return true
}

// prepare looks at the host of a visit, and stages what it brings.
func (fx *effects) prepare(ctx context.Context, v rollout.Visit) {
	fx.aheads.mu.Lock()
	a := fx.aheads.of[v.ID]
	fx.aheads.mu.Unlock()
	defer close(a.done)
	var own error // what is not prepared is done by the visit itself
	defer fx.f.shield(v.Host, &own)
	h := fx.hosts[v.Host]
	ctx, cancel := context.WithTimeout(ctx, stageOp)
	defer cancel()
	a.at = time.Now()
	quick, end := context.WithTimeout(ctx, quickOp)
	defer end()
	o, err := fx.look(quick, v, h)
	if err != nil || fx.apply(quick, h, h.Needs(&v, o)) != nil {
		return
	}
	a.seen, a.looked = o, true
	if !v.Written {
		return
	}
	op, err := fx.sealed(ctx, h, h.Stage(&v, o.Manifest, o.Kept))
	if err == nil && fx.apply(ctx, h, op) == nil {
		a.from, a.to, a.staged = o.Manifest.Generation, op.Manifest.Generation, true
	}
}

// prepared is what was done ahead for a visit, once it is; nil where nothing was.
func (fx *effects) prepared(ctx context.Context, visit int) *ahead {
	fx.aheads.mu.Lock()
	a := fx.aheads.of[visit]
	fx.aheads.mu.Unlock()
	if a == nil {
		return nil
	}
	select {
	case <-a.done:
		return a
	case <-ctx.Done():
		return nil
	}
}

// lookedAhead is what the host said ahead of its visit, where that still counts.
func (fx *effects) lookedAhead(ctx context.Context, visit int) (hostdriver.Observation, bool) {
	a := fx.prepared(ctx, visit)
	if a == nil || !a.looked || time.Since(a.at) > aheadHolds {
		return hostdriver.Observation{}, false
	}
	return a.seen, true
}

// stagedAhead are the generations of what was staged for a visit, where the host has
// still the one that it was to follow, and no other was kept since.
func (fx *effects) stagedAhead(ctx context.Context, visit int, h *handled) (from, to uint64, ok bool) {
	a := fx.prepared(ctx, visit)
	if a == nil || !a.staged {
		return 0, 0, false
	}
	current, kept := h.current()
	for _, n := range kept {
		if n > a.to {
			return 0, 0, false
		}
	}
	return a.from, a.to, current.Generation == a.from
}
