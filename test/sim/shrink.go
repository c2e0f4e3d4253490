package main

import "slices"

// shrinkRuns bounds how many runs a shrinking takes.
const shrinkRuns = 3000

// Shrink makes a failing Scenario smaller as long as fails says that it still fails in
// the same way: faults, revisions, services and hosts are dropped, what is left is made
// plain. It returns the smallest found.
func Shrink(sc *Scenario, fails func(*Scenario) bool) *Scenario {
	runs := 0
	for again := true; again; {
		again = false
		for _, smaller := range smallerThan(sc) {
			if runs++; runs > shrinkRuns {
				return sc
			}
			if smaller.Validate() == nil && fails(smaller) {
				sc, again = smaller, true
				break
			}
		}
	}
	return sc
}

// failsAs tells whether a Scenario breaks that invariant.
func failsAs(code string) func(*Scenario) bool {
	return func(sc *Scenario) bool {
		v, _ := Run(sc, nil)
		return v != nil && v.Code == code
	}
}

// smallerThan lists Scenarios that are smaller in one way, the greatest steps first.
func smallerThan(sc *Scenario) []*Scenario {
	var out []*Scenario
	try := func(change func(*Scenario)) {
		next := sc.clone()
		change(next)
		out = append(out, next)
	}
	for i := range sc.Faults {
		try(func(n *Scenario) { n.Faults = slices.Delete(n.Faults, i, i+1) })
	}
	for i := range sc.Services {
		try(func(n *Scenario) { n.dropService(i) })
	}
	for i := 1; i < len(sc.Revisions)-1; i++ {
		try(func(n *Scenario) { n.Revisions = slices.Delete(n.Revisions, i, i+1) })
	}
	for h := sc.Hosts - 1; h >= 0; h-- {
		try(func(n *Scenario) { n.dropHost(h) })
	}
	return append(out, plainerThan(sc)...)
}

// plainerThan lists Scenarios of the same size with less that is out of the ordinary.
func plainerThan(sc *Scenario) []*Scenario {
	var out []*Scenario
	try := func(ordinary bool, change func(*Scenario)) {
		if !ordinary {
			next := sc.clone()
			change(next)
			out = append(out, next)
		}
	}
	try(!sc.Fresh, func(n *Scenario) { n.Fresh = false })
	try(sc.Racks == 0, func(n *Scenario) { n.Racks = 0 })
	try(!sc.Patient, func(n *Scenario) { n.Patient = false })
	for i, s := range sc.Services {
		of := func(n *Scenario) *Service { return &n.Services[i] }
		try(len(s.Hosts) < 2, func(n *Scenario) { of(n).Hosts = of(n).Hosts[:len(s.Hosts)-1] })
		try(!s.Worker, func(n *Scenario) { of(n).Worker = false })
		try(!s.Reloads, func(n *Scenario) { of(n).Reloads = false })
		try(!s.Notify, func(n *Scenario) { of(n).Notify = false })
		try(len(s.After) == 0, func(n *Scenario) { of(n).After = nil })
		try(s.Sessions == 0, func(n *Scenario) { of(n).Sessions = 0 })
		try(s.Strategy.Batches == nil, func(n *Scenario) { of(n).Strategy.Batches = nil })
		try(s.Strategy.MinHealthy == "", func(n *Scenario) { of(n).Strategy.MinHealthy = "" })
		try(s.Strategy.Order == "", func(n *Scenario) { of(n).Strategy.Order = "" })
		try(s.Strategy.OnUnreachable == "", func(n *Scenario) { of(n).Strategy.OnUnreachable = "" })
		try(s.Strategy.MaxUnavailable == "1", func(n *Scenario) { of(n).Strategy.MaxUnavailable = "1" })
		try(s.Strategy.Canary == "", func(n *Scenario) {
			of(n).Strategy.Canary, of(n).Strategy.Promote, of(n).Strategy.PromoteAfter = "", "", 0
		})
		try(!s.Strategy.Spread, func(n *Scenario) { of(n).Strategy.Spread = false })
		for w := range s.Strategy.Windows {
			try(false, func(n *Scenario) { of(n).Strategy.Windows = slices.Delete(slices.Clone(s.Strategy.Windows), w, w+1) })
		}
		try(s.Strategy.MinHealthyTime <= 1, func(n *Scenario) { of(n).Strategy.MinHealthyTime = 1 })
	}
	for r := range sc.Revisions {
		try(!sc.Revisions[r].Empty, func(n *Scenario) { n.Revisions[r].Empty = false })
		for i, x := range sc.Revisions[r].Services {
			of := func(n *Scenario) *Content { return &n.Revisions[r].Services[i] }
			try(x.Bad == nil, func(n *Scenario) { of(n).Bad, of(n).BadIn = nil, "" })
			try(!x.Gone, func(n *Scenario) { of(n).Gone = false })
			try(!x.Suspended, func(n *Scenario) { of(n).Suspended = false })
		}
	}
	for i, f := range sc.Faults {
		try(f.On == "" || f.At == 0, func(n *Scenario) { n.Faults[i].At = 0 })
		try(f.Skip == 0, func(n *Scenario) { n.Faults[i].Skip = 0 })
	}
	return out
}

// clone is deep enough to be changed.
func (sc *Scenario) clone() *Scenario {
	n := *sc
	n.Faults, n.Services, n.Revisions = slices.Clone(sc.Faults), slices.Clone(sc.Services), slices.Clone(sc.Revisions)
	for i := range n.Services {
		n.Services[i].Hosts = slices.Clone(n.Services[i].Hosts)
	}
	for i := range n.Revisions {
		n.Revisions[i].Services = slices.Clone(n.Revisions[i].Services)
	}
	return &n
}

func (sc *Scenario) dropService(i int) {
	name := sc.Services[i].Name
	sc.Services = slices.Delete(sc.Services, i, i+1)
	for j := range sc.Services {
		sc.Services[j].After = slices.DeleteFunc(slices.Clone(sc.Services[j].After), func(a string) bool { return a == name })
	}
	for r := range sc.Revisions {
		sc.Revisions[r].Services = slices.Delete(sc.Revisions[r].Services, i, i+1)
	}
	for j := range sc.Faults {
		switch f := &sc.Faults[j]; {
		case f.Service == i:
			f.Service = 0
		case f.Service > i:
			f.Service--
		}
	}
}

func (sc *Scenario) dropHost(h int) {
	sc.Hosts--
	for i := range sc.Services {
		s := &sc.Services[i]
		s.Hosts = slices.DeleteFunc(s.Hosts, func(x int) bool { return x == h })
		for j := range s.Hosts {
			if s.Hosts[j] > h {
				s.Hosts[j]--
			}
		}
	}
	sc.Faults = slices.DeleteFunc(sc.Faults, func(f Fault) bool { return f.Host == h })
	for j := range sc.Faults {
		if sc.Faults[j].Host > h {
			sc.Faults[j].Host--
		}
	}
}
