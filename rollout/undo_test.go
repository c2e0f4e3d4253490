package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// rolled is a host that has what ledger wants as generation 3 of revision r3, and keeps
// generation 2 of the same revision and 1 of r1, which had another env file.
func rolled(host string) HostInput {
	hs, o := ledger(), settled()
	hs.Host.Name, hs.Instances[0].Host, o.Host = host, host, host
	gen := func(n uint64, revision, env string) hostdriver.Manifest {
		m := Target(hostdriver.Manifest{}, hs, []string{"ledger"}, nil, n)
		m.Revision = revision
		for i := range m.Entries {
			if m.Entries[i].Name == envPath && env != "" {
				m.Entries[i].SHA256 = strings.Repeat(env, 64)
			}
		}
		return m
	}
	o.Manifest, o.Kept = gen(3, "r3", ""), []uint64{1, 2, 3}
	o.Generations = map[uint64]hostdriver.Manifest{1: gen(1, "r1", "1"), 2: gen(2, "r3", "2"), 3: o.Manifest}
	return HostInput{Desired: hs, Observation: &o}
}

// Who has what is desired goes back to the revision before; who has not stays.
func TestUndo(t *testing.T) {
	has, behind, first, alone, skipped := rolled("web-1"), rolled("web-2"), rolled("web-3"), rolled("web-4"), rolled("web-5")
	behind.Observation.Manifest = behind.Observation.Generations[1]
	behind.Observation.Manifest.Generation = 3
	first.Observation.Kept = []uint64{2, 3} // none of another revision
	alone.Observation, alone.Reason = nil, "unreachable"
	skipped.Hold = map[string]string{"ledger": "suspended"}
	in := Input{Revision: "r3", Hosts: []HostInput{has, behind, first, alone, skipped}, Undo: &Back{Reason: "slow"}}
	p := Build(in)
	if len(p.Visits) != 1 || len(p.Warnings) != 0 {
		t.Fatalf("visits %+v, warnings %q", p.Visits, p.Warnings)
	}
	v := p.Visits[0]
	if diff := cmp.Diff(&Undone{Generation: 1, Revision: "r1", Reason: "slow"}, v.Undo); diff != "" || v.Host != "web-1" || v.Quiet {
		t.Errorf("%s %s", v.Host, diff)
	}
	if diff := cmp.Diff([]UnitAction{{Service: "ledger", Unit: "ledger.service", Verb: hostdriver.VerbRestart}}, v.Actions); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ledger.service"}, v.Watch); diff != "" || v.Before["ledger.service"] != "i1" {
		t.Error(diff, v.Before)
	}
	want := []Change{{Host: "web-1", Service: "ledger", Kind: KindFile, Action: ActionUpdate, Subject: envPath, Disruption: Restart, Reason: "as in generation 1, of revision r1"},
		{Host: "web-1", Service: "ledger", Kind: KindProcess, Action: ActionRestart, Subject: "ledger.service", Disruption: Restart, Reason: "goes back"}}
	if diff := cmp.Diff(want, p.Hosts[0].Changes); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(p.Unreachable(), []string{"web-4"}) {
		t.Errorf("unreachable: %q", p.Unreachable())
	}

	in.Hosts = in.Hosts[1:3]
	if p := Build(in); len(p.Visits) != 0 || len(p.Warnings) != 1 || !strings.HasPrefix(p.Warnings[0], "nothing to undo: no host has what revision r3 wants") {
		t.Errorf("visits %+v, warnings %q", p.Visits, p.Warnings)
	}
}

// A revision that is named is gone back to by all, also by who has not what is desired.
func TestUndoToARevision(t *testing.T) {
	a, b := rolled("web-1"), rolled("web-2")
	b.Observation.Manifest.Entries = slices.Clone(b.Observation.Manifest.Entries)
	b.Observation.Manifest.Entries[0].Mode = 0o700
	in := Input{Revision: "r3", Hosts: []HostInput{a, b}, Undo: &Back{Revision: "r1"}}
	p := Build(in)
	if len(p.Visits) != 2 || p.Visits[0].Undo.Generation != 1 || p.Visits[1].Undo.Generation != 1 {
		t.Errorf("%+v", p.Visits)
	}
	in.Undo = &Back{Revision: "r9"}
	if p := Build(in); len(p.Visits) != 0 || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "r9") {
		t.Errorf("%+v %q", p.Visits, p.Warnings)
	}
}

// What is staged is the old generation's share of the services, beside what others have.
func TestUndoStagesWhatIsKept(t *testing.T) {
	h := rolled("web-1")
	h.Observation.Manifest.Entries = append(h.Observation.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindFile, Name: "/etc/zz", Service: "other", SHA256: strings.Repeat("b", 64)})
	in := Input{Revision: "r3", Hosts: []HostInput{h}, Undo: &Back{}}
	p := Build(in)
	if len(p.Visits) != 1 {
		t.Fatalf("%+v", p.Visits)
	}
	v := p.Visits[0]
	stage := h.Stage(&v, h.Observation.Manifest, h.Observation.Kept)
	if len(stage.Blobs) != 0 || stage.Manifest.Generation != 4 || stage.Manifest.Revision != "r1" {
		t.Errorf("%+v", stage)
	}
	if e, ok := stage.Manifest.Find(hostdriver.KindFile, envPath); !ok || e.SHA256 != strings.Repeat("1", 64) {
		t.Errorf("%+v", e)
	}
	if _, ok := stage.Manifest.Find(hostdriver.KindFile, "/etc/zz"); !ok {
		t.Error("another service's file is gone")
	}
	v.From, v.To = 3, 4
	sw := h.Switch(&v, h.Observation.Manifest, hostdriver.StepRecord{Revision: "r3"})
	if len(sw.Refuse) != 1 || sw.Refuse[0].By != hostdriver.ByUndo || sw.Refuse[0].Service != "ledger" || sw.Refuse[0].Check() != nil {
		t.Errorf("%+v", sw.Refuse)
	}
	v.Reverting = true
	if back := h.Switch(&v, stage.Manifest, hostdriver.StepRecord{Revision: "r3"}); back.To != 3 || !slices.Equal(back.Forget, []string{"ledger"}) || len(back.Refuse) != 0 {
		t.Errorf("an undo that is taken back: %+v", back)
	}
}

// A step that was left is only proven, and nothing is undone on its host yet.
func TestUndoAfterAStepThatWasLeft(t *testing.T) {
	h := rolled("web-1")
	h.Observation.Step = &hostdriver.StepRecord{Services: []string{"ledger"}, From: 2, To: 3}
	p := Build(Input{Revision: "r3", Hosts: []HostInput{h}, Undo: &Back{}})
	if len(p.Visits) != 1 || !p.Visits[0].Recover || p.Visits[0].Undo != nil || !slices.Equal(p.Visits[0].Proves, []string{"ledger"}) {
		t.Errorf("%+v", p.Visits)
	}
}

// What a host refuses is not brought to any, until something of it is changed or it is
// retried; who has it keeps it.
func TestRefused(t *testing.T) {
	old := func(name string) HostInput {
		h := rolled(name)
		h.Observation.Manifest = h.Observation.Generations[1]
		h.Observation.Paths[envPath] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: strings.Repeat("1", 64), Owner: "root", Group: "root", Mode: 0o644}
		return h
	}
	refusing, has, behind := old("web-1"), rolled("web-2"), old("web-3")
	has.Observation.Paths[envPath] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: strings.Repeat("9", 64), Owner: "root", Group: "root", Mode: 0o644}
	r := hostdriver.Refusal{Service: "ledger", Revision: "r3", Reason: "it exits", By: hostdriver.ByRevert}
	r.Content, r.How = identity(&refusing.Desired.Instances[0])
	refusing.Observation.Refused = []hostdriver.Refusal{r}
	in := Input{Revision: "r3", Hosts: []HostInput{refusing, has, behind}}
	hosts := func(in Input) string {
		var out []string
		for _, v := range Build(in).Visits {
			out = append(out, v.Host)
		}
		return strings.Join(out, " ")
	}
	if got := hosts(in); got != "web-2" {
		t.Errorf("visited: %s", got)
	}
	for _, p := range Build(in).Problems() {
		if !p.Refused || p.Reason != "not tried again: revision r3 was reverted on web-1 (it exits)" || p.Mend == "" {
			t.Errorf("%+v", p)
		}
	}
	in.Retry = true
	if got := hosts(in); got != "web-1 web-2 web-3" {
		t.Errorf("retried: %s", got)
	}
	in.Retry = false
	// What was reverted with it, on the same host, is desired otherwise by now.
	other := hostdriver.Refusal{Service: "clerk", Revision: "r3", By: hostdriver.ByRevert, Content: strings.Repeat("7", 64)}
	in.Hosts[0].Observation.Refused = []hostdriver.Refusal{other, r}
	if got := hosts(in); got != "web-1 web-2 web-3" {
		t.Errorf("the other one may have been to blame: %s", got)
	}
	in.Hosts[0].Desired.Held = []string{"clerk"}
	if got := hosts(in); got != "web-2" {
		t.Errorf("nobody knows whether the other one has changed: %s", got)
	}
	in.Hosts[0].Desired.Held = nil
	other.At = time.Unix(1, 0)
	in.Hosts[0].Observation.Refused = []hostdriver.Refusal{other, r}
	if got := hosts(in); got != "web-2" {
		t.Errorf("the other one was refused another time: %s", got)
	}
	for i := range in.Hosts {
		in.Hosts[i].Desired.Instances[0].Health = make([]desired.HealthSpec, 1)
	}
	if got := hosts(in); got != "web-1 web-2 web-3" {
		t.Errorf("it is proven otherwise, and so tried: %s", got)
	}
}
