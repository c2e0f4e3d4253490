package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
)

// tokens is what the processes of the hosts run with.
func (s *stage) tokens() string {
	s.t.Helper()
	var out []string
	for _, h := range s.hosts {
		env := s.on(h, "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ledger)/environ | grep ^METRICS_AUTH_TOKEN=")
		out = append(out, strings.TrimPrefix(env, "METRICS_AUTH_TOKEN="))
	}
	return strings.Join(out, " ")
}

// Undo goes back host by host to what was kept, under load; it is not brought again until
// it is changed in git, or somebody insists.
func TestUndo(t *testing.T) {
	s := newStage(t, 3)
	s.deployed()
	s.env("=first", "=second")
	s.run(0, "apply", "--yes")
	s.serving(3)
	stop := s.users()
	out, _ := s.run(0, "rollout", "undo", "--yes", "--reason", "the second is slow")
	contains(t, out, "/etc/ledger/ledger.env", "as in generation 1", "undone: 3 hosts back at")
	if got := s.tokens(); got != "first first first" {
		t.Errorf("they run with %s", got)
	}
	s.nothingLeft()
	t.Logf("the plan of an undo, as it is shown:\n%s", out)

	out, _ = s.run(6, "apply", "--yes")
	contains(t, out, "not tried again", "was undone on h1 (the second is slow)", "--retry")
	out, _ = s.run(0, "rollout", "undo", "--yes")
	contains(t, out, "nothing to undo")
	s.run(0, "apply", "--yes", "--retry")
	if got := s.tokens(); got != "second second second" {
		t.Errorf("they run with %s", got)
	}
	s.run(0, "plan")
	s.env("=second", "=third")
	s.run(0, "apply", "--yes")
	out, _ = s.run(0, "rollout", "undo", "--yes", "--host", "h2")
	if got := s.tokens(); got != "third second third" {
		t.Errorf("they run with %s\n%s", got, out)
	}
	s.env("=third", "=fourth")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	stop()
	s.nothingLeft()
}

// What was reverted is remembered by the host: the next apply does not take it down again.
func TestRevertedIsNotTriedAgain(t *testing.T) {
	s := newStage(t, 3)
	s.deployed()
	s.env("PORT=8080", "PORT=not-a-port")
	s.run(6, "apply", "--yes")
	pids := s.pid(s.hosts[0]) + s.pid(s.hosts[1]) + s.pid(s.hosts[2])
	stop := s.users()
	out, _ := s.run(6, "apply", "--yes")
	contains(t, out, "not tried again", "was reverted on h1", "exit status 1")
	contains(t, first(s.run(1, "plan")), "not tried again")
	contains(t, first(s.run(0, "status")), "OutOfSync", "Healthy", "not tried again")
	if now := s.pid(s.hosts[0]) + s.pid(s.hosts[1]) + s.pid(s.hosts[2]); now != pids {
		t.Error("a process was restarted")
	}
	s.env("PORT=not-a-port", "PORT=8080")
	s.env("=first", "=second")
	s.run(0, "apply", "--yes")
	stop()
	s.run(0, "plan")
	s.nothingLeft()
}

func first(a, _ string) string { return a }

// A controller goes back on an operator's word, and stays there.
func TestServeUndo(t *testing.T) {
	k := newKeel(t, 3)
	k.env("=first", "=second")
	k.push("second")
	k.hook()
	k.reconciled()
	stop := k.users()
	out := k.says("rollout", "undo", "--reason", "the second is slow", "--wait")
	contains(t, out, "undone: 3 hosts back at")
	if got := k.tokens(); got != "first first first" {
		t.Errorf("they run with %s", got)
	}
	k.kill()
	k.start()
	k.sees(20e9, "it stays so", func(s controller.Snapshot) bool {
		return strings.Contains(s.Conditions.Get(controller.Reconciled).Message, "was undone on h1 (the second is slow)")
	})
	if got := k.tokens(); got != "first first first" {
		t.Errorf("they run with %s", got)
	}
	stop()
	h := k.hosts[1]
	k.on(h, "systemctl stop ledger")
	k.eventually(15*time.Second, "what a hand stopped is started", func() bool { return k.on(h, "systemctl is-active ledger; true") == "active" })
	k.back(h)
	if got := k.tokens(); got != "first first first" {
		t.Errorf("started again, they run with %s", got)
	}
	stop = k.users()
	k.says("rollout", "retry", "--wait")
	k.reconciled()
	if got := k.tokens(); got != "second second second" {
		t.Errorf("they run with %s", got)
	}
	stop()
	k.nothingLeft()
}
