package e2e

import (
	"strings"
	"testing"
	"time"
)

// Faults of the controller: it is killed, and run again.
func TestFaultsController(t *testing.T) {
	t.Parallel()
	play(t, 2, []act{
		{name: "1 killed before and after every step", play: killedAtEveryStep},
		{name: "1 killed at every step of the way back", play: killedOnTheWayBack},
		{name: "2 killed after a restart was sent", play: killedAfterRestart},
		{name: "3 killed between two renames", play: killedBetweenRenames},
	})
}

// steps are a visit's phases as the progress tells them: what is told last is about to be
// done, and what was told before it is done.
var steps = []string{"precheck", "precheck → stage", "stage → record", "record → drain", "drain → wait", "wait → switch", "switch → restart",
	"restart → healthy", "healthy → undrain", "undrain → clear", "clear → verify"}

// Fault 1: kill -9 before and after every step. The next apply finishes or undrains that
// host before it touches another.
func killedAtEveryStep(s *stage) {
	for _, step := range steps {
		s.change()
		r := s.begin()
		r.reaches("h1 ledger: " + step)
		r.kills()
		left := s.on(s.hosts[0], "test -e /var/lib/evenkeel/step && echo left; true")
		out := s.begin().ends(0)
		if first := strings.Index(out, "h2 ledger: precheck"); left != "" && first >= 0 && first < strings.Index(out, "h1 ledger: done") {
			s.t.Errorf("killed at %s: h2 was begun before h1 was finished:\n%s", step, out)
		}
		s.run(0, "plan")
		s.nothingLeft()
		if s.t.Failed() {
			s.t.Fatalf("killed at %s", step)
		}
	}
}

// Fault 1, where the change is bad and the host on its way back.
func killedOnTheWayBack(s *stage) {
	for _, step := range []string{"→ revert switch", "→ revert restart", "→ revert healthy", "→ undrain", "→ clear"} {
		untouched := s.untouched(s.hosts[1])
		s.change() // what was reverted once is not tried again
		s.env("PORT=8080", "PORT=not-a-port")
		r := s.begin()
		r.reaches(step)
		r.kills()
		untouched()
		s.env("PORT=not-a-port", "PORT=8080")
		s.run(0, "apply", "--yes")
		s.run(0, "plan")
		s.nothingLeft()
		if s.t.Failed() {
			s.t.Fatalf("killed at %s", step)
		}
	}
}

// Fault 2: killed after the restart was sent, and before its reply came. The next apply
// sees by the InvocationID that it was done: no second restart.
func killedAfterRestart(s *stage) {
	before, starts := s.invocation(s.hosts[0]), s.starts(s.hosts[0])
	s.change()
	r := s.begin()
	r.reaches("h1 ledger: switch → restart")
	s.eventually(20*time.Second, "the ledger of h1 is restarted", func() bool {
		now := s.invocation(s.hosts[0])
		return now != "" && now != before
	})
	r.kills()
	after := s.invocation(s.hosts[0])
	s.run(0, "apply", "--yes")
	if now := s.invocation(s.hosts[0]); now != after {
		s.t.Error("h1 was restarted a second time")
	}
	if n := s.starts(s.hosts[0]) - starts; n != 1 {
		s.t.Errorf("h1's ledger was started %d times, want once", n)
	}
}

// Fault 3: on the host, the switch's own shell is killed between two renames, and the
// controller with it. The next apply makes one whole generation of it.
func killedBetweenRenames(s *stage) {
	s.wrap(s.hosts[0], "mv", `/usr/bin/mv.real "$@"
status=$?
case "$*" in
*-fT*.evenkeel-new.*)
	if [ -e /root/tear ]; then
		rm /root/tear
		while read -r key value; do [ "$key" = PPid: ] && up=$value; done </proc/$PPID/status
		kill -9 "$PPID" "$up"
	fi
	;;
esac
exit $status`)
	defer s.unwrap(s.hosts[0], "mv")
	restore := s.unit(strings.Replace(ledgerUnit, "Ledger\n", "Ledger of accounts\n", 1))
	defer restore()
	s.change()
	s.on(s.hosts[0], "touch /root/tear")
	r := s.begin()
	s.eventually(20*time.Second, "the switch was torn", func() bool { return s.on(s.hosts[0], "ls /root/tear 2>/dev/null || true") == "" })
	r.kills()
	if s.on(s.hosts[0], "ls /var/lib/evenkeel/switching") == "" {
		s.t.Error("no journal of the switch that was cut")
	}
	out, errs := s.run(0, "apply", "--yes")
	contains(s.t, out+errs, "taking back what was cut")
	for _, h := range s.hosts {
		if got := s.on(h, "grep -c accounts /etc/systemd/system/ledger.service; cut -d= -f2 /etc/ledger/ledger.env | grep -c change"); got != "1\n1" {
			s.t.Errorf("%s: mixed files: %s", h.Name(), got)
		}
	}
}
