package controller

import (
	"context"
	"fmt"
	"slices"

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

// drainers are the adapters behind what the visit has drained or is about to.
func (fx *effects) drainers(v rollout.Visit, h *handled) ([]drain.Drainer, error) {
	var out []drain.Drainer
	for _, rec := range v.Drained {
		d, err := drain.FromRecord(rec, h.Desired.Host, fx.f.drainDeps(fx.fence), drainSpecs(h))
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func (fx *effects) drain(ctx context.Context, _ *rollout.Event, v rollout.Visit, h *handled) error {
	ds, err := fx.drainers(v, h)
	if err != nil {
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
		case st.Known && !st.Drained:
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

// stillDrained asks again, just before a restart: a balancer that was reloaded
// may have forgotten.
func (fx *effects) stillDrained(ctx context.Context, v rollout.Visit, h *handled) (bool, error) {
	if !v.Draining {
		return true, nil
	}
	var e rollout.Event
	err := fx.wait(ctx, &e, v, h)
	return !e.Forgot, err
}

func (fx *effects) undrain(ctx context.Context, v rollout.Visit, h *handled) error {
	ds, err := fx.drainers(v, h)
	if err != nil {
		return err
	}
	for _, d := range ds {
		if err := d.Undrain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// backInRotation tells, as an error, which balancer does not send traffic yet.
func (fx *effects) backInRotation(ctx context.Context, v rollout.Visit, h *handled) error {
	for _, name := range v.Drains {
		inst := h.instance(name)
		if inst == nil {
			continue
		}
		if st, err := fx.f.traffic(ctx, inst, h.Desired.Host, fx.fence); err != nil {
			return err
		} else if st != "" {
			return &notYet{reason: st}
		}
	}
	return nil
}

// traffic says why a balancer sends an instance no traffic; "" where all do.
func (f *Fleet) traffic(ctx context.Context, inst *desired.Instance, host inventory.Host, fence hostdriver.Fence) (string, error) {
	for _, spec := range inst.Drain {
		d, err := drain.New(spec, host, f.drainDeps(fence))
		if err != nil {
			return "", err
		}
		st, err := d.Status(ctx)
		if err != nil {
			return "", err
		}
		if st.Known && st.Drained || !st.Up {
			return fmt.Sprintf("%s has it %s", drain.Describe(spec), st.State), nil
		}
	}
	return "", nil
}
