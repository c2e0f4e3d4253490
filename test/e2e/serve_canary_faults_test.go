package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// leak is a failure that a secret is near to.
type leak struct {
	name string
	// brings brings it about, once the new value is written and before it is pushed, and
	// returns what puts all right again. Where it runs programs itself, it hears them.
	brings func(u *hunt, value string) (heals func())
	// tells is what the controller then says of it; "": nothing is pushed.
	tells string
}

// leaks are the failures; each has a secret of its own.
var leaks = []leak{
	{"49 missing age key", otherKey(""), ""},
	{"49 wrong age key", otherKey("other"), ""},
	{"damaged MAC", damagedMAC, "MAC"},
	{"rotation refused by git", refusedPush, ""},
	{"24 disk full while staging", diskFull, "No space left on device"},
	{"22 sudo asks for a password", sudoRefuses, "a password is required"},
	{"a health check that fails", unhealthy, "41"},
	{"a drain that fails", command("  drain:\n", "  drain:\n    - command: {drain: \"exit 42\", undrain: \"true\"}\n"), "42"},
	{"33 missing binary", brokenUnit, "203"},
	{"a credential that cannot be encrypted", sealFails, "no key today"},
	{"a host that is cut off in mid-write", cutInMidWrite, ""},
	{"1 kill -9 in mid-write", killedInMidWrite, ""},
}

// Each failure has a secret of its own, which is on its way when it happens, and is then
// looked for wherever TestSecretsEscapeNowhere does: in a log of everything, events, the
// store, the API, metrics, processes, temporary files, and all over the hosts.
func TestSecretsEscapeNoFailure(t *testing.T) {
	u := newHunt(t, len(leaks)+2)
	u.retune("healthyDeadline: 15s, progressDeadline: 40s", "healthyDeadline: 3s, progressDeadline: 20s")
	u.set(u.values[0])
	u.push("a secret")
	u.hook()
	u.reconciled()
	for n, x := range leaks {
		began := time.Now()
		at := len(u.logged())
		u.change(u.values[n+1])
		heals := x.brings(u, u.values[n+1])
		if x.tells != "" {
			u.push(x.name)
			u.hook()
			u.eventually(40*time.Second, x.name+" is told", func() bool { return strings.Contains(u.logged()[at:], x.tells) })
			for _, args := range [][]string{{"status"}, {"plan", "--diff=full"}, {"explain", u.hosts[0].Name() + "/ledger"}, {"rollout", "status"}, {"events", "-o", "json"}} {
				out, _ := u.ask(args...)
				u.hear(strings.Join(args, " ")+" with "+x.name, out)
			}
		}
		heals()
		if x.tells != "" {
			u.push("all is well after " + x.name)
			u.hook()
			u.reconciled()
		}
		t.Logf("%s: %.1f s", x.name, time.Since(began).Seconds())
		if t.Failed() {
			return
		}
	}
	last := u.values[len(u.values)-1]
	u.change(last)
	u.push("all is well again")
	u.hook()
	u.reconciled()
	if got := u.tokens(); got != last+" "+last {
		t.Errorf("they run with %q", got)
	}
	u.ends()
	u.search()
}

// fails runs the binary, which is not to end well, and hears all it says.
func (u *hunt) fails(what string, environ []string, args ...string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := u.command(ctx, args...)
	c.Env = append(c.Env, environ...)
	out, err := c.CombinedOutput()
	if err == nil {
		u.t.Errorf("%s: evenkeel %s ended well:\n%s", what, strings.Join(args, " "), out)
	}
	if len(out) == 0 {
		u.t.Errorf("%s: it says nothing", what)
	}
	u.hear(what+": "+args[0], string(out))
}

// otherKey has everything that opens secrets run with no age key, or with another one.
func otherKey(name string) func(*hunt, string) func() {
	return func(u *hunt, _ string) func() {
		file := ""
		if name != "" {
			id, err := age.GenerateX25519Identity()
			must(u.stage, err)
			file = filepath.Join(u.dir, name)
			must(u.stage, os.WriteFile(file, []byte(id.String()+"\n"), 0o600))
		}
		environ := []string{"EVENKEEL_SECRETS_AGEIDENTITY=" + file, "HOME=" + u.dir}
		for _, args := range [][]string{{"plan", "--diff=full"}, {"apply", "--yes"}, {"diff", u.hosts[0].Name()}} {
			u.fails("key "+name, environ, args...)
		}
		return func() {}
	}
}

// damagedMAC takes a line out of the file: each of the others opens, and their sum does not fit.
func damagedMAC(u *hunt, _ string) func() {
	was, err := os.ReadFile(u.secrets)
	must(u.stage, err)
	u.hear("secret set of another", secretVerb(u.stage, "x\n", "set", u.secrets, "FURTHER"))
	both := read(u.t, u.stage, "services/ledger/ledger.secrets.env")
	at := strings.Index(both, "FURTHER=")
	end := at + strings.Index(both[at:], "\n") + 1
	must(u.stage, os.WriteFile(u.secrets, []byte(both[:at]+both[end:]), 0o600))
	u.fails("damaged MAC", nil, "plan")
	return func() { must(u.stage, os.WriteFile(u.secrets, was, 0o600)) }
}

// refusedPush is a rotation whose commit the server does not take.
func refusedPush(u *hunt, value string) func() {
	sealed, err := os.ReadFile(u.secrets)
	must(u.stage, err)
	const fleet = "fleet.yaml"
	was := read(u.t, u.stage, fleet)
	next := filepath.Join(u.dir, "next")
	must(u.stage, os.WriteFile(next, []byte(value+"\n"), 0o600))
	u.file(fleet, strings.Replace(was, "spec: {}", "spec:\n  secrets:\n    - {name: token, key: METRICS_AUTH_TOKEN, previous: METRICS_AUTH_TOKEN_PREVIOUS, verifiers: [{service: ledger}], keep: 0s, generate: {command: \"cat "+next+"\"}}", 1))
	u.git(u.repo, "config", "user.name", "ops")
	u.git(u.repo, "config", "user.email", "ops@example.com")
	u.git(u.repo, "add", "-A")
	u.git(u.repo, "commit", "-qm", "to be rotated")
	before := u.git(u.repo, "rev-parse", "HEAD~")
	hook := filepath.Join(u.dir, "fleet.git", "hooks", "pre-receive")
	must(u.stage, os.MkdirAll(filepath.Dir(hook), 0o755))
	must(u.stage, os.WriteFile(hook, []byte("#!/bin/sh\necho not today >&2\nexit 1\n"), 0o755))
	u.fails("refused push", nil, "secret", "rotate", "token", "--push", "--yes")
	must(u.stage, os.Remove(hook))
	must(u.stage, os.Remove(next))
	u.git(u.repo, "reset", "-q", "--hard", before)
	must(u.stage, os.WriteFile(u.secrets, sealed, 0o600))
	return func() {}
}

func diskFull(u *hunt, _ string) func() {
	return u.crammed(u.hosts[0], "/var/lib/evenkeel", "size=4m", fillBytes)
}

func sudoRefuses(u *hunt, _ string) func() {
	h := u.hosts[0]
	was := u.on(h, "cat /etc/sudoers.d/deploy")
	must(u.stage, h.WriteFile("/etc/sudoers.d/deploy", []byte(askingSudoers), 0o440))
	u.hangUp(h)
	return func() { must(u.stage, h.WriteFile("/etc/sudoers.d/deploy", []byte(was+"\n"), 0o440)) }
}

// command puts something that fails into the service.
func command(old, now string) func(*hunt, string) func() {
	return func(u *hunt, _ string) func() { return u.retune(old, now) }
}

// unhealthy has a health check fail with what comes, and not with what was there before.
func unhealthy(u *hunt, _ string) func() {
	restore := u.retune("  health:\n", "  health:\n    - command: {run: \"! grep -q ILL /etc/ledger/ledger.env || exit 41\"}\n")
	u.env("PORT=8080\n", "ILL=1\nPORT=8080\n")
	return func() {
		restore()
		u.env("ILL=1\n", "")
	}
}

func brokenUnit(u *hunt, _ string) func() {
	return u.unit(strings.Replace(ledgerUnit, "/usr/local/bin/ledger", "/usr/local/bin/no-such-ledger", 1))
}

// sealFails has the value be a credential, too, that a host fails to encrypt.
func sealFails(u *hunt, value string) func() {
	h := u.hosts[0]
	file := filepath.Join(u.repo, "services/ledger/token.key")
	u.hear("secret set of a credential", secretVerb(u.stage, value, "set", file, "--recipient", u.recipient))
	restore := u.retune("  drain:\n", "  credentials: [{name: token, source: token.key}]\n  drain:\n")
	u.wrap(h, "systemd-creds", "echo no key today >&2; exit 1")
	return func() {
		u.unwrap(h, "systemd-creds")
		restore()
		u.remove("services/ledger/token.key")
	}
}

// hanging has a host stop in the middle of what is written there: the program that writes
// what comes has got half of it, and waits.
func (u *hunt) hanging(h *lab.Host) (restore func()) {
	u.wrap(h, "dd", `case "$*" in
*of=*/.in/*)
	/usr/bin/dd.real "$@"
	echo $$ >/root/writing
	exec sleep 600
	;;
esac
exec /usr/bin/dd.real "$@"`)
	return func() {
		u.unwrap(h, "dd")
		u.on(h, "! test -e /root/hung || kill $(cat /root/hung) 2>/dev/null || true; rm -f /root/writing /root/hung")
	}
}

func (u *hunt) writing(h *lab.Host) {
	u.t.Helper()
	u.eventually(30*time.Second, "something is being written on "+h.Name(), func() bool { return u.on(h, "ls /root/writing 2>/dev/null || true") != "" })
	u.on(h, "mv /root/writing /root/hung")
}

// cutInMidWrite ends the connection while the secret is half written on a host.
func cutInMidWrite(u *hunt, _ string) func() {
	h := u.hosts[0]
	restore := u.hanging(h)
	u.push("cut off in mid-write")
	u.hook()
	u.writing(h)
	u.hangUp(h)
	time.Sleep(time.Second)
	restore()
	u.reconciled()
	return func() {}
}

// killedInMidWrite kills the controller while the secret is half written on a host, and
// looks at what is left there.
func killedInMidWrite(u *hunt, value string) func() {
	h := u.hosts[0]
	u.sees(60*time.Second, "nothing is under way", func(s controller.Snapshot) bool { return s.Rollout == nil || !s.Rollout.Ended.IsZero() })
	restore := u.hanging(h)
	u.push("killed in mid-write")
	u.hook()
	u.writing(h)
	u.kill()
	left := u.on(h, "grep -rlaF -f /opt/watch/patterns /var/lib/evenkeel/blobs/.in; stat -c %a /var/lib/evenkeel /var/lib/evenkeel/blobs/.in/* | sort -u")
	if !strings.Contains(left, "/blobs/.in/") || !strings.HasSuffix(left, "600\n700") {
		u.t.Errorf("what is left of %d bytes is\n%s", len(value), left)
	}
	restore()
	u.start()
	return func() {}
}
