package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/evenkeel/evenkeel/controller/store/memstore"
	"github.com/evenkeel/evenkeel/hostdriver/drivertest"
	"github.com/evenkeel/evenkeel/rollout"
)

// What is undone goes back on every host, stays so over a restart and over the loss of
// the store, and is brought again by a retry, or by git.
func TestUndo(t *testing.T) {
	ctx := context.Background()
	l := newLoop(t, 3, nil)
	l.git.commit("c1", fleetFiles(3, "A=1\n"))
	l.start()
	l.eventually("the first revision", reconciledAt("c1"))
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, By: "alice"}); !errors.Is(err, ErrNothingToDo) {
		t.Errorf("there is nothing before the first revision: %v", err)
	}
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, Host: "h9", By: "alice"}); !errors.Is(err, ErrUnknownObject) {
		t.Errorf("an unknown host: %v", err)
	}
	l.git.commit("c2", fleetFiles(3, "A=2\n"))
	l.eventually("the second revision", reconciledAt("c2"))
	all := func(env string) func(*Snapshot) bool {
		return func(*Snapshot) bool { return l.env("h1") == env && l.env("h2") == env && l.env("h3") == env }
	}
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, By: "alice", Reason: "c2 is slow"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("gone back", all("A=1\n"))
	s := l.eventually("over", func(s *Snapshot) bool {
		return s.Rollout != nil && !s.Rollout.Ended.IsZero() && s.Rollout.Outcome.Undo != nil
	})
	if o := s.Rollout.Outcome; o.Result != Converged || !strings.Contains(o.Words(), "undone: 3 hosts back at c1") || s.Rollout.Why != "c2 is slow" {
		t.Errorf("%q: %q", s.Rollout.Why, o.Words())
	}
	l.eventually("the wish is forgotten", func(*Snapshot) bool { return l.c.toUndo() == nil })
	l.stop()
	l.start()
	stays := func() {
		t.Helper()
		l.eventually("looked", func(s *Snapshot) bool {
			return strings.Contains(s.Conditions.Get(Reconciled).Message, "c2 was undone on h1 (c2 is slow)")
		})
		time.Sleep(200 * time.Millisecond)
		if !all("A=1\n")(nil) {
			t.Errorf("it was rolled out again: %q %q %q", l.env("h1"), l.env("h2"), l.env("h3"))
		}
	}
	stays()
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, By: "alice"}); !errors.Is(err, ErrNothingToDo) {
		t.Errorf("it is undone already: %v", err)
	}
	l.stop()
	l.opt.Store = &memstore.Store{}
	l.start()
	l.eventually("frozen, for the store was lost", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Frozen" })
	if _, err := l.c.Do(ctx, Action{Verb: VerbTakeOver, By: "alice", Reason: "the disk was lost"}); err != nil {
		t.Fatal(err)
	}
	stays()

	if _, err := l.c.Do(ctx, Action{Verb: VerbRetry, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("tried again", reconciledAt("c2"))
	l.eventually("forgotten", func(*Snapshot) bool { l.c.mu.Lock(); defer l.c.mu.Unlock(); return l.c.retrying == "" })
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, Host: "h2", Revision: "c1", By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("one host alone", func(*Snapshot) bool { return l.env("h2") == "A=1\n" && l.c.toUndo() == nil })
	if l.env("h1") != "A=2\n" || l.env("h3") != "A=2\n" {
		t.Errorf("others went back: %q %q", l.env("h1"), l.env("h3"))
	}
	// What has it keeps it: drift is put right there.
	l.hosts.Host("h1").WriteFile("/etc/web/web.env", "A=9\n", 0o600)
	l.eventually("drift is corrected", func(*Snapshot) bool { return l.env("h1") == "A=2\n" })
	l.git.commit("c3", fleetFiles(3, "A=3\n"))
	l.eventually("git moves", reconciledAt("c3"))
}

// A retry that is said while an undo is under way is the last word: the undo ends with its
// host in hand, and what went back comes again, also where drift is only reported.
func TestRetryDuringAnUndo(t *testing.T) {
	ctx := context.Background()
	l := newLoop(t, 3, func(o *Options) { o.Drift.Report = true })
	files := func(env string) fstest.MapFS {
		f := fleetFiles(3, env)
		f["services/web/service.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(loopService, "minHealthyTime: 0s", "minHealthyTime: 700ms", 1))}
		return f
	}
	l.git.commit("c1", files("A=1\n"))
	l.start()
	l.eventually("the first revision", reconciledAt("c1"))
	l.git.commit("c2", files("A=2\n"))
	l.eventually("the second revision", reconciledAt("c2"))
	third := l.unit("h3", "web.service").InvocationID
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("the second host is in hand", func(*Snapshot) bool { return l.env("h1") == "A=1\n" && l.env("h2") == "A=1\n" })
	said, err := l.c.Do(ctx, Action{Verb: VerbRetry, By: "alice"})
	if err != nil || !strings.Contains(said, "once the hosts in hand have gone back") {
		t.Fatalf("%q, %v", said, err)
	}
	s := l.eventually("tried again", func(s *Snapshot) bool {
		l.c.queue.Add(hostKey("h2")) // somebody looks all the time
		return l.env("h1") == "A=2\n" && l.env("h2") == "A=2\n" && reconciledAt("c2")(s)
	})
	if s.Rollout.Why != "revision c2" || l.env("h3") != "A=2\n" {
		t.Errorf("rolled out for %q, h3 has %q", s.Rollout.Why, l.env("h3"))
	}
	if p := l.unit("h3", "web.service"); p.InvocationID != third {
		t.Error("h3 was restarted, although the undo had not come to it")
	}
	if e := l.events(ReasonDrift); len(e) > 0 {
		t.Errorf("it was told as drift: %+v", e)
	}
	l.eventually("the retry is over", func(*Snapshot) bool { return !l.c.retries("c2") && l.c.toUndo() == nil })
	if _, err := l.c.Do(ctx, Action{Verb: VerbRetry, By: "alice"}); !errors.Is(err, ErrNothingToDo) {
		t.Errorf("nothing is held back: %v", err)
	}
}

// An undo that stops before it has switched anything leaves drift what it is: only reported,
// also once somebody retries.
func TestUndoThatChangesNothingLeavesDrift(t *testing.T) {
	ctx := context.Background()
	l := newLoop(t, 1, func(o *Options) { o.Drift.Report = true })
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("the first revision", reconciledAt("c1"))
	l.git.commit("c2", fleetFiles(1, "A=2\n"))
	l.eventually("the second revision", reconciledAt("c2"))
	h := l.hosts.Host("h1")
	h.WriteFile("/etc/web/web.env", "A=9\n", 0o600)
	l.eventually("drift is reported", func(*Snapshot) bool { return len(l.events(ReasonDrift)) > 0 })
	h.FillDisk()
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("the undo has stopped", func(s *Snapshot) bool {
		return s.Rollout != nil && s.Rollout.Why == "undo" && !s.Rollout.Ended.IsZero() && s.Rollout.Outcome.Result != Converged
	})
	h.FreeDisk()
	if _, err := l.c.Do(ctx, Action{Verb: VerbRetry, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		l.c.queue.Add(hostKey("h1"))
		time.Sleep(30 * time.Millisecond)
	}
	if got := l.env("h1"); got != "A=9\n" {
		t.Errorf("what was only to be reported was rolled out: %q", got)
	}
}

// What a retry brings again is the revision, and no drift: it comes out where drift is
// only reported, too.
func TestRetryIsNoDrift(t *testing.T) {
	ctx := context.Background()
	l := newLoop(t, 2, func(o *Options) { o.Drift.Report = true })
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("the first revision", reconciledAt("c1"))
	l.git.commit("c2", fleetFiles(2, "A=2\n"))
	l.eventually("the second revision", reconciledAt("c2"))
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("gone back", func(s *Snapshot) bool {
		return l.env("h1") == "A=1\n" && l.env("h2") == "A=1\n" && s.Plan != nil && slices.ContainsFunc(s.Plan.Problems(), func(p rollout.Problem) bool { return p.Refused })
	})
	if _, err := l.c.Do(ctx, Action{Verb: VerbRetry, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	s := l.eventually("tried again", func(s *Snapshot) bool {
		return l.env("h1") == "A=2\n" && l.env("h2") == "A=2\n" && s.Rollout.Why != "undo" && !s.Rollout.Ended.IsZero()
	})
	if s.Rollout.Why != "revision c2" {
		t.Errorf("it was rolled out for %q", s.Rollout.Why)
	}
	if e := l.events(ReasonDrift); len(e) > 0 {
		t.Errorf("it was told as drift: %+v", e)
	}
}

// An undo waits for what the budget does not let it disturb, and outlives the controller.
func TestUndoOutlivesTheController(t *testing.T) {
	ctx := context.Background()
	l := newLoop(t, 3, nil)
	l.git.commit("c1", fleetFiles(3, "A=1\n"))
	l.start()
	l.eventually("the first revision", reconciledAt("c1"))
	l.git.commit("c2", fleetFiles(3, "A=2\n"))
	l.eventually("the second revision", reconciledAt("c2"))
	l.hosts.Host("h3").Cut()
	l.eventually("h3 is away", func(s *Snapshot) bool { return s.HostConditions["h3"].Get(Reachable).Status == False })
	if _, err := l.c.Do(ctx, Action{Verb: VerbUndo, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.stop()
	l.start()
	l.eventually("halted", func(s *Snapshot) bool {
		return s.Rollout != nil && s.Rollout.Outcome != nil && s.Rollout.Outcome.Undo != nil && s.Rollout.Outcome.Result == Halted
	})
	if l.c.toUndo() == nil || l.env("h1") != "A=2\n" {
		t.Errorf("it is forgotten, or beyond the budget: %q", l.env("h1"))
	}
	l.hosts.Host("h3").Heal()
	l.eventually("all are back", func(*Snapshot) bool {
		return l.env("h1") == "A=1\n" && l.env("h2") == "A=1\n" && l.env("h3") == "A=1\n" && l.c.toUndo() == nil
	})
}

// What was reverted is refused by the host itself, so that no other controller tries it.
func TestHostsRefuse(t *testing.T) {
	l := heldLoop(t)
	l.stop()
	l.opt.Store = &memstore.Store{}
	l.opt.Name, l.opt.TakeOver = "keel-2", true
	l.start()
	l.eventually("the other one leaves it, too", func(s *Snapshot) bool {
		return strings.Contains(s.Conditions.Get(Reconciled).Message, "c2 was reverted on h1")
	})
	time.Sleep(200 * time.Millisecond)
	if n := len(l.events(ReasonHostReverted)); n != 0 {
		t.Errorf("it was tried %d times again", n)
	}
}

// A host that has got a revision, and was proven healthy with it, keeps it where another one
// went back: drift that must be put right by a restart is so, although nothing else of the
// revision is tried again.
func TestDriftBesideWhatIsHeldBack(t *testing.T) {
	l := newLoop(t, 3, nil)
	l.hosts.Behave(func(s drivertest.Start) drivertest.Behaviour {
		return drivertest.Behaviour{Exits: s.Host == "h2" && s.Env["A"] == "2", Status: 1}
	})
	l.git.commit("c1", fleetFiles(3, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.git.commit("c2", fleetFiles(3, "A=2\n"))
	l.eventually("held", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Held" })
	if l.env("h1") != "A=2\n" || l.env("h2") != "A=1\n" || l.env("h3") != "A=1\n" {
		t.Fatalf("%q %q %q", l.env("h1"), l.env("h2"), l.env("h3"))
	}
	h1 := l.hosts.Host("h1")
	h1.WriteFile("/etc/web/web.env", "A=7\n", 0o600)
	h1.Systemctl("restart", "web.service")
	taken := l.unit("h1", "web.service").InvocationID
	l.eventually("put right, and restarted", func(*Snapshot) bool {
		u := l.unit("h1", "web.service")
		return l.env("h1") == "A=2\n" && u.InvocationID != taken && u.Active == "active"
	})
	l.eventually("held as before", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Held" })
	if l.env("h2") != "A=1\n" || l.env("h3") != "A=1\n" {
		t.Errorf("what failed was tried again: %q %q", l.env("h2"), l.env("h3"))
	}
}
