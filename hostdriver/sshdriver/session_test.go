package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// A half-open connection must hang no caller, and be found out by the keepalive.
func TestHalfOpenConnection(t *testing.T) {
	f := newFixture(t, nil)
	hole := startBlackhole(t, f.server.listener.Addr().String())
	known := writeFile(t, "known_hosts", strings.Replace(f.server.knownLine(), fmt.Sprint(f.server.port()), fmt.Sprint(hole.port()), 1)+"\n")
	pool := newPool(t, func(o *Options) {
		o.IdentityFiles, o.KnownHosts, o.KeepaliveInterval = []string{f.identity}, []string{known}, 150*time.Millisecond
	})
	c, err := pool.Conn(t.Context(), Target{Name: "web-1", Address: "127.0.0.1", Port: hole.port(), User: "deploy"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan struct{})
	f.server.handle(func(c *testCommand) int {
		if c.line == "waiting" {
			close(waiting)
			_ = c.conn.Wait()
		}
		return echoHandler(c)
	})
	unbounded := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), Command{Line: "waiting"})
		unbounded <- err
	}()
	<-waiting
	session, err := c.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	hole.swallow()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := c.Exec(ctx, Command{Line: "x"}); hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("exec: kind %q: %v", hostdriver.KindOf(err), err)
	}
	if _, err := c.Start(ctx, "x"); hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("start: kind %q: %v", hostdriver.KindOf(err), err)
	}
	if _, err := c.Dial(ctx, "tcp", "127.0.0.1:1"); hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("dial: kind %q: %v", hostdriver.KindOf(err), err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("callers were held for %s", took)
	}
	select {
	case err := <-unbounded:
		if hostdriver.KindOf(err) != hostdriver.Unknown || !errors.Is(err, errSilent) {
			t.Errorf("waiting: kind %q: %v", hostdriver.KindOf(err), err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the keepalive did not end the connection")
	}
	if rest, err := io.ReadAll(session); err == nil {
		t.Errorf("the session's reader took %q for all there is", rest)
	}
	_ = session.Close()
}

func TestABusyHostIsNotTakenForADeadOne(t *testing.T) {
	f := newFixture(t, nil, func(o *Options) { o.KeepaliveInterval = 20 * time.Millisecond })
	c := f.conn(t)
	f.server.handle(func(c *testCommand) int { time.Sleep(300 * time.Millisecond); return 0 })
	if _, err := c.Exec(t.Context(), Command{Line: "slow"}); err != nil {
		t.Error(err)
	}
	if c.Err() != nil {
		t.Errorf("connection ended: %v", c.Err())
	}
}

func TestSessionsStreamBothWays(t *testing.T) {
	f := newFixture(t, nil)
	c := f.conn(t)
	f.server.handle(func(c *testCommand) int {
		_, _ = io.WriteString(c.stderr, "ready")
		_, _ = io.Copy(c.stdout, c.stdin)
		return 5
	})
	s, err := c.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	for _, word := range []string{"first", "again"} {
		if _, err := io.WriteString(s, word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil || string(buf) != word {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	_ = s.CloseWrite()
	if rest, err := io.ReadAll(s); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
	for range 2 { // asked twice, told twice
		res, err := s.Wait(t.Context())
		if err != nil || res.Exit != 5 || string(res.Stderr) != "ready" {
			t.Errorf("exit %d, %q, %v", res.Exit, res.Stderr, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("wrote to a closed session")
	}
}

func TestClosingASessionFreesItsReader(t *testing.T) {
	f := newFixture(t, nil)
	f.server.handle(func(c *testCommand) int { _ = c.conn.Wait(); return 0 })
	s, err := f.conn(t).Start(t.Context(), "silent")
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() { _, err := s.Read(make([]byte, 1)); read <- err }()
	_ = s.Close()
	select {
	case err := <-read:
		if err == nil {
			t.Error("read something")
		}
	case <-time.After(time.Second):
		t.Fatal("the reader still waits")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Wait(ctx); hostdriver.KindOf(err) != hostdriver.Unknown {
		t.Errorf("kind %q: %v", hostdriver.KindOf(err), err)
	}
}
