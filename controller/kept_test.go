package controller

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver/drivertest"
)

// running tells that the unit runs on a host.
func (l *loop) running(host string) func(*Snapshot) bool {
	return func(*Snapshot) bool { return l.unit(host, "web.service").Active == "active" }
}

// What a hand has stopped where the newest revision is held back is started again, as the
// host's own revision has it: on the host that went back, and on those that were not tried.
func TestStoppedUnitOfWhatIsHeldBackIsStarted(t *testing.T) {
	l := heldLoop(t)
	for _, host := range []string{"h1", "h2"} {
		l.hosts.Host(host).Systemctl("stop", "web.service")
		l.eventually(host+" runs again", l.running(host))
		if l.env(host) != "A=1\n" {
			t.Errorf("%s was brought %q", host, l.env(host))
		}
	}
	l.eventually("told", func(*Snapshot) bool { return len(l.events(ReasonCorrected)) == 2 })
	for i, e := range l.events(ReasonCorrected) {
		if want := "web.service: is not running, and revision c1, which the host has, wants it to"; !strings.HasSuffix(e.Message, want) || e.Service != "web" {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if n := len(l.events(ReasonDrift)); n != 2 {
		t.Errorf("drift was told %d times: %+v", n, l.events(ReasonDrift))
	}
	s := l.eventually("held, and no drift", func(s *Snapshot) bool {
		return s.Conditions.Get(Reconciled).Reason == "Held" && len(s.Drift) == 0 &&
			!slices.ContainsFunc(s.Report.Instances, func(i InstanceStatus) bool { return i.Health != Healthy })
	})
	for _, i := range s.Report.Instances {
		if i.Sync != OutOfSync {
			t.Errorf("%s is %s", i.Host, i.Sync)
		}
	}
	if n := len(l.events(ReasonHostReverted)); n != 1 {
		t.Errorf("the revision was tried %d times", n)
	}
	l.git.commit("c3", fleetFiles(2, "A=3\n"))
	l.eventually("mended", reconciledAt("c3"))
}

// What is suspended stays stopped; so does what would start with a file that a hand has
// changed, and that is said.
func TestStoppedUnitThatIsNotStarted(t *testing.T) {
	l := heldLoop(t)
	l.hosts.Host("h2").WriteFile("/etc/web/web.env", "A=7\n", 0o600)
	if _, err := l.c.Do(t.Context(), Action{Verb: VerbSuspend, Host: "h1", By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.hosts.Host("h1").Systemctl("stop", "web.service")
	l.hosts.Host("h2").Systemctl("stop", "web.service")
	l.eventually("told", func(s *Snapshot) bool {
		return len(s.Drift) == 1 && s.Drift[0].Host == "h2" && strings.HasSuffix(s.Drift[0].Reason, "it is not started, for /etc/web/web.env is not as revision c1 has it")
	})
	time.Sleep(500 * time.Millisecond)
	if l.running("h1")(nil) || l.running("h2")(nil) {
		t.Error("it was started")
	}
	if _, err := l.c.Do(t.Context(), Action{Verb: VerbUnsuspend, Host: "h1", By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("started once it is resumed", l.running("h1"))
}

// Where drift is only reported, it is not started.
func TestStoppedUnitIsReported(t *testing.T) {
	l := heldLoop(t)
	l.stop()
	l.opt.Drift.Report = true
	l.start()
	l.eventually("held", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Held" })
	l.hosts.Host("h1").Systemctl("stop", "web.service")
	l.eventually("reported", func(s *Snapshot) bool { return len(s.Drift) == 1 && s.Drift[0].Subject == "web.service" })
	time.Sleep(300 * time.Millisecond)
	if l.running("h1")(nil) {
		t.Error("it was started")
	}
}

// What does not come up again is tried ever more seldom, and disturbs nothing else.
func TestStoppedUnitThatDoesNotStart(t *testing.T) {
	l := heldLoop(t)
	before := l.c.Snapshot().Conditions.Get(Reconciled)
	var starts atomic.Int64
	l.hosts.Behave(func(s drivertest.Start) drivertest.Behaviour {
		starts.Add(1)
		return drivertest.Behaviour{Exits: true, Status: 1}
	})
	l.hosts.Host("h1").Systemctl("stop", "web.service")
	l.eventually("flapping", func(s *Snapshot) bool { return len(s.Drift) == 1 && s.Drift[0].Class == DriftFlapping })
	time.Sleep(time.Second)
	if n := starts.Load(); n > flapsFrom {
		t.Errorf("it was started %d times", n)
	}
	if c := l.c.Snapshot().Conditions.Get(Reconciled); c != before {
		t.Errorf("%+v, was %+v", c, before)
	}
}
