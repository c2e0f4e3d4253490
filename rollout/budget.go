package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// Instance is how one Service stands on one Host, as far as the budget is
// concerned.
type Instance struct {
	Host    string `json:"host"`
	Service string `json:"service"`
	Up      bool   `json:"up"`
	// Definite tells, of one that is down, that waiting alone will not mend it.
	Definite bool `json:"definite,omitempty"`
	// Idle tells that it surely gets no traffic: its unit does not run, or it is
	// out of the balancer. Touching it costs nothing.
	Idle        bool   `json:"idle,omitempty"`
	Missing     bool   `json:"missing,omitempty"` // never deployed there
	Unreachable bool   `json:"unreachable,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Lead        Lead   `json:"lead,omitzero"`
}

// Budget is the arithmetic by which a disruption may start or must wait.
type Budget struct {
	Service string `json:"service"`
	Total   int    `json:"total"`
	// Allowed is how many instances may be down at once, for any cause: the smaller
	// of maxUnavailable and the total less minHealthy.
	Allowed  int      `json:"maxUnavailable"`
	Down     []string `json:"down,omitempty"`     // hosts, with reasons, that are down without our doing
	InFlight []string `json:"inFlight,omitempty"` // hosts that a visit has in hand
	tally    *tally
}

// NewBudget counts. inFlight are the hosts on which a visit of the service is
// under way.
func NewBudget(service string, s desired.Strategy, instances []Instance, inFlight []string) Budget {
	t := newTally(s, instances)
	for _, h := range inFlight {
		t.fly(h)
	}
	return t.budget(service, inFlight)
}

// tally is the count of a service's instances, by which any number of hosts can be
// judged.
type tally struct {
	instances []Instance
	total     int
	allowed   int
	down      []int          // places of those that are down
	place     map[string]int // of those, by host
	inFlight  map[string]bool
	covered   int    // of down: in flight, so that they count there
	sum       string // in words, once asked for
}

func newTally(s desired.Strategy, instances []Instance) *tally {
	t := &tally{instances: instances, total: len(instances), place: map[string]int{}, inFlight: map[string]bool{}}
	counted := t.total
	for i := range instances {
		is := &instances[i]
		if is.Unreachable && s.OnUnreachable == desired.UnreachableSkip {
			counted--
			continue
		}
		if planted == "budget ignores unreachable" && is.Unreachable {
			continue
		}
		if !is.Up {
			t.down = append(t.down, i)
			t.place[is.Host] = i
		}
	}
	t.allowed = allowed(s, counted)
	return t
}

// fly notes that a visit has host in hand.
func (t *tally) fly(host string) {
	if planted == "budget ignores what is in flight" {
		return
	}
	if _, down := t.place[host]; down && !t.inFlight[host] {
		t.covered++
	}
	t.inFlight[host], t.sum = true, ""
}

// land takes it back.
func (t *tally) land(host string) {
	if _, down := t.place[host]; down && t.inFlight[host] {
		t.covered--
	}
	delete(t.inFlight, host)
	t.sum = ""
}

// downThere is the instance on host, where it is down without our doing.
func (t *tally) downThere(host string) *Instance {
	i, down := t.place[host]
	if !down || t.inFlight[host] {
		return nil
	}
	return &t.instances[i]
}

// allows tells whether taking host down keeps the service within its budget. A
// host that is down already costs nothing more, and one that surely has no
// traffic may always be mended; neither excuses another.
func (t *tally) allows(host string) bool {
	is := t.downThere(host)
	if is != nil && is.Idle {
		return true
	}
	n := len(t.down) - t.covered + len(t.inFlight)
	if is == nil && !t.inFlight[host] {
		n++
	}
	return n <= t.allowed
}

// sick tells whether host is known to be down by its own unit or health check. As long
// as nothing is in flight, touching it takes nobody down, however many others are. A
// host or a balancer that does not answer says nothing about its instances.
func (t *tally) sick(host string) bool {
	i, down := t.place[host]
	return down && (t.instances[i].Idle || !t.instances[i].Definite)
}

// words are the sum, see Budget.String.
func (t *tally) words(service string) string {
	if t.sum == "" {
		t.sum = t.budget(service, slices.Sorted(maps.Keys(t.inFlight))).String()
	}
	return t.sum
}

// budget is the tally for a person to read.
func (t *tally) budget(service string, inFlight []string) Budget {
	b := Budget{Service: service, Total: t.total, Allowed: t.allowed, InFlight: inFlight, tally: t}
	for _, i := range t.down {
		if is := &t.instances[i]; !t.inFlight[is.Host] {
			b.Down = append(b.Down, is.Host+" "+is.Reason)
		}
	}
	return b
}

// allowed is maxUnavailable as a number: percentages round down, at least 1;
// minHealthy, where set, is a floor whose percentage rounds up.
func allowed(s desired.Strategy, total int) int {
	n := 1
	if s.MaxUnavailable.Set {
		n = max(1, s.MaxUnavailable.Of(total, false))
	}
	if s.MinHealthy.Set {
		n = min(n, total-s.MinHealthy.Of(total, true))
	}
	return n
}

// Allows tells whether taking host down keeps the service within its budget, of a
// Budget that was counted here and not read from elsewhere.
func (b Budget) Allows(host string) bool { return b.tally != nil && b.tally.allows(host) }

// String is the sum, as it is printed wherever a rollout waits:
//
//	gateway: 5 hosts, 1 down (web-3 unreachable), 1 in flight; maxUnavailable 1
func (b Budget) String() string {
	s := fmt.Sprintf("%s: %d host%s, %d down", b.Service, b.Total, plural(b.Total), len(b.Down))
	if len(b.Down) > 0 {
		shown := b.Down[:min(5, len(b.Down))]
		s += " (" + strings.Join(shown, ", ")
		if len(shown) < len(b.Down) {
			s += fmt.Sprintf(", and %d more", len(b.Down)-len(shown))
		}
		s += ")"
	}
	return s + fmt.Sprintf(", %d in flight; maxUnavailable %d", len(b.InFlight), b.Allowed)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
