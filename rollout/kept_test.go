package rollout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// idleHost is one that went back to r1, where its unit was then stopped.
func idleHost(host string) HostInput {
	h := rolled(host)
	o := *h.Observation
	o.Manifest = o.Generations[1]
	o.Manifest.Generation = 3
	paths := map[string]hostdriver.PathState{}
	for path, got := range o.Paths {
		paths[path] = got
	}
	env := paths[envPath]
	env.SHA256 = strings.Repeat("1", 64)
	paths[envPath] = env
	o.Paths = paths
	u := o.Units["ledger.service"]
	u.Active, u.Sub = "inactive", "dead"
	o.Units = map[string]hostdriver.UnitState{"ledger.service": u}
	h.Observation = &o
	return h
}

// Only what does not run is started, as the host's own generation has it.
func TestKept(t *testing.T) {
	all := func(string, string) bool { return true }
	plan := func(held func(string, string) bool, hosts ...HostInput) Plan {
		return BuildKept(Input{Revision: "r3", Hosts: hosts}, held)
	}
	p := plan(all, idleHost("web-1"))
	want := []Visit{{Host: "web-1", Quiet: true, Kept: true, Services: []string{"ledger"}, Watch: []string{"ledger.service"},
		Actions: []UnitAction{{Service: "ledger", Unit: "ledger.service", Verb: hostdriver.VerbStart}}, Before: map[string]string{"ledger.service": "i1"}}}
	if diff := cmp.Diff(want, p.Visits); diff != "" {
		t.Fatal(diff)
	}
	h, v := idleHost("web-1"), p.Visits[0]
	if a := h.UnitActions(&v, false); len(a) != 1 || a[0].Inputs != nil {
		t.Errorf("it says what of another revision was read: %+v", a)
	}
	if x := h.Needs(&v, *h.Observation); len(x.NeedBytes) != 0 || !x.Trial.Empty() {
		t.Errorf("the precheck asks for what is not brought: %+v", x)
	}
	if c := h.Remaining(&v, *h.Observation, ""); c == nil || c.Subject != "ledger.service" {
		t.Errorf("nothing remains, but it does not run: %+v", c)
	}
	if c := h.Remaining(&v, *rolled("web-1").Observation, ""); c != nil {
		t.Errorf("it runs: %+v", c)
	}

	still := func(change func(*HostInput)) HostInput {
		h := idleHost("web-1")
		change(&h)
		return h
	}
	unit := func(change func(*hostdriver.UnitState)) HostInput {
		return still(func(h *HostInput) {
			u := h.Observation.Units["ledger.service"]
			change(&u)
			h.Observation.Units["ledger.service"] = u
		})
	}
	for name, h := range map[string]HostInput{
		"runs":               unit(func(u *hostdriver.UnitState) { u.Active = "activating" }),
		"masked":             unit(func(u *hostdriver.UnitState) { u.Load = "masked" }),
		"suspended":          still(func(h *HostInput) { h.Hold = map[string]string{"ledger": "suspended"} }),
		"host suspended":     still(func(h *HostInput) { h.Hold = map[string]string{"": "suspended"} }),
		"another step there": still(func(h *HostInput) { h.Observation.Step = &hostdriver.StepRecord{} }),
		"unreachable":        still(func(h *HostInput) { h.Observation = nil }),
		"should be stopped": still(func(h *HostInput) {
			for i := range h.Observation.Manifest.Entries {
				h.Observation.Manifest.Entries[i].State = ""
			}
		}),
		"edited": still(func(h *HostInput) {
			env := h.Observation.Paths[envPath]
			env.SHA256 = strings.Repeat("2", 64)
			h.Observation.Paths[envPath] = env
		}),
	} {
		if p := plan(all, h); len(p.Visits) != 0 {
			t.Errorf("%s: it is started: %+v", name, p.Visits)
		}
	}
	if p := plan(func(string, string) bool { return false }, idleHost("web-1")); len(p.Visits) != 0 {
		t.Errorf("what is not held back is kept: %+v", p.Visits)
	}
}
