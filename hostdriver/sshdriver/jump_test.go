package sshdriver

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// chain makes two jump hosts and some hosts behind them.
func chain(t *testing.T, hosts int) (f *fixture, inner *testServer, targets []Target, behind []*testServer) {
	t.Helper()
	f = newFixture(t, nil)
	known := f.server.knownLine() + "\n"
	add := func() *testServer {
		s := startServer(t)
		s.mu.Lock()
		s.authorized = f.server.authorized
		s.mu.Unlock()
		known += s.knownLine() + "\n"
		return s
	}
	inner = add()
	jump := fmt.Sprintf("a@127.0.0.1:%d,b@127.0.0.1:%d", f.server.port(), inner.port())
	for i := range hosts {
		s := add()
		target := s.target(fmt.Sprintf("web-%d", i))
		target.Jump = jump
		targets, behind = append(targets, target), append(behind, s)
	}
	if err := os.WriteFile(f.known, []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	return f, inner, targets, behind
}

func TestThroughTwoJumpHosts(t *testing.T) {
	f, inner, targets, behind := chain(t, 8)
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(func() {
			c, err := f.pool.Conn(t.Context(), target)
			if err != nil {
				t.Error(err)
				return
			}
			res, err := c.Exec(t.Context(), Command{Line: fmt.Sprint(i)})
			if err != nil || string(res.Stdout) != fmt.Sprintf("%d\n", i) {
				t.Errorf("%q, %v", res.Stdout, err)
			}
		})
	}
	wg.Wait()
	if a, b := f.server.accepted.Load(), inner.accepted.Load(); a != 1 || b != 1 {
		t.Errorf("the jump hosts were dialled %d and %d times: not shared", a, b)
	}
	for _, s := range behind {
		if n := s.accepted.Load(); n != 1 {
			t.Errorf("a host was dialled %d times", n)
		}
	}
}

func TestEachHopsHostKeyIsChecked(t *testing.T) {
	for _, missing := range []int{0, 1, 2} {
		f, inner, targets, behind := chain(t, 1)
		servers := []*testServer{f.server, inner, behind[0]}
		known := ""
		for i, s := range servers {
			if i != missing {
				known += s.knownLine() + "\n"
			}
		}
		if err := os.WriteFile(f.known, []byte(known), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := f.pool.Conn(t.Context(), targets[0])
		if hostdriver.KindOf(err) != hostdriver.HostKey {
			t.Errorf("hop %d: kind %q: %v", missing, hostdriver.KindOf(err), err)
			continue
		}
		wantContains(t, err.Error(), "cannot connect to web-0", fmt.Sprintf("[127.0.0.1]:%d", servers[missing].port()))
		if mend := hostdriver.MendOf(err); missing == 0 {
			wantContains(t, mend, "ssh-keyscan")
		} else { // ssh-keyscan would not reach it
			wantContains(t, mend, "echo '[127.0.0.1]:", "ssh-ed25519 ")
		}
	}
}

func TestAJumpHostsTroubleIsNotTheHosts(t *testing.T) {
	f, inner, targets, _ := chain(t, 1)
	inner.forbid, f.server.forbid = true, true
	_, err := f.pool.Conn(t.Context(), targets[0])
	if err == nil {
		t.Fatal("connected through a host that forbids it")
	}
	wantContains(t, err.Error(), "cannot connect to web-0", "127.0.0.1")
	f.server.forbid, inner.forbid = false, false
	// The host itself has not failed, so it waits for no pause of its own.
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		if _, err = f.pool.Conn(t.Context(), targets[0]); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(err)
}

func TestALostJumpHostEndsWhatIsBehindIt(t *testing.T) {
	f, _, targets, _ := chain(t, 1)
	c, err := f.pool.Conn(t.Context(), targets[0])
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * f.pool.pauses.stable)
	f.server.dropAll()
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection behind it lives on")
	}
	if _, err := f.pool.Conn(t.Context(), targets[0]); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
