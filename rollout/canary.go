package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CanaryState is how far a service's canaries are: hosts that prove a new revision
// before any other host is brought to it.
type CanaryState struct {
	Phase CanaryPhase `json:"phase,omitempty"`
	// Hosts are the canaries: those that are visited as such, and those that have been
	// on the revision before.
	Hosts []string `json:"hosts,omitempty"`
	// Since is when the wait for promotion began; Until, where they are accepted by
	// themselves, is when, if they stay healthy.
	Since time.Duration `json:"since,omitempty"`
	Until time.Duration `json:"until,omitempty"`
	// Said tells that an operator accepted them, By whom.
	Said bool   `json:"said,omitempty"`
	By   string `json:"by,omitempty"`
	// Down is what is wrong with one of them, since DownAt.
	Down   string        `json:"down,omitempty"`
	DownAt time.Duration `json:"downAt,omitempty"`
	// FellAt is when one was down for the first time since they wait.
	FellAt time.Duration `json:"fellAt,omitempty"`
}

// CanaryPhase is where the canaries of a service stand.
type CanaryPhase string

// The phases. A service without canaries has none.
const (
	CanaryRolling  CanaryPhase = "rolling"  // they are brought to the revision
	CanaryWaiting  CanaryPhase = "waiting"  // they are healthy, and wait for promotion
	CanaryPromoted CanaryPhase = "promoted" // the other hosts may follow
)

// canaryOf is the state from which a service's canaries begin.
func canaryOf(p ServicePlan) CanaryState {
	if p.Canary == nil || p.Canary.Promoted || len(p.Canary.Following) == 0 {
		return CanaryState{}
	}
	return CanaryState{Phase: CanaryRolling, Hosts: slices.Concat(p.Canary.Current, p.Canary.Hosts)}
}

// promote takes an operator's word for the canaries of one service, or of all that wait
// and are healthy.
func (s *State) promote(e Event) {
	for i := range s.Services {
		ss := &s.Services[i]
		if ss.Canary.Phase == CanaryWaiting && ss.Canary.Down == "" && (e.Service == "" || e.Service == ss.Service) {
			ss.Canary.Said, ss.Canary.By = true, e.By
		}
	}
}

// Promoted are the services whose canaries were accepted. A plan made anew for the same
// revision is told of them, see Input.
func (s State) Promoted() map[string]bool {
	m := map[string]bool{}
	for i := range s.Services {
		if s.Services[i].Canary.Phase == CanaryPromoted {
			m[s.Services[i].Service] = true
		}
	}
	return m
}

// promoted tells whether all canaries that v follows were accepted.
func (s *State) promoted(v *Visit) bool {
	for _, name := range v.Follows {
		if ss := s.service(name); ss != nil && ss.Canary.Phase != CanaryPromoted && ss.Canary.Phase != "" && planted != "canary not waited for" {
			return false
		}
	}
	return true
}

// Times of waiting for promotion.
const (
	canaryEvery = 10 * time.Second // the least pause between two looks
	canaryPace  = 10 * time.Millisecond
)

// canaries moves the canaries of all services on.
func (a *admission) canaries() {
	for i := range a.s.Services {
		ss := &a.s.Services[i]
		c := &ss.Canary
		if c.Phase == CanaryRolling && a.s.rolled(ss.Service) {
			c.Phase, c.Since = CanaryWaiting, a.s.At
			c.Until = a.s.promotesAt(ss)
		}
		if c.Phase == CanaryWaiting && a.s.Paused == nil {
			a.await(ss)
		}
	}
}

// rolled tells whether every canary of the service is on the revision.
func (s *State) rolled(service string) bool {
	return !slices.ContainsFunc(s.Visits, func(v Visit) bool { return slices.Contains(v.Canary, service) && v.Result != ResultDone })
}

// promotesAt is when canaries that are healthy from now on are accepted by themselves.
func (s *State) promotesAt(ss *ServiceState) time.Duration {
	if !ss.Strategy.Promote.Auto {
		return 0
	}
	return s.At + ss.Strategy.Promote.After
}

// await looks at canaries that wait for promotion, until they are accepted, or one of
// them is down for good.
func (a *admission) await(ss *ServiceState) {
	c, s := &ss.Canary, a.s
	if ss.lookedSince(c.Since) && !ss.Missed {
		if is := ss.sickCanary(); is != nil {
			s.canaryDown(ss, is)
		} else if s.canaryUp(ss); s.mayPromote(ss) {
			c.Phase = CanaryPromoted
		}
	}
}

// watchCanaries asks for the next look at canaries that wait, where nobody else has asked
// for one that is to come sooner.
func (a *admission) watchCanaries() {
	for i := range a.s.Services {
		if ss := &a.s.Services[i]; ss.Canary.Phase == CanaryWaiting && a.s.Paused == nil && a.s.Halted == nil {
			a.lookIn(ss, a.s.canaryPause(ss))
		}
	}
}

// canaryUp notes that all are healthy by the last look; from then on the time to
// promotion is counted.
func (s *State) canaryUp(ss *ServiceState) {
	if ss.Canary.Down != "" {
		ss.Canary.Down, ss.Canary.Until = "", s.promotesAt(ss)
	}
}

// canaryDown notes that one is down, and halts once it has been for too long.
func (s *State) canaryDown(ss *ServiceState, is *Instance) {
	c := &ss.Canary
	flaps := false
	if c.Down == "" {
		c.DownAt, c.Said, c.By = s.At, false, ""
		flaps = c.FellAt > 0 && s.At-c.FellAt >= max(definiteWait, ss.Strategy.Promote.After+ss.Strategy.ProgressDeadline)
		if c.FellAt == 0 {
			c.FellAt = s.At
		}
	}
	c.Down = fmt.Sprintf("%s is down: %s", is.Host, is.Reason)
	if flaps {
		s.Halted = &Halt{Kind: HaltFailed, Service: ss.Service, Host: is.Host,
			Reason: fmt.Sprintf("it is a canary of %s that waits for promotion, and falls again and again: %s", ss.Service, is.Reason)}
		return
	}
	if s.At-c.DownAt >= canaryPatience(ss, is) {
		s.Halted = &Halt{Kind: HaltFailed, Service: ss.Service, Host: is.Host,
			Reason: fmt.Sprintf("it is a canary of %s that waited for promotion, and is down: %s", ss.Service, is.Reason)}
	}
}

// mayPromote tells whether canaries that are healthy by the last look are accepted: by
// word where that look is young enough, by themselves where it came after their time.
func (s *State) mayPromote(ss *ServiceState) bool {
	if ss.Canary.Said {
		return s.At-ss.LookedAt <= freshFor
	}
	return ss.Strategy.Promote.Auto && ss.LookedAt >= ss.Canary.Until
}

// lookedSince tells whether the last look began at t or later.
func (ss *ServiceState) lookedSince(t time.Duration) bool {
	return ss.LookedAt >= t && (ss.LookedAt > 0 || ss.Fresh)
}

// sickCanary is a canary that is down by the last look.
func (ss *ServiceState) sickCanary() *Instance {
	for i := range ss.Instances {
		if is := &ss.Instances[i]; !is.Up && slices.Contains(ss.Canary.Hosts, is.Host) {
			return is
		}
	}
	return nil
}

// canaryPatience is how long a canary may be down before the rollout halts. Nothing is
// disturbed meanwhile, so one that may come back by itself, or that only cannot be
// reached, is given time.
func canaryPatience(ss *ServiceState, is *Instance) time.Duration {
	if is.Definite && !is.Unreachable {
		return definiteWait
	}
	return max(definiteWait, ss.Strategy.ProgressDeadline)
}

// canaryPause is how long from now the canaries are looked at next.
func (s *State) canaryPause(ss *ServiceState) time.Duration {
	c := &ss.Canary
	switch {
	case ss.Missed || c.Down != "":
		return lookAgain
	case !ss.lookedSince(c.Since) || c.Said:
		return 0
	}
	pause := min(time.Minute, max(canaryEvery, time.Duration(len(ss.Instances))*canaryPace))
	if ss.Strategy.Promote.Auto {
		pause = min(pause, max(0, c.Until-s.At))
	}
	return pause
}

// stood shifts the clocks by what a pause lasted.
func (c *CanaryState) stood(d time.Duration) {
	if c.Phase != CanaryWaiting {
		return
	}
	c.DownAt += d
	if c.FellAt > 0 {
		c.FellAt += d
	}
	if c.Until > 0 {
		c.Until += d
	}
}

// Words says where canaries stand, at a moment of the rollout's clock; "" where there is
// nothing to say.
func (c CanaryState) Words(service string, now time.Duration) string {
	what := service + ": " + c.who()
	switch {
	case c.Phase == CanaryPromoted:
		return word(what+" promoted", c.By, "")
	case c.Phase != CanaryWaiting:
		return ""
	case c.Down != "":
		return fmt.Sprintf("%s: canary %s → waits", service, c.Down)
	case c.Said:
		return word(what+" looked at before promotion", c.By, "")
	case c.Until > 0:
		return fmt.Sprintf("%s healthy → waits for promotion, by itself in %s", what, max(0, c.Until-now).Round(time.Second))
	}
	return what + " healthy → waits for promotion"
}

// who names the canaries.
func (c CanaryState) who() string {
	if len(c.Hosts) == 1 {
		return "canary " + c.Hosts[0]
	}
	return "canaries " + someHosts(c.Hosts)
}

// someHosts names a few hosts.
func someHosts(hosts []string) string {
	const most = 5
	if len(hosts) <= most {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:most], ", "), len(hosts)-most)
}
