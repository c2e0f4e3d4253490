package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// Hosts come and go in the middle of a rollout, lose their connection, and have a unit
// masked by hand, while the controller watches them.
func TestServeHosts(t *testing.T) {
	s := newStage(t, 4)
	all := s.hosts
	s.hosts = slices.Clone(all[:3])
	s.writeRepo()
	k := newKeelOn(s)
	k.sees(20*time.Second, "all are watched", watched("h1", "h2", "h3"))
	t.Run("one comes, one goes, in mid-rollout", func(t *testing.T) { comeAndGo(t, k, all) })
	t.Run("a connection drops", func(t *testing.T) { dropped(t, k) })
	t.Run("a unit is masked", func(t *testing.T) { masked(t, k) })
}

func watched(hosts ...string) func(controller.Snapshot) bool {
	return func(s controller.Snapshot) bool {
		for _, h := range hosts {
			if !s.Observed[h].Watched || s.HostConditions[h].Get(controller.Watched).Status != controller.True {
				return false
			}
		}
		return true
	}
}

// has tells whether a host's process was started with that value.
func (k *keel) has(h *lab.Host, value string) bool {
	k.t.Helper()
	return strings.Contains(k.on(h, "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ledger)/environ; true"), "METRICS_AUTH_TOKEN="+value+"\n")
}

// comeAndGo: while h1 is in hand, a push takes h3 out of the inventory and puts h4 in.
// The host in hand is finished, the new one is brought, the old one is left as it is, and
// what watched it is gone; then it is let in again.
func comeAndGo(t *testing.T, k *keel, all []*lab.Host) {
	stop := k.users()
	gone := all[2]
	pid := k.pid(gone)
	k.env("=first", "=second")
	k.push("second")
	k.hook()
	k.sees(20*time.Second, "a host is in hand", func(s controller.Snapshot) bool {
		if s.Rollout == nil || !s.Rollout.Ended.IsZero() || s.Rollout.State.Revision != s.Source.Tip {
			return false
		}
		return slices.ContainsFunc(s.Rollout.State.Visits, func(v rollout.Visit) bool { return v.Host == "h1" && v.Active() })
	})
	k.hosts = []*lab.Host{all[0], all[1], all[3]}
	k.writeRepo()
	k.env("=first", "=second") // which writeRepo has taken back
	k.push("h3 goes, h4 comes")
	k.hook()
	k.reconciled()
	for _, h := range k.hosts {
		if !k.has(h, "second") {
			t.Errorf("%s has not the new value", h.Name())
		}
	}
	if k.pid(gone) != pid || !k.has(gone, "first") {
		t.Error("the host that went was touched")
	}
	s, err := k.snapshot()
	must(k.stage, err)
	if _, known := s.Observed["h3"]; known || len(s.Hosts) != 3 {
		t.Errorf("h3 is still among %+v", s.Hosts)
	}
	k.eventually(15*time.Second, "nothing of the watch is left there", func() bool {
		return k.on(gone, "systemctl list-units --all --no-legend 'evenkeel-watch*' | wc -l") == "0"
	})
	k.sees(20*time.Second, "the new one is watched", watched("h1", "h2", "h4"))
	k.on(all[3], "chmod 0666 /etc/ledger/ledger.env")
	k.eventually(15*time.Second, "and kept", func() bool { return k.on(all[3], "stat -c %a /etc/ledger/ledger.env") == "600" })

	k.hosts = all
	k.writeRepo()
	k.env("=first", "=second")
	k.push("h3 is back")
	k.hook()
	k.reconciled()
	if !k.has(gone, "second") {
		t.Error("the host that is back has not the new value")
	}
	k.serving(4)
	stop()
}

// dropped: a connection that is cut and one that is killed are taken up again, and what
// was changed meanwhile is put right.
func dropped(t *testing.T, k *keel) {
	h := k.hosts[1]
	k.sees(20*time.Second, "it is watched", watched("h2"))
	must(k.stage, h.Cut(context.Background()))
	k.sees(60*time.Second, "it is no longer watched", func(s controller.Snapshot) bool {
		c := s.HostConditions["h2"].Get(controller.Watched)
		return !s.Observed["h2"].Watched && c.Status == controller.False && c.Reason == "Lost"
	})
	k.on(h, "echo X=1 >>/etc/ledger/ledger.env")
	must(k.stage, h.Heal(context.Background()))
	k.sees(60*time.Second, "it is watched again", watched("h2"))
	began := time.Now()
	k.eventually(15*time.Second, "what was changed meanwhile is put right", func() bool { return k.on(h, "grep -c ^X=1 /etc/ledger/ledger.env; true") == "0" })
	t.Logf("put right %s after it was watched again", time.Since(began).Round(time.Millisecond))

	k.on(h, "pkill -KILL -u deploy sshd; true")
	k.eventually(30*time.Second, "another session is there", func() bool { return k.on(h, "pgrep -c -u deploy sshd; true") != "0" })
	k.sees(30*time.Second, "it is watched again", watched("h2"))
	k.on(h, "echo X=2 >>/etc/ledger/ledger.env")
	began = time.Now()
	k.eventually(10*time.Second, "an edit is put right at once", func() bool { return k.on(h, "grep -c ^X=2 /etc/ledger/ledger.env; true") == "0" })
	t.Logf("an edit was put right within %s", time.Since(began).Round(time.Millisecond))
	k.serving(4)
}

// masked: somebody masks a unit by hand and stops it. It is named, and nobody fights with
// them; once it is unmasked, it runs again as git wants it.
func masked(t *testing.T, k *keel) {
	h := k.hosts[0]
	k.on(h, "ln -sfn /dev/null /etc/systemd/system/ledger.service && systemctl daemon-reload && systemctl stop ledger")
	k.sees(20*time.Second, "it is named", func(s controller.Snapshot) bool {
		c := s.HostConditions["h1"].Get(controller.SyncedType)
		service := s.ServiceConditions["ledger"]
		return c.Status == controller.False && strings.Contains(c.Message, "ledger.service: is masked") &&
			service.Get(controller.SyncedType).Status == controller.False && strings.Contains(service.Get(controller.SyncedType).Message, "masked") &&
			service.Get(controller.HealthyType).Status == controller.False && s.Conditions.Get(controller.Reconciled).Status == controller.False
	})
	contains(t, k.says("status"), "ledger.service is masked")
	contains(t, k.says("events"), "ProblemSeen")
	contains(t, k.says("explain", "h1/ledger"), "systemctl unmask ledger.service")
	time.Sleep(3 * time.Second)
	if got := k.on(h, "readlink /etc/systemd/system/ledger.service; systemctl is-active ledger; true"); got != "/dev/null\ninactive" {
		t.Errorf("somebody's mask was fought with: %s", got)
	}
	// What runs elsewhere is kept all the same, but within the budget, which is used up.
	other := k.hosts[2]
	pid := k.pid(other)
	k.on(other, "echo X=1 >>/etc/ledger/ledger.env")
	k.eventually(10*time.Second, "an edit elsewhere is put right", func() bool { return k.on(other, "grep -c ^X=1 /etc/ledger/ledger.env; true") == "0" })
	if k.pid(other) != pid {
		t.Error("it was restarted")
	}
	k.on(h, "systemctl unmask ledger.service")
	k.eventually(30*time.Second, "it runs again", func() bool {
		return k.on(h, "systemctl is-active ledger; systemctl is-enabled ledger; true") == "active\nenabled"
	})
	k.reconciled()
	k.serving(4)
}
