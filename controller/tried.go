package controller

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// deeper are the findings that say more than systemd does: it tells that a program did not
// start, and these tell what of it was not found.
var deeper = []hostdriver.FindingReason{hostdriver.InterpreterAbsent, hostdriver.LoaderMissing, hostdriver.LibraryMissing, hostdriver.WrongMachine,
	hostdriver.NoProgram, hostdriver.DirectoryClosed, hostdriver.EnvFileUnreadable, hostdriver.EnvFileUnparsable, hostdriver.PortTaken, hostdriver.GeneratorMissing, hostdriver.QuadletRefused}

// tried is what the next start of the units that should run, and do not, would trip over, as the
// host is now: what a rollout asks before it drains a host. Nothing is started. A host that
// cannot be asked has no findings.
func (f *Fleet) tried(ctx context.Context, in *rollout.HostInput, inst *desired.Instance) []Cause {
	v := rollout.Visit{Services: []string{inst.Service}}
	o := *in.Observation
	o.Units = maps.Clone(o.Units)
	for i := range inst.Units {
		u := &inst.Units[i]
		st := o.Units[u.Name]
		if u.State != "started" || st.Active == "active" && st.Restarts == 0 {
			continue
		}
		st.Active = "inactive" // one that goes round counts as running
		o.Units[u.Name] = st
		v.Actions = append(v.Actions, rollout.UnitAction{Service: inst.Service, Unit: u.Name, Verb: hostdriver.VerbStart})
	}
	if len(v.Actions) == 0 {
		return nil
	}
	asIs := *in
	asIs.Observation = &o
	trial := asIs.Trial(&v)
	trial.Verify = nil // nothing is staged
	if trial.Empty() {
		return nil
	}
	_, err := f.Driver.Apply(ctx, in.Desired.Host, onlooker(*in.Observation), hostdriver.Precheck{Trial: trial})
	return causesFound(hostdriver.FindingsOf(err), in.Observation.Units)
}

// causesFound are the findings that explain something. The port of a unit that runs is its
// own process's.
func causesFound(findings []hostdriver.Finding, units map[string]hostdriver.UnitState) []Cause {
	var out []Cause
	for _, found := range findings {
		u := units[found.Place]
		if !slices.Contains(deeper, found.Reason) || found.Reason == hostdriver.PortTaken && u.Active == "active" && u.MainPID > 0 {
			continue
		}
		out = append(out, Cause{Subject: found.Place, Cause: strings.TrimPrefix(found.What, found.Place+": "), Mend: found.Mend})
	}
	return out
}
