package rollout

import (
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// State is a rollout, whole: what was planned and how far it is. It is a value:
// Step returns a new one and leaves the old one as it was. It holds no content
// and no secret, and can be stored as JSON.
//
// The State that Step returns must be durable before any of the Commands that it
// returns is carried out: the intent is always older than the effect.
type State struct {
	ID       string         `json:"id"`
	Revision string         `json:"revision"`
	At       time.Duration  `json:"at"` // of the last event, on a monotonic clock that begins with the rollout
	Visits   []Visit        `json:"visits"`
	Services []ServiceState `json:"services"` // by name
	// Stopping, where set, is why no further visit begins.
	Stopping string `json:"stopping,omitempty"`
	// Aborted tells that it stops because an operator gave it up: what is left is not
	// to be planned again for this revision without a person's word.
	Aborted bool `json:"aborted,omitempty"`
	// Paused, where set, is that nothing new begins until an operator resumes it.
	Paused *Pause `json:"paused,omitempty"`
	Halted *Halt  `json:"halted,omitempty"`
	// WindowsIgnored are windows, in words, that were closed and did not count.
	WindowsIgnored []string `json:"windowsIgnored,omitempty"`
	// Replan tells that what is left must be planned again from a new look.
	Replan bool `json:"replan,omitempty"`
	Done   bool `json:"done"`

	relations *relations // made of Visits and Services when first needed; never stored
}

// ServiceState is one service's strategy and live instances.
type ServiceState struct {
	Service   string           `json:"service"`
	After     []string         `json:"after,omitempty"`
	Strategy  desired.Strategy `json:"strategy"`
	Instances []Instance       `json:"instances"`
	Batches   []int            `json:"batches,omitempty"`
	// Groups are the values of the label that the service is spread over, by host.
	Groups map[string]string `json:"groups,omitempty"`
	// Fresh tells that Instances were looked at after the last visit of the
	// service began or ended.
	Fresh    bool          `json:"fresh"`
	LookedAt time.Duration `json:"lookedAt,omitempty"` // when the last look began
	AskedAt  time.Duration `json:"askedAt,omitempty"`  // when the one under way began
	SeenAt   time.Duration `json:"seenAt,omitempty"`   // when the last one ended
	Looking  bool          `json:"looking"`            // an Observe command is under way
	Missed   bool          `json:"missed,omitempty"`   // the last one brought nothing
	// Blocked is since when the budget allows nothing (with Sum, its arithmetic),
	// while nothing of ours is in flight.
	Blocked    bool          `json:"blocked,omitempty"`
	BlockedAt  time.Duration `json:"blockedAt,omitempty"`
	Sum        string        `json:"sum,omitempty"`
	ProgressAt time.Duration `json:"progressAt,omitempty"` // when a host last turned healthy
	Canary     CanaryState   `json:"canary,omitzero"`
	Window     WindowState   `json:"window,omitzero"`
}

// Halt is why a rollout stopped before its end.
type Halt struct {
	Kind    HaltKind `json:"kind"`
	Service string   `json:"service,omitempty"`
	Host    string   `json:"host,omitempty"`
	Reason  string   `json:"reason"`
}

// HaltKind is what kind of reason a Halt has.
type HaltKind string

// The kinds of halts.
const (
	HaltFailed   HaltKind = "failed"
	HaltReverted HaltKind = "reverted"
	HaltBudget   HaltKind = "budget"
	HaltLost     HaltKind = "unreachable"
	HaltBlocked  HaltKind = "blocked" // a promotion or a window is waited for, and nobody will
)

// New is the State from which a Plan is carried out.
func New(id string, p Plan) State {
	s := State{ID: id, Revision: p.Revision, Visits: slices.Clone(p.Visits), WindowsIgnored: p.WindowsIgnored}
	for _, sp := range p.Services {
		s.Services = append(s.Services, ServiceState{Service: sp.Service, After: sp.After, Strategy: sp.Strategy, Instances: slices.Clone(sp.Instances), Batches: sp.Batches, Groups: sp.Groups,
			Canary: canaryOf(sp)})
	}
	s.related()
	return s
}

// clone is deep enough for Step to write to.
func (s State) clone() State {
	s.Visits = slices.Clone(s.Visits)
	s.Services = slices.Clone(s.Services)
	return s
}

func (s *State) service(name string) *ServiceState {
	if i, ok := s.related().service[name]; ok {
		return &s.Services[i]
	}
	return nil
}

// NotDone lists the visits that did not begin, or not end well.
func (s State) NotDone() []Visit {
	var out []Visit
	for _, v := range s.Visits {
		if v.Result != ResultDone {
			out = append(out, v)
		}
	}
	return out
}

// strategy is the strictest of what the visit's services ask for.
func (s *State) strategy(v *Visit) desired.Strategy {
	var st desired.Strategy
	found := false
	for _, name := range v.Concerns() {
		ss := s.service(name)
		if ss == nil {
			continue
		}
		if !found {
			st, found = ss.Strategy, true
			continue
		}
		st.MinHealthyTime = max(st.MinHealthyTime, ss.Strategy.MinHealthyTime)
		st.HealthyDeadline = max(st.HealthyDeadline, ss.Strategy.HealthyDeadline)
		st.ProgressDeadline = max(st.ProgressDeadline, ss.Strategy.ProgressDeadline)
		st.DrainTimeout = max(st.DrainTimeout, ss.Strategy.DrainTimeout)
		st.AutoRevert = st.AutoRevert || ss.Strategy.AutoRevert
		if ss.Strategy.OnDrainTimeout == desired.DrainTimeoutHalt {
			st.OnDrainTimeout = desired.DrainTimeoutHalt
		}
	}
	if !found {
		st.HealthyDeadline, st.ProgressDeadline, st.DrainTimeout = time.Minute, 2*time.Minute, 30*time.Second
	}
	return st
}
