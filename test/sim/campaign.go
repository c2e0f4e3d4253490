package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Failure is a run that broke an invariant.
type Failure struct {
	Name      string // what was run: a seed, or a place in a small scenario
	Scenario  *Scenario
	Violation *Violation
}

// Tally is what a campaign of runs amounts to.
type Tally struct {
	Runs     int
	Stats    Stats
	Took     time.Duration
	Failures []Failure // in the order of their names
}

// job is one run of a campaign.
type job struct {
	name string
	make func() *Scenario
}

// campaign runs jobs on so many workers (0: one a processor), each run on one of them
// alone. It stops early once enough have failed (0: never).
func campaign(jobs func(yield func(job) bool), workers, enough int) Tally {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	t := Tally{Stats: Stats{Faults: map[string]int{}}}
	began := time.Now()
	queue := make(chan job, 64)
	stop := make(chan struct{})
	var mu sync.Mutex
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for j := range queue {
				sc := j.make()
				v, st := Run(sc, nil)
				mu.Lock()
				t.add(j.name, sc, v, st)
				if enough > 0 && len(t.Failures) == enough && v != nil {
					close(stop)
				}
				mu.Unlock()
			}
		})
	}
	for j := range jobs {
		select {
		case queue <- j:
			continue
		case <-stop:
		}
		break
	}
	close(queue)
	all.Wait()
	t.Took = time.Since(began)
	slices.SortFunc(t.Failures, func(a, b Failure) int { return cmp.Or(len(a.Name)-len(b.Name), cmp.Compare(a.Name, b.Name)) })
	return t
}

func (t *Tally) add(name string, sc *Scenario, v *Violation, st Stats) {
	t.Runs++
	t.Stats.add(st)
	if v != nil {
		t.Failures = append(t.Failures, Failure{Name: name, Scenario: sc, Violation: v})
	}
}

func (s *Stats) add(o Stats) {
	s.Events += o.Events
	s.Effects += o.Effects
	s.Plans += o.Plans
	s.Rollouts += o.Rollouts
	s.Passes += o.Passes
	s.Restarts += o.Restarts
	s.Drains += o.Drains
	s.Promotions += o.Promotions
	s.Undone += o.Undone
	s.Refusals += o.Refusals
	s.Hooks += o.Hooks
	s.Virtual += o.Virtual
	for k, n := range o.Faults {
		s.Faults[k] += n
	}
}

// seeds are the scenarios of n seeds.
func seeds(from, n uint64) func(func(job) bool) {
	return func(yield func(job) bool) {
		for i := from; i < from+n; i++ {
			if !yield(job{fmt.Sprintf("seed %d", i), func() *Scenario { return Generate(i) }}) {
				return
			}
		}
	}
}

// everyBoundary are the small scenarios, each undisturbed and then with every boundary
// of every effect of that.
func everyBoundary(yield func(job) bool) {
	all := Canonical()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sc := all[name]
		if !yield(job{name, func() *Scenario { return sc }}) {
			return
		}
		_, st := Run(sc, nil)
		for effect := range st.Effects {
			for _, b := range boundaries {
				f := Fault{Kind: b.kind, Point: b.point, Arg: effect}
				if !yield(job{fmt.Sprintf("%s, %s effect %d (%s)", name, b.kind, effect, b.point), func() *Scenario { return sc.with(f) }}) {
					return
				}
			}
		}
	}
}

// write writes the campaign as a table.
func (t *Tally) write(w io.Writer) {
	line := func(what string, n any) { fmt.Fprintf(w, "%-28s %v\n", what, n) }
	line("runs", t.Runs)
	line("took", t.Took.Round(time.Second/10))
	line("time simulated", t.Stats.Virtual.Round(time.Second))
	line("events of the engine", t.Stats.Events)
	line("effects on hosts, balancers", t.Stats.Effects)
	line("plans made", t.Stats.Plans)
	line("rollouts carried out", t.Stats.Rollouts)
	line("passes of apply", t.Stats.Passes)
	line("drains, restarts", fmt.Sprintf("%d, %d", t.Stats.Drains, t.Stats.Restarts))
	line("promotions by hand", t.Stats.Promotions)
	line("hosts undone, refusals kept", fmt.Sprintf("%d, %d", t.Stats.Undone, t.Stats.Refusals))
	line("hooks that run once", fmt.Sprint(t.Stats.Hooks))
	total := 0
	kinds := slices.SortedFunc(maps.Keys(t.Stats.Faults), func(a, b string) int { return cmp.Or(t.Stats.Faults[b]-t.Stats.Faults[a], cmp.Compare(a, b)) })
	for _, k := range kinds {
		total += t.Stats.Faults[k]
	}
	line("faults", total)
	for _, k := range kinds {
		line("  "+k, t.Stats.Faults[k])
	}
	line("violations", t.violations())
}

// violations sums the failures up by invariant.
func (t *Tally) violations() string {
	by := map[string]int{}
	for _, f := range t.Failures {
		by[f.Violation.Code]++
	}
	if len(by) == 0 {
		return "none"
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s: %d", code, by[code]))
	}
	return strings.Join(parts, ", ")
}
