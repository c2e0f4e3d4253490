package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// The commands as a user types them: plan, apply, plan, status, explain.
func TestContract(t *testing.T) {
	s := newStage(t, 2)
	out, _ := s.run(1, "plan")
	for _, want := range []string{"h1", "h2", "/etc/ledger/ledger.env", "ledger.service", "start"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not name %s:\n%s", want, out)
		}
	}
	s.deployed()
	s.run(0, "plan")

	out, _ = s.run(0, "status", "-o", "json")
	var status struct {
		Instances []struct {
			Host, Service, Sync, Health string
			Stale                       bool
		}
		Hosts []struct {
			Name      string
			Reachable bool
		}
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(status.Instances) != 2 || len(status.Hosts) != 2 {
		t.Fatalf("status has not two of each: %s", out)
	}
	for _, i := range status.Instances {
		if i.Service != "ledger" || i.Sync != "Synced" || i.Health != "Healthy" || i.Stale {
			t.Errorf("status: %+v", i)
		}
	}
	if out, _ = s.run(0, "explain", "h2/ledger"); !strings.Contains(out, "ledger.service") {
		t.Errorf("explain: %s", out)
	}
	s.run(0, "diff", "h1")
	s.run(0, "check")
	s.run(0, "validate")
}

// A change is rolled host by host; nobody notices.
func TestChangeUnderLoad(t *testing.T) {
	s := newStage(t, 3)
	s.deployed()
	stop := s.users()
	s.env("=first", "=second")
	out, _ := s.run(0, "apply", "--yes")
	stop()
	s.run(0, "plan")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); !strings.Contains(lines[len(lines)-1], "converged") {
		t.Errorf("the last line does not say that it converged: %q", lines[len(lines)-1])
	}
	for _, h := range s.hosts {
		if env := s.on(h, "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ledger)/environ"); !strings.Contains(env, "METRICS_AUTH_TOKEN=second") {
			t.Errorf("%s: the process has not the new value", h.Name())
		}
	}
}

// A hand edit that the process never read is put right without a restart.
func TestHandEdit(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	before := s.pid(s.hosts[1])
	s.on(s.hosts[1], "echo X=1 >>/etc/ledger/ledger.env")
	out, _ := s.run(1, "plan")
	if !strings.Contains(out, "h2") || !strings.Contains(out, "edited on the host: X") || strings.Contains(out, "X=1") {
		t.Errorf("the plan does not name the host and the key, or tells what may be a secret:\n%s", out)
	}
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	if after := s.pid(s.hosts[1]); after != before {
		t.Errorf("the process was restarted: %s, %s", before, after)
	}
}

// The same edit, and the process has taken it up: then it is restarted, one at a time.
func TestHandEditTakenUp(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	other := s.pid(s.hosts[0])
	s.on(s.hosts[1], "echo X=1 >>/etc/ledger/ledger.env; systemctl restart ledger")
	s.back(s.hosts[1])
	before := s.pid(s.hosts[1])
	stop := s.users()
	s.run(0, "apply", "--yes")
	stop()
	s.run(0, "plan")
	if s.pid(s.hosts[1]) == before {
		t.Error("the process that took up the edit still runs")
	}
	if s.pid(s.hosts[0]) != other {
		t.Error("the other host's process was restarted")
	}
}

// A service that the repo no longer has is stopped and its files go; what evenkeel
// did not put there stays. A repo that became empty takes nothing away.
func TestPrune(t *testing.T) {
	s := newStage(t, 2)
	s.deployed()
	s.file("services/extra/service.yaml", `apiVersion: evenkeel/v1
kind: Service
metadata: {name: extra}
spec:
  selector: {matchLabels: {role: ledger}}
  units: [{source: extra.service, enabled: true, state: started}]
  files: [{path: /etc/extra/extra.conf, source: extra.conf}]
`)
	s.file("services/extra/extra.service", "[Unit]\nDescription=Extra\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n")
	s.file("services/extra/extra.conf", "a\n")
	s.run(0, "apply", "--yes")
	s.on(s.hosts[0], "systemctl is-active extra && echo b >/etc/extra/not-ours")
	s.remove("services/extra")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	for _, h := range s.hosts {
		if got := s.on(h, "systemctl is-active extra; test -e /etc/systemd/system/extra.service && echo unit; test -e /etc/extra/extra.conf && echo conf; true"); got != "inactive" {
			t.Errorf("%s: left of the pruned service: %s", h.Name(), got)
		}
	}
	s.on(s.hosts[0], "test -e /etc/extra/not-ours")

	s.remove("services/ledger")
	s.run(0, "apply", "--yes")
	s.on(s.hosts[0], "systemctl is-active ledger")
}
