package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// nullspace is examples/nullspace on five lab hosts: three at the edge, two at the core.
func newNullspace(t *testing.T) *stage {
	t.Helper()
	lab.Require(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	hosts := l.Hosts()
	edge := []string{hosts[0].Name(), hosts[1].Name(), hosts[2].Name()}
	lb, err := l.HAProxy(ctx, lab.HAProxyConfig{Backends: []lab.Backend{
		{Name: "gateway", ServerPort: 8080, Hosts: edge}, {Name: "website", ServerPort: 8081, Hosts: edge}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, lab: l, lb: lb, repo: t.TempDir(), hosts: hosts}
	if out, err := exec.Command("cp", "-r", filepath.Join(root, "examples/nullspace")+"/.", s.repo).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	s.remove("inventory/production.yaml")
	addresses := func(from, to int) string {
		var out []string
		for _, h := range hosts[from:to] {
			out = append(out, h.Address())
		}
		return strings.Join(out, ", ")
	}
	inv := fmt.Sprintf("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: lab}\nspec:\n  groups:\n    all: {vars: {lb: \"%s\", edge: [%s], core: [%s], worldSeed: 1977}}\n  hosts:\n",
		lb.RuntimeAddr(), addresses(0, 3), addresses(3, 5))
	for i, h := range hosts {
		labels := "role: edge"
		if i > 2 {
			labels = "role: core"
		}
		if i == 3 {
			labels += `, ops: "true"`
		}
		inv += fmt.Sprintf("    - {name: %s, address: %s, labels: {%s}}\n", h.Name(), h.Address(), labels)
	}
	s.file("inventory/lab.yaml", inv)
	t.Setenv("SOPS_AGE_KEY_FILE", filepath.Join(s.repo, "example.agekey"))
	return s
}

// The whole example: plan, apply, status, check, validate, diff, explain.
func TestNullspace(t *testing.T) {
	s := newNullspace(t)
	s.run(0, "validate")
	s.run(1, "plan")
	out, _ := s.run(0, "apply", "--yes")
	contains(t, out, "converged")
	s.run(0, "plan")
	out, _ = s.run(0, "status")
	for _, service := range []string{"simulator", "node", "auth", "gateway", "website", "ops", "economy-snapshot"} {
		contains(t, out, "nullspace-"+service)
	}
	if strings.Contains(out, "Degraded") || strings.Contains(out, "OutOfSync") {
		t.Errorf("not all is well:\n%s", out)
	}
	s.run(0, "check")
	s.run(0, "diff", "h1")
	s.run(0, "explain", "h1/nullspace-gateway")

	// The env file is the service's alone, its user exists, the timer waits.
	s.on(s.hosts[0], `test "$(stat -c %U:%a /etc/nullspace/gateway.env)" = root:600 && id nullspace`)
	s.on(s.hosts[3], "systemctl is-active nullspace-economy-snapshot.timer && systemctl start nullspace-economy-snapshot.service && ls /var/lib/nullspace/economy/")
	// An older snapshot is migrated by the next release, before anything is switched.
	s.on(s.hosts[3], `cd /var/lib/nullspace/economy && echo '{"takenAt":"2026-03-01T14:00:00Z","instance":"h4","version":"1","state":{}}' >economy-20260301T140000Z.json && chown nullspace: economy-20260301T140000Z.json`)
	contains(t, s.on(s.hosts[3], "journalctl -t evenkeel-hook --no-pager -o cat"), "migrated=0", "exit status 0")
	// Confined as they are, none fails or restarts, and the key is a credential that no environment has.
	for _, h := range s.hosts {
		if n := s.on(h, "systemctl show -p NRestarts --value 'nullspace-*.service' | sort -u | tr -d '\\n'; systemctl list-units --state=failed --plain --no-legend 'nullspace-*'"); n != "0" {
			t.Errorf("%s: restarts and failures: %s", h.Name(), n)
		}
		contains(t, s.on(h, "cat /etc/systemd/journald.conf.d/nullspace.conf /etc/tmpfiles.d/nullspace.conf; cat /proc/sys/net/core/somaxconn; stat -c '%A %U' /var/lib/nullspace"), "Storage=persistent", "4096", "drwxr-xr-x root")
	}
	s.on(s.hosts[4], `pid=$(systemctl show -p MainPID --value nullspace-auth) && test -s /run/credentials/nullspace-auth.service/signing-key && ! tr '\0' '\n' </proc/$pid/environ | grep -q SIGNING_KEY && grep -q '^Seccomp:[[:space:]]*2' /proc/$pid/status && grep -q '^CapBnd:[[:space:]]*0*$' /proc/$pid/status`)
	if n := s.on(s.hosts[0], "systemctl show -p LimitNOFILE --value nullspace-gateway"); n != "100000" {
		t.Errorf("the gateway's limit: %s", n)
	}
	// No secret is printed, however much is logged.
	out, errs := s.run(0, "plan", "--log-level", "trace")
	key, err := os.ReadFile(filepath.Join(s.repo, "example.agekey"))
	if err != nil {
		t.Fatal(err)
	}
	token := s.on(s.hosts[0], "sed -n s/^METRICS_AUTH_TOKEN=//p /etc/nullspace/gateway.env")
	if token == "" || strings.Contains(out+errs, token) || strings.Contains(out+errs, strings.TrimSpace(lastLine(string(key)))) {
		t.Error("a secret stands in the output, or is not on the host")
	}
	// A reload, a restart and a change that disturbs nobody, in one revision.
	s.file("services/nullspace-gateway/gateway.json", strings.Replace(read(t, s, "services/nullspace-gateway/gateway.json"), "{", "{\n  ", 1))
	s.file("services/nullspace-website/index.html", "<p>hello\n")
	edit := strings.Replace(read(t, s, "services/nullspace-node/node.env.tmpl"), "=", "= ", 1)
	s.file("services/nullspace-node/node.env.tmpl", edit+"NODE_NOTE=1\n")
	s.edit("services/nullspace-economy-snapshot/service.yaml", `run: '"$EVENKEEL_RELEASE" migrate'`, `run: '"$EVENKEEL_RELEASE" migrate && echo again'`)
	out, _ = s.run(1, "plan")
	contains(t, out, "migrate")
	before := s.on(s.hosts[0], "systemctl show -p MainPID --value nullspace-gateway")
	out, _ = s.run(0, "apply", "--yes")
	contains(t, out, "converged")
	if after := s.on(s.hosts[0], "systemctl show -p MainPID --value nullspace-gateway"); after != before {
		t.Error("a reload restarted the gateway")
	}
	contains(t, s.on(s.hosts[3], "journalctl -t evenkeel-hook --no-pager -o cat; grep format /var/lib/nullspace/economy/economy-20260301T140000Z.json"), "migrated=1", "again", `"format": 2`)
	s.run(0, "plan")

	brokenNullspace(s, s.hosts[0])

	// A host whose website is to be a container.
	s.edit("inventory/lab.yaml", "name: h3, address: "+s.hosts[2].Address()+", labels: {role: edge", "name: h3, address: "+s.hosts[2].Address()+", labels: {role: edge, runtime: podman")
	out, _ = s.run(1, "plan")
	contains(t, out, "/etc/containers/systemd/nullspace-website-podman.container", "start   nullspace-website-podman.service", "stop    nullspace-website.service")
	// Without podman it stays as it is, and nothing of it is disturbed.
	website := s.on(s.hosts[2], "systemctl show -p MainPID --value nullspace-website")
	out, errs = s.run(2, "apply", "--yes")
	contains(t, out+errs, "there is no podman", "install podman there")
	if now := s.on(s.hosts[2], "systemctl show -p MainPID --value nullspace-website"); now != website {
		t.Errorf("the website was disturbed: %s, then %s", website, now)
	}
}

// brokenNullspace breaks the example's gateway on a host in ways that no repo shows; each is
// explained, and once what only a hand can mend is mended, one apply has all as it was.
func brokenNullspace(s *stage, h *lab.Host) {
	s.t.Helper()
	const restart = "systemctl reset-failed nullspace-gateway; systemctl restart nullspace-gateway; :"
	for _, c := range []struct {
		what, breaks, mends string
		words               []string
	}{
		{"a program that is not there", "rm /opt/nullspace/gateway", "", []string{"/opt/nullspace/gateway is missing (203/EXEC)"}},
		{"a program that may not run", "chmod a-x $(readlink -f /opt/nullspace/gateway)", "chmod a+x $(readlink -f /opt/nullspace/gateway)", []string{"may not be executed", "203/EXEC"}},
		{"an env file that is gone", "rm /etc/nullspace/gateway.env", "", []string{"EnvironmentFile=/etc/nullspace/gateway.env"}},
		{"an env file that systemd reads otherwise", `sed -i '0,/^[A-Z_]*=/s/=/="/' /etc/nullspace/gateway.env`, "", []string{"systemd does not read /etc/nullspace/gateway.env as it was meant", "quote"}},
		{"a user that is gone", "sed -i s/^nullspace:/outofspace:/ /etc/passwd", "sed -i s/^outofspace:/nullspace:/ /etc/passwd", []string{"its user does not exist", "User=nullspace"}},
		{"a working directory of root's", "stat -c %u:%g /opt/nullspace >/run/owner; chown root: /opt/nullspace; chmod 700 /opt/nullspace", "chown $(cat /run/owner) /opt/nullspace; chmod 755 /opt/nullspace", []string{"/opt/nullspace", "200/CHDIR"}},
		{"a port that another has", "systemctl stop nullspace-gateway; systemd-run -q --unit squatter systemd-socket-activate -a -l 8080 /bin/cat; sleep 0.3", "systemctl stop squatter", []string{"another process has"}},
		{"masked", "systemctl stop nullspace-gateway; rm /etc/systemd/system/nullspace-gateway.service; systemctl mask -q nullspace-gateway", "systemctl unmask -q nullspace-gateway", []string{"masked", "systemctl unmask nullspace-gateway.service"}},
		{"somebody's drop-in", "mkdir -p /etc/systemd/system/nullspace-gateway.service.d; printf '[Service]\nReadWritePaths=/srv/none\n' >/etc/systemd/system/nullspace-gateway.service.d/99-hand.conf; systemctl daemon-reload",
			"rm -r /etc/systemd/system/nullspace-gateway.service.d; systemctl daemon-reload", []string{"226/NAMESPACE", "99-hand.conf"}},
		{"an edit that systemd was not told of", "echo '# by hand' >>/etc/systemd/system/nullspace-gateway.service", "", []string{"systemd was not told", "daemon-reload"}},
	} {
		s.on(h, c.breaks)
		if !strings.Contains(c.breaks, "by hand") {
			s.on(h, restart)
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			out, _ := s.exit([]int{0, 1}, "explain", h.Name()+"/nullspace-gateway")
			if !slices.ContainsFunc(c.words, func(w string) bool { return !strings.Contains(out, w) }) {
				break
			}
			if time.Now().After(end) {
				s.t.Errorf("%s is not explained, with %q:\n%s", c.what, c.words, out)
				break
			}
		}
		if c.mends != "" {
			s.on(h, c.mends)
		}
		s.on(h, "systemctl reset-failed nullspace-gateway; :")
		s.run(0, "apply", "--yes")
		s.run(0, "plan")
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func read(t *testing.T, s *stage, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.repo, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
