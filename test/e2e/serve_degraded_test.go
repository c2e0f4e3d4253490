package e2e

import (
	"crypto/sha256"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
)

// A host without systemd-stdio-bridge is polled, and that is told; what a hand changes there
// is put right all the same, and once the bridge is there, the host is watched.
func TestServeWithoutABridge(t *testing.T) {
	k := newKeel(t, 2)
	k.sees(20*time.Second, "both are watched", watched("h1", "h2"))
	h := k.hosts[1]
	bridge := k.on(h, "command -v systemd-stdio-bridge")
	k.on(h, "mv "+bridge+" "+bridge+".away; pkill -KILL -u deploy sshd; true")
	k.sees(30*time.Second, "h2 cannot be watched", func(s controller.Snapshot) bool {
		c := s.HostConditions["h2"].Get(controller.Watched)
		return !s.Observed["h2"].Watched && c.Status == controller.False && c.Reason == controller.BlindReason && strings.Contains(c.Message, "systemd-stdio-bridge is not there")
	})
	blind := time.Now()
	contains(t, k.says("status"), "1 host is polled, not watched", "systemd-stdio-bridge is not there", "install there the part of systemd that has it", "Synced")
	contains(t, k.logged(), "the host cannot be watched, and is polled")
	contains(t, string(k.bodies()["/metrics"]), `evenkeel_host_watched{host="h1"} 1`, `evenkeel_host_watched{host="h2"} 0`)

	k.sees(30*time.Second, "what followed is over", func(s controller.Snapshot) bool {
		return time.Since(s.Observed["h2"].At) > 3*time.Second
	})
	pid := k.pid(h)
	k.on(h, "echo X=1 >>/etc/ledger/ledger.env")
	edited := time.Now()
	k.eventually(60*time.Second, "the edit is put right by a poll", func() bool { return k.on(h, "grep -c ^X=1 /etc/ledger/ledger.env; true") == "0" })
	t.Logf("put right after %s", time.Since(edited).Round(time.Millisecond))
	if k.pid(h) != pid {
		t.Error("the process was restarted for an edit that it had never read")
	}
	k.eventually(10*time.Second, "it is told as drift that was corrected", func() bool {
		said := k.says("events")
		return strings.Contains(said, "corrective drift on h2: /etc/ledger/ledger.env") && strings.Contains(said, "drift on h2 was corrected")
	})
	if s, err := k.snapshot(); err != nil || s.Observed["h2"].Watched || !s.Observed["h1"].Watched {
		t.Errorf("h1 is watched: %t, h2 is: %t, %v", s.Observed["h1"].Watched, s.Observed["h2"].Watched, err)
	}
	k.on(k.hosts[0], "echo X=2 >>/etc/ledger/ledger.env")
	k.eventually(10*time.Second, "a host that is watched is put right at once", func() bool { return k.on(k.hosts[0], "grep -c ^X=2 /etc/ledger/ledger.env; true") == "0" })

	k.on(h, "mv "+bridge+".away "+bridge)
	k.sees(3*time.Minute, "it is watched again, by itself", watched("h1", "h2"))
	t.Logf("watched again %s after it could not be", time.Since(blind).Round(time.Millisecond))
	if said := k.says("status"); strings.Contains(said, "not watched") {
		t.Errorf("status still says %s", said)
	}
	contains(t, k.logged(), "the host is watched again")
	k.on(h, "echo X=3 >>/etc/ledger/ledger.env")
	k.eventually(10*time.Second, "an edit is put right at once", func() bool { return k.on(h, "grep -c ^X=3 /etc/ledger/ledger.env; true") == "0" })
	k.reconciled()
	k.serving(2)
}

// A store that is damaged is left as it is: the controller starts, looks, shows what differs
// and why nothing is done about it, and changes nothing. Once the file is moved aside and the
// hosts are taken over, they are brought to what git wants.
func TestServeWithADamagedStore(t *testing.T) {
	k := newKeel(t, 2)
	k.stop()
	file := filepath.Join(k.dir, "state/evenkeel.db")
	data, err := os.ReadFile(file)
	must(k.stage, err)
	for i := 2 * os.Getpagesize(); i < len(data); i++ { // all but the two pages that say where the rest is
		data[i] ^= 0xff
	}
	must(k.stage, os.WriteFile(file, data, 0o600))
	k.env("=first", "=second")
	tip := k.push("second")
	edited := k.hosts[1]
	k.on(edited, "chmod 0666 /etc/ledger/ledger.env")
	hands := func() (all string) {
		for _, h := range k.hosts {
			all += k.on(h, "systemctl show -p MainPID,InvocationID ledger; sha256sum /etc/ledger/ledger.env; cd /var/lib/evenkeel; find . -type f | sort | xargs sha256sum; cat epoch 2>/dev/null; true")
		}
		return all
	}
	before := hands()

	k.start()
	const mend = "restore a backup (stop the controller, copy the backup to its place), or move the file aside"
	s := controller.Snapshot{}
	k.sees(30*time.Second, "it looks, and is frozen", func(now controller.Snapshot) bool {
		s = now
		return now.Conditions.Get(controller.Reconciled).Reason == controller.FrozenReason && now.Source.Revision == tip && now.Plan != nil && len(now.Plan.Visits) > 0
	})
	contains(t, s.Conditions.Get(controller.Reconciled).Message, file, "is damaged", mend)
	contains(t, k.logged(), "the store cannot be read: hosts are looked at, and nothing is changed", mend)
	contains(t, k.says("status"), "nothing is changed: ", "is damaged", mend, "OutOfSync", "Healthy")
	contains(t, k.get("/readyz"), "200 OK", `"ready"`, "none; evenkeel status says why")
	contains(t, k.get("/healthz"), "200 OK")
	if out, err := k.ask("take-over", "--reason", "try"); err == nil || !strings.Contains(out, "is damaged") {
		t.Errorf("take-over: %v\n%s", err, out)
	}
	if out, err := k.ask("store", "backup", filepath.Join(k.dir, "b.db")); err == nil || !strings.Contains(out, "is damaged") {
		t.Errorf("a backup of it: %v\n%s", err, out)
	}
	k.env("=second", "=third")
	k.push("third")
	k.hook()
	k.sees(20*time.Second, "a push is seen", func(now controller.Snapshot) bool { return now.Source.Revision != tip })
	_, _ = k.ask("reconcile")
	time.Sleep(5 * time.Second)
	if after := hands(); after != before {
		t.Errorf("hosts were changed:\n%s\n%s", before, after)
	}
	k.serving(2)
	k.stop()
	if left, err := os.ReadFile(file); err != nil || sha256.Sum256(left) != sha256.Sum256(data) {
		t.Errorf("the damaged file was written to: %v", err)
	}

	must(k.stage, os.Rename(file, file+".damaged"))
	k.start()
	k.sees(30*time.Second, "a new store knows less than the hosts", func(now controller.Snapshot) bool {
		c := now.Conditions.Get(controller.Reconciled)
		return c.Reason == controller.FrozenReason && strings.Contains(c.Message, "take-over")
	})
	contains(t, k.says("status"), "nothing is changed: ", "take-over")
	if after := hands(); after != before {
		t.Errorf("hosts were changed before they were taken over:\n%s\n%s", before, after)
	}
	stop := k.users()
	k.says("take-over", "--reason", "the store was damaged")
	k.reconciled()
	stop()
	for _, h := range k.hosts {
		if !k.has(h, "third") {
			t.Errorf("%s has not the new value", h.Name())
		}
	}
	k.eventually(10*time.Second, "the edit is put right", func() bool { return k.on(edited, "stat -c %a /etc/ledger/ledger.env") == "600" })
	if said := k.says("status") + k.get("/readyz"); strings.Contains(said, "nothing is changed") || strings.Contains(said, "none;") {
		t.Errorf("it still says %s", said)
	}
	k.serving(2)
	k.nothingLeft()
}

// get is what the API tells everybody under a path.
func (k *keel) get(path string) string {
	k.t.Helper()
	resp, err := http.Get("http://" + k.address() + path)
	must(k.stage, err)
	body, err := io.ReadAll(resp.Body)
	must(k.stage, err)
	_ = resp.Body.Close()
	return resp.Status + " " + string(body)
}
