package sshdriver

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// watchFixture is a server whose bus is a testBus, and a driver that watches it.
type watchFixture struct {
	*fixture
	bus    *testBus
	driver *Driver
	host   inventory.Host
}

func newWatchFixture(t *testing.T, server ...func(*testServer)) *watchFixture {
	w := &watchFixture{bus: newTestBus()}
	w.fixture = newFixture(t, server)
	w.server.handle(w.bus.serve)
	w.driver = newDriver(poolLine{w.pool}, hostPlaces)
	w.driver.pool = w.pool
	w.driver.watchTimes = watchTimes{first: 10 * time.Millisecond, longest: 50 * time.Millisecond, blind: time.Hour, blindly: time.Hour,
		stable: time.Second, setup: 5 * time.Second, stop: 200 * time.Millisecond, gather: 5 * time.Millisecond}
	to := w.server.target("web-1")
	w.host = inventory.Host{Name: to.Name, Address: to.Address, Port: to.Port, User: to.User}
	return w
}

// watch watches until the test ends.
func (w *watchFixture) watch(t *testing.T, q hostdriver.WatchQuery) (<-chan hostdriver.Signal, context.CancelFunc) {
	t.Helper()
	q.Owner = "test"
	ctx, cancel := context.WithCancel(context.Background())
	out, err := w.driver.Watch(ctx, w.host, q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); ended(t, out) })
	return out, cancel
}

func ended(t *testing.T, out <-chan hostdriver.Signal) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case _, open := <-out:
			if !open {
				return
			}
		case <-limit:
			t.Error("the watch does not end")
			return
		}
	}
}

func next(t *testing.T, out <-chan hostdriver.Signal, kind hostdriver.SignalKind) hostdriver.Signal {
	t.Helper()
	select {
	case s := <-out:
		if s.Kind != kind {
			t.Fatalf("signal %+v, want %s", s, kind)
		}
		return s
	case <-time.After(10 * time.Second):
		t.Fatalf("no signal, want %s", kind)
	}
	panic("unreachable")
}

func silent(t *testing.T, out <-chan hostdriver.Signal) {
	t.Helper()
	select {
	case s := <-out:
		t.Fatalf("signal %+v", s)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestWatchSignalsWhatSystemdSays(t *testing.T) {
	w := newWatchFixture(t)
	w.bus.noise = "Welcome!\nno newline\x00\x00"
	out, _ := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}, Units: []string{"a.service", "alias.service", "t@.service"}})
	if s := next(t, out, hostdriver.Watching); s.Host != "web-1" || s.Err != nil || len(s.Unwatched) > 0 {
		t.Fatalf("%+v", s)
	}
	say := func(state, text string) {
		w.bus.unit("a.service", map[string]any{"ActiveState": state, "StatusText": text})
	}
	say("active", "one")
	if s := next(t, out, hostdriver.Changed); !slices.Equal(s.Units, []string{"a.service"}) || s.Files || s.Reloaded {
		t.Errorf("%+v", s)
	}
	say("active", "two") // a service that tells how it is each second is not news
	say("active", "three")
	silent(t, out)
	say("failed", "four")
	next(t, out, hostdriver.Changed)
	w.bus.unit("real.service", map[string]any{"ActiveState": "failed"})
	if s := next(t, out, hostdriver.Changed); !slices.Equal(s.Units, []string{"alias.service"}) {
		t.Errorf("%+v", s)
	}
	w.bus.unit("other.service", map[string]any{"ActiveState": "failed"})
	silent(t, out)
	w.bus.path("active", "running")
	if s := next(t, out, hostdriver.Changed); !s.Files || len(s.Units) > 0 {
		t.Errorf("%+v", s)
	}
	time.Sleep(10 * time.Millisecond)
	w.bus.path("active", "waiting") // what was changed meanwhile was not seen by the host
	if s := next(t, out, hostdriver.Changed); !s.Files {
		t.Errorf("%+v", s)
	}
	w.bus.signal(systemdPath, systemdManager, "Reloading", true)
	silent(t, out)
	w.bus.signal(systemdPath, systemdManager, "Reloading", false)
	if s := next(t, out, hostdriver.Changed); !s.Reloaded {
		t.Errorf("%+v", s)
	}
	w.bus.signal(systemdPath, systemdManager, "UnitFilesChanged")
	if s := next(t, out, hostdriver.Changed); !s.Reloaded {
		t.Errorf("%+v", s)
	}
}

func TestWatchAsksForNoMoreThanItNeeds(t *testing.T) {
	w := newWatchFixture(t)
	out, cancel := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}, Units: []string{"a.service"}})
	next(t, out, hostdriver.Watching)
	cancel()
	ended(t, out)
	if rules := w.bus.called("AddMatch "); len(rules) != 4 {
		t.Errorf("rules: %q", rules)
	}
	path, _ := w.bus.pathUnit()
	if stopped := w.bus.called("StopUnit "); !slices.Equal(stopped, []string{path}) {
		t.Errorf("stopped %q, want %q", stopped, path)
	}
	var units []string
	for i := range maxUnitRules + 1 {
		units = append(units, fmt.Sprintf("u%d.service", i))
	}
	before := len(w.bus.called("AddMatch "))
	out, _ = w.watch(t, hostdriver.WatchQuery{Units: units})
	next(t, out, hostdriver.Watching)
	if rules := w.bus.called("AddMatch ")[before:]; len(rules) != 4 || !strings.Contains(rules[3], "path_namespace") {
		t.Errorf("rules: %q", rules)
	}
	w.bus.unit("u7.service", map[string]any{"ActiveState": "failed"})
	if s := next(t, out, hostdriver.Changed); !slices.Equal(s.Units, []string{"u7.service"}) {
		t.Errorf("%+v", s)
	}
}

func TestWatchTakesOverWhatItsOwnerHasLeft(t *testing.T) {
	w := newWatchFixture(t)
	w.bus.left = []string{"BASE-0badf00d.path", "BASE-0badf00d.scope", "evenkeel-watch-other-00000000-0badf00d.path", "ssh.service"}
	out, _ := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}})
	next(t, out, hostdriver.Watching)
	base := watchBase("test")
	if stopped := w.bus.called("StopUnit "); !slices.Equal(stopped, []string{base + "0badf00d.path", base + "0badf00d.scope"}) {
		t.Errorf("stopped %q", stopped)
	}
}

func TestWatchOfAnOlderSystemd(t *testing.T) {
	for _, method := range []string{"ListUnitsByNames", "ListUnitsByPatterns", "GetConnectionUnixProcessID"} {
		w := newWatchFixture(t)
		w.bus.refuses[method] = "Unknown method"
		out, _ := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}, Units: []string{"a.service"}})
		next(t, out, hostdriver.Watching)
		w.bus.unit("a.service", map[string]any{"ActiveState": "failed"})
		next(t, out, hostdriver.Changed)
	}
	w := newWatchFixture(t)
	w.bus.refuses["StartTransientUnit"] = "no transient units of that kind"
	out, _ := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}, Units: []string{"a.service"}})
	s := next(t, out, hostdriver.Watching)
	if !slices.Equal(s.Unwatched, []string{"/etc/a"}) || s.Err == nil {
		t.Errorf("%+v", s)
	}
	w.bus.unit("a.service", map[string]any{"ActiveState": "failed"})
	next(t, out, hostdriver.Changed)
}

func TestWatchOfFewerPathsWhereThereIsNoRoom(t *testing.T) {
	w := newWatchFixture(t)
	w.bus.rooms = 3
	q := hostdriver.WatchQuery{Paths: []string{"/a/1", "/b/1", "/c/1", "/d/1", "/e/1", "/f/1"}}
	out, _ := w.watch(t, q)
	s := next(t, out, hostdriver.Watching)
	if !slices.Equal(s.Unwatched, []string{"/d/1", "/e/1", "/f/1"}) || s.Err == nil {
		t.Errorf("%+v", s)
	}
	wantContains(t, s.Err.Error(), "max_user_instances")
	for _, stopped := range w.bus.called("StopUnit ") {
		if path, _ := w.bus.pathUnit(); stopped == path || strings.HasSuffix(stopped, ".scope") {
			t.Errorf("it has stopped its own %s", stopped)
		}
	}
}

func TestWatchOfPathsThatChangeWithoutEnd(t *testing.T) {
	w := newWatchFixture(t)
	w.driver.watchTimes.gather = time.Hour // only what stands is told
	out, _ := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/a/1", "/a/2", "/a/3"}})
	specs := func() string { return strings.Join(w.bus.called("StartTransientUnit "), " ") }
	for range 2 { // first the directory, then the files
		next(t, out, hostdriver.Watching)
		for range maxPathCycles + 1 {
			w.bus.path("active", "running")
			w.bus.path("active", "waiting")
		}
	}
	s := next(t, out, hostdriver.Watching)
	if len(s.Unwatched) != 3 || s.Err == nil {
		t.Errorf("%+v; %s", s, specs())
	}
}

func TestWatchTellsWhyAHostCannotBeWatched(t *testing.T) {
	cases := map[string]struct {
		handler   func(*testCommand) int
		kind      hostdriver.ErrorKind
		say, mend string
	}{
		"no bridge": {func(c *testCommand) int {
			_, _ = io.WriteString(c.stderr, "/bin/sh: 1: exec: systemd-stdio-bridge: not found\n")
			return 127
		}, hostdriver.Failed, "systemd-stdio-bridge", "systemd"},
		"no bus": {func(c *testCommand) int {
			_, _ = io.WriteString(c.stderr, "Failed to start bus client: No such file or directory\n")
			return 1
		}, hostdriver.Failed, "No such file", "dbus"},
		"no sudo": {func(c *testCommand) int {
			_, _ = io.WriteString(c.stderr, "sudo: a password is required\n")
			return 1
		}, hostdriver.Become, "password", "NOPASSWD"},
		"not let in":  {func(c *testCommand) int { _, _ = io.WriteString(c.stdout, "REJECTED EXTERNAL\r\n"); return 0 }, hostdriver.Failed, "let us in", ""},
		"noise alone": {func(c *testCommand) int { return endless(c, "noise\n") }, hostdriver.Failed, "relied on", ""},
		"no newline":  {func(c *testCommand) int { return endless(c, "\x00\xff") }, hostdriver.Failed, "relied on", ""},
		"no message": {func(c *testCommand) int {
			_, _ = fmt.Fprintf(c.stdout, "OK %032x\r\n", 1)
			return endless(c, "rubbish")
		}, hostdriver.Failed, "relied on", ""},
		"too large a message": {func(c *testCommand) int {
			_, _ = fmt.Fprintf(c.stdout, "OK %032x\r\n", 1)
			_, _ = io.WriteString(c.stdout, "l\x02\x01\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff")
			return endless(c, "x")
		}, hostdriver.Failed, "relied on", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWatchFixture(t)
			w.server.handle(func(c *testCommand) int {
				if !strings.Contains(c.line, "bridge") {
					return echoHandler(c)
				}
				return tc.handler(c)
			})
			out, cancel := w.watch(t, hostdriver.WatchQuery{})
			s := next(t, out, hostdriver.Blind)
			if hostdriver.KindOf(s.Err) != tc.kind {
				t.Errorf("kind %q: %v", hostdriver.KindOf(s.Err), s.Err)
			}
			wantContains(t, s.Err.Error(), "cannot ", "web-1", tc.say)
			wantContains(t, hostdriver.MendOf(s.Err), tc.mend)
			if res, err := w.conn(t).Exec(t.Context(), Command{Line: "still"}); err != nil || string(res.Stdout) != "still\n" {
				t.Errorf("a command beside it: %q, %v", res.Stdout, err)
			}
			cancel()
			ended(t, out)
		})
	}
}

func endless(c *testCommand, text string) int {
	for {
		if _, err := io.WriteString(c.stdout, strings.Repeat(text, 100)); err != nil {
			return 0
		}
	}
}

func TestWatchEndsWithAHostThatFloods(t *testing.T) {
	w := newWatchFixture(t)
	out, _ := w.watch(t, hostdriver.WatchQuery{Units: []string{"a.service"}})
	next(t, out, hostdriver.Watching)
	for i := range maxBusMessages + 1 {
		w.bus.unit("a.service", map[string]any{"ActiveState": fmt.Sprint(i)})
	}
	for {
		select {
		case s := <-out:
			if s.Kind == hostdriver.Changed {
				continue
			}
			if s.Kind != hostdriver.Blind || hostdriver.KindOf(s.Err) != hostdriver.Failed {
				t.Fatalf("%+v", s)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a flood without end is listened to")
		}
		break
	}
	if res, err := w.conn(t).Exec(t.Context(), Command{Line: "still"}); err != nil || string(res.Stdout) != "still\n" {
		t.Errorf("a command beside it: %q, %v", res.Stdout, err)
	}
}

func TestWatchKeepsTheLastSignalForWhoIsSlow(t *testing.T) {
	w := newWatchFixture(t)
	w.driver.watchTimes.gather = time.Nanosecond
	out, _ := w.watch(t, hostdriver.WatchQuery{Units: []string{"a.service", "z.service"}})
	w.bus.awaitBegan(t)
	for i := range 10 * signalRoom {
		w.bus.unit("a.service", map[string]any{"ActiveState": fmt.Sprint(i)})
	}
	w.bus.unit("z.service", map[string]any{"ActiveState": "failed"})
	time.Sleep(200 * time.Millisecond)
	var last hostdriver.Signal
	for len(out) > 0 {
		last = <-out
	}
	if !slices.Contains(last.Units, "z.service") {
		t.Errorf("the last signal is %+v", last)
	}
}

func TestWatchGathersWhatComesTogether(t *testing.T) {
	w := newWatchFixture(t)
	w.driver.watchTimes.gather = 100 * time.Millisecond
	out, _ := w.watch(t, hostdriver.WatchQuery{Units: []string{"a.service", "b.service", "c.service"}})
	next(t, out, hostdriver.Watching)
	time.Sleep(150 * time.Millisecond)
	for _, u := range []string{"b.service", "c.service", "a.service"} {
		w.bus.unit(u, map[string]any{"ActiveState": "failed"})
	}
	if s := next(t, out, hostdriver.Changed); !slices.Equal(s.Units, []string{"b.service"}) {
		t.Errorf("the first at once: %+v", s)
	}
	if s := next(t, out, hostdriver.Changed); !slices.Equal(s.Units, []string{"a.service", "c.service"}) {
		t.Errorf("the others together: %+v", s)
	}
	silent(t, out)
}

func TestWatchIsSetUpAgain(t *testing.T) {
	w := newWatchFixture(t)
	out, _ := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}})
	next(t, out, hostdriver.Watching)
	w.server.dropAll()
	if s := next(t, out, hostdriver.Lost); hostdriver.KindOf(s.Err) != hostdriver.Unreachable {
		t.Errorf("%+v", s)
	}
	next(t, out, hostdriver.Watching)
	w.bus.path("inactive", "dead") // somebody has stopped it
	s := next(t, out, hostdriver.Lost)
	wantContains(t, s.Err.Error(), "was stopped")
	next(t, out, hostdriver.Watching)
}

func TestWatchMovesToTheNewConnection(t *testing.T) {
	w := newWatchFixture(t)
	out, _ := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}})
	next(t, out, hostdriver.Watching)
	old := w.conn(t)
	if _, err := w.pool.Renew(t.Context(), TargetFor(w.host)); err != nil {
		t.Fatal(err)
	}
	next(t, out, hostdriver.Watching)
	select {
	case <-old.Done():
	case <-time.After(10 * time.Second):
		t.Error("the watch holds on to the old connection")
	}
}

func TestWatchLeavesCommandsTheirPlaces(t *testing.T) {
	w := newWatchFixture(t, func(s *testServer) { s.maxSessions = 1 })
	out, cancel := w.watch(t, hostdriver.WatchQuery{})
	s := next(t, out, hostdriver.Blind)
	wantContains(t, hostdriver.MendOf(s.Err), "MaxSessions")
	cancel()
	ended(t, out)
	if res, err := w.conn(t).Exec(t.Context(), Command{Line: "still"}); err != nil || string(res.Stdout) != "still\n" {
		t.Errorf("a command: %q, %v", res.Stdout, err)
	}
}

func TestWatchOfABridgeThatSaysNothing(t *testing.T) {
	w := newWatchFixture(t)
	w.driver.watchTimes.setup, w.driver.watchTimes.first = 100*time.Millisecond, time.Hour
	w.server.handle(func(c *testCommand) int { _, _ = io.Copy(io.Discard, c.stdin); return 0 })
	out, cancel := w.watch(t, hostdriver.WatchQuery{})
	next(t, out, hostdriver.Lost)
	cancel()
	ended(t, out)
}

func TestWatchEndsWithItsContextAtAnyTime(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond} {
		w := newWatchFixture(t)
		out, cancel := w.watch(t, hostdriver.WatchQuery{Paths: []string{"/etc/a"}})
		time.Sleep(after)
		cancel()
		start := time.Now()
		ended(t, out)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("after %s: it took %s", after, took)
		}
	}
}

func TestWatchEndsWithItsDriver(t *testing.T) {
	w := newWatchFixture(t)
	out, _ := w.watch(t, hostdriver.WatchQuery{})
	next(t, out, hostdriver.Watching)
	_ = w.driver.Close()
	ended(t, out)
}
