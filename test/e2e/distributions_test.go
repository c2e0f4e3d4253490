package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// distribution is one that hosts have, and what its systemd is.
type distribution struct {
	base     lab.Base
	systemd  string
	optional bool // a mirror may lack it: then the test does without, and says so
}

var distributions = []distribution{
	{lab.Base{Suite: "bookworm", Shell: "busybox"}, "systemd 252", false},
	{lab.Base{Suite: "trixie"}, "systemd 257", false},
	{lab.Base{Suite: "noble"}, "systemd 255", true},
	{lab.Base{Suite: "bullseye"}, "systemd 247", true},
}

// without tells what was not tried: in the log, and in bin/without, which `make test` shows at
// its end, for the log of a test that passes is seen by nobody.
func without(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf(format, args...)
	f, err := os.OpenFile("../../bin/without", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, format+"\n", args...)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A fleet of one host of each distribution, one of them with busybox for its sh: all that an
// operator does all day works on each, and what a systemd cannot is done without.
func TestDistributions(t *testing.T) {
	lab.Require(t)
	var bases []lab.Base
	for _, d := range distributions {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		err := d.base.Build(ctx, nil)
		cancel()
		if d.optional && errors.Is(err, lab.ErrArchive) {
			without(t, "TestDistributions did without %s: %v", d.base.Suite, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		bases = append(bases, d.base)
	}
	s := newStageOf(t, lab.Options{Bases: bases})
	for i, b := range bases {
		for _, d := range distributions {
			if got := s.on(s.hosts[i], "systemctl --version"); d.base.Suite == b.Suite && !strings.HasPrefix(got, d.systemd+" ") {
				t.Errorf("%s is not what it is to be: %s", b.Suite, got)
			}
		}
	}
	each := func(do func(h *lab.Host)) {
		for _, h := range s.hosts {
			do(h)
		}
	}
	env := func(h *lab.Host) string { return s.on(h, "tr '\\0' '\\n' </proc/"+s.pid(h)+"/environ") }

	// The first apply, and nothing to do after it.
	s.deployed()
	s.run(0, "plan")
	each(func(h *lab.Host) {
		if got := s.on(h, "systemctl is-enabled ledger; systemctl is-active ledger"); got != "enabled\nactive" {
			t.Errorf("%s: %s", h.Name(), got)
		}
	})

	// One key changed, host by host, and no user notices.
	stop := s.users()
	s.env("TOKEN=first", "TOKEN=second")
	s.run(0, "apply", "--yes")
	s.serving(len(s.hosts))
	stop()
	s.run(0, "plan")
	each(func(h *lab.Host) { contains(t, env(h), "METRICS_AUTH_TOKEN=second") })

	// Drift, and its correction: a file, a unit that is disabled, a service that is stopped.
	before := map[string]string{}
	each(func(h *lab.Host) {
		before[h.Name()] = s.pid(h)
		s.on(h, "echo HAND=1 >>/etc/ledger/ledger.env; systemctl disable ledger 2>/dev/null")
	})
	out, _ := s.run(1, "plan")
	contains(t, out, "alike", "/etc/ledger/ledger.env", "edited on the host", "enable")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	each(func(h *lab.Host) {
		if s.pid(h) != before[h.Name()] || s.on(h, "systemctl is-enabled ledger") != "enabled" {
			t.Errorf("%s: it was restarted, or is not enabled", h.Name())
		}
		s.on(h, "systemctl stop ledger")
	})
	s.deployed()
	s.run(0, "plan")

	// A change by which nothing comes up is taken back, on each.
	s.env("PORT=8080", "PORT=not-a-port")
	each(func(h *lab.Host) {
		s.run(6, "apply", "--yes", "--host", h.Name())
		if !answers(h) {
			t.Errorf("%s does not answer after the revert", h.Name())
		}
		contains(t, env(h), "PORT=8080")
		text, _ := s.run(0, "explain", h.Name()+"/ledger")
		contains(t, text, "ledger.service", "PORT")
	})
	s.env("PORT=not-a-port", "PORT=8080")
	s.run(0, "plan")

	// A credential, encrypted where the host can, and its next value.
	key := filepath.Join(t.TempDir(), "age.key")
	t.Setenv("EVENKEEL_SECRETS_AGEIDENTITY", key)
	recipient := strings.TrimSpace(secretVerb(s, "", "keygen", key))
	s.service("  credentials: [{name: token, source: token.key}]\n")
	file := filepath.Join(s.repo, "services/ledger/token.key")
	secretVerb(s, "canary one\n", "set", file, "--recipient", recipient)
	s.deployed()
	secretVerb(s, "canary two\n", "set", file)
	s.deployed()
	s.run(0, "plan")
	each(func(h *lab.Host) {
		if got := s.on(h, "cat /run/credentials/ledger.service/token"); got != "canary two" {
			t.Errorf("%s: the service has %q", h.Name(), got)
		}
		place := "/etc/credstore/ledger.token"
		if s.on(h, "systemd-creds --version >/dev/null 2>&1 && echo can; :") == "can" {
			place = "/etc/credstore.encrypted/ledger.token"
		}
		if got := s.on(h, "ls /etc/credstore*/ledger.token"); got != place {
			t.Errorf("%s: it is kept in %s, not in %s", h.Name(), got, place)
		}
	})

	// What is told of them.
	out, _ = s.run(0, "status", "-o", "json")
	var status struct {
		Instances []struct{ Host, Sync, Health string }
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil || len(status.Instances) != len(s.hosts) {
		t.Fatalf("%v: %s", err, out)
	}
	for _, in := range status.Instances {
		if in.Sync != "Synced" || in.Health != "Healthy" {
			t.Errorf("%+v", in)
		}
	}
	each(func(h *lab.Host) {
		s.on(h, "systemctl stop ledger; systemctl reset-failed ledger; chmod a-x /usr/local/bin/ledger; systemctl start ledger; :")
		text, _ := s.exit([]int{0, 1}, "explain", h.Name()+"/ledger")
		contains(t, text, "203/EXEC", "/usr/local/bin/ledger")
		s.on(h, "chmod a+x /usr/local/bin/ledger; systemctl reset-failed ledger; systemctl restart ledger")
	})
	s.run(0, "check")

	s.aroundTheLedger(each)
}

// aroundTheLedger has what a host's own systemd-tmpfiles, its user's systemd and its loader
// decide: a folder, a unit of a user, a script whose interpreter it has not.
func (s *stage) aroundTheLedger(each func(func(*lab.Host))) {
	s.file("services/around/service.yaml", `apiVersion: evenkeel/v1
kind: Service
metadata: {name: around}
spec:
  selector: {matchLabels: {role: ledger}}
  rollout: {maxUnavailable: 100%, minHealthyTime: 100ms, healthyDeadline: 15s}
  units:
    - {source: around.service, enabled: true, state: started}
    - {source: work.service, enabled: true, state: started, scope: user, user: work}
  env: [{path: /etc/work/work.env, source: work.env, group: work, mode: "0640"}]
  files:
    - {path: /etc/tmpfiles.d/around.conf, source: folders.conf}
    - {path: /usr/local/bin/around, source: around.sh, mode: "0755"}
`)
	s.file("services/around/around.service", "[Service]\nExecStart=/usr/local/bin/around\n"+install)
	s.file("services/around/around.sh", "#!/bin/sh\nexec sleep infinity\n")
	s.file("services/around/work.service", userUnit)
	s.file("services/around/work.env", "A=1\n")
	s.file("services/around/folders.conf", "d /var/lib/around 0710 work work - -\n")

	// A user's systemd that cannot start is a reason in words, with the mend; then it can.
	each(func(h *lab.Host) {
		s.on(h, "useradd --system --create-home --home-dir /srv/work work")
		out, more := s.exit([]int{0, 1, 2, 6}, "apply", "--yes", "--host", h.Name())
		if s.on(h, "systemctl is-active user@$(id -u work).service; :") != "active" {
			contains(s.t, out+more, "the manager of user work does not start", "libpam-systemd")
		}
		s.on(h, `mkdir -p /etc/systemd/system/user@.service.d; printf '[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\n' >/etc/systemd/system/user@.service.d/pam.conf; systemctl daemon-reload; systemctl reset-failed`)
	})
	s.edit("services/around/work.env", "A=1", "A=2")
	s.exit([]int{0}, "apply", "--yes")
	s.run(0, "plan")
	running := map[string]string{}
	each(func(h *lab.Host) {
		if got := s.on(h, userAsking+"is-active work.service; stat -c '%a %U' /var/lib/around"); got != "active\n710 work" {
			s.t.Errorf("%s: %s", h.Name(), got)
		}
		running[h.Name()] = s.on(h, "systemctl show -p InvocationID --value around")
		s.on(h, "rmdir /var/lib/around; "+userAsking+"stop work.service")
	})
	out, _ := s.run(1, "plan")
	contains(s.t, out, "the directory /var/lib/around, which it makes, does not exist", "is not running")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")

	// What is not there is found before anything is disturbed.
	s.edit("services/around/around.sh", "#!/bin/sh", "#!/opt/none")
	each(func(h *lab.Host) {
		out, more := s.run(2, "apply", "--yes", "--host", h.Name())
		contains(s.t, out+more, "/opt/none", "[interpreter-missing]")
		if now := s.on(h, "systemctl show -p InvocationID --value around"); now != running[h.Name()] {
			s.t.Errorf("%s: it was restarted", h.Name())
		}
	})
}
