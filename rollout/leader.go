package rollout

import (
	"fmt"
	"slices"
	"strings"
)

// Lead is whether an instance leads just now, as its host was asked: of a service whose
// leader is visited last.
type Lead struct {
	Is     Leadership `json:"is,omitempty"`
	Reason string     `json:"reason,omitempty"` // why it is not known
}

// Leadership is what a host answered.
type Leadership string

// The answers; "" is that nobody asked.
const (
	LeadYes     Leadership = "yes"
	LeadNo      Leadership = "no"
	LeadUnknown Leadership = "unknown"
)

// lead ranks a host: those that do not lead come first, then those of which it is not
// known, and last of all those that lead.
type lead int

const (
	leadNo lead = iota
	leadUnknown
	leadYes
)

func (l Lead) rank() lead {
	switch l.Is {
	case LeadYes:
		return leadYes
	case LeadUnknown:
		return leadUnknown
	}
	return leadNo
}

// LeadWords says who leads, of instances that were asked; "" where none was.
func LeadWords(instances []Instance) string {
	var leads, parts []string
	unknown := map[string][]string{}
	var reasons []string
	asked := false
	for i := range instances {
		is := &instances[i]
		asked = asked || is.Lead.Is != ""
		switch is.Lead.Is {
		case LeadYes:
			leads = append(leads, is.Host)
		case LeadUnknown:
			if unknown[is.Lead.Reason] == nil {
				reasons = append(reasons, is.Lead.Reason)
			}
			unknown[is.Lead.Reason] = append(unknown[is.Lead.Reason], is.Host)
		}
	}
	switch {
	case !asked:
		return ""
	case len(leads) == 1:
		parts = append(parts, leads[0]+" leads")
	case len(leads) > 1:
		parts = append(parts, someHosts(leads)+" lead, as each says")
	default:
		parts = append(parts, "none says that it leads")
	}
	for _, why := range reasons {
		parts = append(parts, fmt.Sprintf("not known of %s (%s)", someHosts(unknown[why]), why))
	}
	return strings.Join(parts, "; ")
}

// leaders are, of a service whose leader is visited last, who leads by the last look.
type leaders struct {
	rank map[string]lead // by host; those that do not lead are left out
	open [leadYes + 1]int
}

// leaders tells who leads, once a pass; nil where nobody is asked.
func (t *standing) leaders(service int) *leaders {
	ss := &t.s.Services[service]
	if ss.Strategy.LeaderLast == nil {
		return nil
	}
	if t.led[service] != nil {
		return t.led[service]
	}
	l := &leaders{rank: map[string]lead{}}
	for i := range ss.Instances {
		if r := ss.Instances[i].Lead.rank(); r > leadNo {
			l.rank[ss.Instances[i].Host] = r
		}
	}
	for _, i := range t.r.touching[service] {
		if t.s.Visits[i].Phase != PhaseEnded {
			l.open[l.rank[t.s.Visits[i].Host]]++
		}
	}
	t.led[service] = l
	return l
}

// yields tells why v, whose host leads or may lead, lets the service's other hosts go
// first; "" where it does not. A visit that is in hand already goes on.
func (t *standing) yields(service int, v *Visit) string {
	l := t.leaders(service)
	if l == nil || v.Phase != PhasePending || v.Recover || l.rank[v.Host] == leadNo {
		return ""
	}
	before := 0
	for r := range l.rank[v.Host] {
		before += l.open[r]
	}
	switch name := t.s.Services[service].Service; {
	case before == 0:
		return ""
	case l.rank[v.Host] == leadYes:
		return v.Host + " leads " + name + " → last"
	default:
		return fmt.Sprintf("not known whether %s leads %s → after the others", v.Host, name)
	}
}

// lastOfAll lets the first of those that yield begin after all, where nothing else may:
// what is before it waits for it in another service, or is its own batch's end.
func (a *admission) lastOfAll() {
	quiet := a.underWay == 0 && len(a.out) == 0 && a.s.Halted == nil
	if !quiet || slices.ContainsFunc(a.s.Services, func(ss ServiceState) bool { return ss.Looking }) {
		return
	}
	a.insists = true
	for _, v := range a.yielding {
		if a.admits(v) {
			a.begin(v)
			return
		}
	}
}
