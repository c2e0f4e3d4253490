package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/drain"
)

// drainDeps are what drains reach balancers and hosts through.
func (f *Fleet) drainDeps(fence hostdriver.Fence) drain.Deps {
	return drain.Deps{
		Dialer: f.Driver, Observer: f.Driver, Applier: f.Driver,
		Fence: func() hostdriver.Fence { return fence },
		Host:  func(name string) (inventory.Host, bool) { return f.Revision.Inventory.Find(name) },
	}
}

// drainSpecs are all drains that the repo gives a host.
func drainSpecs(h *handled) []desired.DrainSpec {
	var out []desired.DrainSpec
	for _, i := range h.Desired.Instances {
		out = append(out, i.Drain...)
	}
	return out
}

func sameDrain(a, b hostdriver.DrainRecord) bool {
	if a.Service != b.Service || a.Adapter != b.Adapter || len(a.Spec) != len(b.Spec) {
		return false
	}
	for k, v := range a.Spec {
		if b.Spec[k] != v {
			return false
		}
	}
	return true
}

// toDrain asks every balancer concerned and returns what will have to be undone:
// what a step before left, and what is in rotation now. What a hand took out
// stays the hand's.
func (fx *effects) toDrain(ctx context.Context, v rollout.Visit, h *handled) ([]hostdriver.DrainRecord, error) {
	out := slices.Clone(v.Drained)
	for _, name := range v.Drains {
		inst := h.instance(name)
		if inst == nil {
			continue
		}
		for _, spec := range inst.Drain {
			rec := drain.Record(name, spec)
			if slices.ContainsFunc(out, func(r hostdriver.DrainRecord) bool { return sameDrain(r, rec) }) {
				continue
			}
			d, err := drain.New(spec, h.Desired.Host, fx.f.drainDeps(fx.fence))
			if err != nil {
				return nil, err
			}
			st, err := d.Status(ctx)
			if err != nil {
				return nil, err
			}
			if st.Known && st.Drained {
				continue
			}
			out = append(out, rec)
		}
	}
	return out, nil
}

// drainers are the adapters behind what the visit has drained, or is about to, of the
// services it disturbs. What a former step left of others is to be undrained, but not
// disturbed again.
func (fx *effects) drainers(v rollout.Visit, h *handled) ([]drain.Drainer, error) {
	var out []drain.Drainer
	for _, rec := range v.Drained {
		if !slices.Contains(v.Drains, rec.Service) {
			continue
		}
		d, err := drain.FromRecord(rec, h.Desired.Host, fx.f.drainDeps(fx.fence), drainSpecs(h))
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Times of asking a host whether it still obeys.
const (
	freshWord = 500 * time.Millisecond // within which its last word need not be asked for again
	staleWord = 2 * time.Second        // after which a word that was so long on its way counts no more
)

// fenced asks the host whether it still obeys this controller, right before something
// is said to a balancer: a balancer knows no epochs, and one that was superseded must
// neither take out what the other has put back nor put back what the other took out.
func (fx *effects) fenced(ctx context.Context, h *handled) error {
	for {
		if h.obeyed(freshWord) {
			return nil
		}
		asked := time.Now()
		if err := fx.apply(ctx, h, hostdriver.Precheck{}); err != nil || time.Since(asked) < staleWord {
			return err
		}
	}
}

func (fx *effects) drain(ctx context.Context, _ *rollout.Event, v rollout.Visit, h *handled) error {
	ds, err := fx.drainers(v, h)
	if err != nil {
		return err
	}
	if err := fx.fenced(ctx, h); err != nil {
		return err
	}
	for _, d := range ds {
		if _, err := d.Drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait asks once how many sessions are left, over all balancers.
func (fx *effects) wait(ctx context.Context, e *rollout.Event, v rollout.Visit, h *handled) error {
	ds, err := fx.drainers(v, h)
	if err != nil {
		return err
	}
	unknown := false
	for _, d := range ds {
		st, err := d.Status(ctx)
		switch {
		case err != nil:
			return err
		case st.Forgot():
			e.Forgot = true
		case st.Sessions < 0:
			unknown = true
		default:
			e.Sessions += max(0, st.Sessions)
		}
	}
	if unknown && e.Sessions == 0 {
		e.Sessions = drain.SessionsUnknown
	}
	return nil
}

// stillDrained asks again, just before a restart, for all that must be out of rotation:
// a balancer that was reloaded may have forgotten, also what a hand had taken out. What
// is in rotation by now is named in the event, as what will have to be undone.
func (fx *effects) stillDrained(ctx context.Context, e *rollout.Event, v rollout.Visit, h *handled) (bool, error) {
	for _, name := range v.Drains {
		inst := h.instance(name)
		if inst == nil {
			continue
		}
		for _, spec := range inst.Drain {
			d, err := drain.New(spec, h.Desired.Host, fx.f.drainDeps(fx.fence))
			if err != nil {
				return false, err
			}
			st, err := d.Status(ctx)
			if err != nil {
				return false, err
			}
			if st.Forgot() {
				e.Drains, err = fx.toDrain(ctx, v, h)
				return false, err
			}
		}
	}
	return true, nil
}

func (fx *effects) undrain(ctx context.Context, st State, v rollout.Visit, h *handled) error {
	if err := fx.fenced(ctx, h); err != nil {
		return err
	}
	current, _ := h.current()
	var failed error
	for _, rec := range v.Drained {
		if h.instance(rec.Service) == nil && st.Leaves(v.Host, rec.Service, current) {
			fx.f.Log.Warn().Str("host", v.Host).Str("service", rec.Service).Msg("drain stays, for the service leaves the host")
			continue
		}
		d, err := drain.FromRecord(rec, h.Desired.Host, fx.f.drainDeps(fx.fence), drainSpecs(h))
		if err == nil {
			err = d.Undrain(ctx)
		}
		if failed == nil {
			failed = err // the others are brought back all the same
		}
	}
	return failed
}

// backInRotation tells, as an error, which balancer does not send traffic yet.
func (fx *effects) backInRotation(ctx context.Context, v rollout.Visit, h *handled) error {
	for _, name := range v.Drains {
		inst := h.instance(name)
		if inst == nil {
			continue
		}
		if t, err := fx.f.traffic(ctx, inst, h.Desired.Host, fx.fence); err != nil {
			return err
		} else if t.why != "" {
			return &notYet{reason: t.why}
		}
	}
	return nil
}

// traffic is what an instance's balancers say of it.
type traffic struct {
	why     string // one of them sends it none; "" where all do
	drained bool   // one has it drained: it comes back by somebody's word only
	none    bool   // all have it drained: it surely gets none
}

// traffic asks them.
func (f *Fleet) traffic(ctx context.Context, inst *desired.Instance, host inventory.Host, fence hostdriver.Fence) (traffic, error) {
	t := traffic{none: len(inst.Drain) > 0}
	for _, spec := range inst.Drain {
		d, err := drain.New(spec, host, f.drainDeps(fence))
		if err != nil {
			return t, err
		}
		st, err := d.Status(ctx)
		if err != nil {
			return t, err
		}
		out := st.Known && st.Drained
		if t.why == "" && (out || !st.Up) {
			t.why = fmt.Sprintf("%s has it %s", drain.Describe(spec), st.State)
		}
		t.drained, t.none = t.drained || out, t.none && out
	}
	return t, nil
}
