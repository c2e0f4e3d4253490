package rollout

import (
	"fmt"
	"slices"
)

// spread keeps the instances of a service apart by the value of a label: of hosts with
// the same value, such as one rack, never two are down at once. A host without the label
// is kept apart from nobody.
type spread struct {
	groups map[string]string   // by host
	flying map[string][]string // hosts in hand, by group
	down   map[string][]*Instance
}

func newSpread(groups map[string]string, y *tally) *spread {
	p := &spread{groups: groups, flying: map[string][]string{}, down: map[string][]*Instance{}}
	for _, i := range y.down {
		is := &y.instances[i]
		if g, ok := groups[is.Host]; ok {
			p.down[g] = append(p.down[g], is)
		}
	}
	return p
}

// fly notes that a visit has host in hand.
func (p *spread) fly(host string) {
	if g, ok := p.groups[host]; ok {
		p.flying[g] = append(p.flying[g], host)
	}
}

// crowds tells who of the same group is in hand or down, so that v must wait; "" where
// nobody is. One that gets no traffic itself may be mended beside others that are down.
func (t *standing) crowds(service int, v *Visit) string {
	y, ss := t.tally(service), &t.s.Services[service]
	if y.spread == nil || planted == "spread ignored" {
		return ""
	}
	group, ok := ss.Groups[v.Host]
	if !ok {
		return ""
	}
	in := fmt.Sprintf("%s: %%s, of the same %s %s, is %%s; spread over %s takes never two of one", ss.Service, ss.Strategy.Spread, group, ss.Strategy.Spread)
	flying := y.spread.flying[group]
	if i := slices.IndexFunc(flying, func(h string) bool { return h != v.Host }); i >= 0 {
		return fmt.Sprintf(in, flying[i], "in hand")
	}
	if is := y.downThere(v.Host); is != nil && is.Idle {
		return ""
	}
	for _, is := range y.spread.down[group] {
		if is.Host != v.Host && y.downThere(is.Host) != nil {
			return fmt.Sprintf(in, is.Host, "down ("+is.Reason+")")
		}
	}
	return ""
}
