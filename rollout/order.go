package rollout

import (
	"cmp"

	"github.com/evenkeel/evenkeel/desired"
)

// rank is by what visits are sorted; lower comes first.
type rank struct {
	kind   int  // recoveries, quiet ones, others
	wave   int  // of the first of its services
	lead   lead // of a service whose leader comes last
	well   bool // of services that have the unhealthy first
	bare   bool // without the label that it is ordered by
	label  string
	placed int // of its host in the inventory
}

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.kind, o.kind), cmp.Compare(r.wave, o.wave), cmp.Compare(r.lead, o.lead), compareBool(r.well, o.well),
		compareBool(r.bare, o.bare), cmp.Compare(r.label, o.label), cmp.Compare(r.placed, o.placed))
}

// compareBool has false first.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// The kinds of visits, in their order.
const (
	kindRecovery = iota
	kindQuiet
	kindLoud
)

// ranker ranks visits by what their services say of their order.
type ranker struct {
	waves  map[string]int
	place  map[string]int               // by host
	labels map[string]map[string]string // by host
	// of services, by name
	by   map[string]*desired.Strategy
	down map[string]map[string]bool // by host and service
	lead map[string]map[string]lead // likewise, of services whose leader comes last
}

func rankVisits(p *Plan, in Input, waves map[string]int) []rank {
	r := ranker{waves: waves, place: map[string]int{}, labels: map[string]map[string]string{}, by: map[string]*desired.Strategy{},
		down: map[string]map[string]bool{}, lead: map[string]map[string]lead{}}
	for i := range in.Hosts {
		h := &in.Hosts[i].Desired.Host
		r.place[h.Name], r.labels[h.Name] = i, h.Labels
	}
	for i := range p.Services {
		s := &p.Services[i]
		r.by[s.Service] = &s.Strategy
		for j := range s.Instances {
			is := &s.Instances[j]
			if !is.Up {
				note(r.down, is, true)
			}
			if s.Strategy.LeaderLast != nil && is.Lead.rank() > leadNo {
				note(r.lead, is, is.Lead.rank())
			}
		}
	}
	ranks := make([]rank, len(p.Visits))
	for i := range p.Visits {
		ranks[i] = r.of(&p.Visits[i])
	}
	return ranks
}

func note[V any](m map[string]map[string]V, is *Instance, v V) {
	if m[is.Host] == nil {
		m[is.Host] = map[string]V{}
	}
	m[is.Host][is.Service] = v
}

// of ranks one visit. Where its services differ, one that is down has it come early, one
// that leads late, and the label of the first by name is that by which it is ordered.
func (r *ranker) of(v *Visit) rank {
	x := rank{kind: kindLoud, wave: none, well: true, placed: r.place[v.Host]}
	switch {
	case v.Recover:
		x.kind = kindRecovery
	case v.Quiet:
		x.kind = kindQuiet
	}
	by := ""
	for _, name := range v.Services {
		x.wave = min(x.wave, r.waves[name])
		s := r.by[name]
		if s == nil {
			continue // it goes away
		}
		x.lead = max(x.lead, r.lead[v.Host][name])
		if r.down[v.Host][name] && s.Order != desired.OrderInventory && s.Order != desired.OrderByLabel {
			x.well = false
		}
		if s.ByLabel != "" && (by == "" || name < by) {
			by = name
		}
	}
	if by != "" {
		value, has := r.labels[v.Host][r.by[by].ByLabel]
		x.label, x.bare = value, !has
	}
	return x
}
