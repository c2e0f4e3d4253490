package rollout

import (
	"fmt"
	"time"
)

// Sample is one look at a visit's units and health checks.
type Sample struct {
	Units  map[string]UnitSample `json:"units,omitempty"`
	Checks bool                  `json:"checks"` // every health check passed
	Reason string                `json:"reason,omitempty"`
}

// UnitSample is what a sample says of one unit.
type UnitSample struct {
	Active     string `json:"active"`
	Sub        string `json:"sub"`
	Invocation string `json:"invocation"`
	PID        int    `json:"pid"`
	Restarts   int    `json:"restarts"`
	Words      string `json:"words,omitempty"` // how it failed
}

// Soak is the rule by which an instance counts as healthy: for minHealthyTime on
// end, every sample has every check passing and every unit active, with the same
// process throughout. One bad sample starts it again.
type Soak struct {
	Good     bool              `json:"good,omitempty"`
	Since    time.Duration     `json:"since,omitempty"`
	Identity map[string]string `json:"identity,omitempty"` // unit to invocation and PID
	Restarts map[string]int    `json:"restarts,omitempty"` // at the first sample
	Words    map[string]string `json:"words,omitempty"`    // how each unit last failed
}

// Verdict is what the samples so far amount to.
type Verdict int

// The verdicts.
const (
	Waiting Verdict = iota
	Healthy
	Broken // waiting longer will not help
)

// crashLoop is how many automatic restarts of a unit end the wait.
const crashLoop = 2

// Judge takes one more sample. fresh are the units that must run with another
// InvocationID than before.
func (s Soak) Judge(x Sample, before map[string]string, fresh func(unit string) bool, minHealthy, at time.Duration) (Soak, Verdict, string) {
	next := Soak{Identity: map[string]string{}, Restarts: s.Restarts, Words: map[string]string{}}
	first := s.Restarts == nil
	if first {
		next.Restarts = map[string]int{}
	}
	reason := ""
	for _, unit := range sortedKeys(x.Units) {
		u := x.Units[unit]
		if first {
			next.Restarts[unit] = u.Restarts
			if fresh(unit) && u.Restarts < crashLoop {
				next.Restarts[unit] = 0 // a start by hand sets systemd's count to 0; a higher one may be older
			}
		}
		next.Identity[unit] = fmt.Sprintf("%s %d", u.Invocation, u.PID)
		if u.Words == "" || u.Words == Stopped { // between two failures, systemd no longer tells
			u.Words = s.Words[unit]
		}
		next.Words[unit] = u.Words
		switch {
		case planted == "crash loop accepted":
		case u.Active == "failed":
			return next, Broken, fmt.Sprintf("%s failed: %s", unit, u.Words)
		case u.Restarts-next.Restarts[unit] >= crashLoop:
			return next, Broken, fmt.Sprintf("%s keeps dying: systemd restarted it %d times (%s)", unit, u.Restarts-next.Restarts[unit], u.Words)
		case u.Active != "active" && reason == "":
			reason = fmt.Sprintf("%s is %s (%s)", unit, u.Active, u.Sub)
		case fresh(unit) && before[unit] != "" && u.Invocation == before[unit] && reason == "" && planted != "old process accepted":
			reason = unit + " still runs its old process"
		case s.Good && s.Identity[unit] != next.Identity[unit] && reason == "":
			reason = unit + " was restarted meanwhile"
		}
	}
	if reason == "" && !x.Checks {
		reason = x.Reason
		if reason == "" {
			reason = "a health check fails"
		}
	}
	if reason != "" {
		return next, Waiting, reason
	}
	next.Good, next.Since = true, at
	if s.Good {
		next.Since = s.Since
	}
	if at-next.Since >= minHealthy {
		return next, Healthy, ""
	}
	return next, Waiting, fmt.Sprintf("healthy, for %s of %s", (at - next.Since).Round(100*time.Millisecond), minHealthy)
}
