package e2e

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Faults of the load balancer and of health.
func TestFaultsTraffic(t *testing.T) {
	t.Parallel()
	play(t, 2, []act{
		{name: "38 balancer's socket down before the drain", play: socketDownBeforeDrain},
		{name: "38 balancer's socket down after the drain", play: socketDownAfterDrain},
		{name: "39 balancer forgets the drain before the restart", play: forgetsBeforeRestart},
		{name: "40 sessions never reach zero", play: sessionsStay},
		{name: "41 flapping until it holds", play: flapsAndHolds},
		{name: "41 flapping until the deadline", play: flapsToTheEnd},
		{name: "42 restart without effect", play: restartWithoutEffect},
		{name: "42 an old process that survives answers the probe", play: oldProcessAnswers},
		{name: "43 partition between drain and undrain", play: partitionedWhileDrained},
	})
}

// atRelay has the drain speak to the balancer through a relay.
func (s *stage) atRelay() (r *relay, restore func()) {
	s.t.Helper()
	r = newRelay(s.t, s.lb.RuntimeAddr())
	return r, s.retune("tcp://"+s.lb.RuntimeAddr(), "tcp://"+r.address)
}

// impatient has what does not answer given up sooner.
func (s *stage) impatient() (restore func()) {
	s.t.Helper()
	return s.retune("healthyDeadline: 8s, progressDeadline: 20s", "healthyDeadline: 5s, progressDeadline: 6s")
}

// Fault 38: the balancer's socket is down before a drain. Nothing is begun, though the
// balancer itself goes on.
func socketDownBeforeDrain(s *stage) {
	r, restore := s.atRelay()
	defer restore()
	untouched := s.untouched(s.hosts...)
	s.change()
	r.shut()
	out := s.begin().ends(2, 4, 5)
	contains(s.t, out, r.address, "connection refused")
	untouched()
	if got := s.servers()["UP"]; got != len(s.hosts) {
		s.t.Errorf("%d servers are up", got)
	}
	r.open()
	s.converges()
}

// Fault 38: the balancer's socket goes down after the drain. The undrain is tried again
// and again; what is left drained is named; no other host is begun, by the next apply
// either, until the balancer can be told again.
func socketDownAfterDrain(s *stage) {
	r, restore := s.atRelay()
	defer restore()
	defer s.impatient()()
	untouched := s.untouched(s.hosts[1])
	s.change()
	a := s.begin()
	a.reaches("h1 ledger: restart → healthy")
	r.shut()
	out := a.ends(4)
	contains(s.t, out, "h1 ledger is left drained at haproxy tcp://"+r.address)
	untouched()
	out = s.begin().ends(2, 4, 5)
	contains(s.t, out, r.address)
	untouched()
	if got := s.servers(); got["UP"] != len(s.hosts)-1 {
		s.t.Errorf("servers: %v", got)
	}
	r.open()
	out = s.begin().ends(0)
	if first, second := strings.Index(out, "h1 ledger: done"), strings.Index(out, "h2 ledger: precheck"); first < 0 || second < first {
		s.t.Errorf("h1 was not brought back before h2 was begun:\n%s", out)
	}
}

// Fault 39: the balancer is reloaded and forgets the drain when nobody waits for sessions
// any more. It is asked again just before the restart, and h1 is drained anew.
func forgetsBeforeRestart(s *stage) {
	s.wrap(s.hosts[0], "mv", "sleep 1\nexec /usr/bin/mv.real \"$@\"")
	defer s.unwrap(s.hosts[0], "mv")
	s.change()
	a := s.begin()
	a.reaches("h1 ledger: wait → switch")
	must(s, s.lb.Reload(context.Background()))
	out := a.ends(0)
	contains(s.t, out, "h1 ledger: restart → drain")
}

// Fault 40: sessions never reach zero. After the drain's timeout the host is undrained and
// the rollout halts; nothing was restarted.
func sessionsStay(s *stage) {
	defer s.retune("onDrainTimeout: continue", "onDrainTimeout: halt")()
	defer s.player(s.hosts[0])()
	untouched := s.untouched(s.hosts...)
	s.change()
	out := s.begin().ends(2)
	contains(s.t, out, "sessions did not end", "h2 (halted: h1 failed)")
	untouched()
	s.nothingLeft()
}

// illness is a second check of the ledger, which a file on the host makes fail, and must
// pass for longer.
func (s *stage) illness() (restore func()) {
	s.t.Helper()
	const http, ill = "    - http: {port: 8080, path: /healthz, status: 200}\n", `    - command: {run: "test ! -e /run/ill"}` + "\n"
	restore = s.retune(http, http+ill, "minHealthyTime: 500ms", "minHealthyTime: 2s")
	s.run(0, "apply", "--yes")
	return restore
}

// flap makes a host ill and well again, each for less than minHealthyTime, until the
// returned function is called.
func (s *stage) flap(at int) (end func()) {
	s.t.Helper()
	s.on(s.hosts[at], "touch /run/flaps; systemd-run -q --unit=flaps sh -c 'while test -e /run/flaps; do touch /run/ill; sleep 1; rm /run/ill; sleep 1; done'")
	return func() {
		s.on(s.hosts[at], "rm -f /run/flaps; systemctl stop flaps 2>/dev/null; rm -f /run/ill; true")
	}
}

// Fault 41: consecutive successes count. As long as the check flaps, the host stays out of
// rotation; minHealthyTime begins when the last failure is over.
func flapsAndHolds(s *stage) {
	defer s.illness()()
	s.change()
	a := s.begin()
	a.reaches("h1 ledger: restart → healthy")
	end := s.flap(0)
	time.Sleep(3500 * time.Millisecond)
	if out := a.output(); strings.Contains(out, "healthy → undrain") {
		s.t.Errorf("h1 was put back while its check flapped:\n%s", out)
	}
	began := time.Now()
	end()
	a.reaches("h1 ledger: healthy → undrain")
	if took := time.Since(began); took < 900*time.Millisecond { // it may have been well for up to a second
		s.t.Errorf("put back %s after the check stopped flapping; minHealthyTime is 2s", took)
	}
	a.ends(0)
}

// Fault 41: one that flaps to the deadline is taken back, and h2 is not touched.
func flapsToTheEnd(s *stage) {
	defer s.illness()()
	untouched := s.untouched(s.hosts[1])
	s.change()
	a := s.begin()
	a.reaches("h1 ledger: restart → healthy")
	end := s.flap(0)
	a.reaches("→ revert switch")
	end()
	contains(s.t, a.ends(6), "not healthy after 8s")
	untouched()
	s.nothingLeft()
	s.change()
}

// Fault 42: systemctl says that it has restarted the unit, and has not. The old process
// answers the probe, and counts for nothing: its InvocationID is the old one.
func restartWithoutEffect(s *stage) {
	s.wrap(s.hosts[0], "systemctl", "case \" $* \" in *' restart '*ledger*) exit 0;; esac\nexec /usr/bin/systemctl.real \"$@\"")
	untouched := s.untouched(s.hosts...)
	s.change()
	out := s.begin().ends(6)
	contains(s.t, out, "still runs its old process")
	untouched()
	s.unwrap(s.hosts[0], "systemctl")
	s.nothingLeft()
	s.change()
}

// Fault 42: the old process outlives the restart, for the new unit says that nobody is to be
// killed. It holds the port and answers the probe, while the new one cannot listen and
// dies. That counts for nothing: the host goes back, and h2 is not touched.
func oldProcessAnswers(s *stage) {
	restore := s.unit(strings.Replace(ledgerUnit, "Restart=on-failure\n", "Restart=on-failure\nKillMode=none\n", 1))
	defer restore()
	untouched := s.untouched(s.hosts[1])
	a := s.begin()
	a.reaches("h1 ledger: restart → healthy")
	if !answers(s.hosts[0]) {
		s.t.Error("no old process of h1 answers: this act proves nothing")
	}
	contains(s.t, a.ends(6), "ledger.service keeps dying")
	untouched()
	s.nothingLeft()
}

// Fault 43: the host is cut off between drain and undrain. Its slot stays taken: no other
// host is begun, by the next apply either, and it is named.
func partitionedWhileDrained(s *stage) {
	ctx := context.Background()
	defer s.impatient()()
	untouched := s.untouched(s.hosts[1])
	s.change()
	a := s.begin()
	a.reaches("h1 ledger: restart → healthy")
	must(s, s.hosts[0].Cut(ctx))
	out := a.ends(4)
	contains(s.t, out, "h1 ledger is left drained")
	untouched()
	out = s.begin().ends(4, 5)
	contains(s.t, out, "h1")
	untouched()
	must(s, s.hosts[0].Heal(ctx))
	s.eventually(20*time.Second, "h1 answers again", func() bool { return answers(s.hosts[0]) })
}

// Fault 38 under a controller: what it cannot undrain is an event that names it, the rollout
// goes no further, and once the socket is back it is undrained with nobody's help.
func TestServeLeftDrained(t *testing.T) {
	t.Parallel()
	k := newKeel(t, 2)
	r, _ := k.atRelay()
	k.impatiently()
	k.push("through the relay")
	k.hook()
	k.reconciled()
	stop := k.users()
	untouched := k.untouched(k.hosts[1])
	before := k.invocation(k.hosts[0])
	k.env("=first", "=second")
	k.push("second")
	k.hook()
	k.eventually(30*time.Second, "h1 is restarted", func() bool { return k.invocation(k.hosts[0]) != before })
	r.shut()
	k.eventually(60*time.Second, "it says what is left drained", func() bool {
		out, err := k.ask("events")
		return err == nil && strings.Contains(out, "ledger of h1 is left drained at haproxy tcp://"+r.address)
	})
	untouched()
	if got := k.servers(); got["UP"] != 1 {
		t.Errorf("servers: %v", got)
	}
	r.open()
	k.reconciled()
	k.nothingLeft()
	stop()
}

// impatiently has what does not answer given up soon.
func (k *keel) impatiently() {
	k.t.Helper()
	k.retune("healthyDeadline: 15s, progressDeadline: 40s", "healthyDeadline: 5s, progressDeadline: 6s")
}
