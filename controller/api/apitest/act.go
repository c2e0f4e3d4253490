package apitest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// Do carries an operator's word out, and records it.
func (f *Fake) Do(_ context.Context, a controller.Action) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return "", f.broken
	}
	done, err := f.do(a)
	if err != nil {
		return "", err
	}
	f.actions = append(f.actions, a)
	f.happened(controller.Event{Reason: controller.ReasonOperator, Host: a.Host, Service: a.Service, Revision: a.Revision, By: a.By, Message: done})
	return done, nil
}

func (f *Fake) do(a controller.Action) (string, error) {
	if err := f.known(a); err != nil {
		return "", err
	}
	switch a.Verb {
	case controller.VerbReconcile:
		f.pokes = append(f.pokes, "operator")
		return "fetching and looking now", nil
	case controller.VerbSuspend:
		f.change(func(s *controller.Snapshot) {
			s.Suspensions = append(s.Suspensions, controller.Suspension{Host: a.Host, Service: a.Service, Reason: a.Reason, By: a.By, Since: f.now(), Until: a.Until})
		})
		return "suspended " + object(a), nil
	case controller.VerbUnsuspend:
		return f.unsuspend(a)
	case controller.VerbDrain:
		f.change(func(s *controller.Snapshot) {
			s.Drains = append(s.Drains, controller.HandDrain{Host: a.Host, Reason: a.Reason, By: a.By, Since: f.now(), Until: a.Until})
		})
		return "drained " + a.Host, nil
	case controller.VerbUndrain:
		return f.undrain(a)
	case controller.VerbAccept:
		f.change(func(s *controller.Snapshot) { s.Source.Revision = a.Revision })
		f.revisions = slices.Insert(f.revisions, 0, controller.RevisionEntry{Revision: a.Revision, Accepted: f.now(), Overridden: a.By})
		return "accepted " + a.Revision[:7], nil
	case controller.VerbUndo, controller.VerbRetry:
		return string(a.Verb) + " begins", nil
	case controller.VerbTakeOver:
		return "taken over", nil
	}
	r := f.snapshot.Rollout
	if r == nil || !r.Ended.IsZero() {
		return "", fmt.Errorf("no rollout is under way: %w", controller.ErrNothingToDo)
	}
	return "the rollout: " + string(a.Verb), nil
}

// known refuses an object that the fleet does not have.
func (f *Fake) known(a controller.Action) error {
	host := func(h controller.HostStatus) bool { return h.Name == a.Host }
	service := func(i controller.InstanceStatus) bool { return i.Service == a.Service }
	if a.Host != "" && !slices.ContainsFunc(f.snapshot.Hosts, host) || a.Service != "" && !slices.ContainsFunc(f.snapshot.Instances, service) {
		return fmt.Errorf("%s: %w", object(a), controller.ErrUnknownObject)
	}
	return nil
}

func object(a controller.Action) string {
	switch {
	case a.Host != "" && a.Service != "":
		return a.Service + " on " + a.Host
	case a.Host != "":
		return "host " + a.Host
	case a.Service != "":
		return "service " + a.Service
	}
	return "the fleet"
}

func (f *Fake) unsuspend(a controller.Action) (string, error) {
	same := func(s controller.Suspension) bool { return s.Host == a.Host && s.Service == a.Service }
	if !slices.ContainsFunc(f.snapshot.Suspensions, same) {
		return "", fmt.Errorf("%s is not suspended: %w", object(a), controller.ErrNothingToDo)
	}
	f.change(func(s *controller.Snapshot) { s.Suspensions = slices.DeleteFunc(s.Suspensions, same) })
	return "resumed " + object(a), nil
}

func (f *Fake) undrain(a controller.Action) (string, error) {
	same := func(d controller.HandDrain) bool { return d.Host == a.Host }
	if !slices.ContainsFunc(f.snapshot.Drains, same) {
		return "", fmt.Errorf("host %s is not drained: %w", a.Host, controller.ErrNothingToDo)
	}
	f.change(func(s *controller.Snapshot) { s.Drains = slices.DeleteFunc(s.Drains, same) })
	return "undrained " + a.Host, nil
}

// Begin begins a rollout over web-1 and web-2.
func (f *Fake) Begin(id string) {
	f.Change(func(s *controller.Snapshot) {
		st := rollout.State{ID: id, Revision: Revision, Services: []rollout.ServiceState{{Service: "gateway", Instances: []rollout.Instance{}}}}
		for i, host := range []string{"web-1", "web-2"} {
			st.Visits = append(st.Visits, rollout.Visit{ID: i + 1, Host: host, Services: []string{"gateway"}})
		}
		s.Rollout = &controller.RolloutStatus{Began: f.now(), Why: "a new revision", State: st}
	})
}

// Step brings a host's visit to a phase.
func (f *Fake) Step(host string, phase rollout.Phase) {
	f.Change(func(s *controller.Snapshot) {
		r := *s.Rollout
		r.State.Visits = slices.Clone(r.State.Visits)
		r.State.At += time.Second
		for i := range r.State.Visits {
			if v := &r.State.Visits[i]; v.Host == host {
				v.Phase, v.Since = phase, r.State.At
				if phase == rollout.PhaseEnded {
					v.Result = rollout.ResultDone
				}
			}
		}
		s.Rollout = &r
	})
}

// End ends the rollout with an outcome, and puts it into the history.
func (f *Fake) End(result controller.Result) {
	f.Change(func(s *controller.Snapshot) {
		r := *s.Rollout
		r.Ended, r.State.Done = f.now(), true
		o := controller.OutcomeOf(controller.Ended{Plan: *s.Plan, State: r.State})
		o.Result, o.Exit = result, result.Exit()
		r.Outcome = &o
		s.Rollout = &r
		f.kept[r.State.ID] = r
		f.rollouts = slices.Insert(f.rollouts, 0, controller.RolloutEntry{ID: r.State.ID, Revision: Revision, Why: r.Why, Began: r.Began, Ended: r.Ended, Result: result,
			Words: o.Words(), Hosts: []string{"web-1", "web-2"}})
	})
}
