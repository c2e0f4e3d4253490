package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/evenkeel/evenkeel/controller/store/memstore"
	"github.com/evenkeel/evenkeel/hostdriver/drivertest"
	"github.com/evenkeel/evenkeel/rollout"
)

// rotating is a fleet of gateways that accept a token and of probes that send it.
// Of the values, the first is current and the second the one before; "" is none.
func rotating(gateways, probes int, fleet string, values ...string) fstest.MapFS {
	env := "TOKEN=" + values[0] + "\n"
	if len(values) > 1 {
		env += "TOKEN_PREVIOUS=" + values[1] + "\n"
	}
	var hosts strings.Builder
	for i := range gateways {
		fmt.Fprintf(&hosts, "    - {name: g%d, address: 127.0.1.%d, labels: {role: gateway}}\n", i+1, i+1)
	}
	for i := range probes {
		fmt.Fprintf(&hosts, "    - {name: p%d, address: 127.0.2.%d, labels: {role: probe}}\n", i+1, i+1)
	}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	service := func(name string) *fstest.MapFile {
		return file("apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: " + name + "}\nspec:\n  selector: {matchLabels: {role: " + name + "}}\n" +
			"  units: [{source: " + name + ".service, enabled: true, state: started}]\n  env: [{path: /etc/" + name + ".env, source: [token.env, x.env]}]\n" +
			"  rollout: {minHealthyTime: 0s, healthyDeadline: 5s, progressDeadline: 20s, onUnreachable: skip}\n")
	}
	unit := func(name string) *fstest.MapFile {
		return file("[Service]\nExecStart=/bin/sleep infinity\nEnvironmentFile=/etc/" + name + ".env\n[Install]\nWantedBy=multi-user.target\n")
	}
	return fstest.MapFS{
		"fleet.yaml":                 file("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: test}\nspec:\n  secrets:\n    - " + fleet + "\n"),
		"inventory/hosts.yaml":       file("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: all}\nspec:\n  hosts:\n" + hosts.String()),
		"services/gateway/token.env": file(env), "services/probe/token.env": file(env),
		"services/gateway/service.yaml": service("gateway"), "services/gateway/gateway.service": unit("gateway"), "services/gateway/x.env": file("X=1\n"),
		"services/probe/service.yaml": service("probe"), "services/probe/probe.service": unit("probe"), "services/probe/x.env": file("X=1\n"),
	}
}

const (
	shared = "{name: token, key: TOKEN, previous: TOKEN_PREVIOUS, verifiers: [{service: gateway}], signers: [{service: probe}]}"
	alone  = "{name: token, key: TOKEN, previous: TOKEN_PREVIOUS, verifiers: [{service: gateway}], keep: %s}"
)

// tokenWatch watches, at every start of a process, that whatever any probe sends is accepted
// by every gateway that runs.
type tokenWatch struct {
	mu      sync.Mutex
	accepts map[string][]string // by gateway
	sends   map[string]string   // by probe
	refused []string
	starts  []string // host=values, in order
}

func watchTraffic(l *loop) *tokenWatch {
	w := &tokenWatch{accepts: map[string][]string{}, sends: map[string]string{}}
	l.hosts.Behave(func(s drivertest.Start) drivertest.Behaviour {
		w.mu.Lock()
		defer w.mu.Unlock()
		values := strings.TrimSuffix(s.Env["TOKEN"]+","+s.Env["TOKEN_PREVIOUS"], ",")
		w.starts = append(w.starts, s.Host+"="+values)
		if strings.HasPrefix(s.Unit, "gateway") {
			w.accepts[s.Host] = strings.Split(values, ",")
		} else {
			w.sends[s.Host] = values
		}
		for _, p := range slices.Sorted(maps.Keys(w.sends)) {
			for _, g := range slices.Sorted(maps.Keys(w.accepts)) {
				if !slices.Contains(w.accepts[g], w.sends[p]) {
					w.refused = append(w.refused, fmt.Sprintf("after %s: %s sends %s, %s accepts %v", s.Host, p, w.sends[p], g, w.accepts[g]))
				}
			}
		}
		return drivertest.Behaviour{}
	})
	return w
}

// since are the starts after the first n.
func (w *tokenWatch) since(n int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.starts[n:])
}

func (w *tokenWatch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.starts)
}

func (w *tokenWatch) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refused) > 0 {
		t.Errorf("refused:\n%s\nstarts %v", strings.Join(w.refused, "\n"), w.starts)
	}
}

// at tells that a secret's rotation is in a phase, and that no rollout is under way.
func at(phase rollout.RotationPhase) func(*Snapshot) bool {
	return func(s *Snapshot) bool {
		return len(s.Secrets) == 1 && s.Secrets[0].Rotates && s.Secrets[0].Phase == phase && (s.Rollout == nil || !s.Rollout.Ended.IsZero())
	}
}

func newRotation(t *testing.T, gateways, probes int, fleet string) (*loop, *tokenWatch) {
	l := newLoop(t, 0, nil)
	for i := range gateways {
		l.hosts.Host(fmt.Sprintf("g%d", i+1))
	}
	for i := range probes {
		l.hosts.Host(fmt.Sprintf("p%d", i+1))
	}
	w := watchTraffic(l)
	l.git.commit("c1", rotating(gateways, probes, fleet, "old"))
	l.start()
	l.eventually("the first value", reconciledAt("c1"))
	if w.count() != gateways+probes {
		t.Fatalf("starts %v", w.starts)
	}
	return l, w
}

// A token that one service sends and another accepts is replaced in three passes, verifiers
// first, and nothing is refused at any moment.
func TestRotation(t *testing.T) {
	l, w := newRotation(t, 2, 2, shared)
	n := w.count()
	l.git.commit("c2", rotating(2, 2, shared, "new", "old"))
	l.eventually("done", at(rollout.RotationDone))
	l.eventually("reconciled", reconciledAt("c2"))
	w.check(t)
	got := w.since(n)
	want := []string{"g1=new,old", "g2=new,old", "p1=new", "p2=new", "g1=new", "g2=new"}
	if !slices.Equal(got, want) {
		t.Errorf("starts %v, want %v", got, want)
	}
	var said []string
	for _, e := range l.events(ReasonRotation) {
		phase, _, _ := strings.Cut(strings.TrimPrefix(e.Message, "rotation of token: "), ",")
		said = append(said, phase)
	}
	if !slices.Equal(slices.Compact(said), []string{"stage", "roll", "revoke", "done"}) {
		t.Errorf("events: %v", said)
	}
	l.hosts.Host("g3")
	// Another commit, another host, a lost store: what was revoked is not given out again.
	l.git.commit("c3", rotating(3, 2, shared, "new", "old"))
	l.eventually("the new host", reconciledAt("c3"))
	l.git.commit("c4", rotating(3, 2, shared, "new"))
	l.eventually("the value before is gone from git", reconciledAt("c4"))
	if got := w.since(n + len(want)); !slices.Equal(got, []string{"g3=new"}) {
		t.Errorf("starts %v", got)
	}
}

// Whoever is killed in whatever phase, with or without its store, the next one goes on.
func TestRotationGoesOn(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for stopAt := 1; stopAt <= 6; stopAt++ {
			t.Run(fmt.Sprintf("lost=%v/%d", lost, stopAt), func(t *testing.T) {
				t.Parallel()
				l, w := newRotation(t, 2, 2, shared)
				n := w.count()
				l.git.commit("c2", rotating(2, 2, shared, "new", "old"))
				l.eventually("some steps", func(*Snapshot) bool { return w.count() >= n+stopAt })
				l.stop()
				if lost {
					l.opt.Store = &memstore.Store{}
					l.opt.TakeOver = true
				}
				l.start()
				if lost {
					l.eventually("frozen", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Frozen" })
					if _, err := l.c.Do(t.Context(), Action{Verb: VerbTakeOver, By: "alice", Reason: "the disk was lost"}); err != nil {
						t.Fatal(err)
					}
				}
				l.eventually("done", at(rollout.RotationDone))
				w.check(t)
				if got := len(w.since(n)); got != 6 {
					t.Errorf("%d starts: %v", got, w.since(n))
				}
			})
		}
	}
}

// While a host does not answer, nothing goes further than it may be; once it answers, the
// rotation goes on.
func TestRotationWaitsForAHost(t *testing.T) {
	for _, cut := range []string{"g2", "p2"} {
		t.Run(cut, func(t *testing.T) {
			l, w := newRotation(t, 2, 2, shared)
			n := w.count()
			l.hosts.Host(cut).Cut()
			l.eventually("cut", func(s *Snapshot) bool {
				return slices.ContainsFunc(s.Hosts, func(h HostStatus) bool { return h.Name == cut && !h.Reachable })
			})
			l.git.commit("c2", rotating(2, 2, shared, "new", "old"))
			phase := rollout.RotationRoll // its signers are behind, and may not go on
			if cut == "p2" {
				phase = rollout.RotationVerify
			}
			s := l.eventually("waits", func(s *Snapshot) bool { return at(phase)(s) && len(s.Secrets[0].Waits) > 0 })
			if why := s.Secrets[0].Waits[0]; !strings.Contains(why, "on "+cut+" may hold the previous value") {
				t.Errorf("waits: %s", why)
			}
			time.Sleep(300 * time.Millisecond)
			got := w.since(n)
			if slices.Contains(got, "g1=new") || cut == "g2" && slices.ContainsFunc(got, func(s string) bool { return s[0] == 'p' }) {
				t.Errorf("it went on without %s: %v", cut, got)
			}
			l.hosts.Host(cut).Heal()
			l.c.queue.Add(hostKey(cut))
			l.c.queue.AddAfter(fleetKey, 300*time.Millisecond)
			l.eventually("done", at(rollout.RotationDone))
			w.check(t)
		})
	}
}

// Both values are kept for as long as is said; a controller that starts anew meanwhile does
// not begin to count again.
func TestRotationKeeps(t *testing.T) {
	fleet := fmt.Sprintf(alone, "1500ms")
	l, w := newRotation(t, 2, 0, fleet)
	n := w.count()
	l.git.commit("c2", rotating(2, 0, fleet, "new", "old"))
	s := l.eventually("kept", at(rollout.RotationVerify))
	began := time.Now()
	if len(s.Secrets[0].Waits) != 1 || !strings.HasPrefix(s.Secrets[0].Waits[0], "both values are kept until ") || s.Secrets[0].KeepUntil.IsZero() {
		t.Errorf("%+v", s.Secrets[0])
	}
	if got := w.since(n); !slices.Equal(got, []string{"g1=new,old", "g2=new,old"}) {
		t.Errorf("%v", got)
	}
	time.Sleep(700 * time.Millisecond)
	l.stop()
	l.start()
	l.eventually("done", at(rollout.RotationDone))
	if took := time.Since(began); took < time.Second || took > 8*time.Second {
		t.Errorf("revoked after %s", took)
	}
	if got := w.since(n + 2); !slices.Equal(got, []string{"g1=new", "g2=new"}) {
		t.Errorf("%v", got)
	}
}

// An abort is the values changed over. What has the withdrawn value gives it back, signers
// first; what has not got it never does.
func TestRotationAborted(t *testing.T) {
	for stopAt := 1; stopAt <= 3; stopAt++ {
		t.Run(fmt.Sprint(stopAt), func(t *testing.T) {
			l, w := newRotation(t, 2, 2, shared)
			n := w.count()
			behave := make(chan struct{})
			l.git.commit("c2", rotating(2, 2, shared, "new", "old"))
			l.eventually("some steps", func(*Snapshot) bool { return w.count() >= n+stopAt })
			close(behave)
			l.git.commit("c3", rotating(2, 2, shared, "old", "new"))
			l.eventually("reconciled", func(s *Snapshot) bool { return reconciledAt("c3")(s) && at(rollout.RotationDone)(s) })
			w.check(t)
			w.mu.Lock()
			defer w.mu.Unlock()
			if fmt.Sprint(w.accepts) != "map[g1:[old] g2:[old]]" || fmt.Sprint(w.sends) != "map[p1:old p2:old]" {
				t.Errorf("%v %v", w.accepts, w.sends)
			}
		})
	}
}

// Values that differ between services are touched by nobody.
func TestRotationDisagrees(t *testing.T) {
	l, w := newRotation(t, 1, 1, shared)
	n := w.count()
	files := rotating(1, 1, shared, "new", "old")
	files["services/probe/x.env"] = &fstest.MapFile{Data: []byte("X=1\nTOKEN=other\n")}
	l.git.commit("c2", files)
	l.eventually("said", func(s *Snapshot) bool {
		return s.Source.Revision == "c2" && len(s.Secrets) == 1 && strings.Contains(s.Secrets[0].Fault, "has other values for probe on p1 than for gateway on g1")
	})
	time.Sleep(200 * time.Millisecond)
	if got := w.since(n); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

// A service that is left out for its faults in the middle of a rotation may hold anything:
// nothing is revoked.
func TestRotationWithoutAService(t *testing.T) {
	l, w := newRotation(t, 2, 1, shared)
	n := w.count()
	files := rotating(2, 1, shared, "new", "old")
	files["services/probe/service.yaml"] = &fstest.MapFile{Data: []byte("kind: Service\nnonsense: 1\n")}
	l.git.commit("c2", files)
	s := l.eventually("waits", func(s *Snapshot) bool { return s.Source.Revision == "c2" && at(rollout.RotationVerify)(s) })
	if why := s.Secrets[0].Waits; len(why) == 0 || why[0] != "probe on every host may hold the previous value: the service is left out of the revision for its faults" {
		t.Errorf("%q", why)
	}
	time.Sleep(200 * time.Millisecond)
	if got := w.since(n); !slices.Equal(got, []string{"g1=new,old", "g2=new,old"}) {
		t.Errorf("%v", got)
	}
	l.git.commit("c3", rotating(2, 1, shared, "new", "old"))
	l.eventually("done", at(rollout.RotationDone))
	w.check(t)
}

// Drift that is only reported does not keep a rotation from going on.
func TestRotationWhereDriftIsReported(t *testing.T) {
	l, w := newRotation(t, 2, 1, shared)
	l.stop()
	l.opt.Drift.Report = true
	l.start()
	l.git.commit("c2", rotating(2, 1, shared, "new", "old"))
	l.eventually("done", at(rollout.RotationDone))
	w.check(t)
}

// A verifier's new value that does not get healthy is taken back on that host; no signer
// uses it.
func TestRotationReverted(t *testing.T) {
	l, w := newRotation(t, 2, 1, shared)
	n := w.count()
	l.hosts.Behave(func(s drivertest.Start) drivertest.Behaviour {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.starts = append(w.starts, s.Host+"="+s.Env["TOKEN"])
		return drivertest.Behaviour{Exits: s.Env["TOKEN"] == "new", Status: 1}
	})
	l.git.commit("c2", rotating(2, 1, shared, "new", "old"))
	s := l.eventually("held", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Held" })
	if !s.Secrets[0].Active() {
		t.Errorf("%+v", s.Secrets[0])
	}
	if got := w.since(n); slices.ContainsFunc(got, func(s string) bool { return s[0] == 'p' || strings.HasPrefix(s, "g2") }) || got[len(got)-1] != "g1=old" {
		t.Errorf("%v", got)
	}
	if _, err := l.c.Do(t.Context(), Action{Verb: VerbUndo, By: "alice"}); err != nil && !errors.Is(err, ErrNothingToDo) {
		t.Error(err)
	}
}
