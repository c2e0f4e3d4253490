package controller

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// View is one look at the whole fleet: what each host should be, what it said, and
// the Plan that follows. It is immutable once made.
type View struct {
	At    time.Time
	Took  time.Duration
	Input rollout.Input
	Plan  rollout.Plan
	// Errors are, by host, why it was not observed.
	Errors map[string]error
	// taken is what is known since the hosts were taken over; nil before.
	taken *taken
	// balancers is the highest epoch that a host has obeyed on which only a balancer's
	// configuration is written.
	balancers uint64
}

// Look resolves and observes every host once, concurrently, and plans. Hosts that
// do not answer are in the View as unreachable; an error means that there is no
// View at all.
func (f *Fleet) Look(ctx context.Context) (*View, error) {
	began := time.Now()
	v := &View{At: began, Errors: map[string]error{}}
	v.Input = rollout.Input{Revision: f.Revision.ID, Salt: salt(), Prune: f.prune(), EmptyOK: f.PruneAll, Skip: f.skipped(), Promoted: f.Promoted, Ignore: f.Ignore,
		At: began, IgnoreWindows: f.IgnoreWindows, Retry: f.Retry, Undo: f.Undo}
	hosts := f.hosts()
	inputs, errs := make([]rollout.HostInput, len(hosts)), make([]error, len(hosts))
	g := errgroup.Group{}
	g.SetLimit(f.concurrency())
	for i, h := range hosts {
		g.Go(func() error {
			inputs[i], errs[i] = f.lookAt(ctx, h, v.Input.Salt)
			return nil
		})
	}
	_ = g.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	v.Input.Hosts = inputs[:0]
	for i, in := range inputs {
		if f.wanted(in) {
			v.Input.Hosts = append(v.Input.Hosts, in)
			if errs[i] != nil {
				v.Errors[hosts[i].Name] = errs[i]
			}
		}
		if in.Observation != nil {
			f.skipManaged(v.Input.Skip, in.Observation.Manifest)
		}
	}
	v.balancers = f.balancerEpoch(ctx, v)
	v.Plan = rollout.Build(v.Input)
	if leads := f.askLeaders(ctx, v); len(leads) > 0 {
		v.Input.Leads = leads
		v.Plan = rollout.Build(v.Input)
	}
	v.Took = time.Since(began)
	return v, nil
}

// salt keys the digests of process environments of one reading.
func salt() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand.Read
	return hex.EncodeToString(b[:])
}

// Why a service is not to be touched.
const (
	notAsked  = "not among the services asked for"
	suspended = "suspended"
	faulty    = "its files have faults"
)

// skipped are the services that are not to be touched, with the reason.
func (f *Fleet) skipped() map[string]string {
	skip := map[string]string{}
	for _, s := range f.Revision.Services {
		if !matches(f.Services, s.Name) {
			skip[s.Name] = notAsked
		}
	}
	for _, q := range f.Revision.Quarantined {
		if q.Service != "" {
			skip[q.Service] = faulty
		}
	}
	return skip
}

// skipManaged adds the services that a host has and that were not asked for, for the
// revision may no longer know them.
func (f *Fleet) skipManaged(skip map[string]string, m hostdriver.Manifest) {
	if len(f.Services) == 0 {
		return
	}
	for _, e := range m.Entries {
		if !matches(f.Services, e.Service) {
			skip[e.Service] = notAsked
		}
	}
}

// wanted tells whether a host belongs in the View: it was asked for and has, or
// should have, a service that was; or an instance on it counts in the budget of one.
func (f *Fleet) wanted(in rollout.HostInput) bool {
	asked := matches(f.Hosts, in.Desired.Host.Name)
	if len(f.Services) == 0 && asked {
		return true
	}
	if !asked && f.HostsOnly {
		return false
	}
	for _, i := range in.Desired.Instances {
		if matches(f.Services, i.Service) {
			return true
		}
	}
	if o := in.Observation; o != nil && asked {
		return slices.ContainsFunc(o.Manifest.Entries, func(e hostdriver.Entry) bool { return matches(f.Services, e.Service) })
	}
	return asked && slices.ContainsFunc(in.Desired.Held, func(s string) bool { return matches(f.Services, s) })
}

// lookAt resolves and observes one host.
func (f *Fleet) lookAt(ctx context.Context, h inventory.Host, salt string) (in rollout.HostInput, err error) {
	in.Desired.Host, in.Desired.Held = h, f.serviceNames() // where resolving panics, nothing is known of any
	defer func() {
		if err != nil {
			in.Observation, in.Reason = nil, reasonOf(err)
		}
	}()
	defer f.shield(h.Name, &err)
	if !matches(f.Hosts, h.Name) {
		in.Skip = "not among the hosts asked for"
	}
	in.Hold = f.holds(h)
	if c, ok := f.Driver.(hostdriver.Connector); ok && in.Skip == "" {
		c.Connect(h) // while artifacts are read, and secrets decrypted
	}
	hs, faults := f.Revision.Resolve(ctx, h)
	in.Desired = hs
	in.Desired.Host = h
	if faults != nil {
		in.Failed = problems(h.Name, faults)
	}
	if in.Skip != "" && !f.wanted(in) {
		return in, nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.observeTimeout())
	defer cancel()
	q := rollout.Query(in.Desired, salt)
	q.Generations = f.Undo != nil
	o, err := f.Driver.Observe(ctx, h, q)
	if err != nil {
		return in, err
	}
	in.Observation = &o
	in.Desired = rollout.Settle(in.Desired, o)
	return in, nil
}

func (f *Fleet) serviceNames() []string {
	var names []string
	for _, s := range f.Revision.Services {
		names = append(names, s.Name)
	}
	return names
}

// problems turns the faults of resolving into problems of the host's plan.
func problems(host string, err error) []rollout.Problem {
	var faults desired.Faults
	if errors.As(err, &faults) {
		var out []rollout.Problem
		for _, x := range faults {
			out = append(out, rollout.Problem{Host: host, Service: x.Service, Subject: x.Pos.String(), Reason: x.Message, Mend: x.Mend})
		}
		return out
	}
	return []rollout.Problem{{Host: host, Reason: err.Error()}}
}

// reasonOf is an error in one line for a person.
func reasonOf(err error) string {
	var he *hostdriver.Error
	if !errors.As(err, &he) {
		if errors.Is(err, context.DeadlineExceeded) {
			return "did not answer in time"
		}
		return err.Error()
	}
	return fmt.Sprintf("%s: %v", he.Kind, he.Err)
}
