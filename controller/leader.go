package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// answerGrace is what a host is given beyond a command's own timeout to answer.
const answerGrace = 2 * time.Second

// leads asks a host whether it leads, of a service whose leader is visited last. Only the
// exit status counts: what the command prints may be anything.
func (f *Fleet) leads(ctx context.Context, inst *desired.Instance, host inventory.Host, fence hostdriver.Fence) rollout.Lead {
	spec := inst.Strategy.LeaderLast
	if spec == nil {
		return rollout.Lead{}
	}
	limit := spec.Timeout.D()
	ctx, cancel := context.WithTimeout(ctx, limit+answerGrace)
	defer cancel()
	r, err := f.Driver.Apply(ctx, host, fence, hostdriver.Run{Line: spec.Command, User: spec.User, Timeout: limit})
	if err != nil && (hostdriver.KindOf(err) != hostdriver.Failed || r.Exit == 0) {
		return rollout.Lead{Is: rollout.LeadUnknown, Reason: reasonOf(err)}
	}
	return leadBy(r.Exit, limit)
}

// leadBy is what an exit status says: 0 that the host leads, another that it does not,
// but for those by which a shell and timeout(1) say that nothing was found out.
func leadBy(exit int, limit time.Duration) rollout.Lead {
	unknown := func(why string) rollout.Lead { return rollout.Lead{Is: rollout.LeadUnknown, Reason: why} }
	switch {
	case exit == 0:
		return rollout.Lead{Is: rollout.LeadYes}
	case exit == 124: // timeout(1)
		return unknown(fmt.Sprintf("no answer in %s", limit))
	case exit == 126 || exit == 127: // POSIX, Shell Command Language, 2.8.2
		return unknown(fmt.Sprintf("the command exits %d: it is not there, or not executable", exit))
	case exit > 128:
		return unknown(fmt.Sprintf("the command was killed by signal %d", exit-128))
	}
	return rollout.Lead{Is: rollout.LeadNo}
}

// askLeaders asks, of each service whose leader is visited last and of which several
// hosts are to be, who leads, for the plan to show. What was never deployed is not asked.
func (f *Fleet) askLeaders(ctx context.Context, v *View) map[string]map[string]rollout.Lead {
	var mu sync.Mutex
	leads := map[string]map[string]rollout.Lead{}
	var g errgroup.Group
	g.SetLimit(f.concurrency())
	for _, name := range led(v.Plan) {
		for i := range v.Input.Hosts {
			in := &v.Input.Hosts[i]
			inst, o := in.Instance(name), in.Observation
			if inst == nil || o == nil || in.Skip != "" || o.Epoch == 0 || len(o.Manifest.Of(name)) == 0 {
				continue
			}
			g.Go(func() error {
				l := f.leads(ctx, inst, in.Desired.Host, onlooker(*o))
				mu.Lock()
				defer mu.Unlock()
				if leads[name] == nil {
					leads[name] = map[string]rollout.Lead{}
				}
				leads[name][in.Desired.Host.Name] = l
				return nil
			})
		}
	}
	_ = g.Wait()
	return leads
}

// led are the services whose leader is visited last, where there is more than one visit.
func led(p rollout.Plan) []string {
	var names []string
	for i := range p.Services {
		s, n := &p.Services[i], 0
		if s.Strategy.LeaderLast == nil {
			continue
		}
		for j := range p.Visits {
			if slices.Contains(p.Visits[j].Disturbs, s.Service) {
				n++
			}
		}
		if n > 1 {
			names = append(names, s.Service)
		}
	}
	return names
}
