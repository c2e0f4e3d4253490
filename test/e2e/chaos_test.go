package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// running is an apply under way.
type running struct {
	s    *stage
	c    *exec.Cmd
	mu   sync.Mutex
	text bytes.Buffer
	done chan struct{}
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *running) output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// begin starts an apply.
func (s *stage) begin(args ...string) *running {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	s.t.Cleanup(cancel)
	r := &running{s: s, c: s.command(ctx, append([]string{"apply", "--yes"}, args...)...), done: make(chan struct{})}
	r.c.Stdout, r.c.Stderr = r, r
	must(s, r.c.Start())
	go func() {
		_ = r.c.Wait()
		close(r.done)
	}()
	return r
}

// reaches waits until the apply says so.
func (r *running) reaches(words string) {
	r.s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(r.output(), words); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.s.t.Fatalf("it does not come to %q:\n%s", words, r.output())
		}
	}
}

// ends waits for the end and expects one of the exit codes.
func (r *running) ends(codes ...int) string {
	r.s.t.Helper()
	<-r.done
	for _, c := range codes {
		if r.c.ProcessState.ExitCode() == c {
			return r.output()
		}
	}
	r.s.t.Errorf("exit %d, want %v:\n%s", r.c.ProcessState.ExitCode(), codes, r.output())
	return r.output()
}

// player holds a WebSocket open on a host, through the balancer.
func (s *stage) player(h *lab.Host) (leave func()) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	c, _, err := websocket.Dial(ctx, "ws://"+s.lb.FrontendAddr("ledger")+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"X-Host": {h.Name()}}})
	must(s, err)
	go func() {
		for {
			if _, _, err := c.Read(ctx); err != nil {
				return
			}
		}
	}()
	return func() {
		_ = c.Close(websocket.StatusNormalClosure, "")
		cancel()
	}
}

// changed is a stage with the ledger deployed, users on it, and a change to roll.
func changed(t *testing.T, hosts int) (s *stage, users func()) {
	s = newStage(t, hosts)
	s.deployed()
	stop := s.users()
	s.env("=first", "=second")
	return s, func() { stop() }
}

func (s *stage) converges() {
	s.t.Helper()
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	s.nothingLeft()
}

// Fault 40: sessions that never end: after the drain's timeout the host is undrained, and
// nothing was restarted.
func TestSessionsNeverEnd(t *testing.T) {
	s := newStage(t, 2)
	s.service("")
	s.file("services/ledger/service.yaml", strings.Replace(read(t, s, "services/ledger/service.yaml"), "timeout: 10s", "timeout: 2s", 1))
	s.deployed()
	pids := s.pid(s.hosts[0]) + s.pid(s.hosts[1])
	a, b := s.player(s.hosts[0]), s.player(s.hosts[1])
	s.env("=first", "=second")
	out := s.begin().ends(2)
	contains(t, out, "sessions did not end")
	a()
	b()
	if s.pid(s.hosts[0])+s.pid(s.hosts[1]) != pids {
		t.Error("a process was restarted")
	}
	s.nothingLeft()
	s.converges()
}

// Fault 39: the balancer is reloaded and forgets the drain while sessions are waited for: the
// host is drained again, and nobody notices.
func TestBalancerForgets(t *testing.T) {
	s, users := changed(t, 2)
	leave := s.player(s.hosts[0])
	r := s.begin()
	r.reaches("wait (")
	must(s, s.lb.Reload(context.Background()))
	time.Sleep(time.Second)
	leave()
	r.ends(0)
	users()
	s.run(0, "plan")
	s.nothingLeft()
}

// Fault 38: the balancer is down: before a drain nothing is begun; after it, the undrain is
// tried until the balancer is back.
func TestBalancerDown(t *testing.T) {
	ctx := context.Background()
	s := newStage(t, 2)
	s.deployed()
	pids := s.pid(s.hosts[0]) + s.pid(s.hosts[1])
	s.env("=first", "=second")
	must(s, s.lb.Stop(ctx))
	s.begin().ends(2, 5)
	if s.pid(s.hosts[0])+s.pid(s.hosts[1]) != pids {
		t.Error("a process was restarted although the balancer does not answer")
	}
	must(s, s.lb.Start(ctx))
	s.serving(2)
	r := s.begin()
	r.reaches("→ healthy")
	must(s, s.lb.Stop(ctx))
	time.Sleep(2 * time.Second)
	must(s, s.lb.Start(ctx))
	r.ends(0)
	s.run(0, "plan")
	s.nothingLeft()
}

// Fault 36: a hand edits the file while its host is drained: the edit is not overwritten
// unseen; the host is undrained and planned again.
func TestEditedMeanwhile(t *testing.T) {
	s, users := changed(t, 2)
	leave := s.player(s.hosts[0])
	r := s.begin()
	r.reaches("wait (")
	s.on(s.hosts[0], "echo Y=1 >>/etc/ledger/ledger.env")
	leave()
	out := r.ends(0)
	contains(t, out, "/etc/ledger/ledger.env")
	users()
	s.run(0, "plan")
	s.nothingLeft()
}

// Faults 13, 27 and 43: between drain and undrain the host is cut off, freezes, or loses power: its slot
// stays taken, nobody else begins, and when it is back all converges.
func TestHostLostInMidStep(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name       string
		hurt, heal func(*stage, *lab.Host)
	}{
		{"cut off", func(s *stage, h *lab.Host) { must(s, h.Cut(ctx)) }, func(s *stage, h *lab.Host) { must(s, h.Heal(ctx)) }},
		{"power cut", func(s *stage, h *lab.Host) { must(s, h.Kill(ctx)) }, func(s *stage, h *lab.Host) { must(s, h.Boot(ctx)) }},
		{"frozen", func(s *stage, h *lab.Host) { must(s, h.Freeze(ctx)) }, func(s *stage, h *lab.Host) { must(s, h.Thaw(ctx)) }},
	}
	for _, tt := range tests {
		for _, phase := range []string{"→ restart", "→ healthy"} {
			t.Run(tt.name+" "+strings.TrimPrefix(phase, "→ "), func(t *testing.T) {
				s, users := changed(t, 3)
				r := s.begin()
				r.reaches("h1 ledger: " + strings.TrimPrefix(phaseBefore[phase], "→ ") + " " + phase)
				tt.hurt(s, s.hosts[0])
				time.Sleep(4 * time.Second)
				if strings.Contains(r.output(), "h2 ledger: precheck") {
					t.Errorf("the next host was begun:\n%s", r.output())
				}
				tt.heal(s, s.hosts[0])
				r.ends(0, 1, 2, 4, 6)
				s.converges()
				users()
			})
		}
	}
}

var phaseBefore = map[string]string{"→ restart": "→ switch", "→ healthy": "→ restart"}

// Fault 35: a unit is masked by hand in the middle: named, nothing else is touched.
func TestMaskedMeanwhile(t *testing.T) {
	s, users := changed(t, 2)
	leave := s.player(s.hosts[0])
	r := s.begin()
	r.reaches("wait (")
	s.on(s.hosts[0], "mv /etc/systemd/system/ledger.service /root/; systemctl mask -q ledger")
	leave()
	out := r.ends(2, 6)
	contains(t, out, "mask")
	users()
	s.on(s.hosts[0], "systemctl unmask -q ledger; systemctl daemon-reload")
	s.converges()
}

// Fault 9: two applies at once. One is refused, and changes nothing from then on; the
// other finishes or undoes what it had in hand; nobody notices. The second begins beside
// the first, and while that is at each of its steps.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	s := crowded(t, 2)
	users := s.crowd()
	for _, step := range []string{"", "→ record", "→ drain", "→ wait", "→ restart", "→ undrain"} {
		s.change()
		a := s.begin()
		if step != "" {
			a.reaches(step)
		}
		b := s.begin()
		a.ends(0, 2, 4, 7)
		b.ends(0, 2, 5, 7)
		s.converges()
		if t.Failed() {
			t.Fatalf("the second began at %q of the first:\n%s\nthe second:\n%s", step, a.output(), b.output())
		}
	}
	if st := users.Stop(); st.Failed() > 0 {
		t.Errorf("users noticed: %s\n%s", st, strings.Join(st.Samples, "\n"))
	}
}

// Fault 17: a change by which sshd lets nobody in any more is taken back over the connection that
// is still there.
func TestSSHBroken(t *testing.T) {
	s := newStage(t, 1)
	s.file("services/ssh/service.yaml", `apiVersion: evenkeel/v1
kind: Service
metadata: {name: sshd}
spec:
  selector: {matchLabels: {role: ledger}}
  units: [{name: ssh.service, state: started}]
  files: [{path: /etc/ssh/sshd_config.d/evenkeel.conf, source: sshd.conf}]
  rollout: {minHealthyTime: 500ms, healthyDeadline: 10s, progressDeadline: 4m}
  health: [{unit: {name: ssh.service}}]
`)
	s.file("services/ssh/sshd.conf", "LoginGraceTime 60\n")
	s.run(0, "apply", "--yes", "--service", "sshd")
	s.file("services/ssh/sshd.conf", "LoginGraceTime 60\nAllowUsers nobody\n")
	s.run(6, "apply", "--yes", "--service", "sshd")
	if strings.Contains(s.on(s.hosts[0], "cat /etc/ssh/sshd_config.d/evenkeel.conf"), "AllowUsers") {
		t.Error("the bad file is still there")
	}
	s.file("services/ssh/sshd.conf", "LoginGraceTime 60\n")
	s.run(0, "plan", "--service", "sshd")
}

// network writes a service that runs a script of the network's, with further lines of its unit.
func (s *stage) network(more string) {
	s.file("services/net/service.yaml", `apiVersion: evenkeel/v1
kind: Service
metadata: {name: net}
spec:
  selector: {matchLabels: {role: ledger}}
  units: [{source: networking-extra.service, enabled: true, state: started}]
  files: [{path: /etc/network/extra.sh, source: extra.sh}]
  rollout: {minHealthyTime: 500ms, healthyDeadline: 5s, progressDeadline: 10s}
  health: [{unit: {name: networking-extra.service}}]
`)
	s.file("services/net/networking-extra.service", "[Unit]\nDescription=Further network settings\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"+
		"ExecStart=/bin/sh /etc/network/extra.sh\n"+more+"[Install]\nWantedBy=multi-user.target\n")
}

// Fault 17: a change that cuts the host off, every connection to it included, is taken back by the
// host itself: its dead man's timer restores the generation before, and what ran with it.
func TestCutOffByAChange(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1)
	s.network("ExecStop=/bin/systemctl --no-block start ssh.service\n")
	s.file("services/net/extra.sh", "true\n")
	s.run(0, "apply", "--yes", "--service", "net")
	s.file("services/net/extra.sh", "systemctl stop ssh.service\npkill -KILL sshd\ntrue\n")
	began := time.Now()
	s.exit([]int{2, 4, 6}, "apply", "--yes", "--service", "net")
	t.Logf("apply gave up after %s", time.Since(began).Round(time.Second))
	s.eventually(3*time.Minute, "the host is back", func() bool {
		return exec.Command("ssh", "-i", s.lab.IdentityFile(), "-o", "UserKnownHostsFile="+s.lab.KnownHostsFile(), "-o", "BatchMode=yes",
			"-o", "ConnectTimeout=2", "-F", "none", "deploy@"+s.hosts[0].Address(), "true").Run() == nil
	})
	t.Logf("the host was back after %s", time.Since(began).Round(time.Second))
	if got := s.on(s.hosts[0], "cat /etc/network/extra.sh"); got != "true" {
		t.Errorf("the bad file is still there: %s", got)
	}
	s.file("services/net/extra.sh", "true\n")
	s.run(0, "apply", "--yes", "--service", "net")
	s.run(0, "plan", "--service", "net")
}

// A gate outside that is closed holds the first host back before anything of it is
// disturbed; once it opens, the rollout goes on.
func TestGate(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	open := filepath.Join(t.TempDir(), "open")
	path := "services/ledger/service.yaml"
	s.file(path, strings.Replace(read(t, s, path), "autoRevert: true", `autoRevert: true, gates: [{command: {run: "test -e `+open+`"}}]`, 1))
	pid := s.pid(s.hosts[0])
	s.env("=first", "=second")
	r := s.begin()
	r.reaches("→ waits")
	time.Sleep(3 * time.Second)
	if s.pid(s.hosts[0]) != pid || s.servers()["UP"] != 2 {
		t.Errorf("a host was disturbed although the gate is closed:\n%s", r.output())
	}
	must(s, os.WriteFile(open, nil, 0o600))
	r.ends(0)
	s.run(0, "plan")
}
