package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAHostIsDialledOnceForAllWhoAsk(t *testing.T) {
	f := newFixture(t, nil)
	var wg sync.WaitGroup
	conns := make([]*Conn, 50)
	for i := range conns {
		wg.Go(func() {
			c, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
			if err != nil {
				t.Error(err)
			}
			conns[i] = c
		})
	}
	wg.Wait()
	for _, c := range conns {
		if c != conns[0] {
			t.Fatal("two connections to one host")
		}
	}
	if n := f.server.accepted.Load(); n != 1 {
		t.Errorf("dialled %d times", n)
	}
	if conns[0].Host() != "web-1" || conns[0].User() != "deploy" {
		t.Errorf("connection is to %s as %s", conns[0].Host(), conns[0].User())
	}
}

func TestADeadConnectionIsMadeAgain(t *testing.T) {
	f := newFixture(t, nil)
	first := f.conn(t)
	time.Sleep(2 * f.pool.pauses.stable)
	f.server.dropAll()
	<-first.Done()
	if first.Err() == nil {
		t.Error("a dead connection has no cause")
	}
	if second := f.conn(t); second == first {
		t.Error("the dead connection was returned")
	}
}

func TestRenewMakesANewConnectionAndTakesNothingAway(t *testing.T) {
	f := newFixture(t, nil)
	first := f.conn(t)
	s, err := first.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.pool.Renew(t.Context(), f.server.target("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	if second == first || f.conn(t) != second {
		t.Error("the new connection is not the host's")
	}
	if first.Err() != nil {
		t.Errorf("a session was taken away: %v", first.Err())
	}
	_ = s.Close()
	select {
	case <-first.Done():
	case <-time.After(5 * time.Second):
		t.Error("the old connection did not end with its last session")
	}
	// One that nobody uses ends at once.
	if _, err := f.pool.Renew(t.Context(), f.server.target("web-1")); err != nil {
		t.Fatal(err)
	}
	<-second.Done()
}

func TestAHostThatHangsUpOnEveryoneIsNotDialledWithoutEnd(t *testing.T) {
	f := newFixture(t, nil)
	f.pool.pauses.stable = time.Hour
	f.pool.pauses.first = time.Hour
	f.pool.pauses.longest = time.Hour
	c := f.conn(t)
	f.server.dropAll()
	<-c.Done()
	_, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
	var paused *PausedError
	if !errors.As(err, &paused) || hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Fatalf("got %v", err)
	}
	if n := f.server.accepted.Load(); n != 1 {
		t.Errorf("dialled %d times", n)
	}
}

func TestFailuresPauseLongerAndLonger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	f := newFixture(t, nil)
	target := Target{Name: "web-9", Address: "127.0.0.1", Port: port}
	dials, since := 0, time.Now()
	for time.Since(since) < 700*time.Millisecond {
		_, err := f.pool.Conn(t.Context(), target)
		if hostdriver.KindOf(err) != hostdriver.Unreachable {
			t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
		}
		var paused *PausedError
		if !errors.As(err, &paused) {
			dials++
			wantContains(t, hostdriver.MendOf(err), fmt.Sprint(port), "sshd runs")
		}
		time.Sleep(5 * time.Millisecond)
	}
	// Pauses of about 50, 100, 200 and 400 ms: four or five dials.
	if dials < 3 || dials > 6 {
		t.Errorf("%d dials in 700 ms", dials)
	}
}

func TestConnectIsForWhoAsksNext(t *testing.T) {
	f := newFixture(t, nil)
	f.pool.Connect(f.server.target("web-1"))
	f.conn(t)
	f.pool.Connect(f.server.target("web-1"))
	if n := f.server.accepted.Load(); n != 1 {
		t.Errorf("dialled %d times", n)
	}
}

// Who asks first hears of a failure as if they had dialled, and not that it was tried before.
func TestConnectsFailureIsToldOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Name: "web-9", Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
	_ = l.Close()
	f := newFixture(t, nil)
	f.pool.pauses.first, f.pool.pauses.longest = time.Hour, time.Hour
	f.pool.Connect(target)
	for failed := false; !failed; time.Sleep(time.Millisecond) {
		f.pool.mu.Lock()
		for _, e := range f.pool.entries {
			failed = failed || e.failed != nil
		}
		f.pool.mu.Unlock()
	}
	f.pool.Connect(target)
	var paused *PausedError
	if _, err := f.pool.Conn(t.Context(), target); errors.As(err, &paused) || hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("the first who asks is told: %v", err)
	}
	if _, err := f.pool.Conn(t.Context(), target); !errors.As(err, &paused) {
		t.Errorf("the second who asks is told: %v", err)
	}
}

// Nobody is told what a host said long ago: once it may be dialled again, it is.
func TestConnectsOldFailureIsForgotten(t *testing.T) {
	f := newFixture(t, nil)
	p := f.pool
	e := &entry{untold: true, failed: &hostdriver.Error{Kind: hostdriver.Unreachable, Err: errors.New("long ago")}, next: time.Now().Add(-time.Second)}
	l, err := p.resolve(f.server.target("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	e.login = l
	p.mu.Lock()
	p.entries[l.key()] = e
	p.mu.Unlock()
	f.conn(t)
}

func TestARefusedLoginIsNotTriedAgain(t *testing.T) {
	f := newFixture(t, nil)
	other, _ := newIdentity(t, "")
	pool := newPool(t, func(o *Options) { o.IdentityFiles, o.KnownHosts = []string{other}, []string{f.known} })
	for range 5 {
		_, err := pool.Conn(t.Context(), f.server.target("web-1"))
		if hostdriver.KindOf(err) != hostdriver.Unauthorized {
			t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := f.server.accepted.Load(); n != 1 {
		t.Fatalf("dialled %d times", n)
	}
	pool.Reset("web-1")
	if _, err := pool.Conn(t.Context(), f.server.target("web-1")); err == nil {
		t.Fatal("logged in with the wrong key")
	}
	if n := f.server.accepted.Load(); n != 2 {
		t.Fatalf("after Reset: dialled %d times", n)
	}
	// A key that a person puts in place is noticed without Reset.
	good, err := os.ReadFile(f.identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(other, time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Conn(t.Context(), f.server.target("web-1")); err != nil {
		t.Fatal(err)
	}
}

func TestACallersContextDoesNotEndTheDialForOthers(t *testing.T) {
	f := newFixture(t, nil)
	hole := startBlackhole(t, f.server.listener.Addr().String())
	known := writeFile(t, "known_hosts", strings.Replace(f.server.knownLine(), fmt.Sprint(f.server.port()), fmt.Sprint(hole.port()), 1)+"\n")
	pool := newPool(t, func(o *Options) { o.IdentityFiles, o.KnownHosts = []string{f.identity}, []string{known} })
	target := Target{Name: "web-1", Address: "127.0.0.1", Port: hole.port(), User: "deploy"}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool.Conn(gone, target); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	brief, cancel := context.WithTimeout(t.Context(), time.Microsecond)
	defer cancel()
	_, _ = pool.Conn(brief, target)
	if _, err := pool.Conn(t.Context(), target); err != nil {
		t.Fatal(err)
	}
}

func TestAHandshakeThatHangsEndsInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	f := newFixture(t, nil, func(o *Options) { o.ConnectTimeout = 200 * time.Millisecond })
	start := time.Now()
	_, err = f.pool.Conn(t.Context(), Target{Name: "web-1", Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port})
	if hostdriver.KindOf(err) != hostdriver.Unreachable || time.Since(start) > 2*time.Second {
		t.Fatalf("after %s: %v", time.Since(start), err)
	}
	wantContains(t, err.Error(), "cannot connect to web-1", "no login within 200ms")
	wantContains(t, hostdriver.MendOf(err), "MaxStartups")
}

func TestDialsAtOnceAreBounded(t *testing.T) {
	const limit, hosts = 3, 12
	f := newFixture(t, nil, func(o *Options) { o.Concurrency = limit })
	var known strings.Builder
	var targets []Target
	for i := range hosts {
		s := startServer(t)
		s.mu.Lock()
		s.authorized = f.server.authorized
		s.mu.Unlock()
		known.WriteString(s.knownLine() + "\n")
		targets = append(targets, s.target(fmt.Sprintf("web-%d", i)))
	}
	if err := os.WriteFile(f.known, []byte(known.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	peak := 0
	var mu sync.Mutex
	stop := make(chan struct{})
	var watch, dials sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				mu.Lock()
				peak = max(peak, len(f.pool.slots))
				mu.Unlock()
			}
		}
	})
	for _, target := range targets {
		dials.Go(func() {
			if _, err := f.pool.Conn(t.Context(), target); err != nil {
				t.Error(err)
			}
		})
	}
	dials.Wait()
	close(stop)
	watch.Wait()
	if peak > limit || peak == 0 {
		t.Errorf("%d dials at once, limit %d", peak, limit)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	f := newFixture(t, nil)
	c := f.conn(t)
	f.server.handle(func(c *testCommand) int { _, _ = c.stdin.Read(make([]byte, 1)); _ = c.conn.Wait(); return 0 })
	result := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), Command{Line: "sleep"})
		result <- err
	}()
	time.Sleep(50 * time.Millisecond)
	if err := f.pool.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; hostdriver.KindOf(err) != hostdriver.Unknown {
		t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	if _, err := f.pool.Conn(t.Context(), f.server.target("web-1")); !errors.Is(err, errPoolClosed) {
		t.Errorf("got %v", err)
	}
}

func TestNamesThatCannotBeResolvedSayWhereToMend(t *testing.T) {
	f := newFixture(t, nil)
	_, err := f.pool.Conn(t.Context(), Target{Name: "no-such-host.invalid"})
	if hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Fatalf("kind %q: %v", hostdriver.KindOf(err), err)
	}
	_, err = NewPool(Options{ConfigFile: filepath.Join(t.TempDir(), "none-such")})
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing ssh_config that was asked for: %v", err)
	}
}
