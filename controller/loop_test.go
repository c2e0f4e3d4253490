package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/controller/store/memstore"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/drivertest"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// A push becomes the state of the fleet, and the next one as well.
func TestPush(t *testing.T) {
	l := newLoop(t, 3, nil)
	l.git.commit("c1", fleetFiles(3, "A=1\n"))
	l.start()
	l.eventually("the first revision", reconciledAt("c1"))
	l.git.commit("c2", fleetFiles(3, "A=2\n"))
	l.c.Poke("webhook")
	s := l.eventually("the second revision", reconciledAt("c2"))
	for _, h := range []string{"h1", "h2", "h3"} {
		if l.env(h) != "A=2\n" {
			t.Errorf("%s has %q", h, l.env(h))
		}
	}
	for _, i := range s.Instances {
		if i.Sync != Synced || i.Health != Healthy {
			t.Errorf("%+v", i)
		}
	}
	if c := s.ServiceConditions["web"].Get(HealthyType); c.Status != True {
		t.Errorf("%+v", c)
	}
	if n := len(l.events(ReasonRolloutEnded)); n < 2 {
		t.Errorf("%d rollouts ended", n)
	}
	revs, err := l.c.Revisions(context.Background(), 0)
	if err != nil || len(revs) != 2 || revs[0].Revision != "c2" || revs[0].Signer != "ops" {
		t.Errorf("revisions %+v, %v", revs, err)
	}
}

// What a hand changes is seen by the watch and put right at once, without a restart.
func TestDriftIsCorrected(t *testing.T) {
	l := newLoop(t, 2, func(o *Options) { o.PollHosts = time.Hour })
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync and watched", func(s *Snapshot) bool {
		return reconciledAt("c1")(s) && s.Observed["h1"].Watched && s.Observed["h2"].Watched
	})
	h := l.hosts.Host("h2")
	pid := l.unit("h2", "web.service").MainPID
	h.WriteFile("/etc/web/web.env", "A=1\nB=by hand\n", 0o600)
	l.eventually("corrected", func(*Snapshot) bool { return l.env("h2") == "A=1\n" })
	l.eventually("in sync again", func(s *Snapshot) bool { return len(s.Drift) == 0 && len(l.events(ReasonCorrected)) == 1 })
	if now := l.unit("h2", "web.service").MainPID; now != pid {
		t.Errorf("the process was restarted: %d, %d", pid, now)
	}
	if e := l.events(ReasonDrift); len(e) != 1 || e[0].Host != "h2" || e[0].Service != "web" {
		t.Errorf("events %+v", e)
	}
	h.Systemctl("stop", "web.service")
	l.eventually("started again", func(*Snapshot) bool { return l.unit("h2", "web.service").Active == "active" })
}

// With drift: report nothing on a host is changed, and a push still is rolled out.
func TestDriftIsReported(t *testing.T) {
	l := newLoop(t, 1, nil)
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.stop()
	l.opt.Drift.Report = true
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.hosts.Host("h1").WriteFile("/etc/web/motd", "by hand\n", 0o644)
	l.eventually("reported", func(s *Snapshot) bool { return len(s.Drift) == 1 && s.Drift[0].Class == DriftCorrective })
	time.Sleep(300 * time.Millisecond)
	if text, _ := l.hosts.Host("h1").ReadFile("/etc/web/motd"); text != "by hand\n" {
		t.Errorf("it was changed: %q", text)
	}
	l.git.commit("c2", fleetFiles(1, "A=2\n"))
	l.eventually("rolled out", func(s *Snapshot) bool { return l.env("h1") == "A=2\n" })
}

// Drift that comes back again and again is corrected more and more seldom, and told.
func TestDriftFlaps(t *testing.T) {
	l := newLoop(t, 1, nil)
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	h := l.hosts.Host("h1")
	for range flapsFrom {
		h.WriteFile("/etc/web/motd", "by hand\n", 0o644)
		l.eventually("corrected", func(*Snapshot) bool { text, _ := h.ReadFile("/etc/web/motd"); return text == "welcome\n" })
	}
	h.WriteFile("/etc/web/motd", "by hand\n", 0o644)
	l.eventually("flapping", func(s *Snapshot) bool {
		return len(s.Drift) == 1 && s.Drift[0].Class == DriftFlapping && s.Drift[0].Next.After(time.Now())
	})
	l.eventually("told", func(*Snapshot) bool { return len(l.events(ReasonFlapping)) == 1 })
}

// A host that is away does not keep the others from being rolled; back again it is
// brought to what is desired without anybody's word.
func TestHostAwayAndBack(t *testing.T) {
	l := newLoop(t, 3, nil)
	l.hosts.Host("h3").Cut()
	l.git.commit("c1", fleetFiles(3, "A=1\n"))
	l.start()
	l.eventually("two of three", func(s *Snapshot) bool {
		return l.env("h1") == "A=1\n" && l.env("h2") == "A=1\n" && s.HostConditions["h3"].Get(Reachable).Status == False
	})
	l.hosts.Host("h3").Heal()
	l.eventually("all", reconciledAt("c1"))
	if l.env("h3") != "A=1\n" || len(l.events(ReasonHostBack)) != 1 {
		t.Errorf("h3 has %q; %+v", l.env("h3"), l.events(ReasonHostBack))
	}
}

// Commits that may not become the revision leave the last good one in force.
func TestRefusedRevisions(t *testing.T) {
	l := newLoop(t, 1, nil)
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))

	l.git.set(func() { l.git.unsigned["c2"] = true })
	l.git.commit("c2", fleetFiles(1, "A=unsigned\n"))
	s := l.eventually("refused", func(s *Snapshot) bool { return s.Conditions.Get(SourceReady).Reason == "BadSignature" })
	if s.Source.Revision != "c1" || s.Source.Tip != "c2" || s.Source.Refused != "c2" || s.Source.Mend == "" {
		t.Errorf("%+v", s.Source)
	}

	bad := fleetFiles(1, "A=bad\n")
	bad["fleet.yaml"] = &fstest.MapFile{Data: []byte("kind: Fleet\n")}
	l.git.commit("c3", bad)
	l.eventually("refused", func(s *Snapshot) bool { return s.Conditions.Get(SourceReady).Reason == "Invalid" })

	l.git.commit("rewritten-1", fleetFiles(1, "A=rewritten\n"))
	l.git.set(func() { l.git.parent["rewritten-1"] = "" })
	l.eventually("refused", func(s *Snapshot) bool { return s.Conditions.Get(SourceReady).Reason == "NotADescendant" })
	if l.env("h1") != "A=1\n" {
		t.Errorf("it was rolled out: %q", l.env("h1"))
	}
	if _, err := l.c.Do(context.Background(), Action{Verb: VerbAccept, Revision: "rewritten-1", By: "alice", Reason: "history was cleaned"}); err != nil {
		t.Fatal(err)
	}
	if s := l.eventually("accepted", reconciledAt("rewritten-1")); s.Source.Refused != "" {
		t.Errorf("%s is refused still", s.Source.Refused)
	}
	revs, _ := l.c.Revisions(context.Background(), 1)
	if len(revs) != 1 || revs[0].Overridden != "alice" {
		t.Errorf("%+v", revs)
	}
}

// Git that does not answer changes nothing; what was desired stays so over a restart.
func TestGitDown(t *testing.T) {
	l := newLoop(t, 1, nil)
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.git.set(func() { l.git.down = errors.New("connection refused") })
	s := l.eventually("told", func(s *Snapshot) bool { return s.Conditions.Get(SourceReady).Reason == "FetchFailed" })
	if s.Source.Refused != "" {
		t.Errorf("what was not fetched is refused: %+v", s.Source)
	}
	l.stop()
	l.hosts.Host("h1").WriteFile("/etc/web/motd", "by hand\n", 0o644)
	l.start()
	l.eventually("corrected by what was desired", func(*Snapshot) bool {
		text, _ := l.hosts.Host("h1").ReadFile("/etc/web/motd")
		return text == "welcome\n"
	})
	l.git.set(func() { l.git.down = nil })
	l.eventually("git is back", func(s *Snapshot) bool { return s.Conditions.Get(SourceReady).Status == True })
}

// A revision that fails is taken back, and not tried again until git moves.
func TestFailedRevisionIsNotTriedAgain(t *testing.T) {
	l := heldLoop(t)
	time.Sleep(300 * time.Millisecond)
	if n := len(l.events(ReasonHostReverted)); n != 1 {
		t.Errorf("%d reverts", n)
	}
	if l.env("h1") != "A=1\n" || l.env("h2") != "A=1\n" {
		t.Errorf("h1 %q h2 %q", l.env("h1"), l.env("h2"))
	}
	l.git.commit("c3", fleetFiles(2, "A=3\n"))
	l.eventually("mended", reconciledAt("c3"))
}

// From when somebody asked for a look until all of it is answered, no rollout that has
// ended is what came of it.
func TestReconcileIsAnswered(t *testing.T) {
	l := newLoop(t, 2, nil)
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	for i, c := range []string{"c2", "c2", "c3"} {
		if i != 1 {
			l.git.commit(c, fleetFiles(2, "A="+c+"\n"))
		}
		if _, err := l.c.Do(context.Background(), Action{Verb: VerbReconcile, By: "alice"}); err != nil {
			t.Fatal(err)
		}
		if s := l.c.Snapshot(); !s.Asked && i != 1 { // there, it may be answered by now
			t.Errorf("%s: it is not told that somebody asked", c)
		}
		s := l.eventually("answered", func(s *Snapshot) bool { return !s.Asked })
		if s.Revision != c || s.Rollout == nil || s.Rollout.Ended.IsZero() || s.Rollout.State.Revision != c || l.env("h2") != "A="+c+"\n" {
			t.Errorf("%s: answered at revision %s, with rollout %+v and %q", c, s.Revision, s.Rollout, l.env("h2"))
		}
	}
}

// What an operator suspends is not touched, also over a restart, until it is resumed.
func TestSuspend(t *testing.T) {
	l := newLoop(t, 2, nil)
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	ctx := context.Background()
	if _, err := l.c.Do(ctx, Action{Verb: VerbSuspend, Host: "h9", By: "alice"}); !errors.Is(err, ErrUnknownObject) {
		t.Errorf("an unknown host: %v", err)
	}
	if _, err := l.c.Do(ctx, Action{Verb: VerbSuspend, Host: "h1", By: "alice", Reason: "disk is being changed"}); err != nil {
		t.Fatal(err)
	}
	l.stop()
	l.start()
	l.git.commit("c2", fleetFiles(2, "A=2\n"))
	s := l.eventually("the other is rolled", func(s *Snapshot) bool { return l.env("h2") == "A=2\n" && s.Hosts[0].Reachable })
	if s.Hosts[0].Name != "h1" || !s.Hosts[0].Suspended || l.env("h1") != "A=1\n" {
		t.Errorf("%+v, %q", s.Hosts[0], l.env("h1"))
	}
	if _, err := l.c.Do(ctx, Action{Verb: VerbUnsuspend, Host: "h1", By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("all", reconciledAt("c2"))
	if e := l.events(ReasonOperator); len(e) != 3 || e[1].By != "alice" || !strings.Contains(e[1].Message, "disk is being changed") {
		t.Errorf("%+v", e)
	}
}

// A pause holds for rollouts to come, and over a restart.
func TestPause(t *testing.T) {
	l := newLoop(t, 2, nil)
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	ctx := context.Background()
	if _, err := l.c.Do(ctx, Action{Verb: VerbPause, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.git.commit("c2", fleetFiles(2, "A=2\n"))
	l.eventually("it waits", func(s *Snapshot) bool {
		return s.Rollout != nil && s.Rollout.State.Revision == "c2" && s.Rollout.State.Paused != nil
	})
	l.stop()
	l.start()
	l.eventually("it waits", func(s *Snapshot) bool {
		return s.Rollout != nil && s.Rollout.Ended.IsZero() && s.Rollout.State.Paused != nil
	})
	if l.env("h1") != "A=1\n" {
		t.Errorf("it was rolled: %q", l.env("h1"))
	}
	if _, err := l.c.Do(ctx, Action{Verb: VerbResume, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("resumed", reconciledAt("c2"))
}

// A store that is an old copy freezes the controller until somebody decides.
func TestOldStore(t *testing.T) {
	l := newLoop(t, 1, nil)
	for n := range 3 {
		id := fmt.Sprintf("c%d", n+1)
		l.git.commit(id, fleetFiles(1, "A="+id+"\n"))
		l.start()
		l.eventually("in sync", reconciledAt(id))
		l.stop()
	}
	l.opt.Store = &memstore.Store{}
	l.git.commit("c9", fleetFiles(1, "A=9\n"))
	l.start()
	s := l.eventually("frozen", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Frozen" })
	if !strings.Contains(s.Conditions.Get(Reconciled).Message, "take-over") || l.env("h1") == "A=9\n" {
		t.Errorf("%+v", s.Conditions.Get(Reconciled))
	}
	if _, err := l.c.Do(context.Background(), Action{Verb: VerbTakeOver, By: "alice"}); err != nil {
		t.Fatal(err)
	}
	l.eventually("taken over", reconciledAt("c9"))
}

// rude is a driver that panics at some hosts.
type rude struct {
	hostdriver.Driver
	looks atomic.Pointer[string] // the host at which it does
	acts  atomic.Int32           // at which change of h2 it does, counted down
}

func (r *rude) Observe(ctx context.Context, h inventory.Host, q hostdriver.Query) (hostdriver.Observation, error) {
	if at := r.looks.Load(); at != nil && *at == h.Name {
		panic("a bug in reading " + h.Name)
	}
	return r.Driver.Observe(ctx, h, q)
}

func (r *rude) Apply(ctx context.Context, h inventory.Host, f hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	if h.Name == "h2" && r.acts.Add(-1) == 0 {
		panic(fmt.Errorf("a bug in changing %s", h.Name))
	}
	return r.Driver.Apply(ctx, h, f, op)
}

// A panic at one host is that host's alone: it is named, others go on, and it is tried
// again.
func TestPanicAtOneHost(t *testing.T) {
	var r *rude
	l := newLoop(t, 3, func(o *Options) {
		r = &rude{Driver: o.Driver}
		o.Driver, o.Watcher, o.Log = r, nil, zerolog.Nop()
	})
	l.git.commit("c1", fleetFiles(3, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	h2 := "h2"
	r.looks.Store(&h2)
	files := fleetFiles(3, "A=1\n")
	files["services/web/motd"].Data = []byte("goodbye\n")
	l.git.commit("c2", files)
	motd := func(host string) string { text, _ := l.hosts.Host(host).ReadFile("/etc/web/motd"); return text }
	l.eventually("the others go on", func(*Snapshot) bool { return motd("h1") == "goodbye\n" && motd("h3") == "goodbye\n" })
	s := l.eventually("it is named", func(s *Snapshot) bool { return s.HostConditions["h2"].Get(Reachable).Status == False })
	if m := s.HostConditions["h2"].Get(Reachable).Message; !strings.Contains(m, "evenkeel met a fault of its own: a bug in reading h2") {
		t.Error(m)
	}
	r.looks.Store(nil)
	l.eventually("it is brought, too", reconciledAt("c2"))

	// At each of a rollout's operations, those that are done ahead among them.
	for n := int32(1); n <= 5; n++ {
		r.acts.Store(n)
		id := fmt.Sprintf("c3-%d", n)
		l.git.commit(id, fleetFiles(3, fmt.Sprintf("A=3-%d\n", n)))
		l.eventually("rolled in spite of a panic", reconciledAt(id))
		if r.acts.Load() > 0 {
			t.Errorf("nothing panicked at operation %d", n)
		}
		// The rollout itself goes on: who prepared the host in vain is not missed.
		if all := l.events(ReasonRolloutEnded); !strings.Contains(all[len(all)-1].Message, "converged") {
			t.Errorf("operation %d: %s", n, all[len(all)-1].Message)
		}
	}
}

// A store that cannot be read: hosts are looked at and shown, and nothing is changed,
// whatever an operator says, until it can be.
func TestStoreThatCannotBeRead(t *testing.T) {
	l := newLoop(t, 1, func(o *Options) { o.ReadOnly = "store /var/lib/evenkeel/evenkeel.db: the file is damaged" })
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("frozen, and looked at", func(s *Snapshot) bool {
		c := s.Conditions.Get(Reconciled)
		return c.Reason == "Frozen" && strings.Contains(c.Message, "is damaged") && s.Plan != nil && len(s.Plan.Visits) > 0
	})
	for _, v := range []Verb{VerbTakeOver, VerbReconcile, VerbRetry} {
		_, err := l.c.Do(context.Background(), Action{Verb: v, Reason: "x", By: "alice"})
		if v == VerbTakeOver && (err == nil || !strings.Contains(err.Error(), "is damaged")) {
			t.Errorf("%s: %v", v, err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	if env := l.env("h1"); env != "" || l.unit("h1", "web.service").Active == "active" {
		t.Errorf("the host was changed: %q", env)
	}
	l.stop()
	l.opt.ReadOnly = ""
	l.start()
	l.eventually("once it can be read", reconciledAt("c1"))
}

// Where the store of a fleet that it has kept cannot be read, the hosts know of later epochs,
// too. What is told is the store, with its mend: a take-over would not help.
func TestStoreThatCannotBeReadAnyMore(t *testing.T) {
	l := newLoop(t, 1, nil)
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.stop()
	l.opt.Store, l.opt.ReadOnly = &memstore.Store{}, "store /var/lib/evenkeel/evenkeel.db: the file is damaged (restore a backup)"
	l.git.commit("c2", fleetFiles(1, "A=2\n"))
	l.start()
	frozen := func(s *Snapshot) bool {
		c := s.Conditions.Get(Reconciled)
		return c.Reason == FrozenReason && c.Message == l.opt.ReadOnly
	}
	l.eventually("looked at", func(s *Snapshot) bool { return frozen(s) && s.Plan != nil && len(s.Plan.Visits) > 0 })
	for range 3 {
		l.c.queue.Add(fleetKey)
		time.Sleep(50 * time.Millisecond)
		if s := l.c.Snapshot(); !frozen(s) {
			t.Fatalf("it is told as %+v", s.Conditions.Get(Reconciled))
		}
	}
	if env := l.env("h1"); env != "A=1\n" {
		t.Errorf("the host was changed: %q", env)
	}
}

// Drift that is to be left alone is left, by path and by key, unless something else of
// the service changes as well; what is not ours is shown, and never touched.
func TestDriftIsIgnored(t *testing.T) {
	l := newLoop(t, 1, func(o *Options) {
		o.Drift.Ignore = []rollout.Ignore{{Path: "/etc/web/mot?"}, {Service: "w*", Key: "DEBUG"}}
	})
	l.git.commit("c1", fleetFiles(1, "A=1\nDEBUG=no\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	h := l.hosts.Host("h1")
	motd := func() string { text, _ := h.ReadFile("/etc/web/motd"); return text }
	h.WriteFile("/etc/web/motd", "edited\n", 0o644)
	h.WriteFile("/etc/web/web.env", "A=1\nDEBUG=yes\n", 0o644)
	time.Sleep(500 * time.Millisecond)
	if motd() != "edited\n" || l.env("h1") != "A=1\nDEBUG=yes\n" || len(l.c.Snapshot().Drift) != 0 {
		t.Errorf("%q %q %+v", motd(), l.env("h1"), l.c.Snapshot().Drift)
	}
	h.WriteFile("/etc/web/web.env", "A=2\nDEBUG=yes\n", 0o644) // another key, too
	l.eventually("put right", func(*Snapshot) bool { return l.env("h1") == "A=1\nDEBUG=no\n" })

	const dropIn = "/etc/systemd/system/web.service.d/somebodys.conf"
	h.WriteFile(dropIn, "[Service]\nNice=5\n", 0o644)
	h.Systemctl("daemon-reload")
	l.eventually("shown", func(s *Snapshot) bool {
		return slices.ContainsFunc(s.Drift, func(d Drift) bool { return d.Class == DriftForeign && d.Subject == dropIn })
	})
	if text, ok := h.ReadFile(dropIn); !ok || text != "[Service]\nNice=5\n" {
		t.Errorf("somebody's drop-in was touched: %q", text)
	}
}

// turns holds the looks at one host up while it is armed, and counts those at all others.
type turns struct {
	*drivertest.Fake
	slow  string
	armed atomic.Bool
	seen  atomic.Int64
	hold  chan struct{}
}

func (d *turns) Observe(ctx context.Context, host inventory.Host, q hostdriver.Query) (hostdriver.Observation, error) {
	if d.armed.Load() && !q.Light {
		if host.Name == d.slow {
			select {
			case <-d.hold:
			case <-ctx.Done():
				return hostdriver.Observation{}, ctx.Err()
			}
		} else {
			defer d.seen.Add(1)
		}
	}
	return d.Fake.Observe(ctx, host, q)
}

// Drift that is seen while a pass over the fleet is under way, and after that pass has
// looked at the host, is put right when the pass is over, although it rolled nothing.
func TestDriftBesideAPass(t *testing.T) {
	d := &turns{slow: "h2", hold: make(chan struct{})}
	l := newLoop(t, 2, func(o *Options) { o.PollHosts = time.Hour })
	d.Fake = l.hosts
	l.opt.Driver = d
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync and watched", func(s *Snapshot) bool {
		return reconciledAt("c1")(s) && s.Observed["h1"].Watched && s.Observed["h2"].Watched
	})
	d.armed.Store(true)
	l.c.queue.Add(fleetKey)
	l.eventually("the pass has looked at h1", func(*Snapshot) bool { return d.seen.Load() > 0 })
	l.hosts.Host("h1").WriteFile("/etc/web/web.env", "A=9\n", 0o600)
	l.eventually("the drift is seen", func(s *Snapshot) bool { return len(s.Drift) > 0 })
	time.Sleep(20 * time.Millisecond)
	close(d.hold)
	l.eventually("the drift is corrected", func(*Snapshot) bool { return l.env("h1") == "A=1\n" })
}
