package main

import (
	"fmt"
	"slices"
	"time"
)

// middleOf is the middle figure by wall time, whole.
func middleOf[T any](all []T, of func(T) spent) spent {
	var s []spent
	for _, x := range all {
		s = append(s, of(x))
	}
	if len(s) == 0 {
		return spent{}
	}
	slices.SortFunc(s, func(a, b spent) int { return int(a.Wall - b.Wall) })
	return s[len(s)/2]
}

// warmLooks are a size's warm passes, of all rounds.
func (s fleetSize) warmLooks() []spent {
	var all []spent
	for _, l := range s.looks {
		all = append(all, l.Warm...)
	}
	return all
}

func same(s spent) spent { return s }

// peak is the largest peak of all rounds.
func (s fleetSize) peak() int64 {
	var most int64
	for _, l := range s.looks {
		most = max(most, l.Holds.Peak)
	}
	return most
}

func fleetTable(f *fleetFigures) *table {
	t := &table{title: "Simulated hosts", header: []string{"", "median", "its CPU", "the hosts' CPU", "spread"}}
	if f == nil || len(f.bare) == 0 {
		return t
	}
	t.title = fmt.Sprintf("A fleet of %d simulated hosts", f.hosts)
	t.remarks = []string{"Each host is a real SSH server on loopback, in another process on the same processors, and answers the real protocol out of its own state; what a real " +
		"host's shell and systemd take for an answer is therefore not in it. Every process of the controller's side is a new one. The first pass resolves, dials, logs in, reads, compares and plans; " +
		"a warm one has its connections. The floor is golang.org/x/crypto/ssh alone, 64 hosts at a time as evenkeel has them, with one exec that brings 4 KiB back."}
	row := func(words string, all []spent) {
		if len(all) == 0 {
			return
		}
		m := middleOf(all, same)
		lo, hi := all[0].Wall, all[0].Wall
		for _, s := range all {
			lo, hi = min(lo, s.Wall), max(hi, s.Wall)
		}
		spread := "-"
		if len(all) > 1 {
			spread = fmt.Sprintf("%s to %s, %d runs", seconds(lo), seconds(hi), len(all))
		}
		t.row(words, seconds(m.Wall), seconds(m.CPU), seconds(m.Sim), spread)
	}
	var dials, execs []spent
	for _, b := range f.bare {
		dials, execs = append(dials, b.Dial), append(execs, b.Exec)
	}
	row("floor: dialled", dials)
	row("floor: one exec on each", execs)
	for _, s := range f.sizes {
		what := number(s.services, "service")
		var loads, firsts []spent
		for _, l := range s.looks {
			loads, firsts = append(loads, l.Load), append(firsts, l.First)
		}
		row("the fleet repo decoded, "+what, loads)
		row("first pass, "+what, firsts)
		row("warm pass, "+what, s.warmLooks())
	}
	for _, s := range f.sizes {
		what := number(s.services, "service")
		first, warm := middleOf(s.looks, func(l lookFigures) spent { return l.First }), middleOf(s.warmLooks(), same)
		t.conclude("first pass with dialling, %s: %s; target under %s: %s", what, seconds(first.Wall), seconds(fleetFirst), verdict(first.Wall < fleetFirst))
		t.conclude("warm pass, %s: %s; target under %s: %s", what, seconds(warm.Wall), seconds(fleetWarm), verdict(warm.Wall < fleetWarm))
		t.conclude("the controller's resident memory at its peak, %s: %s (%s a host); target under %s: %s", what, megabytes(s.peak()), kilobytes(s.peak(), f.hosts),
			megabytes(fleetMemory), verdict(s.peak() < fleetMemory))
		if n := len(s.looks); n > 0 {
			l := s.looks[n-1].Holds
			t.conclude("after a warm pass, %s: %s of heap, %.1f goroutines a host", what, megabytes(l.Heap), float64(l.Goroutines)/float64(f.hosts))
		}
	}
	return t
}

// fleetLoopTable is of the loop.
func fleetLoopTable(f *fleetFigures) *table {
	t := &table{title: "The controller's loop with these hosts", header: []string{"", "ready after", "its CPU", "idle, of one core", "resident, peak", "resident, idle", "goroutines a host"},
		remarks: []string{"The loop of `evenkeel serve` with its store, without git and API: from the start until every host was found as desired, then idle for " + fleetIdle.String() +
			" with nothing to do. Watched: a D-Bus connection to each host; health is asked every 15 s. Polled: every host is read every 30 s besides."}}
	if f == nil {
		return t
	}
	for _, s := range f.sizes {
		if s.serve == nil {
			continue
		}
		for _, x := range []struct {
			words string
			l     loopFigures
		}{{"watched", s.serve.Watched}, {"polled", s.serve.Polled}} {
			t.row(number(s.services, "service")+", "+x.words, seconds(x.l.Ready.Wall), seconds(x.l.Ready.CPU), percent(x.l.Idle.CPU, x.l.Idle.Wall), megabytes(x.l.Holds.Peak),
				megabytes(x.l.Holds.Resident), fmt.Sprintf("%.1f", float64(x.l.Holds.Goroutines)/float64(f.hosts)))
		}
		for _, x := range []struct {
			words string
			l     footprint
		}{{"watched", s.serve.Watched.Holds}, {"polled", s.serve.Polled.Holds}} {
			t.conclude("%s, %s: %s a host at the peak, %s of heap and %s of stacks when idle", number(s.services, "service"), x.words, kilobytes(x.l.Peak, f.hosts), kilobytes(x.l.Heap, f.hosts), kilobytes(x.l.Stacks, f.hosts))
		}
		t.conclude("%s: all are watched %s later", number(s.services, "service"), seconds(s.serve.Watched.Calm.Wall))
	}
	return t
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func percent(part, whole time.Duration) string {
	return fmt.Sprintf("%.1f %%", 100*part.Seconds()/max(whole.Seconds(), 1e-9))
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

func kilobytes(n int64, of int) string {
	return fmt.Sprintf("%.0f KB", float64(n)/1e3/float64(max(1, of)))
}
