package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/client"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// A push, told by a signed hook, is rolled over the hosts one by one; nobody notices.
func TestServePush(t *testing.T) {
	k := newKeel(t, 3)
	stop := k.users()
	k.env("=first", "=second")
	k.push("second")
	began := time.Now()
	k.hook()
	k.sees(20*time.Second, "a rollout has begun", func(s controller.Snapshot) bool {
		return s.Rollout != nil && s.Rollout.State.Revision == s.Source.Tip && s.Rollout.Began.After(began)
	})
	s, err := k.snapshot()
	must(k.stage, err)
	first := s.Rollout.Began.Sub(began)
	t.Logf("from the hook to the rollout's first step: %s", first.Round(time.Millisecond))
	if first > time.Second {
		t.Errorf("a push is acted on after %s", first)
	}
	k.reconciled()
	t.Logf("from the hook to three hosts rolled: %s", time.Since(began).Round(time.Millisecond))
	stop()
	for _, h := range k.hosts {
		if env := k.on(h, "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ledger)/environ"); !strings.Contains(env, "METRICS_AUTH_TOKEN=second") {
			t.Errorf("%s: the process has not the new value", h.Name())
		}
	}
	k.nothingLeft()
	contains(t, k.says("history"), "second")
	contains(t, k.says("status"), "Synced", "Healthy")
	contains(t, k.says("explain", "h2/ledger"), "ledger.service")
	contains(t, k.says("events"), "RolloutEnded")

	// The hosts are the controller's: an apply beside it is refused.
	contains(t, k.with(7, "apply", k.lab.IdentityFile(), k.lab.KnownHostsFile(), "deploy", "--yes"), "keel-1")
}

// What a hand changes on a host is seen and put right at once: without a restart where
// the process never read it, by a rollout where it did.
func TestServeDrift(t *testing.T) {
	k := newKeel(t, 2)
	k.sees(20*time.Second, "both hosts are watched", func(s controller.Snapshot) bool { return s.Observed["h1"].Watched && s.Observed["h2"].Watched })
	h := k.hosts[1]
	stop := k.users()
	pid := k.pid(h)
	k.edits(h, 1)
	if k.pid(h) != pid {
		t.Error("the process was restarted for an edit that it had never read")
	}
	k.edits(k.hosts[0], 3) // one more would flap
	stop()

	k.on(h, "systemctl stop ledger")
	k.eventually(15*time.Second, "a stopped unit is started", func() bool { return k.on(h, "systemctl is-active ledger; true") == "active" })
	k.back(h)

	// The edit may be put right before the process starts: then there is nothing to see.
	took := false
	for range 5 {
		took = strings.Contains(k.on(h, "sed -i s/first/byhand/ /etc/ledger/ledger.env; systemctl restart ledger; tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ledger)/environ; true"), "byhand")
		if took {
			break
		}
		k.back(h)
	}
	if taken := k.pid(h); took {
		k.eventually(40*time.Second, "what took the edit up is restarted", func() bool { return k.pid(h) != taken && k.pid(h) != "0" })
	}
	k.back(h)
	k.reconciled()

	must(k.stage, h.Reboot(context.Background()))
	k.sees(40*time.Second, "the host is watched again after a reboot", func(s controller.Snapshot) bool { return s.Observed["h2"].Watched })
	k.on(h, "chmod 0666 /etc/ledger/ledger.env")
	k.eventually(15*time.Second, "a mode is put right", func() bool { return k.on(h, "stat -c %a /etc/ledger/ledger.env") == "600" })
}

// edits edits a file some times, and tells after how long the quickest of several was seen and
// put right, by the clock that host and controller share here. How quick that is, is for
// test/bench; seconds later is not at once, however busy the machine.
func (k *keel) edits(h *lab.Host, times int) {
	k.t.Helper()
	seen, right := time.Hour, time.Hour
	for n := range times {
		at := k.on(h, fmt.Sprintf("echo X%d=1 >>/etc/ledger/ledger.env; date +%%s.%%N", n))
		k.eventually(10*time.Second, "the edit is put right", func() bool { return k.on(h, "grep -c ^X /etc/ledger/ledger.env; true") == "0" })
		var seconds, nanos int64
		if _, err := fmt.Sscanf(at, "%d.%d", &seconds, &nanos); err != nil {
			k.t.Fatalf("%s: %v", at, err)
		}
		edited := time.Unix(seconds, nanos)
		var drift, corrected time.Duration
		k.eventually(10*time.Second, "both are told", func() bool {
			drift, corrected = 0, 0
			for _, e := range k.events() {
				switch after := e.At.Sub(edited); {
				case after < -10*time.Millisecond || e.Host != h.Name():
				case e.Reason == controller.ReasonDrift:
					drift = after
				case e.Reason == controller.ReasonCorrected:
					corrected = after
				}
			}
			return corrected > 0
		})
		k.t.Logf("an edit was seen after %s, and put right after %s", drift, corrected)
		if right = min(right, corrected); drift > 0 { // one that comes again at once is the same drift
			seen = min(seen, drift)
		}
	}
	if times > 1 && (seen > 3*time.Second || right > 6*time.Second) {
		k.t.Errorf("an edit is seen after %s at best, and put right after %s", seen, right)
	}
}

// events are the controller's newest.
func (k *keel) events() []controller.Event {
	k.t.Helper()
	c, err := client.New(client.Options{URL: "unix://" + filepath.Join(k.dir, "ek.sock")})
	must(k.stage, err)
	defer c.Close()
	list, err := c.Events(context.Background(), 0, 50)
	must(k.stage, err)
	return list
}

// kill -9 of the controller at each step of a host: the next one goes on from there, and
// nobody notices.
func TestServeKilled(t *testing.T) {
	k := newKeel(t, 3)
	stop := k.users()
	was := "=first"
	for _, phase := range []string{"stage", "drain", "wait", "switch", "restart", "healthy", "undrain", "verify"} {
		now := "=" + phase
		k.env(was, now)
		was = now
		k.push(phase)
		k.hook()
		deadline := time.Now().Add(5 * time.Second)
		for reached := false; !reached && time.Now().Before(deadline); {
			s, err := k.snapshot()
			must(k.stage, err)
			if s.Rollout == nil || !s.Rollout.Ended.IsZero() {
				continue
			}
			for _, v := range s.Rollout.State.Visits {
				reached = reached || string(v.Phase) == phase
			}
		}
		k.kill()
		k.start()
		k.reconciled()
		k.nothingLeft()
	}
	stop()
}

// What must not become the revision does not, and what was desired stays so.
func TestServeSource(t *testing.T) {
	k := newKeel(t, 2)
	good := k.git(k.repo, "rev-parse", "HEAD")
	pids := k.pid(k.hosts[0]) + k.pid(k.hosts[1])

	k.file("fleet.yaml", "kind: Fleet\n")
	k.push("broken")
	k.hook()
	k.sees(20*time.Second, "a commit with faults is refused", func(s controller.Snapshot) bool { return s.Conditions.Get(controller.SourceReady).Reason == "Invalid" })

	k.git(k.repo, "reset", "-q", "--hard", good)
	k.git(k.repo, "commit", "-q", "--amend", "--allow-empty", "-m", "history is rewritten")
	k.git(k.repo, "push", "-q", "--force", "origin", "main")
	k.hook()
	k.sees(20*time.Second, "a rewritten branch is refused", func(s controller.Snapshot) bool {
		return s.Conditions.Get(controller.SourceReady).Reason == "NotADescendant" && s.Source.Revision == good
	})
	if got := k.pid(k.hosts[0]) + k.pid(k.hosts[1]); got != pids {
		t.Error("a process was restarted")
	}
	k.says("accept", k.git(k.repo, "rev-parse", "HEAD"), "--reason", "it was meant")
	k.reconciled()

	must(k.stage, os.Rename(filepath.Join(k.dir, "fleet.git"), filepath.Join(k.dir, "away.git")))
	k.hook()
	k.sees(20*time.Second, "git that is away is told", func(s controller.Snapshot) bool {
		return s.Conditions.Get(controller.SourceReady).Reason == "FetchFailed"
	})
	k.on(k.hosts[0], "echo X=1 >>/etc/ledger/ledger.env")
	k.eventually(15*time.Second, "drift is put right all the same", func() bool { return k.on(k.hosts[0], "grep -c ^X=1 /etc/ledger/ledger.env; true") == "0" })
	must(k.stage, os.Rename(filepath.Join(k.dir, "away.git"), filepath.Join(k.dir, "fleet.git")))
	k.hook()
	k.sees(20*time.Second, "git is back", func(s controller.Snapshot) bool {
		return s.Conditions.Get(controller.SourceReady).Status == controller.True
	})
}

// With signers, an unsigned commit changes nothing; a signed one is rolled out.
func TestServeSigned(t *testing.T) {
	k := newKeel(t, 1)
	k.stop()
	key := filepath.Join(k.dir, "signer")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	must(k.stage, err)
	must(k.stage, os.WriteFile(filepath.Join(k.dir, "signers"), append([]byte("alice "), public...), 0o600))
	config, err := os.ReadFile(filepath.Join(k.dir, "evenkeel.yaml"))
	must(k.stage, err)
	must(k.stage, os.WriteFile(filepath.Join(k.dir, "evenkeel.yaml"), []byte(strings.Replace(string(config), "branch: main,", "branch: main, signers: "+filepath.Join(k.dir, "signers")+",", 1)), 0o600))
	k.env("=first", "=unsigned")
	good := k.git(k.repo, "rev-parse", "HEAD")
	k.push("unsigned")
	k.start()
	k.sees(20*time.Second, "an unsigned commit is refused", func(s controller.Snapshot) bool {
		return s.Conditions.Get(controller.SourceReady).Reason == "BadSignature" && s.Source.Revision == good
	})
	k.env("=unsigned", "=signed")
	k.git(k.repo, "-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "commit", "-q", "-a", "-S", "-m", "signed")
	k.git(k.repo, "push", "-q", "origin", "main")
	k.hook()
	k.reconciled()
	contains(t, k.says("history"), "alice")
}

// Hosts come and go, operators speak, and a second controller on the same store is refused.
func TestServeOperate(t *testing.T) {
	k := newKeel(t, 3)
	second := exec.Command(filepath.Join(root, "bin/evenkeel"), "serve", "--config", filepath.Join(k.dir, "evenkeel.yaml"))
	out, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "mend:") {
		t.Errorf("a second controller on the same store: %v\n%s", err, out)
	}

	k.says("suspend", "h3", "--reason", "its disk is being changed")
	k.env("=first", "=second")
	k.push("second")
	k.hook()
	k.eventually(60*time.Second, "the others are rolled", func() bool {
		return strings.Contains(k.on(k.hosts[0], "cat /etc/ledger/ledger.env"), "=second") && strings.Contains(k.on(k.hosts[1], "cat /etc/ledger/ledger.env"), "=second")
	})
	if strings.Contains(k.on(k.hosts[2], "cat /etc/ledger/ledger.env"), "=second") {
		t.Error("a suspended host was touched")
	}
	contains(t, k.says("status"), "its disk is being changed")
	k.says("resume", "h3")
	k.reconciled()

	stop := k.users()
	k.says("drain", "h1", "--reason", "a look inside")
	if n := k.servers()["DRAIN"]; n != 1 {
		t.Errorf("%d servers are drained: %v", n, k.servers())
	}
	if out, err := k.ask("drain", "h2"); err == nil || !strings.Contains(out, "budget") {
		t.Errorf("a second host was drained beside the first: %v\n%s", err, out)
	}
	k.says("undrain", "h1")
	k.serving(3)
	stop()

	must(k.stage, k.hosts[1].Cut(context.Background()))
	k.sees(60*time.Second, "a host that is cut off is told", func(s controller.Snapshot) bool {
		return s.HostConditions["h2"].Get(controller.Reachable).Status == controller.False
	})
	must(k.stage, k.hosts[1].Heal(context.Background()))
	k.sees(60*time.Second, "it is back", func(s controller.Snapshot) bool {
		return s.HostConditions["h2"].Get(controller.Reachable).Status == controller.True
	})
	k.stop()
	k.start()
	k.reconciled()
}
