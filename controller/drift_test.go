package controller

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
)

// stoppedLoop is one that was in sync with c1, and of which only its parts work from now on,
// as a test calls them.
func stoppedLoop(t *testing.T) *loop {
	l := newLoop(t, 1, nil)
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.stop()
	return l
}

// look looks at all hosts.
func (l *loop) look() *View {
	l.t.Helper()
	v, err := l.c.fleet().Look(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

// visitedOnce is a rollout whose one visit, of h1, is over.
func visitedOnce(l *loop) *rollout.Visit {
	v := rollout.Visit{ID: 0, Host: "h1", Services: []string{"web"}}
	v.Phase, v.Result = rollout.PhaseEnded, rollout.ResultDone
	l.c.rolling = &RolloutStatus{State: rollout.State{Revision: "c1", Visits: []rollout.Visit{v}}}
	l.c.visited(&v, "c1")
	return &v
}

// A host that was read in the middle of its visit differs, for the visit was not over: that
// is neither drift nor a reason to plan again. It is looked at again afterwards, and what
// differs then is both.
func TestALookInTheMiddleOfAVisitIsNoDrift(t *testing.T) {
	l := stoppedLoop(t)
	h, e := l.hosts.Host("h1"), l.c.hosts["h1"]
	control := make(chan rollout.Event, 16)
	l.c.control = control
	h.WriteFile("/etc/web/web.env", "A=2\n", 0o600) // the visit is about to put it right
	middle := l.look()
	if len(middle.Plan.Visits) == 0 {
		t.Fatal("nothing differs in the middle of the visit")
	}
	h.WriteFile("/etc/web/web.env", "A=1\n", 0o600)
	visitedOnce(l)
	e.dirty = false
	l.c.looked(t.Context(), middle)
	if !e.dirty || len(e.drift) > 0 || len(l.events(ReasonDrift)) > 0 || e.conds.Get(SyncedType).Status != True {
		t.Errorf("the look is taken for drift: dirty %t, %+v, %+v", e.dirty, e.drift, e.conds)
	}
	e.dirty = false
	l.c.changedMeanwhile(middle)
	if !e.dirty || len(control) > 0 {
		t.Errorf("looked at again: %t; the rollout was told %d words", e.dirty, len(control))
	}

	h.WriteFile("/etc/web/web.env", "A=3\n", 0o600) // by hand, after the visit
	after := l.look()
	l.c.looked(t.Context(), after)
	if len(e.drift) != 1 || len(l.events(ReasonDrift)) != 1 {
		t.Errorf("drift after the visit: %+v", e.drift)
	}
	l.c.changedMeanwhile(after)
	if len(control) != 1 {
		t.Fatalf("the rollout was told %d words", len(control))
	}
	if ev := <-control; ev.Kind != rollout.EventReplan {
		t.Errorf("the rollout was told %+v", ev)
	}

	e.settled = time.Time{}
	l.c.looked(t.Context(), middle) // its answer was long on the way
	if len(e.drift) != 1 {
		t.Errorf("an older look has replaced a younger one: %+v", e.drift)
	}
}

// Drift that waits for a rollout is looked at many times before it is put right. That is one
// correction: only what has come back as often as flapsFrom says flaps.
func TestDriftThatWaitsForARolloutCountsOnce(t *testing.T) {
	l := stoppedLoop(t)
	h, e := l.hosts.Host("h1"), l.c.hosts["h1"]
	for n := range flapsFrom {
		h.Systemctl("stop", "web.service")
		for range 5 {
			v := l.look()
			l.c.looked(t.Context(), v)
			if len(e.drift) != 1 {
				t.Fatalf("drift %d: %+v", n+1, e.drift)
			}
			if wait := l.c.flaps(t.Context(), e, v.Plan.Hosts[0], true); wait != 0 {
				t.Fatalf("drift %d, which nobody has put right yet, waits %s as if it flapped", n+1, wait)
			}
			if got := len(e.corrections["web "+e.drift[0].Subject]); got != n+1 {
				t.Fatalf("drift %d counts as %d corrections", n+1, got)
			}
		}
		h.Systemctl("start", "web.service")
		visitedOnce(l)
		if len(e.drift) > 0 {
			t.Fatalf("drift %d was put right and is still told: %+v", n+1, e.drift)
		}
		time.Sleep(time.Millisecond) // the next one is younger
	}
	h.Systemctl("stop", "web.service")
	v := l.look()
	l.c.looked(t.Context(), v)
	if wait := l.c.flaps(t.Context(), e, v.Plan.Hosts[0], true); wait <= 0 || e.drift[0].Class != DriftFlapping || e.drift[0].Corrected != flapsFrom {
		t.Errorf("what has come back %d times waits %s: %+v", flapsFrom, wait, e.drift)
	}
	if told := l.events(ReasonFlapping); len(told) != 1 {
		t.Errorf("it is told %d times that it flaps", len(told))
	}
	l.c.looked(t.Context(), l.look())
	if e.drift[0].Class != DriftFlapping {
		t.Errorf("a look has made of it: %+v", e.drift)
	}
}

// A host that cannot be watched is named, with what mends that, and polled: what a hand
// changes there is put right all the same.
func TestAHostThatCannotBeWatchedIsPolled(t *testing.T) {
	l := newLoop(t, 2, nil)
	l.hosts.Host("h2").HideBus()
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	s := l.eventually("in sync, and one of two is watched", func(s *Snapshot) bool {
		return reconciledAt("c1")(s) && s.Observed["h1"].Watched && s.HostConditions["h2"].Get(Watched).Reason == BlindReason
	})
	if c := s.HostConditions["h2"].Get(Watched); c.Status != False || !strings.Contains(c.Message, "systemd-stdio-bridge") || !strings.Contains(c.Message, "(install") || s.Observed["h2"].Watched {
		t.Errorf("it is told as %+v", c)
	}
	l.hosts.Host("h2").WriteFile("/etc/web/motd", "by hand\n", 0o644)
	l.eventually("put right", func(*Snapshot) bool {
		text, _ := l.hosts.Host("h2").ReadFile("/etc/web/motd")
		return text == "welcome\n"
	})
}
