package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (s *stage) remove(name string) {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.repo, name)); err != nil {
		s.t.Fatal(err)
	}
}

// nothingLeft: no host is drained, no step is in hand, no switch was cut.
func (s *stage) nothingLeft() {
	s.t.Helper()
	s.serving(len(s.hosts))
	for _, h := range s.hosts {
		if got := s.on(h, "ls /var/lib/evenkeel | grep -x -e step -e switching -e deadman; true"); got != "" {
			s.t.Errorf("%s: left on the host: %s", h.Name(), got)
		}
	}
}

// kill -9 of apply at any moment, then apply again: converged, nothing left drained,
// no failed request.
func TestKillAnyMoment(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	stop := s.users()
	rng := rand.New(rand.NewPCG(1, uint64(os.Getpid())))
	rounds := 10
	was := "=first"
	for i := range rounds {
		now := fmt.Sprintf("=value%d", i)
		s.env(was, now)
		was = now
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		c := s.command(ctx, "apply", "--yes")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rng.Int64N(int64(4500 * time.Millisecond)))
		time.Sleep(after)
		_ = c.Process.Signal(syscall.SIGKILL)
		_ = c.Wait()
		cancel()
		t.Logf("killed after %s", after)
		s.run(0, "apply", "--yes")
		s.run(0, "plan")
		s.nothingLeft()
		if t.Failed() {
			break
		}
	}
	stop()
}

// A unit that cannot start: the host goes back to what it ran, and the rollout halts
// there. No request fails, nobody else is touched.
func TestRevert(t *testing.T) {
	s := newStage(t, 3)
	s.deployed()
	others := s.pid(s.hosts[1]) + s.pid(s.hosts[2])
	stop := s.users()
	s.env("PORT=8080", "PORT=not-a-port")
	out, errs := s.run(6, "apply", "--yes")
	stop()
	if !strings.Contains(out+errs, "exit status 1") {
		t.Errorf("the reason is not named:\n%s\n%s", out, errs)
	}
	s.nothingLeft()
	if got := s.pid(s.hosts[1]) + s.pid(s.hosts[2]); got != others {
		t.Error("another host was touched")
	}
	if env := s.on(s.hosts[0], "cat /etc/ledger/ledger.env"); strings.Contains(env, "not-a-port") {
		t.Error("the bad env file is still on disk")
	}
}

// The very first switch of a host on which the service ran before evenkeel came is
// taken back as well.
func TestRevertToBeforeEvenkeel(t *testing.T) {
	s := newStage(t, 2)
	for _, h := range s.hosts {
		if err := h.WriteFile("/etc/systemd/system/ledger.service", []byte(ledgerUnit), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := h.WriteFile("/etc/ledger/ledger.env", []byte(ledgerEnv), 0o600); err != nil {
			t.Fatal(err)
		}
		s.on(h, "systemctl daemon-reload && systemctl enable -q --now ledger")
	}
	s.serving(2)
	stop := s.users()
	s.env("PORT=8080", "PORT=not-a-port")
	s.run(6, "apply", "--yes")
	stop()
	s.nothingLeft()
	if env := s.on(s.hosts[0], "cat /etc/ledger/ledger.env"); !strings.Contains(env, "PORT=8080") {
		t.Errorf("the env file from before is not back:\n%s", env)
	}
}

// A host that is already down, in any way: nobody else is taken down, the exit code
// says so, and once it is healed apply converges.
func TestOneIsDown(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name       string
		hurt, heal func(s *stage)
		exits      []int
	}{
		{"cut off", func(s *stage) { must(s, s.hosts[2].Cut(ctx)) }, func(s *stage) { must(s, s.hosts[2].Heal(ctx)) }, []int{4, 5}},
		{"powered off", func(s *stage) { must(s, s.hosts[2].Kill(ctx)) }, func(s *stage) { must(s, s.hosts[2].Boot(ctx)) }, []int{4, 5}},
		{"masked and stopped", func(s *stage) {
			s.on(s.hosts[2], "systemctl stop ledger; mv /etc/systemd/system/ledger.service /root/; systemctl mask -q ledger")
		},
			func(s *stage) { s.on(s.hosts[2], "systemctl unmask -q ledger; systemctl daemon-reload") }, []int{2, 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, 3)
			s.deployed()
			tt.hurt(s)
			s.serving(2)
			before := s.pid(s.hosts[0]) + " " + s.pid(s.hosts[1])
			stop := s.users()
			s.env("=first", "=second")
			out, errs := s.exit(tt.exits, "apply", "--yes")
			if after := s.pid(s.hosts[0]) + " " + s.pid(s.hosts[1]); after != before {
				t.Errorf("a second instance was taken down:\n%s\n%s", out, errs)
			}
			if !strings.Contains(out, "not done") || !strings.Contains(out, "h3") {
				t.Errorf("what was not done, or why, is not named:\n%s", out)
			}
			tt.heal(s)
			s.run(0, "apply", "--yes")
			stop()
			s.run(0, "plan")
			s.nothingLeft()
		})
	}
}

func must(s *stage, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Ctrl-C finishes or undrains the host in hand, and begins no other.
func TestCtrlC(t *testing.T) {
	s := newStage(t, 3)
	s.deployed()
	stop := s.users()
	s.env("=first", "=second")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := s.command(ctx, "apply", "--yes")
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	must(s, c.Start())
	s.eventually(20*time.Second, "a host is drained", func() bool { return s.servers()["DRAIN"] > 0 })
	must(s, c.Process.Signal(os.Interrupt))
	_ = c.Wait()
	if c.ProcessState.ExitCode() == 0 {
		t.Errorf("exit 0 although not all was done:\n%s", out.String())
	}
	stop()
	s.nothingLeft()
	if !strings.Contains(out.String(), "not done") {
		t.Errorf("what was not done is not named:\n%s", out.String())
	}
	n := 0
	for _, h := range s.hosts {
		if strings.Contains(s.on(h, "cat /etc/ledger/ledger.env"), "=second") {
			n++
		}
	}
	if n > 1 {
		t.Errorf("%d hosts were changed after Ctrl-C at the first one", n)
	}
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
}

// Fault 24: a full disk. Staging fails, nothing is restarted, nothing stays drained.
func TestFullDisk(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	before := s.pid(s.hosts[0])
	s.on(s.hosts[0], "mkdir -p /fill; dd if=/dev/zero of=/fill/a bs=1M status=none; dd if=/dev/zero of=/fill/b bs=1 status=none; true")
	s.env("=first", "=second")
	stop := s.users()
	out, errs := s.run(2, "apply", "--yes")
	stop()
	if s.pid(s.hosts[0]) != before {
		t.Error("the process was restarted")
	}
	if !strings.Contains(out+errs, "full") && !strings.Contains(out+errs, "room") && !strings.Contains(out+errs, "space") {
		t.Errorf("the reason is not named:\n%s\n%s", out, errs)
	}
	s.on(s.hosts[0], "rm -r /fill")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	s.nothingLeft()
}

// A stale process: the file is as desired, the process has an older value. The plan
// names host and key, never a value; the mend restarts it.
func TestStale(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	// The process gets another value than the file, as after a restart that was lost.
	s.on(s.hosts[1], `cp -p /etc/ledger/ledger.env /root/as-desired; sed -i s/=first/=0lder-v4lue/ /etc/ledger/ledger.env; systemctl restart ledger; cp -p /root/as-desired /etc/ledger/ledger.env`)
	out, _ := s.run(1, "plan")
	for _, want := range []string{"stale", "h2", "METRICS_AUTH_TOKEN"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %s:\n%s", want, out)
		}
	}
	if strings.Contains(out, "0lder-v4lue") {
		t.Error("the plan prints the value")
	}
	s.serving(2)
	before := s.pid(s.hosts[1])
	s.run(0, "apply", "--yes")
	if s.pid(s.hosts[1]) == before {
		t.Error("the stale process still runs")
	}
	s.run(0, "plan")
}
