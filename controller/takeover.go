package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// obeyWithin bounds the wait for a host's word that it obeys: longer than the host
// itself waits for whoever holds its lock.
const obeyWithin = 30 * time.Second

// Overtaken is the error of who found another at work on its hosts: nothing was done.
type Overtaken struct {
	Host string
	Err  error
}

// Error names the host, and who is there.
func (o *Overtaken) Error() string {
	var he *hostdriver.Error
	if errors.As(o.Err, &he) {
		return fmt.Sprintf("another is at work on %s: %v", o.Host, he.Err)
	}
	return fmt.Sprintf("another is at work on %s: %v", o.Host, o.Err)
}

// Unwrap returns the detail.
func (o *Overtaken) Unwrap() error { return o.Err }

// taken is what a View knows of hosts that were taken over.
type taken struct {
	fence  hostdriver.Fence
	failed map[string]error // by host, why it is not known to obey
}

// Seize makes the hosts that v's plan is about obey this Fleet's holder alone, before
// anything is carried out, and returns the View to carry out: what v says where nobody has
// changed anything since it was made, else what a new look says. From then on whoever was
// at work there is refused by the hosts, and what it had in hand is in their records, and
// so in the View.
//
// was, which may be nil, is the View that this Fleet carried out before. If another has
// taken hosts over since, or does at this moment, the error is an *Overtaken: two must not
// share out the hosts, for each would have the whole budget. A host of which it is not
// known whether it obeys is left alone.
func (f *Fleet) Seize(ctx context.Context, was, v *View) (*View, error) {
	if was != nil && was.taken != nil {
		if o := v.overtaken(was.taken.fence); o != nil {
			return nil, o
		}
	}
	t := takeover{f: f, v: v, taken: taken{fence: f.fence(v), failed: map[string]error{}}}
	// Where two begin at the same moment, the first host decides who came first.
	hosts := rollout.MustObey(v.Input, v.Plan)
	first := min(1, len(hosts))
	for _, some := range [][]string{hosts[:first], hosts[first:]} {
		if err := t.raise(ctx, some); err != nil {
			return nil, err
		}
	}
	if !t.moved {
		return v.settle(&t.taken), nil
	}
	seen, err := f.Look(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range rollout.MustObey(seen.Input, seen.Plan) {
		if !slices.Contains(hosts, name) {
			t.failed[name] = errLate
		}
	}
	return seen.settle(&t.taken), nil
}

// errLate is of a host that answered only after the others had been taken over.
var errLate = &hostdriver.Error{Kind: hostdriver.Unknown, Op: "take over", Err: errors.New("it did not answer when the others were taken over")}

// LookAgain is Look, by who has taken the hosts of was over and goes on with them.
func (f *Fleet) LookAgain(ctx context.Context, was *View) (*View, error) {
	v, err := f.Look(ctx)
	if err != nil || was.taken == nil {
		return v, err
	}
	return v.settle(was.taken), nil
}

// overtaken names a host on which another came after the fence.
func (v *View) overtaken(fence hostdriver.Fence) *Overtaken {
	for _, h := range v.Input.Hosts {
		if o := h.Observation; o != nil && h.Skip == "" && o.Epoch > fence.Epoch && o.Holder != fence.Holder {
			return &Overtaken{Host: h.Desired.Host.Name, Err: fmt.Errorf("it obeys epoch %d of %s by now, and this was epoch %d", o.Epoch, o.Holder, fence.Epoch)}
		}
	}
	return nil
}

// takeover is one Seize under way.
type takeover struct {
	taken
	f     *Fleet
	v     *View
	moved bool // something was changed since the look
}

// raise has hosts obey, all at once.
func (t *takeover) raise(ctx context.Context, hosts []string) error {
	results, errs := make([]hostdriver.Result, len(hosts)), make([]error, len(hosts))
	ctx, cancel := context.WithTimeout(ctx, obeyWithin)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(t.f.concurrency())
	inputs := t.v.byHost()
	for i, name := range hosts {
		g.Go(func() error {
			results[i], errs[i] = t.f.Driver.Apply(ctx, inputs[name].Desired.Host, t.fence, hostdriver.Obey{})
			return nil
		})
	}
	_ = g.Wait()
	for i, name := range hosts {
		switch {
		case hostdriver.KindOf(errs[i]) == hostdriver.Refused:
			return &Overtaken{Host: name, Err: errs[i]}
		case errs[i] != nil:
			t.failed[name] = errs[i]
			t.f.Log.Info().Str("host", name).Err(errs[i]).Msg("host is left alone: it is not known whether it obeys")
		case results[i].Mutations != inputs[name].Observation.Mutations || inputs[name].Observation.Switching != nil:
			t.moved = true
		}
	}
	return nil
}

// SamePlan tells whether two plans change the same things in the same order.
func SamePlan(a, b rollout.Plan) bool { return slices.Equal(steps(a), steps(b)) }

// steps are a plan's changes and visits in words.
func steps(p rollout.Plan) []string {
	var out []string
	for _, h := range p.Hosts {
		for _, c := range h.Changes {
			out = append(out, fmt.Sprint(c.Host, c.Service, c.Kind, c.Action, c.Subject, c.Disruption))
		}
		for _, x := range h.Problems {
			out = append(out, fmt.Sprint(x.Host, x.Service, x.Subject))
		}
	}
	for _, v := range p.Visits {
		out = append(out, fmt.Sprint(v.Host, v.Quiet, v.Recover, v.Services, v.Actions))
	}
	return out
}

func (v *View) byHost() map[string]*rollout.HostInput {
	m := map[string]*rollout.HostInput{}
	for i := range v.Input.Hosts {
		m[v.Input.Hosts[i].Desired.Host.Name] = &v.Input.Hosts[i]
	}
	return m
}

// settle is the View of who has taken the hosts over. A host that cannot write down whom
// it obeys has a problem, which the plan keeps out; any other of which it is not known
// counts as one that does not answer.
func (v *View) settle(t *taken) *View {
	out := *v
	out.taken = t
	if len(t.failed) == 0 {
		return &out
	}
	out.Input.Hosts, out.Errors = slices.Clone(v.Input.Hosts), maps.Clone(v.Errors)
	hosts := out.byHost()
	for name, err := range t.failed {
		h := hosts[name]
		switch {
		case h == nil || h.Observation == nil:
		case hostdriver.KindOf(err) == hostdriver.Failed:
			h.Failed = append(slices.Clone(h.Failed), v.unruly(name, err)...)
		default:
			h.Observation, h.Reason, out.Errors[name] = nil, reasonOf(err), err
		}
	}
	out.Plan = rollout.Build(out.Input)
	return &out
}

// unruly are the problems of a host that cannot be changed, one for each service that
// would have been.
func (v *View) unruly(host string, err error) []rollout.Problem {
	var out []rollout.Problem
	for _, visit := range v.Plan.Visits {
		if visit.Host != host {
			continue
		}
		for _, s := range visit.Services {
			out = append(out, rollout.Problem{Host: host, Service: s, Reason: err.Error(), Mend: hostdriver.MendOf(err)})
		}
	}
	return out
}
