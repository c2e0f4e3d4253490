package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

func asJSON(t *rapid.T, x any) string {
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// drawPlan is a plan of up to three services on up to six hosts.
func drawPlan(t *rapid.T) Plan {
	p := Plan{Revision: "r2"}
	hosts := rapid.IntRange(1, 6).Draw(t, "hosts")
	for i := range rapid.IntRange(1, 3).Draw(t, "services") {
		name := string(rune('a' + i))
		st := desired.Strategy{MaxUnavailable: drawCount(t, "maxUnavailable"), MinHealthyTime: time.Second, HealthyDeadline: 20 * time.Second, ProgressDeadline: 40 * time.Second,
			DrainTimeout: 5 * time.Second, AutoRevert: rapid.Bool().Draw(t, "autoRevert"),
			OnUnreachable: rapid.SampledFrom([]string{desired.UnreachableCount, desired.UnreachableSkip, desired.UnreachableHalt}).Draw(t, "onUnreachable")}
		if rapid.IntRange(0, 3).Draw(t, "windows") == 0 {
			st.Windows = desired.Windows{{Kind: desired.WindowAllow, Schedule: "0 22 * * *"}}
		}
		if rapid.IntRange(0, 2).Draw(t, "in batches") == 0 {
			st.Batches = []desired.IntOrPercent{drawCount(t, "batch"), drawCount(t, "batch")}
		}
		sp := ServicePlan{Service: name, Strategy: st, Instances: drawInstances(t, name, hosts)}
		if i > 0 && rapid.Bool().Draw(t, "after") {
			sp.After = []string{"a"}
		}
		if rapid.IntRange(0, 2).Draw(t, "spread") == 0 {
			sp.Strategy.Spread, sp.Groups = "rack", map[string]string{}
			for h := range hosts {
				sp.Groups[fmt.Sprintf("h%d", h+1)] = string(rune('x' + h%2))
			}
		}
		if rapid.IntRange(0, 2).Draw(t, "canaries") == 0 {
			sp.Canary = &CanaryPlan{Size: 1}
			sp.Strategy.Promote = desired.Promote{Set: true, Auto: rapid.Bool().Draw(t, "auto"), After: 10 * time.Second}
		}
		p.Services = append(p.Services, sp)
	}
	for h := range hosts {
		p.Visits = append(p.Visits, drawVisit(t, &p, fmt.Sprintf("h%d", h+1), len(p.Visits)))
	}
	sizeBatches(&p)
	return p
}

func drawVisit(t *rapid.T, p *Plan, host string, id int) Visit {
	v := Visit{ID: id, Host: host, Written: rapid.IntRange(0, 3).Draw(t, "written") > 0, Before: map[string]string{}}
	v.Quiet = rapid.IntRange(0, 5).Draw(t, "quiet") == 0
	if !v.Quiet && rapid.IntRange(0, 5).Draw(t, "recover") == 0 {
		v.Recover, v.Recorded = true, true
		v.Drained = []hostdriver.DrainRecord{{Service: "a", Adapter: "haproxy"}}
	}
	for i := range p.Services {
		sp := &p.Services[i]
		name := sp.Service
		if len(v.Services) > 0 && rapid.Bool().Draw(t, "not this one") {
			continue
		}
		v.Services, v.Watch, v.Before[name+".service"] = append(v.Services, name), append(v.Watch, name+".service"), "old"
		verb := hostdriver.VerbStart
		if !v.Quiet {
			verb = rapid.SampledFrom([]hostdriver.UnitVerb{hostdriver.VerbRestart, hostdriver.VerbRestart, hostdriver.VerbReload, hostdriver.VerbStop}).Draw(t, "verb")
			v.Disturbs = append(v.Disturbs, name)
			if verb != hostdriver.VerbReload {
				v.Drains = append(v.Drains, name)
			}
		}
		v.Actions = append(v.Actions, UnitAction{Service: name, Unit: name + ".service", Verb: verb})
		switch {
		case sp.Canary == nil || v.Quiet:
		case len(sp.Canary.Hosts) == 0:
			v.Canary, sp.Canary.Hosts = append(v.Canary, name), append(sp.Canary.Hosts, host)
		default:
			v.Follows, sp.Canary.Following = append(v.Follows, name), append(sp.Canary.Following, host)
		}
	}
	return v
}

// driver feeds the engine: answers to what it asked, late ones, ones that nobody asked
// for, looks at random fleets, and words of operators.
type driver struct {
	*rapid.T
	state State
	open  []Command
	at    time.Duration
	// seen is what the last look at a service said.
	seen map[string][]Instance
	sent map[string]bool
}

func (d *driver) one(of int, what string) bool { return d.IntRangeOf(of, what) == 0 }

func (d *driver) IntRangeOf(n int, what string) int { return rapid.IntRange(0, n-1).Draw(d.T, what) }

// event is the next one.
func (d *driver) event() Event {
	d.at += time.Duration(rapid.IntRange(1, 1500).Draw(d.T, "milliseconds")) * time.Millisecond
	switch {
	case d.one(25, "a word"):
		kind := rapid.SampledFrom([]EventKind{EventStop, EventReplan, EventAbort, EventBlock, EventPause, EventPause, EventPause, EventResume, EventResume, EventResume, EventResume,
			EventPromote, EventPromote, EventPromote, EventPromote, EventPromote}).Draw(d.T, "word")
		return Event{Kind: kind, By: "alice"}
	case d.one(20, "nonsense") || len(d.open) == 0:
		return Event{Kind: rapid.SampledFrom([]EventKind{EventResult, EventObserved, EventWindow, "unheard-of", EventBegin}).Draw(d.T, "kind"),
			Visit: rapid.IntRange(-1, len(d.state.Visits)).Draw(d.T, "visit"), Attempt: rapid.IntRange(0, 50).Draw(d.T, "attempt"), Service: rapid.SampledFrom([]string{"", "a", "z"}).Draw(d.T, "service")}
	}
	i := d.IntRangeOf(len(d.open), "which command")
	c := d.open[i]
	if d.one(20, "answered once more, later") == false {
		d.open = slices.Delete(d.open, i, i+1)
	}
	switch c.Kind {
	case CmdObserve:
		ss := d.state.service(c.Service)
		is := drawInstances(d.T, c.Service, len(ss.Instances))
		if d.one(10, "nothing seen") {
			return Event{Kind: EventObserved, Service: c.Service, Outcome: Unknown}
		}
		return Event{Kind: EventObserved, Service: c.Service, Outcome: Success, Instances: is}
	case CmdWindow:
		o := Opening{For: time.Duration(rapid.IntRange(1, 100).Draw(d.T, "holds")) * time.Second}
		o.Open = !d.one(5, "closed")
		return Event{Kind: EventWindow, Service: c.Service, Outcome: Success, Window: &o}
	}
	return d.result(c)
}

func (d *driver) result(c Command) Event {
	e := Event{Kind: EventResult, Visit: c.Visit, Attempt: c.Attempt, Command: c.Kind, Outcome: Success, From: 1, To: 2}
	switch d.IntRangeOf(30, "outcome") {
	case 0:
		e.Outcome, e.Reason = Unknown, "no answer"
		return e
	case 1:
		e.Outcome, e.Reason = Failure, "it failed"
		e.Conflict, e.Refused = d.one(3, "conflict"), d.one(3, "refused")
		return e
	}
	v := &d.state.Visits[c.Visit]
	e.Sessions, e.Forgot = max(0, rapid.IntRange(-4, 1).Draw(d.T, "sessions")), d.one(20, "forgot")
	switch c.Kind {
	case CmdPrecheck:
		for _, name := range v.Drains {
			e.Drains = append(e.Drains, hostdriver.DrainRecord{Service: name, Adapter: "haproxy"})
		}
		if d.one(10, "a closed gate") {
			e.Closed = "closed"
		}
	case CmdSwitch:
		e.Before = v.Before
	case CmdProbe:
		e.Sample = &Sample{Units: map[string]UnitSample{}, Checks: !d.one(12, "a check fails")}
		for _, u := range v.Watch {
			e.Sample.Units[u] = UnitSample{Active: rapid.SampledFrom([]string{"active", "active", "active", "active", "active", "active", "active", "active", "failed", "activating"}).Draw(d.T, "active"),
				Invocation: rapid.SampledFrom([]string{"new", "new", "new", "new", "new", "new", "old"}).Draw(d.T, "invocation"), PID: 2}
		}
	}
	return e
}

// disturbing tells whether a visit in that phase has begun to disturb something.
func disturbing(p Phase) bool {
	return !slices.Contains([]Phase{PhasePending, PhasePrecheck, PhaseStage, PhaseHooks, PhaseRecord, PhaseBudget, PhaseEnded}, p)
}

// Whatever happens, in whatever order: Step does not panic, gives the same answer again,
// survives being stored, never begins to disturb more than maxUnavailable, begins nothing
// while it is paused, stopped or halted, and what has ended stays so.
func TestStepProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		d := &driver{T: t, state: New("r", p), seen: map[string][]Instance{}, sent: map[string]bool{}}
		for n := 0; n < 250 && !d.state.Done; n++ {
			e := Event{Kind: EventBegin}
			if n > 0 {
				e = d.event()
			}
			e.At = d.at
			before := d.state
			after, cmds := Step(before, e)
			again, cmds2 := Step(before, e)
			if diff := cmp.Diff(asJSON(t, []any{after, cmds}), asJSON(t, []any{again, cmds2})); diff != "" {
				t.Fatal("another answer the second time: " + diff)
			}
			var stored State
			if err := json.Unmarshal([]byte(asJSON(t, after)), &stored); err != nil {
				t.Fatal(err)
			}
			d.take(before, after, e, cmds)
			d.state = stored
		}
	})
}

// take judges one step and takes up what it asks for.
func (d *driver) take(before, after State, e Event, cmds []Command) {
	d.Helper()
	if e.Kind == EventObserved && e.Outcome == Success && before.service(e.Service) != nil {
		d.seen[e.Service] = e.Instances
	}
	if before.Halted != nil && after.Halted == nil || before.Stopping != "" && after.Stopping == "" {
		d.Fatalf("it goes on again after %v %q", before.Halted, before.Stopping)
	}
	for i := range after.Visits {
		v, was := &after.Visits[i], &before.Visits[i]
		if was.Phase == PhaseEnded && v.Phase != PhaseEnded {
			d.Fatalf("the visit of %s had ended, and is at %s", v.Host, v.Phase)
		}
		if was.Phase == PhasePending && v.Active() && (before.Paused != nil && after.Paused != nil && !v.Recover || before.Stopping != "" || before.Halted != nil) {
			d.Fatalf("the visit of %s begins though the rollout is paused, stopping or halted", v.Host)
		}
		if !disturbing(was.Phase) && disturbing(v.Phase) && v.Failing == "" && !v.Recover {
			d.withinBudget(after, v)
		}
		if v.ProvenAt > was.ProvenAt { // its own probes are a later word than the look
			d.proven(v)
		}
	}
	for _, c := range cmds {
		if c.Visit >= 0 {
			key := fmt.Sprint(c.Visit, " ", c.Attempt)
			if d.sent[key] {
				d.Fatalf("two commands are attempt %d of visit %d", c.Attempt, c.Visit)
			}
			d.sent[key] = true
		}
		d.open = append(d.open, c)
	}
	if after.Done && slices.ContainsFunc(after.Visits, func(v Visit) bool { return v.Active() }) {
		d.Fatal("done while a visit is under way")
	}
}

// proven notes that what a visit disturbed was seen to be up.
func (d *driver) proven(v *Visit) {
	for _, name := range v.Disturbs {
		d.seen[name] = slices.Clone(d.seen[name])
		for i := range d.seen[name] {
			if is := &d.seen[name][i]; is.Host == v.Host {
				is.Up = true
			}
		}
	}
}

// withinBudget: with v, as many instances of each of its services are out as may be.
func (d *driver) withinBudget(s State, v *Visit) {
	d.Helper()
	for _, name := range v.Disturbs {
		ss := s.service(name)
		out, counted := map[string]bool{v.Host: true}, 0
		for _, i := range d.seen[name] {
			if i.Host == v.Host && !i.Up {
				return // it is down already
			}
			skipped := i.Unreachable && ss.Strategy.OnUnreachable == desired.UnreachableSkip
			if !skipped {
				counted++
			}
			out[i.Host] = out[i.Host] || !i.Up && !skipped
		}
		for i := range s.Visits {
			if w := &s.Visits[i]; disturbing(w.Phase) && !w.Settling() && slices.Contains(w.Disturbs, name) {
				out[w.Host] = true
			}
		}
		n := 0
		for _, is := range out {
			if is {
				n++
			}
		}
		if most := allowed(ss.Strategy, counted); n > most {
			d.Fatalf("%s is disturbed on %s, and %d of %d are out; %v", name, v.Host, n, most, d.seen[name])
		}
	}
}
