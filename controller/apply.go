package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// State is a rollout's.
type State = rollout.State

// Reporter is told of every State, with the Event that led to it and the Commands
// that follow. It must return soon and must not keep or change the slices.
type Reporter func(State, rollout.Event, []rollout.Command)

// Apply carries out the Plan of a View that Seize returned, and returns the last State.
// control takes an operator's words: events whose kind is FromOperator, any others are
// dropped; it may be nil, and may be closed. When ctx ends, everything ends at once, and
// the State tells what was left.
//
// An error means that the rollout could not go on (a State that cannot be saved);
// what went wrong on hosts is in the State.
func (f *Fleet) Apply(ctx context.Context, control <-chan rollout.Event, v *View, report Reporter) (State, error) {
	st := rollout.New(time.Now().UTC().Format("20060102T150405.000Z"), v.Plan)
	return f.run(ctx, control, v, st, report)
}

// Repair finishes what a crash cut in the middle of a switch: such hosts go back
// to the generation they came from, so that what is observed is one whole
// generation. It tells whether there was anything to repair; then LookAgain. v is one
// that Seize returned.
func (f *Fleet) Repair(ctx context.Context, v *View) (bool, error) {
	var g multierror.Group
	found := false
	for _, h := range v.Input.Hosts {
		if h.Observation == nil || h.Observation.Switching == nil || h.Skip != "" {
			continue
		}
		found = true
		host, sw, op := h.Desired.Host, *h.Observation.Switching, h.Mend()
		fence := f.fence(v)
		g.Go(func() error {
			_, err := f.Driver.Apply(ctx, host, fence, op)
			f.Log.Info().Str("host", host.Name).Uint64("from", sw.From).Uint64("to", sw.To).Err(err).Msg("switch that was cut is taken back")
			return err
		})
	}
	return found, g.Wait().ErrorOrNil()
}

// fence is the one by which the hosts were taken over or, before, one above every epoch
// that was seen on a host.
func (f *Fleet) fence(v *View) hostdriver.Fence {
	if f.Epoch > 0 { // a controller's, which it takes from its store
		return hostdriver.Fence{Epoch: f.Epoch, Holder: f.Holder, Claimed: f.Claimed, TakeOver: f.TakeOver}
	}
	if v.taken != nil {
		return v.taken.fence
	}
	fe := hostdriver.Fence{Epoch: v.balancers + 1, Holder: f.Holder, TakeOver: f.TakeOver}
	for _, h := range v.Input.Hosts {
		if h.Observation != nil {
			fe.Epoch = max(fe.Epoch, h.Observation.Epoch+1)
		}
	}
	return fe
}

// run steps the engine until it is done.
func (f *Fleet) run(ctx context.Context, control <-chan rollout.Event, v *View, st State, report Reporter) (State, error) {
	ctx, cancel := context.WithCancel(ctx)
	fx := newEffects(f, v)
	var work errgroup.Group
	defer func() { _ = work.Wait() }()
	defer cancel()
	events := make(chan rollout.Event)
	began := time.Now()
	next, queue := rollout.Event{}, append(said(control), rollout.Event{Kind: rollout.EventBegin})
	for {
		if len(queue) > 0 {
			next, queue = queue[0], queue[1:]
		}
		next.At = time.Since(began) // monotonic
		var cmds []rollout.Command
		st, cmds = rollout.Step(st, next)
		if f.Save != nil {
			if err := f.Save(ctx, st); err != nil {
				return st, fmt.Errorf("cannot save the rollout's state, so nothing more is done: %w", err)
			}
		}
		if report != nil {
			report(st, next, cmds)
		}
		if st.Done {
			return st, nil
		}
		state := st
		for _, c := range cmds {
			if i := fx.aheads.next(&state, c); i >= 0 {
				v := state.Visits[i]
				work.Go(func() error {
					fx.prepare(ctx, v)
					return nil
				})
			}
			work.Go(func() error {
				if !pause(ctx, c.After) {
					return nil
				}
				e := fx.carryOut(ctx, state, c)
				select {
				case events <- e:
				case <-ctx.Done():
				}
				return nil
			})
		}
		if len(queue) > 0 {
			continue
		}
		if next, control = await(ctx, events, control); next.Kind == "" {
			return st, errors.Join(errors.New("stopped at once"), context.Cause(ctx))
		}
	}
}

// said are the words of an operator that came before a rollout begins: one that is paused
// begins nothing.
func said(control <-chan rollout.Event) []rollout.Event {
	var out []rollout.Event
	for {
		select {
		case e, open := <-control:
			switch {
			case !open:
				return out
			case e.Kind.FromOperator():
				out = append(out, e)
			}
		default:
			return out
		}
	}
}

// await is the next event, of an effect or an operator, and control as it is to be
// listened to from now on. The event is empty once ctx has ended.
func await(ctx context.Context, events, control <-chan rollout.Event) (rollout.Event, <-chan rollout.Event) {
	for {
		select {
		case e := <-events:
			return e, control
		case e, open := <-control:
			switch {
			case !open:
				control = nil
			case e.Kind.FromOperator():
				return e, control
			}
		case <-ctx.Done():
			return rollout.Event{}, control
		}
	}
}

// pause waits d, or tells that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
