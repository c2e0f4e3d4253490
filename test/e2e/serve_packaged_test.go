package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/client"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// mostExposed is what `systemd-analyze security` may say of the packaged unit, of 10.
const mostExposed = 1.1

// packaged is a controller on a host of its own, installed as docs/controller.md says, with
// a git server that people push to over SSH.
type packaged struct {
	*stage
	keel   *lab.Host
	git    *gitServer
	work   string // a developer's clone
	dir    string // certificate, token
	before []string
	after  []string // the lines of the installation before and after the editor
}

func newPackaged(t *testing.T) *packaged {
	t.Helper()
	s := newStage(t, 4)
	p := &packaged{stage: s, keel: s.hosts[3], dir: t.TempDir(), work: filepath.Join(t.TempDir(), "work")}
	s.hosts = s.hosts[:3]
	// The machine that runs this test, as the lab's hosts see it.
	address := p.on(p.keel, "ip -4 route show default | cut -d' ' -f3")
	s.runtime = forward(t, address, s.lb.RuntimeAddr())
	s.writeRepo()
	p.git = startGit(t, address)
	p.readInstallation()
	return p
}

// forward makes what listens on this machine alone listen on that address, too.
func forward(t *testing.T, address, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				c, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer c.Close()
				go func() {
					_, _ = io.Copy(c, from)
					_ = c.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(from, c)
			}()
		}
	}()
	return l.Addr().String()
}

// readInstallation takes the commands out of docs/controller.md.
func (p *packaged) readInstallation() {
	p.t.Helper()
	doc, err := os.ReadFile(filepath.Join(root, "docs/controller.md"))
	must(p.stage, err)
	_, rest, _ := strings.Cut(string(doc), "## Install it\n")
	_, rest, _ = strings.Cut(rest, "```\n")
	block, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		p.t.Fatal("docs/controller.md has no block of commands under Install it")
	}
	into := &p.before
	for line := range strings.Lines(block) {
		if strings.HasPrefix(line, "$EDITOR ") {
			into = &p.after
			continue
		}
		*into = append(*into, line)
	}
	if len(p.before) < 10 || len(p.after) < 2 {
		p.t.Fatalf("the installation has %d and %d lines", len(p.before), len(p.after))
	}
}

// install carries out what docs/controller.md says, on the controller's host. What
// cannot be so in a lab is put in place of what a reader would: names, and the build.
func (p *packaged) install() {
	p.t.Helper()
	for local, name := range map[string]string{"bin/evenkeel": "/root/evenkeel/bin/evenkeel", "examples/controller/evenkeel.yaml": "/root/evenkeel/examples/controller/evenkeel.yaml",
		"examples/controller/evenkeel.service": "/root/evenkeel/examples/controller/evenkeel.service"} {
		must(p.stage, p.keel.CopyIn(filepath.Join(root, local), name, 0o755))
	}
	scan := "-p " + strconv.Itoa(p.git.port) + " " + p.git.address + " >/etc/evenkeel/known_hosts; ssh-keyscan"
	for _, h := range p.hosts {
		scan += " " + h.Address()
	}
	lines := strings.Join(p.before, "")
	for old, now := range map[string]string{"make build && ": "", "ssh-keyscan git.example.com web-1 web-2 >": "ssh-keyscan " + scan + " >>"} {
		if !strings.Contains(lines, old) {
			p.t.Fatalf("the installation no longer says %q", old)
		}
		lines = strings.Replace(lines, old, now, 1)
	}
	p.on(p.keel, "cd /root/evenkeel && set -e\n"+lines)
	// What a reader does elsewhere: the deploy key, and the login on the hosts.
	p.git.letIn(p.on(p.keel, "cat /etc/evenkeel/git_ed25519.pub"))
	public := p.on(p.keel, "cat /etc/evenkeel/id_ed25519.pub")
	for _, h := range p.hosts {
		p.on(h, "echo '"+public+"' >>/home/deploy/.ssh/authorized_keys")
	}
	// And in the editor.
	cert, key := p.git.issue(p.t, p.keel.Address())
	must(p.stage, p.keel.WriteFile("/etc/evenkeel/api.pem", cert, 0o644))
	must(p.stage, p.keel.WriteFile("/etc/evenkeel/api.key", key, 0o600))
	must(p.stage, p.keel.WriteFile("/etc/evenkeel/ca.pem", p.git.pem, 0o644))
	must(p.stage, p.keel.WriteFile("/etc/evenkeel/git.token", []byte(p.git.token+"\n"), 0o600))
	p.on(p.keel, "chown evenkeel:evenkeel /etc/evenkeel/api.key /etc/evenkeel/git.token")
	p.edit("url: ssh://git@git.example.com/fleet.git", "url: "+p.git.url())
	p.edit("listen: 127.0.0.1:7070", "tls: {cert: /etc/evenkeel/api.pem, key: /etc/evenkeel/api.key}\n  listen: 0.0.0.0:7070")
	p.developer()
	p.on(p.keel, "set -e\n"+strings.Join(p.after, ""))
	p.on(p.keel, "/usr/local/bin/evenkeel token create ops --scope operate --expires 1d --tokens /etc/evenkeel/tokens.yaml >/root/ops.token")
	must(p.stage, os.WriteFile(filepath.Join(p.dir, "token"), []byte(p.on(p.keel, "cat /root/ops.token")+"\n"), 0o600))
	must(p.stage, os.WriteFile(filepath.Join(p.dir, "ca.pem"), p.git.pem, 0o600))
}

// edit changes a line of the controller's configuration.
func (p *packaged) edit(old, now string) {
	p.t.Helper()
	text, err := p.keel.ReadFile("/etc/evenkeel/evenkeel.yaml")
	must(p.stage, err)
	if !strings.Contains(string(text), old) {
		p.t.Fatalf("no %q in the configuration:\n%s", old, text)
	}
	must(p.stage, p.keel.WriteFile("/etc/evenkeel/evenkeel.yaml", []byte(strings.Replace(string(text), old, now, 1)), 0o640))
}

// developer makes a clone and pushes the stage's repo for the first time. The server
// then tells the controller of each push by the hook that docs/controller.md shows.
func (p *packaged) developer() {
	p.t.Helper()
	p.clone("init", "-q", "-b", "main", p.work)
	p.clone("-C", p.work, "remote", "add", "origin", p.git.url())
	p.push("first")
	doc, err := os.ReadFile(filepath.Join(root, "docs/controller.md"))
	must(p.stage, err)
	_, script, _ := strings.Cut(string(doc), "```sh\n")
	script, _, _ = strings.Cut(script, "```")
	must(p.stage, os.WriteFile(p.git.file("webhook.secret"), []byte(p.on(p.keel, "cat /etc/evenkeel/webhook.secret")+"\n"), 0o600))
	script = strings.NewReplacer("/etc/evenkeel/webhook.secret", p.git.file("webhook.secret"), "https://evenkeel.example.com", "https://"+p.keel.Address()+":7070",
		"curl -fsS", "curl --cacert "+p.git.file("ca.pem")+" -fsS").Replace(script)
	p.git.write("ca.pem", string(p.git.pem), 0o644)
	must(p.stage, os.WriteFile(p.git.file("fleet.git/hooks/post-receive"), []byte(script), 0o755))
}

func (p *packaged) clone(args ...string) string {
	p.t.Helper()
	c := exec.Command("git", append([]string{"-c", "user.name=ops", "-c", "user.email=ops@example.com"}, args...)...)
	c.Env = append(os.Environ(), "GIT_SSH_COMMAND="+p.git.sshCommand())
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits the stage's repo and pushes it over SSH; it returns the commit.
func (p *packaged) push(message string) string {
	p.t.Helper()
	p.commit(message)
	return p.pushed()
}

func (p *packaged) commit(message string) {
	p.t.Helper()
	must(p.stage, os.CopyFS(filepath.Join(p.dir, message), os.DirFS(p.repo)))
	for _, c := range [][]string{{"--work-tree", filepath.Join(p.dir, message), "add", "-A"}, {"commit", "-q", "--allow-empty", "-m", message}} {
		p.clone(append([]string{"--git-dir", filepath.Join(p.work, ".git")}, c...)...)
	}
}

func (p *packaged) pushed() string {
	p.t.Helper()
	p.clone("-C", p.work, "push", "-q", "origin", "main")
	return p.clone("-C", p.work, "rev-parse", "HEAD")
}

// snapshot is the controller's, over TLS.
func (p *packaged) snapshot() (controller.Snapshot, error) {
	c, err := client.New(client.Options{URL: "https://" + p.keel.Address() + ":7070", TokenFile: filepath.Join(p.dir, "token"), CA: filepath.Join(p.dir, "ca.pem")})
	must(p.stage, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.Snapshot(ctx)
}

func (p *packaged) sees(within time.Duration, what string, ok func(controller.Snapshot) bool) {
	p.t.Helper()
	var last error
	defer func() {
		if p.t.Failed() && last != nil {
			p.t.Log(last)
		}
	}()
	p.eventually(within, what, func() bool {
		s, err := p.snapshot()
		last = err
		return err == nil && ok(s)
	})
}

func (p *packaged) reconciled(commit string) {
	p.t.Helper()
	p.sees(90*time.Second, "the fleet is as "+commit+" wants it", func(s controller.Snapshot) bool {
		c := s.Conditions.Get(controller.Reconciled)
		return s.Source.Revision == commit && c.Status == controller.True && c.ObservedRevision == commit && (s.Rollout == nil || !s.Rollout.Ended.IsZero())
	})
}

// property is one of the unit's.
func (p *packaged) property(name string) string {
	p.t.Helper()
	return p.on(p.keel, "systemctl show -p "+name+" --value evenkeel")
}

// The controller, installed from its documentation onto a host of its own, under its packaged
// unit: a push over SSH is rolled over the other hosts, and nobody notices.
func TestServePackaged(t *testing.T) {
	p := newPackaged(t)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := p.keel.Enter(context.Background(), "journalctl -u evenkeel --no-pager -o cat | tail -60")
			t.Logf("the unit's journal:\n%s", log)
		}
	})
	p.install()
	first := p.clone("-C", p.work, "rev-parse", "HEAD")
	p.reconciled(first)
	p.serving(3)
	t.Run("the unit", p.unit)
	t.Run("a push", p.rolled)
	t.Run("reload", p.reloaded)
	t.Run("stop in mid-rollout", p.stopped)
	t.Run("backup", p.backedUp)
	t.Run("watchdog", p.watchdog)
}

// unit: systemd calls it ready, its watchdog is fed, and it is well shut in.
func (p *packaged) unit(t *testing.T) {
	for name, want := range map[string]string{"ActiveState": "active", "Type": "notify", "NRestarts": "0", "StatusText": "keeping " + p.git.url(), "WatchdogUSec": "1min"} {
		if got := p.property(name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	fed := p.property("WatchdogTimestampMonotonic")
	text := p.on(p.keel, "systemd-analyze security --no-pager evenkeel.service | tail -1")
	level := regexp.MustCompile(`Overall exposure level for evenkeel.service: ([0-9.]+)`).FindStringSubmatch(text)
	if level == nil {
		t.Fatalf("systemd-analyze security: %s", text)
	}
	score, err := strconv.ParseFloat(level[1], 64)
	if err != nil || score > mostExposed {
		t.Errorf("systemd-analyze security: %s, want %.1f at most", text, mostExposed)
	}
	t.Log(text)
	doc, err := os.ReadFile(filepath.Join(root, "docs/controller.md"))
	must(p.stage, err)
	if !strings.Contains(string(doc), fmt.Sprintf("exposure level of %s", level[1])) {
		t.Errorf("docs/controller.md does not say that the exposure level is %s", level[1])
	}
	for _, secret := range []string{"/etc/evenkeel/id_ed25519", "/etc/evenkeel/webhook.secret", "/var/lib/evenkeel/evenkeel.db"} {
		if got := p.on(p.keel, "stat -c '%a %U' "+secret); got != "600 evenkeel" {
			t.Errorf("%s: %s", secret, got)
		}
	}
	if got := p.on(p.keel, "ps -o user= -p "+p.property("MainPID")); got != "evenkeel" {
		t.Errorf("it runs as %s", got)
	}
	var status controller.Report
	if err := json.Unmarshal([]byte(p.on(p.keel, "/usr/local/bin/evenkeel status -o json --server unix:///run/evenkeel/evenkeel.sock")), &status); err != nil || len(status.Hosts) != 3 {
		t.Errorf("%v: %+v", err, status)
	}
	p.eventually(30*time.Second, "the watchdog is fed", func() bool { return p.property("WatchdogTimestampMonotonic") != fed })
}

// rolled: the server's hook tells it, and the hosts are rolled under load.
func (p *packaged) rolled(t *testing.T) {
	stop := p.users()
	p.env("=first", "=second")
	p.commit("second")
	began := time.Now()
	commit := p.pushed()
	p.sees(20*time.Second, "a rollout has begun", func(s controller.Snapshot) bool { return s.Rollout != nil && s.Rollout.State.Revision == commit })
	s, err := p.snapshot()
	must(p.stage, err)
	t.Logf("from git push to the rollout's first step: %s", s.Rollout.Began.Sub(began).Round(time.Millisecond))
	p.reconciled(commit)
	t.Logf("from git push to three hosts rolled: %s", time.Since(began).Round(time.Millisecond))
	stop()
	p.everywhere("second")
}

func (p *packaged) everywhere(value string) {
	p.t.Helper()
	for _, h := range p.hosts {
		if env := p.on(h, "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value ledger)/environ"); !strings.Contains(env, "METRICS_AUTH_TOKEN="+value) {
			p.t.Errorf("%s: the process has not %s", h.Name(), value)
		}
	}
}

// reloaded: systemctl reload takes up another way to git, and refuses what is no
// configuration.
func (p *packaged) reloaded(t *testing.T) {
	pid := p.property("MainPID")
	p.edit("mode: correct", "mode: wrong")
	p.on(p.keel, "systemctl reload evenkeel")
	p.eventually(10*time.Second, "a configuration with faults is refused", func() bool {
		return strings.Contains(p.on(p.keel, "journalctl -u evenkeel --no-pager -o cat | tail -20"), "refused; the former one stays in force")
	})
	p.edit("mode: wrong", "mode: correct")
	p.edit("url: "+p.git.url(), "url: "+p.git.https+"\n  tokenFile: /etc/evenkeel/git.token\n  ca: /etc/evenkeel/ca.pem")
	p.on(p.keel, "systemctl reload evenkeel")
	p.sees(30*time.Second, "git is asked over https", func(s controller.Snapshot) bool {
		return s.Source.URL == p.git.https && s.Source.Error == "" && !s.Source.Fetched.IsZero()
	})
	p.env("=second", "=third")
	p.reconciled(p.push("third"))
	p.everywhere("third")
	if got := p.property("MainPID"); got != pid || p.property("NRestarts") != "0" {
		t.Errorf("it was restarted: %s, was %s", got, pid)
	}
}

// stopped: the host in hand is finished, and the next start does the others.
func (p *packaged) stopped(t *testing.T) {
	stop := p.users()
	p.env("=third", "=fourth")
	commit := p.push("fourth")
	p.sees(20*time.Second, "a host is in hand", func(s controller.Snapshot) bool {
		if s.Rollout == nil || s.Rollout.State.Revision != commit || !s.Rollout.Ended.IsZero() {
			return false
		}
		for _, v := range s.Rollout.State.Visits {
			if string(v.Phase) == "restart" || string(v.Phase) == "healthy" {
				return true // one that is still drained is undrained, and left as it was
			}
		}
		return false
	})
	began := time.Now()
	p.on(p.keel, "systemctl stop evenkeel")
	t.Logf("it ended after %s", time.Since(began).Round(time.Millisecond))
	if got := p.property("Result"); got != "success" {
		t.Errorf("it ended with %s", got)
	}
	done := 0
	for _, h := range p.hosts {
		if strings.Contains(p.on(h, "cat /etc/ledger/ledger.env"), "=fourth") {
			done++
		}
		if left := p.on(h, "ls /var/lib/evenkeel | grep -E '^(step|switching|deadman)$'; true"); left != "" {
			t.Errorf("%s: %s is left", h.Name(), left)
		}
	}
	if n := p.servers()["UP"]; n != 3 || done != 1 && done != 2 {
		t.Errorf("%d hosts were done, %d serve: %v", done, n, p.servers())
	}
	p.on(p.keel, "systemctl start evenkeel")
	p.reconciled(commit)
	stop()
	p.everywhere("fourth")
}

// backedUp: as docs/controller.md says, on the running controller, and restored.
func (p *packaged) backedUp(t *testing.T) {
	const socket = " --server unix:///run/evenkeel/evenkeel.sock"
	out := p.on(p.keel, "/usr/local/bin/evenkeel store backup /root/b.db"+socket+" && stat -c %a /root/b.db && /usr/local/bin/evenkeel store check /root/b.db")
	if !regexp.MustCompile(`^backed up: /root/b.db, \d+ records, .*\n600\nwhole: `).MatchString(out) {
		t.Errorf("%s", out)
	}
	contains(t, p.on(p.keel, "/usr/local/bin/evenkeel events"+socket), "backup: the store was copied", "by root (local socket)")
	p.env("=fourth", "=fifth")
	p.reconciled(p.push("fifth"))
	p.on(p.keel, "systemctl stop evenkeel && install -o evenkeel -g evenkeel -m 0600 /root/b.db /var/lib/evenkeel/evenkeel.db && systemctl start evenkeel")
	p.sees(30*time.Second, "the old store is told", func(s controller.Snapshot) bool { return s.Conditions.Get(controller.Reconciled).Reason == "Frozen" })
	p.env("=fifth", "=sixth")
	commit := p.push("sixth")
	p.sees(20*time.Second, "the push has come", func(s controller.Snapshot) bool { return s.Source.Revision == commit })
	time.Sleep(2 * time.Second)
	p.everywhere("fifth")
	p.on(p.keel, "/usr/local/bin/evenkeel take-over --reason 'the disk was lost'"+socket)
	p.reconciled(commit)
	p.everywhere("sixth")
}

// watchdog: systemd starts one anew that hangs.
func (p *packaged) watchdog(t *testing.T) {
	p.on(p.keel, "mkdir -p /run/systemd/system/evenkeel.service.d && printf '[Service]\\nWatchdogSec=3\\nTimeoutAbortSec=2\\n' >/run/systemd/system/evenkeel.service.d/soon.conf && systemctl daemon-reload && systemctl restart evenkeel")
	pid := p.property("MainPID")
	time.Sleep(5 * time.Second)
	if got := p.property("MainPID"); got != pid {
		t.Fatalf("it was restarted although it lives: %s, was %s", got, pid)
	}
	p.on(p.keel, "kill -STOP "+pid)
	p.eventually(30*time.Second, "it is started anew", func() bool {
		got := p.property("MainPID")
		return got != pid && got != "0" && p.property("ActiveState") == "active"
	})
	p.reconciled(p.clone("-C", p.work, "rev-parse", "HEAD"))
}
