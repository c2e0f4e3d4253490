package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
	"github.com/evenkeel/evenkeel/test/lab/load"
)

// act is one fault on a stage where a ledger with users runs: it brings the fault about,
// says how a change ends under it, and heals it. Afterwards an apply must converge, and
// no user may have noticed anything.
type act struct {
	name string // the fault's number in the list of faults, and what it is
	play func(*stage)
	deaf bool // users may notice: no healthy instance was left, or the balancer was gone
	cut  bool // WebSockets may break: their process was killed, or its host has lost its power
}

// play plays acts one after the other on shared stages: one that fails gets the next one
// a new stage.
func play(t *testing.T, hosts int, acts []act) {
	t.Helper()
	playOn(t, lab.Options{Hosts: hosts}, acts)
}

// playOn is play, on hosts of another kind.
func playOn(t *testing.T, o lab.Options, acts []act) {
	var s *stage
	var crowd *load.Generator
	leave := func() {
		if crowd != nil {
			t.Logf("users: %s", crowd.Stop())
			crowd = nil
		}
	}
	defer leave()
	for _, a := range acts {
		if s == nil {
			leave()
			s = crowdedOf(t, o)
			crowd = s.crowd()
		}
		t.Run(strings.ReplaceAll(a.name, " ", "-"), func(t *testing.T) {
			s.t = t
			before := crowd.Stats()
			began := time.Now()
			a.play(s)
			s.converges()
			time.Sleep(300 * time.Millisecond) // answers under way
			t.Logf("%.1f s", time.Since(began).Seconds())
			after := crowd.Stats()
			noticed := after.Failed() - before.Failed()
			if a.cut {
				noticed -= after.Failures[load.Broken] - before.Failures[load.Broken]
			}
			if !a.deaf && (noticed > 0 || after.Requests == before.Requests) {
				t.Errorf("users noticed %d times: %s\n%s", noticed, after, strings.Join(after.Samples[min(before.Failed(), len(after.Samples)):], "\n"))
			}
		})
		if s.t.Failed() {
			s = nil
		}
	}
}

// crowded is a stage whose ledger is used over HTTP and WebSockets: it says goodbye to
// its WebSockets when it is stopped, so a drain need not wait for them to the end.
func crowded(t *testing.T, hosts int) *stage { return crowdedOf(t, lab.Options{Hosts: hosts}) }

func crowdedOf(t *testing.T, o lab.Options) *stage {
	s := newStageOf(t, o)
	s.retune("timeout: 10s", "timeout: 1500ms", "autoRevert: true", "autoRevert: true, onDrainTimeout: continue",
		"healthyDeadline: 15s, progressDeadline: 40s", "healthyDeadline: 8s, progressDeadline: 20s")
	s.env("GATEWAY_GRACE=0", "GATEWAY_GRACE=5s")
	s.deployed()
	return s
}

// retune replaces words of the service, in pairs of old and new, and returns what puts
// the service back.
func (s *stage) retune(pairs ...string) (restore func()) {
	s.t.Helper()
	const name = "services/ledger/service.yaml"
	was := read(s.t, s, name)
	text := was
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			s.t.Fatalf("no %q in %s", pairs[i], name)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	s.file(name, text)
	return func() { s.file(name, was) }
}

// crowd are users over HTTP and over WebSockets that stay open.
func (s *stage) crowd() *load.Generator {
	s.t.Helper()
	front := s.lb.FrontendAddr("ledger")
	g, err := load.Start(context.Background(), load.Config{URL: "http://" + front + "/", Rate: 60, SocketURL: "ws://" + front + "/ws", Sockets: 6, Duration: time.Hour})
	must(s, err)
	return g
}

// change changes the ledger's token in the repo, so that every instance is to be restarted.
func (s *stage) change() {
	s.t.Helper()
	s.changes++
	text := read(s.t, s, "services/ledger/ledger.env")
	s.file("services/ledger/ledger.env", tokenLine.ReplaceAllString(text, fmt.Sprintf("METRICS_AUTH_TOKEN=change%d", s.changes)))
}

var tokenLine = regexp.MustCompile(`METRICS_AUTH_TOKEN=\S*`)

// unit replaces the ledger's unit in the repo, and returns what puts the good one back.
func (s *stage) unit(text string) (restore func()) {
	s.file("services/ledger/ledger.service", text)
	return func() { s.file("services/ledger/ledger.service", ledgerUnit) }
}

// kills ends an apply as kill -9 does.
func (r *running) kills() {
	_ = r.c.Process.Signal(syscall.SIGKILL)
	<-r.done
}

// invocation is the ledger's InvocationID on a host.
func (s *stage) invocation(h *lab.Host) string {
	s.t.Helper()
	return s.on(h, "systemctl show -p InvocationID --value ledger")
}

// starts is how often the ledger was started on a host, by the journal.
func (s *stage) starts(h *lab.Host) int {
	s.t.Helper()
	n := 0
	_, err := fmt.Sscan(s.on(h, "journalctl -q -o cat -u ledger _PID=1 | grep -c '^Started' || true"), &n)
	must(s, err)
	return n
}

// untouched notes what runs on hosts; the returned function expects that it still does.
func (s *stage) untouched(hosts ...*lab.Host) func() {
	s.t.Helper()
	before := map[*lab.Host]string{}
	for _, h := range hosts {
		before[h] = s.invocation(h)
	}
	return func() {
		s.t.Helper()
		for _, h := range hosts {
			if now := s.invocation(h); now != before[h] {
				s.t.Errorf("%s: the ledger was restarted", h.Name())
			}
		}
	}
}
