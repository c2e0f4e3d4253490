package rollout

import (
	"fmt"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// A count as a service may have it: a number, or a percentage.
func drawCount(t *rapid.T, name string) desired.IntOrPercent {
	if rapid.Bool().Draw(t, name+" in percent") {
		return desired.IntOrPercent{Value: rapid.IntRange(1, 100).Draw(t, name), Percent: true, Set: true}
	}
	return desired.IntOrPercent{Value: rapid.IntRange(1, 12).Draw(t, name), Set: true}
}

// drawInstances are the instances of a service on so many hosts.
func drawInstances(t *rapid.T, service string, hosts int) []Instance {
	var out []Instance
	for i := range hosts {
		is := Instance{Host: fmt.Sprintf("h%d", i+1), Service: service, Up: rapid.IntRange(0, 12).Draw(t, "up") > 0}
		if !is.Up {
			is.Reason = "down"
			switch rapid.IntRange(0, 3).Draw(t, "how it is down") {
			case 0:
				is.Definite, is.Idle = true, true
			case 1:
				is.Definite, is.Unreachable = true, true
			case 2:
				is.Definite = true
			}
		}
		out = append(out, is)
	}
	return out
}

// Whoever may be taken down leaves the service within its budget, reckoned here anew; and
// one more that is down never allows more.
func TestBudgetProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := desired.Strategy{MaxUnavailable: drawCount(t, "maxUnavailable")}
		if rapid.Bool().Draw(t, "with minHealthy") {
			st.MinHealthy = drawCount(t, "minHealthy")
		}
		is := drawInstances(t, "web", rapid.IntRange(1, 12).Draw(t, "hosts"))
		var flying []string
		for _, i := range is {
			if rapid.IntRange(0, 4).Draw(t, "in flight") == 0 {
				flying = append(flying, i.Host)
			}
		}
		b := NewBudget("web", st, is, flying)
		if b.Allowed > max(1, 12*100) || !st.MinHealthy.Set && b.Allowed < 1 {
			t.Fatalf("allowed %d of %d", b.Allowed, b.Total)
		}
		for _, i := range is {
			if !b.Allows(i.Host) || !i.Up && i.Idle {
				continue
			}
			out := map[string]bool{i.Host: true}
			for _, o := range is {
				if !o.Up || slices.Contains(flying, o.Host) {
					out[o.Host] = true
				}
			}
			if len(out) > b.Allowed {
				t.Fatalf("%s may be touched, and then %d of %d are out: %s", i.Host, len(out), b.Allowed, b)
			}
		}
		at := rapid.IntRange(0, len(is)-1).Draw(t, "one more that is down")
		worse := slices.Clone(is)
		worse[at].Up, worse[at].Definite, worse[at].Unreachable = false, true, true
		for i, o := range is {
			if i != at && NewBudget("web", st, worse, flying).Allows(o.Host) && !b.Allows(o.Host) {
				t.Fatalf("%s may be touched only since %s is down as well", o.Host, is[at].Host)
			}
		}
	})
}

// Batches share all hosts out, each of at least one, as declared, the last again and again.
func TestBatchProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var spec []desired.IntOrPercent
		for range rapid.IntRange(0, 4).Draw(t, "batches") {
			spec = append(spec, drawCount(t, "batch"))
		}
		n := rapid.IntRange(0, 50).Draw(t, "hosts")
		sizes, sum := batchSizes(spec, n), 0
		if len(spec) == 0 || n == 0 {
			if sizes != nil {
				t.Fatal(sizes)
			}
			return
		}
		for i, size := range sizes {
			want := spec[min(i, len(spec)-1)]
			declared := want.Value
			if want.Percent {
				declared = max(1, want.Value*n/100)
			}
			if size != min(declared, n-sum) || size < 1 {
				t.Fatalf("batch %d of %v is %d, want %d", i, sizes, size, declared)
			}
			sum += size
		}
		if sum != n {
			t.Fatalf("%v are not %d", sizes, n)
		}
		for place := range n {
			begin := batchOf(sizes, place)
			if begin > place || place > 0 && begin < batchOf(sizes, place-1) {
				t.Fatalf("%d is in the batch from %d on: %v", place, begin, sizes)
			}
		}
	})
}

// A share of canaries is at least one and at most all, a percentage rounded down.
func TestCanarySizeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 200).Draw(t, "total")
		c := drawCount(t, "canary")
		want := c.Value
		if c.Percent {
			want = c.Value * total / 100
		}
		if got := canarySize(desired.Strategy{Canary: c}, total); got != min(total, max(1, want)) {
			t.Fatalf("%v of %d is %d", c, total, got)
		}
		if got := canarySize(desired.Strategy{}, total); got != 0 {
			t.Fatalf("none is %d", got)
		}
	})
}

// drawInput is a fleet of ledgers, of which some have what is desired, some something
// older, some are down, and some do not answer.
func drawInput(t *rapid.T) Input {
	in := Input{Revision: "r2", Salt: salt, Prune: true}
	st := desired.Strategy{MaxUnavailable: drawCount(t, "maxUnavailable"), Order: rapid.SampledFrom([]string{desired.OrderInventory, desired.OrderUnhealthyFirst, desired.OrderByLabel}).Draw(t, "order")}
	if st.Order == desired.OrderByLabel {
		st.ByLabel = "rack"
	}
	if rapid.Bool().Draw(t, "with canaries") {
		st.Canary = drawCount(t, "canary")
	}
	if rapid.Bool().Draw(t, "in batches") {
		st.Batches = []desired.IntOrPercent{drawCount(t, "batch"), drawCount(t, "batch")}
	}
	for i := range rapid.IntRange(1, 8).Draw(t, "hosts") {
		hs := ledger()
		hs.Host.Name = fmt.Sprintf("web-%d", i+1)
		if rapid.Bool().Draw(t, "in a rack") {
			hs.Host.Labels = map[string]string{"rack": rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "rack")}
		}
		hs.Instances[0].Host, hs.Instances[0].Strategy = hs.Host.Name, st
		o := settled()
		o.Host = hs.Host.Name
		h := HostInput{Desired: hs, Observation: &o}
		switch rapid.IntRange(0, 4).Draw(t, "how it stands") {
		case 0:
			h.Observation, h.Reason = nil, "connection refused"
		case 1:
			unit(&o, func(u *hostdriver.UnitState) { u.Active = "failed" })
		case 2, 3:
			processHas(&o, map[string]string{"PORT": "1"})
			older := Target(hostdriver.Manifest{}, hs, []string{"ledger"}, nil, 1)
			older.Entries = slices.Clone(older.Entries)
			older.Entries[0].Owner = "somebody"
			o.Manifest = older
		}
		in.Hosts = append(in.Hosts, h)
	}
	return in
}

// The same input gives the same plan and stays as it was; every host is visited once for
// what disturbs it, in the order declared; canaries are as many as declared, and come first.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		p := Build(in)
		if diff := cmp.Diff(asJSON(t, p), asJSON(t, Build(in))); diff != "" {
			t.Fatal("another plan the second time: " + diff)
		}
		seen := map[string]bool{}
		down := map[string]bool{}
		for _, s := range p.Services {
			for _, i := range s.Instances {
				down[i.Host] = !i.Up
			}
		}
		st := in.Hosts[0].Desired.Instances[0].Strategy
		var order []Visit
		for i, v := range p.Visits {
			if v.ID != i {
				t.Fatalf("visit %d is called %d", i, v.ID)
			}
			if v.Quiet {
				continue
			}
			if seen[v.Host] {
				t.Fatalf("%s is disturbed twice", v.Host)
			}
			seen[v.Host] = true
			order = append(order, v)
		}
		rank := func(v Visit) string {
			for _, h := range in.Hosts {
				if h.Desired.Host.Name == v.Host && st.Order == desired.OrderByLabel {
					if rack, ok := h.Desired.Host.Labels["rack"]; ok {
						return rack
					}
					return "~" // without the label last
				}
			}
			if st.Order == desired.OrderUnhealthyFirst && !down[v.Host] {
				return "well"
			}
			return ""
		}
		if !sort.SliceIsSorted(order, func(i, j int) bool { return rank(order[i]) < rank(order[j]) }) {
			t.Fatalf("not %s: %v", st.Order, hostsOf(order))
		}
		checkCanaries(t, p)
	})
}

func checkCanaries(t *rapid.T, p Plan) {
	for _, s := range p.Services {
		c := s.Canary
		if c == nil || c.Promoted {
			continue
		}
		if n := len(c.Current) + len(c.Hosts); len(c.Hosts) > 0 && n > c.Size || len(c.Following) > 0 && n < c.Size {
			t.Fatalf("%d canaries of %d, and %d follow", n, c.Size, len(c.Following))
		}
		first := true
		for _, v := range p.Visits {
			is, follows := slices.Contains(v.Canary, s.Service), slices.Contains(v.Follows, s.Service)
			if is && follows || is && !first {
				t.Fatalf("%s is a canary, and not before those that follow", v.Host)
			}
			first = first && !follows
		}
	}
}

func hostsOf(vs []Visit) (out []string) {
	for _, v := range vs {
		out = append(out, v.Host)
	}
	return out
}

// Within deny windows nothing is open, whatever is allowed, and what an answer holds for is
// over when the windows say otherwise.
func TestOpeningProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := func(kind string) desired.WindowSpec {
			d := desired.Duration(time.Duration(rapid.IntRange(1, 600).Draw(t, "minutes")) * time.Minute)
			return desired.WindowSpec{Kind: kind, Schedule: rapid.SampledFrom([]string{"0 22 * * *", "*/30 * * * *", "15 3 * * 1-5", "0 0 1 * *"}).Draw(t, "schedule"), Duration: &d}
		}
		deny := desired.Windows{window(desired.WindowDeny)}
		all := append(desired.Windows{window(desired.WindowAllow)}, deny...)
		now := day1.Add(time.Duration(rapid.IntRange(0, 60*24*60).Draw(t, "at")) * time.Minute)
		o := OpeningAt(all, now)
		if o.Open && !OpeningAt(deny, now).Open {
			t.Fatalf("open at %s within a deny window", now)
		}
		if o.For > 0 && OpeningAt(all, now.Add(o.For)).Open == o.Open {
			t.Fatalf("it says that this changes %s after %s, and it does not", o.For, now)
		}
	})
}
