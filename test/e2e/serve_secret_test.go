package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/test/seal"
)

// A secret that is encrypted in git is changed there and rolled by the controller with no
// failed request; one that cannot be opened disturbs nobody; no value is told anywhere.
func TestServeSecret(t *testing.T) {
	k := newKeel(t, 3)
	id, err := age.GenerateX25519Identity()
	must(k.stage, err)
	keyFile := filepath.Join(k.dir, "age.key")
	must(k.stage, os.WriteFile(keyFile, []byte(id.String()+"\n"), 0o600))
	k.stop()
	k.configure("secrets: {ageIdentity: " + keyFile + "}")
	k.start()

	const secrets = "services/ledger/ledger.secrets.env"
	sealed := func(value, recipient string) {
		text, err := seal.Env("METRICS_AUTH_TOKEN="+value+"\n", recipient)
		must(k.stage, err)
		k.file(secrets, text)
	}
	k.env("METRICS_AUTH_TOKEN=first\n", "")
	k.retune("source: [ledger.env]", "source: [ledger.env, ledger.secrets.env]")
	sealed("canary-one-7f3a", id.Recipient().String())
	k.push("the token is encrypted")
	k.hook()
	k.reconciled()

	stop := k.users()
	sealed("canary-two-9c1d", id.Recipient().String())
	k.push("the token is another one")
	k.hook()
	k.reconciled()
	if got := k.tokens(); got != strings.TrimSpace(strings.Repeat("canary-two-9c1d ", 3)) {
		t.Errorf("they run with %s", got)
	}
	contains(t, k.says("rollout", "status"), "converged")

	before := k.pid(k.hosts[0]) + k.pid(k.hosts[1]) + k.pid(k.hosts[2])
	other, err := age.GenerateX25519Identity()
	must(k.stage, err)
	sealed("canary-three-51be", other.Recipient().String())
	tip := k.push("encrypted to somebody else")
	k.hook()
	k.sees(20*time.Second, "that it cannot be opened is told", func(s controller.Snapshot) bool {
		return s.Source.Tip == tip && strings.Contains(s.Source.Error+s.Conditions.Get(controller.RevisionReady).Message+s.Conditions.Get(controller.Reconciled).Message, "ledger.secrets.env")
	})
	time.Sleep(time.Second)
	if now := k.pid(k.hosts[0]) + k.pid(k.hosts[1]) + k.pid(k.hosts[2]); now != before {
		t.Error("a process was restarted for a secret that cannot be opened")
	}
	sealed("canary-four-2e8b", id.Recipient().String())
	k.push("encrypted to us again")
	k.hook()
	k.reconciled()
	stop()

	told := k.logged() + k.says("status") + k.says("events") + k.says("history") + k.says("plan", "--diff=full")
	for _, h := range k.hosts {
		told += k.on(h, "journalctl --no-pager -q -o cat; ls -l /etc/ledger/ledger.env")
	}
	if strings.Contains(told, "canary-") {
		t.Error("a value is told somewhere")
	}
	k.nothingLeft()
}
