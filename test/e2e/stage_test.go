package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
	"github.com/evenkeel/evenkeel/test/lab/load"
)

// root is the repository's.
const root = "../.."

// stage is a lab with a load balancer, a fleet repo like the smallest there is,
// and the real binary.
type stage struct {
	t     *testing.T
	lab   *lab.Lab
	lb    *lab.HAProxy
	repo  string
	hosts []*lab.Host

	changes int      // made by change
	runtime string   // where the balancer's runtime API is reached; "": its own address
	environ []string // further, of the binary
}

// newStage makes hosts on which a program is at /usr/local/bin/ledger, as operators
// have it today, and a fleet repo that wants it to run.
func newStage(t *testing.T, hosts int) *stage {
	t.Helper()
	return newStageOf(t, lab.Options{Hosts: hosts})
}

// newStageOf is newStage, on hosts of another kind.
func newStageOf(t *testing.T, o lab.Options) *stage {
	t.Helper()
	lab.Require(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("E2E_KEEP") != "" {
			l.Detach()
			return
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	// A player says which host it wants to be on; everybody else is spread.
	var lines []string
	for _, h := range l.Hosts() {
		lines = append(lines, fmt.Sprintf("use-server %s if { req.hdr(x-host) %s }", h.Name(), h.Name()))
	}
	lb, err := l.HAProxy(ctx, lab.HAProxyConfig{Backends: []lab.Backend{{Name: "ledger", ServerPort: 8080, Lines: lines}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, lab: l, lb: lb, repo: t.TempDir(), hosts: l.Hosts()}
	s.program(ctx)
	s.writeRepo()
	return s
}

// program puts the ledger on every host, with its user.
func (s *stage) program(ctx context.Context) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "examples/nullspace/dist/gateway"))
	if err != nil {
		s.t.Fatalf("%v (make nullspace builds it)", err)
	}
	for _, h := range s.hosts {
		if err := h.WriteFile("/usr/local/bin/ledger", data, 0o755); err != nil {
			s.t.Fatal(err)
		}
		s.on(h, "useradd --system --no-create-home nullspace")
	}
	_ = ctx
}

// file writes a file of the fleet repo.
func (s *stage) file(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.repo, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

const ledgerUnit = `[Unit]
Description=Ledger
After=network.target

[Service]
User=nullspace
EnvironmentFile=/etc/ledger/ledger.env
ExecStart=/usr/local/bin/ledger
Restart=on-failure
RestartSec=1
LimitNOFILE=100000

[Install]
WantedBy=multi-user.target
`

// A ledger that is slow to come and rude to go: what is lost shows.
const ledgerEnv = `PORT=8080
METRICS_AUTH_TOKEN=first
GATEWAY_STARTUP_DELAY=300ms
GATEWAY_ANSWER_DELAY=50ms
GATEWAY_GRACE=0
`

func (s *stage) writeRepo() {
	s.file("fleet.yaml", "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: contract}\nspec: {}\n")
	s.service("")
	s.file("services/ledger/ledger.service", ledgerUnit)
	s.file("services/ledger/ledger.env", ledgerEnv)
	inv := "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: all}\nspec:\n  hosts:\n"
	for _, h := range s.hosts {
		inv += fmt.Sprintf("    - {name: %s, address: %s, labels: {role: ledger}}\n", h.Name(), h.Address())
	}
	s.file("inventory/hosts.yaml", inv)
}

// service writes the service, with further lines of its spec.
func (s *stage) service(more string) {
	s.file("services/ledger/service.yaml", fmt.Sprintf(`apiVersion: evenkeel/v1
kind: Service
metadata: {name: ledger}
spec:
  selector: {matchLabels: {role: ledger}}
  units:
    - {source: ledger.service, enabled: true, state: started}
  env:
    - {path: /etc/ledger/ledger.env, source: [ledger.env], owner: root, group: root, mode: "0600", changeMode: restart}
  rollout: {maxUnavailable: 1, minHealthyTime: 500ms, healthyDeadline: 15s, progressDeadline: 40s, autoRevert: true}
  drain:
    - haproxy: {address: "tcp://%s", backend: ledger, server: "{{ .Host.Name }}", timeout: 10s}
  health:
    - http: {port: 8080, path: /healthz, status: 200}
%s`, cmp.Or(s.runtime, s.lb.RuntimeAddr()), more))
}

// env changes one line of the env file in the repo.
func (s *stage) env(old, now string) {
	s.t.Helper()
	path := filepath.Join(s.repo, "services/ledger/ledger.env")
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		s.t.Fatalf("no %q in the env file", old)
	}
	s.file("services/ledger/ledger.env", strings.Replace(string(data), old, now, 1))
}

// command is the real binary, as the deploy user with sudo.
func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append(args, "--repo", s.repo)
	if args[0] != "validate" {
		args = append(args, "--identity", s.lab.IdentityFile(), "--known-hosts", s.lab.KnownHostsFile(), "--ssh-user", "deploy", "--become")
	}
	c := exec.CommandContext(ctx, filepath.Join(root, "bin/evenkeel"), args...)
	c.Env = append(append(os.Environ(), "NO_COLOR=1"), s.environ...)
	return c
}

// run runs the binary and expects its exit code; it returns stdout and stderr.
func (s *stage) run(want int, args ...string) (string, string) {
	s.t.Helper()
	return s.exit([]int{want}, args...)
}

// exit is run, where several exit codes are right.
func (s *stage) exit(want []int, args ...string) (string, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := s.command(ctx, args...)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); !slices.Contains(want, got) {
		s.t.Errorf("evenkeel %s: exit %d, want %v\n%s\n%s", strings.Join(args, " "), got, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// on runs a command on a host as root.
func (s *stage) on(h *lab.Host, command string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := h.Enter(ctx, command)
	if err != nil {
		s.t.Fatalf("%s: %s: %v\n%s", h.Name(), command, err, out)
	}
	return strings.TrimSpace(out)
}

// pid is the main process of the ledger on a host.
func (s *stage) pid(h *lab.Host) string {
	s.t.Helper()
	return s.on(h, "systemctl show -p MainPID --value ledger")
}

// users begins a steady load; the returned function ends it and expects no failure.
func (s *stage) users() (stop func() load.Stats) {
	s.t.Helper()
	g, err := load.Start(context.Background(), load.Config{URL: "http://" + s.lb.FrontendAddr("ledger") + "/", Rate: 80, Duration: 5 * time.Minute})
	if err != nil {
		s.t.Fatal(err)
	}
	return func() load.Stats {
		s.t.Helper()
		st := g.Stop()
		s.t.Logf("users: %s", st)
		if st.Failed() > 0 || st.Requests == 0 {
			s.t.Errorf("users noticed: %s\n%s", st, strings.Join(st.Samples, "\n"))
		}
		return st
	}
}

// serving waits until the balancer has that many servers up.
func (s *stage) serving(want int) {
	s.t.Helper()
	s.eventually(20*time.Second, fmt.Sprintf("%d servers are up", want), func() bool {
		return s.servers()["UP"] == want
	})
}

// servers counts the balancer's servers by state.
func (s *stage) servers() map[string]int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	text, err := s.lb.Runtime(ctx, "show stat")
	if err != nil {
		return nil
	}
	out := map[string]int{}
	for _, line := range strings.Split(text, "\n") {
		f := strings.Split(line, ",")
		if len(f) > 17 && f[0] == "ledger" && f[1] != "BACKEND" && f[1] != "FRONTEND" {
			out[strings.Fields(f[17])[0]]++
		}
	}
	return out
}

// back waits until a host that a hand restarted serves again in the balancer's eyes.
func (s *stage) back(h *lab.Host) {
	s.t.Helper()
	s.eventually(20*time.Second, h.Name()+" answers again", func() bool { return answers(h) })
	time.Sleep(time.Second) // the balancer looks every 200 ms, and believes the second look
	s.serving(len(s.hosts))
}

func (s *stage) eventually(within time.Duration, what string, ok func() bool) {
	s.t.Helper()
	late := time.Now().Add(3 * within) // for this machine may have other work; nothing here judges speed
	for ; ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(late) {
			s.t.Fatalf("not within %s: %s; servers: %v", 3*within, what, s.servers())
		}
	}
}

// deployed brings the ledger to all hosts and waits until it serves.
func (s *stage) deployed() {
	s.t.Helper()
	s.run(0, "apply", "--yes")
	s.serving(len(s.hosts))
}

// answers tells whether the ledger on a host answers.
func answers(h *lab.Host) bool {
	c := http.Client{Timeout: 2 * time.Second}
	resp, err := c.Get("http://" + h.Address() + ":8080/healthz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
