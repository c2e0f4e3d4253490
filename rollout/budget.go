package rollout

import (
	"fmt"
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
	down     []string
	idle     []string
	sick     []string // of down: known to be so by their own unit or health check
}

// NewBudget counts. inFlight are the hosts on which a visit of the service is
// under way.
func NewBudget(service string, s desired.Strategy, instances []Instance, inFlight []string) Budget {
	b := Budget{Service: service, Total: len(instances), InFlight: inFlight}
	counted := b.Total
	for _, i := range instances {
		if i.Unreachable && s.OnUnreachable == "skip" {
			counted--
			continue
		}
		if planted == "budget ignores unreachable" && i.Unreachable {
			continue
		}
		if !i.Up && !slices.Contains(inFlight, i.Host) {
			b.Down = append(b.Down, i.Host+" "+i.Reason)
			b.down = append(b.down, i.Host)
			if i.Idle {
				b.idle = append(b.idle, i.Host)
			}
			if i.Idle || !i.Definite {
				b.sick = append(b.sick, i.Host)
			}
		}
	}
	b.Allowed = allowed(s, counted)
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

// Allows tells whether taking host down keeps the service within its budget. A
// host that is down already costs nothing more, and one that surely has no
// traffic may always be mended; neither excuses another.
func (b Budget) Allows(host string) bool {
	if slices.Contains(b.idle, host) {
		return true
	}
	n := len(b.down) + len(b.InFlight)
	if !slices.Contains(b.down, host) && !slices.Contains(b.InFlight, host) {
		n++
	}
	return n <= b.Allowed
}

// Mends tells whether host is known to be down itself and nothing is in flight: then
// touching it takes nobody down, however many others are. A host or a balancer that
// does not answer says nothing about its instances.
func (b Budget) Mends(host string) bool {
	return slices.Contains(b.sick, host) && len(b.InFlight) == 0
}

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
