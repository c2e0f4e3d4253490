package desired

import (
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// The defaults of a rollout. Values for Order, OnUnreachable and OnDrainTimeout.
const (
	DefaultMinHealthyTime   = 10 * time.Second
	DefaultHealthyDeadline  = 5 * time.Minute
	DefaultProgressDeadline = 10 * time.Minute
	DefaultDrainTimeout     = 30 * time.Second

	OrderUnhealthyFirst = "unhealthy-first"
	OrderInventory      = "inventory"
	OrderByLabel        = "by-label" // in a Strategy; the repo says {byLabel: LABEL}

	DefaultKeepGenerations = 5

	DefaultLeaderTimeout = 5 * time.Second
	maxLeaderTimeout     = 10 * time.Second // a look that takes longer is too old to go by

	UnreachableCount = "count"
	UnreachableSkip  = "skip"
	UnreachableHalt  = "halt"

	DrainTimeoutHalt     = "halt"
	DrainTimeoutContinue = "continue"
)

// over is the spec with what it leaves out taken from defaults.
func (r RolloutSpec) over(defaults RolloutSpec) RolloutSpec {
	if !r.MaxUnavailable.Set {
		r.MaxUnavailable = defaults.MaxUnavailable
	}
	if !r.MinHealthy.Set {
		r.MinHealthy = defaults.MinHealthy
	}
	if r.Batches == nil {
		r.Batches = defaults.Batches
	}
	if !r.Canary.Set {
		r.Canary = defaults.Canary
	}
	if !r.Promote.Set {
		r.Promote = defaults.Promote
	}
	r.MinHealthyTime = firstSet(r.MinHealthyTime, defaults.MinHealthyTime)
	r.HealthyDeadline = firstSet(r.HealthyDeadline, defaults.HealthyDeadline)
	r.ProgressDeadline = firstSet(r.ProgressDeadline, defaults.ProgressDeadline)
	r.DrainTimeout = firstSet(r.DrainTimeout, defaults.DrainTimeout)
	r.AutoRevert = firstSet(r.AutoRevert, defaults.AutoRevert)
	if r.Order == (Order{}) {
		r.Order = defaults.Order
	}
	if r.Spread == "" {
		r.Spread = defaults.Spread
	}
	if r.KeepGenerations == 0 {
		r.KeepGenerations = defaults.KeepGenerations
	}
	if r.OnUnreachable == "" {
		r.OnUnreachable = defaults.OnUnreachable
	}
	if r.OnDrainTimeout == "" {
		r.OnDrainTimeout = defaults.OnDrainTimeout
	}
	if r.Gates == nil {
		r.Gates = defaults.Gates
	}
	return r
}

func firstSet[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// Strategy is the spec with every default in place.
func (r RolloutSpec) Strategy() Strategy {
	s := Strategy{
		MaxUnavailable: r.MaxUnavailable, MinHealthy: r.MinHealthy, Batches: r.Batches, Canary: r.Canary, Promote: r.Promote,
		MinHealthyTime:   orDefault(r.MinHealthyTime, DefaultMinHealthyTime),
		HealthyDeadline:  orDefault(r.HealthyDeadline, DefaultHealthyDeadline),
		ProgressDeadline: orDefault(r.ProgressDeadline, DefaultProgressDeadline),
		DrainTimeout:     orDefault(r.DrainTimeout, DefaultDrainTimeout),
		AutoRevert:       r.AutoRevert == nil || *r.AutoRevert,
		Spread:           r.Spread, OnUnreachable: r.OnUnreachable, OnDrainTimeout: r.OnDrainTimeout,
		KeepGenerations: r.KeepGenerations,
		Gates:           r.Gates,
	}
	if !s.MaxUnavailable.Set {
		s.MaxUnavailable = Count(1)
	}
	s.setOrder(r.Order)
	if s.KeepGenerations == 0 {
		s.KeepGenerations = DefaultKeepGenerations
	}
	if s.OnUnreachable == "" {
		s.OnUnreachable = UnreachableCount
	}
	if s.OnDrainTimeout == "" {
		s.OnDrainTimeout = DrainTimeoutHalt
	}
	return s
}

// strategyOf is a service's own, with the fleet's defaults and windows.
func strategyOf(svc *Service, fleet FleetSpec) Strategy {
	s := svc.Spec.Rollout.over(fleet.Rollout).Strategy()
	s.Windows = slices.Concat(fleet.Windows, svc.Spec.Windows)
	return s
}

func orDefault(d *Duration, def time.Duration) time.Duration {
	if d == nil {
		return def
	}
	return d.D()
}

// checkRollout finds settings that no rollout could keep; paths are relative to
// the spec around "rollout".
func checkRollout(r RolloutSpec) []fault.Problem {
	var ps []fault.Problem
	impossible := func(key, message, mend string) {
		ps = append(ps, fault.Problem{Path: "rollout." + key, Rule: "impossible-rollout", Message: message, Mend: mend})
	}
	if r.MaxUnavailable.Set && r.MaxUnavailable.Value == 0 {
		impossible("maxUnavailable", "maxUnavailable "+r.MaxUnavailable.String()+" lets no host be touched", "write at least 1")
	}
	if r.MinHealthy.Percent && r.MinHealthy.Value == 100 {
		impossible("minHealthy", "minHealthy 100% lets no host be touched", `write less, such as "90%"`)
	}
	if r.Batches != nil && len(r.Batches) == 0 {
		impossible("batches", "batches is empty", "leave it out, or write [1]")
	}
	for i, b := range r.Batches {
		if b.Value == 0 {
			impossible(fmt.Sprintf("batches[%d]", i), "a batch of "+b.String()+" hosts never ends", "write at least 1")
		}
	}
	s := r.Strategy()
	if s.HealthyDeadline >= s.ProgressDeadline && s.ProgressDeadline != 0 {
		key := "progressDeadline"
		if r.ProgressDeadline == nil {
			key = "healthyDeadline"
		}
		impossible(key, fmt.Sprintf("healthyDeadline %s is not shorter than progressDeadline %s", s.HealthyDeadline, s.ProgressDeadline),
			"raise progressDeadline above it, or write progressDeadline: 0 for none")
	}
	if s.MinHealthyTime >= s.HealthyDeadline {
		key := "healthyDeadline"
		if r.HealthyDeadline == nil {
			key = "minHealthyTime"
		}
		impossible(key, fmt.Sprintf("minHealthyTime %s is not shorter than healthyDeadline %s: no instance could ever count as healthy",
			s.MinHealthyTime, s.HealthyDeadline), "raise healthyDeadline above it")
	}
	if r.Spread != "" {
		if why := inventory.CheckLabelKey(r.Spread); why != "" {
			ps = append(ps, fault.Problem{Path: "rollout.spread", Rule: "bad-label", Message: why})
		}
	}
	ps = append(ps, checkOrder("rollout.order", r.Order)...)
	return append(ps, checkGates("rollout.gates", r.Gates)...)
}

// checkCanary finds what a service's own canary and promote cannot mean; merged has
// the fleet's defaults in.
func checkCanary(r, merged RolloutSpec, hosts int) []fault.Problem {
	var ps []fault.Problem
	impossible := func(key, message, mend string) {
		ps = append(ps, fault.Problem{Path: "rollout." + key, Rule: "impossible-rollout", Message: message, Mend: mend})
	}
	if hosts > 0 && !r.Canary.Percent && r.Canary.Value > hosts {
		impossible("canary", fmt.Sprintf("canary %s is more than the service's %d host%s", r.Canary, hosts, plural(hosts)), "write less, or add hosts")
	}
	if r.Promote.Set && merged.Canary.Value == 0 {
		impossible("promote", "promote without canary: there is nothing to promote", "write canary: 1, or drop promote")
	}
	return ps
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// checkBudget finds a minHealthy that a service's own number of hosts cannot keep.
func checkBudget(r RolloutSpec, hosts int) []fault.Problem {
	if !r.MinHealthy.Set || hosts == 0 || r.MinHealthy == Percent(100) {
		return nil
	}
	if keep := r.MinHealthy.Of(hosts, true); keep >= hosts {
		return []fault.Problem{{Path: "rollout.minHealthy", Rule: "impossible-rollout",
			Message: fmt.Sprintf("minHealthy %s is %d of the service's %d hosts, which lets none be touched", r.MinHealthy, keep, hosts),
			Mend:    "write less, or add hosts"}}
	}
	return nil
}
