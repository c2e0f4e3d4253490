package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// byHand sets a host up as an operator would, with no evenkeel: two services with env
// files (one with a secret), a drop-in, a timer, a system user, a program behind a
// symlink, one that is on its own, and a unit of somebody else.
func byHand(s *stage, h *lab.Host, shard int) {
	s.t.Helper()
	put := func(name, text string, mode os.FileMode) {
		s.t.Helper()
		if err := h.WriteFile(name, []byte(text), mode); err != nil {
			s.t.Fatal(err)
		}
	}
	s.on(h, "useradd --system --no-create-home --home-dir /var/lib/ledger --shell /usr/sbin/nologin ledger && mkdir -p /etc/ledger /opt/worker/releases/1.4.2/bin /opt/worker/releases/1.4.2/lib /etc/systemd/system/ledger.service.d")
	s.on(h, "install -d -o ledger -g ledger -m 0750 /var/lib/ledger")
	put("/etc/systemd/system/ledger.service", "[Unit]\nDescription=Ledger\n\n[Service]\nUser=ledger\nEnvironmentFile=/etc/ledger/ledger.env\nWorkingDirectory=/var/lib/ledger\nExecStart=/usr/local/bin/ledgerd --config /etc/ledger/ledger.json\nRestart=on-failure\n\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	put("/etc/systemd/system/ledger.service.d/10-limits.conf", "[Service]\nLimitNOFILE=65536\n", 0o644)
	put("/etc/ledger/ledger.env", fmt.Sprintf("# the ledger's settings\nPORT=8080\nSHARD=%d\n\nDB_PASSWORD='correct horse'\nCACHE=\"64 MB\"\n", shard), 0o640)
	s.on(h, "chgrp ledger /etc/ledger/ledger.env")
	put("/etc/ledger/ledger.json", `{"level": "info"}`+"\n", 0o644)
	// It is larger than what comes with an observation.
	put("/usr/local/bin/ledgerd", "#!/bin/sh\nexec sleep infinity\n"+strings.Repeat("# a program of its own\n", 20000), 0o755)

	put("/etc/systemd/system/worker.service", "[Unit]\nDescription=Worker\n\n[Service]\nEnvironmentFile=-/etc/default/worker\nExecStart=/opt/worker/current/bin/worker\n\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	put("/etc/default/worker", "QUEUE=fast\n", 0o644)
	put("/opt/worker/releases/1.4.2/bin/worker", "#!/bin/sh\nexec sleep infinity\n", 0o755)
	put("/opt/worker/releases/1.4.2/lib/data", "data\n", 0o644)
	s.on(h, "ln -s releases/1.4.2 /opt/worker/current")

	put("/etc/systemd/system/report.service", "[Unit]\nDescription=Report\n\n[Service]\nType=oneshot\nExecStart=/usr/bin/true\n", 0o644)
	put("/etc/systemd/system/report.timer", "[Timer]\nOnCalendar=daily\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n", 0o644)
	put("/etc/systemd/system/other.service", "[Service]\nExecStart=/bin/sleep infinity\n", 0o644)
	// What Ansible leaves behind: a second between the files and the start.
	s.on(h, "systemctl daemon-reload && sleep 1.1 && systemctl enable --now ledger.service worker.service report.timer && systemctl start other.service")
}

// adopts runs adopt, which is told what else it is to do.
func (s *stage) adopts(want int, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args = append([]string{"adopt", "--out", s.repo, "--identity", s.lab.IdentityFile(), "--known-hosts", s.lab.KnownHostsFile(), "--ssh-user", "deploy", "--become"}, args...)
	c := exec.CommandContext(ctx, filepath.Join(root, "bin/evenkeel"), args...)
	c.Env = append(append(os.Environ(), "NO_COLOR=1"), s.environ...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != want {
		s.t.Fatalf("evenkeel %s: exit %d, want %d\n%s", strings.Join(args, " "), got, want, out)
	}
	return string(out)
}

func newHandmade(t *testing.T, hosts int) *stage {
	t.Helper()
	lab.Require(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &stage{t: t, lab: l, repo: filepath.Join(t.TempDir(), "fleet"), hosts: l.Hosts()}
	for i, h := range s.hosts {
		byHand(s, h, i+1)
	}
	return s
}

// processes are what must not change while a host is adopted.
func (s *stage) processes() string {
	s.t.Helper()
	var all []string
	for _, h := range s.hosts {
		all = append(all, h.Name()+"\n"+s.on(h, "systemctl show -p Id,MainPID,InvocationID,ActiveEnterTimestamp,NRestarts ledger.service worker.service report.timer other.service; "+
			"stat -c '%n %y %z %i' /etc/ledger/* /etc/systemd/system/*.* /usr/local/bin/ledgerd /opt/worker/current"))
	}
	return strings.Join(all, "\n")
}

func TestAdopt(t *testing.T) {
	s := newHandmade(t, 3)
	key := filepath.Join(t.TempDir(), "fleet.agekey")
	var args []string
	for _, h := range s.hosts {
		args = append(args, h.Name()+"="+h.Address())
	}
	before := s.processes()

	// Two services, without the third, and without somebody else's.
	args = append(args, "--age-key", key)
	out := s.adopts(0, append(args, "--unit", "ledger", "--unit", "worker")...)
	t.Log(out)
	contains(t, out, "ledger", "worker", "DB_PASSWORD", "SHARD, by vars", "plan: nothing to change on 3 hosts", "validate: no error",
		"other.service  not asked for", "report.timer  not asked for", "/opt/worker/current leads to /opt/worker/releases/1.4.2", key)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	// The secret is nowhere in the repo, nor was it printed.
	err := filepath.WalkDir(s.repo, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if strings.Contains(string(data), "correct horse") {
			t.Errorf("the secret stands in %s", p)
		}
		return err
	})
	if err != nil || strings.Contains(out, "correct horse") {
		t.Errorf("%v, or the secret was printed:\n%s", err, out)
	}
	service := read(t, s, "services/ledger/service.yaml")
	contains(t, service, "users:", "name: ledger, home: /var/lib/ledger", "path: /var/lib/ledger, owner: ledger, group: ledger, mode: \"0750\"",
		"dropIn: ledger.service", "merge: in-place", "group: ledger", "enabled: true, state: started", "/usr/local/bin/ledgerd")
	contains(t, read(t, s, "services/worker/service.yaml"), "# artifacts:", "source: artifacts/worker.tar.zst")
	if now := s.processes(); now != before {
		t.Errorf("adopt changed a host:\n%s\n\n%s", before, now)
	}

	// Without the key it cannot be told what is adopted already.
	contains(t, s.adopts(2, "--unit", "report*", "h*"), "no age identity")
	t.Setenv("SOPS_AGE_KEY_FILE", key)
	// One thing more, into the same repo; what is there is not touched.
	out = s.adopts(0, "--unit", "report*", "h*")
	contains(t, out, "report", "report.timer", "nothing to change")
	contains(t, read(t, s, "services/report/service.yaml"), "source: report.timer, enabled: true, state: started", "{source: report.service}")
	out = s.adopts(2, "--unit", "report*", "h*")
	contains(t, out, "nothing was adopted")

	// The repo stands on its own, and an apply finds nothing to do.
	s.run(0, "validate")
	s.run(0, "plan")
	out, _ = s.run(0, "apply", "--yes")
	if now := s.processes(); now != before {
		t.Errorf("apply changed a host:\n%s\n\n%s\n\n%s", out, before, now)
	}

	// A change in git rolls, one host after the other, and touches nothing else.
	file := "services/ledger/ledger.env.tmpl"
	s.file(file, strings.Replace(read(t, s, file), "64 MB", "128 MB", 1))
	s.file("services/ledger/service.yaml", strings.Replace(service, "spec:\n", "spec:\n  rollout: {minHealthyTime: 300ms}\n", 1))
	out, _ = s.run(1, "plan")
	contains(t, out, "CACHE", "restart ledger.service")
	if strings.Contains(out, "correct horse") || strings.Contains(out, "worker.service") {
		t.Errorf("the plan:\n%s", out)
	}
	out, _ = s.run(0, "apply", "--yes")
	contains(t, out, "converged")
	for i, h := range s.hosts {
		env := s.on(h, "tr '\\0' '\\n' </proc/"+s.on(h, "systemctl show -p MainPID --value ledger")+"/environ")
		contains(t, env, "CACHE=128 MB", fmt.Sprintf("SHARD=%d", i+1), "DB_PASSWORD=correct horse")
		contains(t, s.on(h, "cat /etc/ledger/ledger.env"), "# the ledger's settings", "DB_PASSWORD='correct horse'")
		if got := s.on(h, "stat -c %U:%G:%a /etc/ledger/ledger.env"); got != "root:ledger:640" {
			t.Errorf("%s: the env file is %s", h.Name(), got)
		}
		if !strings.Contains(before, "MainPID="+s.on(h, "systemctl show -p MainPID --value worker")+"\n") {
			t.Errorf("%s: the worker was restarted", h.Name())
		}
	}
	s.run(0, "plan")

	// The program behind the symlink becomes an artifact once its lines are taken in.
	worker := read(t, s, "services/worker/service.yaml")
	worker = strings.Replace(worker, "  # artifacts:\n  #   - {", "  artifacts:\n    - {", 1)
	s.file("services/worker/service.yaml", strings.Replace(worker, "spec:\n", "spec:\n  rollout: {minHealthyTime: 300ms}\n", 1))
	s.run(0, "apply", "--yes")
	for _, h := range s.hosts {
		contains(t, s.on(h, "readlink /opt/worker/current; cat /opt/worker/current/lib/data; systemctl is-active worker"), "/opt/worker/.releases/worker/", "data", "active")
	}
	s.run(0, "plan")
}

// A process that is behind what is on its disk is told, and not touched; a host that
// evenkeel manages from elsewhere is not adopted.
func TestAdoptTellsWhatIsBehind(t *testing.T) {
	s := newHandmade(t, 1)
	h := s.hosts[0]
	host := h.Name() + "=" + h.Address()
	key := filepath.Join(t.TempDir(), "fleet.agekey")
	t.Setenv("SOPS_AGE_KEY_FILE", key)
	s.on(h, "sed -i s/8080/9090/ /etc/ledger/ledger.env")
	before := s.processes()
	out := s.adopts(1, host, "--unit", "ledger", "--age-key", key)
	contains(t, out, "plan: it is not empty", "restart ledger.service", "PORT is not what the process has")
	if strings.Contains(out, "correct horse") {
		t.Errorf("the secret was printed:\n%s", out)
	}
	if now := s.processes(); now != before {
		t.Errorf("adopt changed the host:\n%s\n\n%s", before, now)
	}
	s.file("services/ledger/service.yaml", strings.Replace(read(t, s, "services/ledger/service.yaml"), "spec:\n", "spec:\n  rollout: {minHealthyTime: 300ms}\n", 1))
	// The first change is a bad one: the host goes back to what was found there.
	unit, found := read(t, s, "services/ledger/ledger.service"), s.on(h, "cat /etc/systemd/system/ledger.service")
	s.file("services/ledger/ledger.service", strings.Replace(unit, "/usr/local/bin/ledgerd", "/bin/false", 1))
	out, _ = s.run(6, "apply", "--yes")
	contains(t, out, "reverted")
	if now := s.on(h, "cat /etc/systemd/system/ledger.service; systemctl is-active ledger"); now != found+"\nactive" {
		t.Errorf("after the way back there is\n%s\nand there was\n%s", now, found)
	}
	s.file("services/ledger/ledger.service", unit)
	s.file("services/ledger/ledger.env", strings.Replace(read(t, s, "services/ledger/ledger.env"), "9090", "9091", 1))
	s.run(0, "apply", "--yes")
	contains(t, s.on(h, "cat /etc/ledger/ledger.env"), "PORT=9091", "DB_PASSWORD='correct horse'")

	first := s.repo
	s.repo = filepath.Join(t.TempDir(), "another")
	contains(t, s.adopts(2, host, "--unit", "worker"), "is managed by evenkeel already", "ledger")
	if _, err := os.Stat(s.repo); err == nil {
		t.Error("a repo was begun")
	}
	s.repo = first
	contains(t, s.adopts(0, "--unit", "worker", "--no-artifacts"), "worker", "once its bytes are in artifacts/worker.tar.zst", "nothing to change")
	s.run(0, "plan")
}
