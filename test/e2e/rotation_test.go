package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/lab/load"
	"github.com/evenkeel/evenkeel/test/seal"
)

// rotation is a keel whose hosts ask for a token that rotates.
type rotation struct {
	*keel
	next string // the file from which a new value is taken
}

// newRotation declares the token; of the first so many hosts, each has a signer, too, that
// sends it to all.
func newRotation(t *testing.T, hosts, signers int, keep string) *rotation {
	t.Helper()
	s := newStage(t, hosts)
	id, err := age.GenerateX25519Identity()
	must(s, err)
	dir := t.TempDir()
	r := &rotation{next: filepath.Join(dir, "next")}
	key := filepath.Join(dir, "age.key")
	must(s, os.WriteFile(key, []byte(id.String()+"\n"), 0o600))
	s.environ = []string{"SOPS_AGE_KEY_FILE=" + key}
	t.Setenv("SOPS_AGE_KEY_FILE", key) // the controller's
	sealed, err := seal.Env("METRICS_AUTH_TOKEN=token-of-round-0\n", id.Recipient().String())
	must(s, err)
	s.file("services/ledger/ledger.secrets.env", sealed)
	s.env("METRICS_AUTH_TOKEN=first\n", "")
	s.env("GATEWAY_ANSWER_DELAY=50ms", "GATEWAY_ANSWER_DELAY=20ms")
	s.file("services/ledger/service.yaml", strings.Replace(read(t, s, "services/ledger/service.yaml"), "source: [ledger.env]", "source: [ledger.env, ledger.secrets.env]", 1))
	declared := "{name: token, key: METRICS_AUTH_TOKEN, previous: METRICS_AUTH_TOKEN_PREVIOUS, verifiers: [{service: ledger}], keep: " + keep +
		", generate: {command: \"cat " + r.next + "\"}"
	if signers > 0 {
		declared += ", signers: [{service: ops}]"
		s.signers(signers, sealed)
		s.file("services/ledger/service.yaml", strings.Replace(read(t, s, "services/ledger/service.yaml"), "maxUnavailable: 1", "maxUnavailable: 2", 1))
	}
	s.file("fleet.yaml", "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: rotation}\nspec:\n  secrets:\n    - "+declared+"}\n")
	r.keel = newKeelOn(s)
	k := r.keel
	k.git(k.repo, "config", "user.name", "ops")
	k.git(k.repo, "config", "user.email", "ops@example.com")
	k.git(k.repo, "branch", "-q", "--set-upstream-to=origin/main")
	return r
}

// signers are hosts that have ops, which asks every ledger for its metrics.
func (s *stage) signers(n int, sealed string) {
	s.t.Helper()
	var metrics []string
	for _, h := range s.hosts {
		metrics = append(metrics, fmt.Sprintf("ledger/%s=http://%s:8080", h.Name(), h.Address()))
	}
	s.file("services/ops/ops.env", "OPS_POLL=100ms\nOPS_METRICS="+strings.Join(metrics, ",")+"\nOPS_TARGETS="+strings.Join(metrics[:1], ",")+"\n")
	s.file("services/ops/ops.secrets.env", sealed)
	s.file("services/ops/ops.service", "[Service]\nUser=nullspace\nEnvironmentFile=/etc/ops.env\nExecStart=/usr/local/bin/ops\n\n[Install]\nWantedBy=multi-user.target\n")
	s.file("services/ops/service.yaml", `apiVersion: evenkeel/v1
kind: Service
metadata: {name: ops}
spec:
  selector: {matchLabels: {ops: "true"}}
  units: [{source: ops.service, enabled: true, state: started}]
  env: [{path: /etc/ops.env, source: [ops.env, ops.secrets.env]}]
  rollout: {minHealthyTime: 300ms, healthyDeadline: 15s, progressDeadline: 40s}
  health: [{http: {port: 8090, path: /healthz, status: 200}}]
`)
	inv := read(s.t, s, "inventory/hosts.yaml")
	data, err := os.ReadFile(filepath.Join(root, "examples/nullspace/dist/ops"))
	must(s, err)
	for _, h := range s.hosts[:n] {
		must(s, h.WriteFile("/usr/local/bin/ops", data, 0o755))
		inv = strings.Replace(inv, "address: "+h.Address()+", labels: {role: ledger}", "address: "+h.Address()+", labels: {role: ledger, ops: \"true\"}", 1)
	}
	s.file("inventory/hosts.yaml", inv)
}

// clients are a steady load of those who have a token; the returned function ends it, and
// expects that nobody was refused and nothing failed.
func (r *rotation) clients(token string) (stop func()) {
	r.t.Helper()
	g, err := load.Start(context.Background(), load.Config{URL: "http://" + r.lb.FrontendAddr("ledger") + "/api/whoami", Rate: 40, Duration: 5 * time.Minute,
		Header: http.Header{"Authorization": {"Bearer " + token}}})
	must(r.stage, err)
	return func() {
		r.t.Helper()
		st := g.Stop()
		r.t.Logf("clients with %s: %s", token, st)
		if st.Failed() > 0 || st.Requests == 0 {
			r.t.Errorf("clients with %s noticed: %s\n%s", token, st, strings.Join(st.Samples, "\n"))
		}
	}
}

// answer is what a host's ledger says to a token.
func (r *rotation) answer(address, token string) int {
	req, err := http.NewRequest(http.MethodGet, "http://"+address+":8080/api/whoami", nil)
	must(r.stage, err)
	req.Header.Set("Authorization", "Bearer "+token)
	c := http.Client{Timeout: 5 * time.Second}
	resp, err := c.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// rotate begins a rotation to a value, as an operator does, and tells the controller.
func (r *rotation) rotate(value string) {
	r.t.Helper()
	must(r.stage, os.WriteFile(r.next, []byte(value+"\n"), 0o600))
	out, errs := r.run(0, "secret", "rotate", "token", "--push", "--yes")
	contains(r.t, out, "pushed")
	if strings.Contains(out+errs, value) {
		r.t.Error("it tells the value")
	}
	r.hook()
}

// in waits until the rotation is in one of the phases.
func (r *rotation) in(within time.Duration, phases ...rollout.RotationPhase) (got controller.SecretStatus) {
	r.t.Helper()
	tip := r.git(r.repo, "rev-parse", "HEAD")
	r.sees(within, fmt.Sprintf("the rotation is in %v", phases), func(s controller.Snapshot) bool {
		if s.Source.Revision != tip || len(s.Secrets) != 1 || !s.Secrets[0].Rotates {
			return false
		}
		got = s.Secrets[0]
		for _, p := range phases {
			if got.Phase == p {
				return true
			}
		}
		return false
	})
	return got
}

// refused expects that the old value opens nothing any more, and the new one everything.
func (r *rotation) refused(old, now string) {
	r.t.Helper()
	for _, h := range r.hosts {
		if a, b := r.answer(h.Address(), old), r.answer(h.Address(), now); a != http.StatusUnauthorized || b != http.StatusOK {
			r.t.Errorf("%s answers %d to the old value and %d to the new one", h.Name(), a, b)
		}
	}
}

// The token that players send changes while they play: those with the old one and those
// with the new one notice nothing until the old one is revoked. Then the same once more, with
// the controller killed in each phase.
func TestRotation(t *testing.T) {
	r := newRotation(t, 5, 0, "12s")
	for n, kills := range []bool{false, true} {
		old, now := fmt.Sprintf("token-of-round-%d", n), fmt.Sprintf("token-of-round-%d", n+1)
		killed := func() {
			if kills {
				r.kill()
				r.start()
			}
		}
		stopOld := r.clients(old)
		r.rotate(now)
		r.in(30*time.Second, rollout.RotationStage)
		r.sees(30*time.Second, "a host is staged", func(s controller.Snapshot) bool {
			return s.Rollout != nil && s.Rollout.Ended.IsZero() && len(s.Rollout.State.Visits) == 5 && s.Rollout.State.Visits[0].Phase == rollout.PhaseEnded
		})
		killed()
		r.in(60*time.Second, rollout.RotationVerify)
		stopNow := r.clients(now)
		killed()
		r.in(30*time.Second, rollout.RotationVerify) // of the controller that was started anew
		contains(t, r.says("secret", "status"), "token: rotation: verify", "both values are kept until ", "both")
		stopOld() // before the revocation
		r.in(30*time.Second, rollout.RotationRevoke)
		killed()
		r.in(60*time.Second, rollout.RotationDone)
		stopNow()
		r.refused(old, now)
		out := r.says("secret", "status")
		contains(t, out, "token: rotation: done")
		if strings.Contains(r.logged()+out+r.says("events")+r.says("status"), "token-of-round") {
			t.Error("a value is told somewhere")
		}
	}
	r.nothingLeft()
}

// A token that one service sends and another accepts is never refused, in no phase, while a
// host cannot be reached in the middle of it: the revocation waits, and says for whom.
func TestRotationShared(t *testing.T) {
	r := newRotation(t, 4, 1, "0s")
	sent := func() string {
		out := r.on(r.hosts[0], "journalctl -u ops --no-pager -q -o cat | grep -c 'refuses our' || true")
		return out
	}
	// Requests on their way to the host that is cut off fail for that; none is refused.
	var refusals atomic.Int64
	g, err := load.Start(context.Background(), load.Config{URL: "http://" + r.lb.FrontendAddr("ledger") + "/api/whoami", Rate: 40, Duration: 5 * time.Minute,
		Header: http.Header{"Authorization": {"Bearer token-of-round-0"}}, Check: func(status int, _ []byte) error {
			if status == http.StatusUnauthorized {
				refusals.Add(1)
			}
			return nil
		}})
	must(r.stage, err)
	r.rotate("token-of-round-1")
	r.in(30*time.Second, rollout.RotationStage)
	// It has had its turn, and cannot be asked any more.
	away := r.hosts[0]
	r.sees(30*time.Second, "a host is staged", func(s controller.Snapshot) bool {
		for _, v := range rolling(s) {
			if v.Phase == rollout.PhaseEnded && v.Result == rollout.ResultDone {
				for _, h := range r.hosts[1:] {
					if h.Name() == v.Host {
						away = h
						return true
					}
				}
			}
		}
		return false
	})
	must(r.stage, away.Cut(context.Background()))
	r.sees(60*time.Second, "it waits for "+away.Name(), func(s controller.Snapshot) bool {
		return len(s.Secrets) == 1 && len(s.Secrets[0].Waits) > 0 && strings.Contains(s.Secrets[0].Waits[0], "ledger on "+away.Name()+" may hold the previous value")
	})
	time.Sleep(3 * time.Second)
	for _, h := range r.hosts {
		if h != away {
			if got := r.answer(h.Address(), "token-of-round-0"); got != http.StatusOK {
				t.Errorf("%s answers %d to the old value, which was not to be revoked", h.Name(), got)
			}
		}
	}
	contains(t, r.says("secret", "status"), "waits: ledger on "+away.Name()+" may hold the previous value")
	if st := g.Stop(); refusals.Load() > 0 || st.Requests == 0 {
		t.Errorf("%d requests with the old value were refused: %s", refusals.Load(), st)
	}
	must(r.stage, away.Heal(context.Background()))
	r.in(90*time.Second, rollout.RotationDone)
	r.refused("token-of-round-0", "token-of-round-1")
	if n := sent(); n != "0" {
		t.Errorf("the signer was refused %s times", n)
	}
	contains(t, r.on(r.hosts[0], "journalctl -u ops --no-pager -q -o cat"), "well=true")
	r.nothingLeft()
}

// Nor is it refused where the controller is killed with a visit in hand, in each phase: the
// next one goes on from what the processes hold.
func TestRotationSharedKilled(t *testing.T) {
	r := newRotation(t, 3, 2, "12s")
	const old, now = "token-of-round-0", "token-of-round-1"
	killedIn := func(phase rollout.RotationPhase) {
		t.Helper()
		r.in(60*time.Second, phase)
		r.sees(30*time.Second, "a visit is in hand", func(s controller.Snapshot) bool {
			if len(s.Secrets) == 1 && s.Secrets[0].Phase != phase {
				t.Fatalf("%s was over before the controller could be killed in it", phase)
			}
			for _, v := range rolling(s) {
				if v.Phase == rollout.PhaseSwitch || v.Phase == rollout.PhaseUnits || v.Phase == rollout.PhaseHealthy {
					t.Logf("killed in %s, with %s in %s", phase, v.Host, v.Phase)
					return true
				}
			}
			return phase == rollout.RotationVerify // nothing is to be done in it
		})
		r.kill()
		r.start()
	}
	stopOld := r.clients(old)
	r.rotate(now)
	killedIn(rollout.RotationStage)
	killedIn(rollout.RotationRoll)
	killedIn(rollout.RotationVerify)
	r.in(20*time.Second, rollout.RotationVerify) // of the controller that was started anew
	stopNow := r.clients(now)
	contains(t, r.says("secret", "status"), "token: rotation: verify", "both values are kept until ")
	stopOld() // before the revocation
	killedIn(rollout.RotationRevoke)
	r.in(60*time.Second, rollout.RotationDone)
	stopNow()
	r.refused(old, now)
	for _, h := range r.hosts[:2] {
		if n := r.on(h, "journalctl -u ops --no-pager -q -o cat | grep -c 'refuses our' || true"); n != "0" {
			t.Errorf("the signer on %s was refused %s times", h.Name(), n)
		}
		if env := r.on(h, "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ops)/environ"); strings.Contains(env, old) || !strings.Contains(env, now) {
			t.Errorf("the signer on %s runs with %s", h.Name(), env)
		}
	}
	if strings.Contains(r.logged()+r.says("events")+r.says("status"), "token-of-round") {
		t.Error("a value is told somewhere")
	}
	r.nothingLeft()
}

// rolling are the visits of the rollout under way.
func rolling(s controller.Snapshot) []rollout.Visit {
	if s.Rollout == nil || !s.Rollout.Ended.IsZero() {
		return nil
	}
	return s.Rollout.State.Visits
}
