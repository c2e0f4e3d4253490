package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// canaries are planted secrets, and what they would look like where they have escaped.
type canaries struct{ forms []string }

// forms of a text in which tools write it down.
func formsOf(value string) []string {
	quoted, _ := json.Marshal(value)
	forms := []string{value, strings.Trim(string(quoted), `"`), strings.Trim(strconv.Quote(value), `"`), strings.Trim(strconv.QuoteToASCII(value), `"`),
		url.QueryEscape(value), url.PathEscape(value), hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))),
		strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value)}
	// base64 by where in three bytes it begins: what does not depend on what is around it.
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for lead := range 3 {
			text := enc.EncodeToString([]byte(strings.Repeat("x", lead) + value))
			forms = append(forms, text[4:len(text)-4])
		}
	}
	return forms
}

func (c *canaries) plant(value string) {
	c.forms = append(c.forms, formsOf(value)...)
	slices.Sort(c.forms)
	c.forms = slices.Compact(c.forms)
}

// in tells which of them stands in a text.
func (c *canaries) in(text []byte) string {
	for _, f := range c.forms {
		if bytes.Contains(text, []byte(f)) {
			return f
		}
	}
	return ""
}

// processes looks at the arguments and environments of all processes of this machine,
// the hosts' among them, until the function that it returns is called. The service itself
// has the secret, and grep is how a host is searched.
func (c *canaries) processes() (stop func() (found []string, rounds int)) {
	quit, done := make(chan struct{}), make(chan struct{})
	seen, rounds := map[string]bool{}, 0
	go func() {
		defer close(done)
		for ; ; rounds++ {
			select {
			case <-quit:
				return
			default:
			}
			dirs, _ := filepath.Glob("/proc/[0-9]*")
			for _, dir := range dirs {
				args, err := os.ReadFile(dir + "/cmdline")
				env, _ := os.ReadFile(dir + "/environ")
				if err != nil || len(args)+len(env) == 0 {
					continue
				}
				program, _, _ := bytes.Cut(args, []byte{0})
				if f := c.in(args); f != "" {
					seen["arguments of "+string(program)+": "+f] = true
				}
				if bytes.Contains(env, []byte(control)) {
					seen[control] = true
				}
				if f := c.in(env); f != "" && string(program) != "/usr/local/bin/ledger" {
					// One that is just being executed, or has just ended, has no arguments, but a name.
					if name, _ := os.ReadFile(dir + "/comm"); len(program) == 0 && (len(name) == 0 || string(name) == "ledger\n") {
						continue
					}
					seen["environment of "+string(program)+": "+f] = true
				}
			}
		}
	}()
	return func() (found []string, _ int) {
		close(quit)
		<-done
		if !seen[control] {
			found = append(found, "not even what was to be found")
		}
		delete(seen, control)
		for f := range seen {
			found = append(found, f)
		}
		return found, rounds
	}
}

// A user of the host without any rights, who looks at all there is, again and again.
const unprivileged = `#!/bin/sh
n=0
while :; do
	cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -aF -f /opt/watch/patterns | sed 's/^/process: /'
	grep -rlaF -f /opt/watch/patterns /tmp /var/tmp /run /dev/shm /etc/ledger /var/lib/evenkeel /var/log /root /home 2>/dev/null | sed 's/^/file: /'
	n=$((n + 1))
	echo "round: $n"
done
`

const control = "a-control-that-is-to-be-found-5f1e"

func (k *keel) watchOn(h *lab.Host, c *canaries) {
	k.t.Helper()
	must(k.stage, h.WriteFile("/opt/watch/patterns", []byte(strings.Join(append(slices.Clone(c.forms), control), "\n")+"\n"), 0o644))
	must(k.stage, h.WriteFile("/opt/watch/watch.sh", []byte(unprivileged), 0o755))
	k.on(h, "mkdir -p /tmp/x && echo "+control+" >/tmp/x/control && systemd-run -q --unit=watch --uid=nobody -p StandardOutput=append:/opt/watch/seen /opt/watch/watch.sh")
}

// watched is what that user has found, but for what was to be found.
func (k *keel) watched(h *lab.Host) string {
	k.t.Helper()
	k.on(h, "systemctl stop watch; rm -r /tmp/x")
	text := k.on(h, "grep -v ^round: /opt/watch/seen | sort | uniq -c; grep -c ^round: /opt/watch/seen")
	lines := strings.Split(text, "\n")
	rounds := lines[len(lines)-1]
	k.t.Logf("%s: %s rounds of looking", h.Name(), rounds)
	var rest []string
	for _, l := range lines[:len(lines)-1] {
		if !strings.Contains(l, control) && !strings.HasSuffix(l, "file: /tmp/x/control") {
			rest = append(rest, l)
		}
	}
	if len(rest) == len(lines)-1 || rounds == "0" {
		k.t.Errorf("%s: what was to be found was not: %s", h.Name(), text)
	}
	return strings.Join(rest, "\n")
}

// answers are the bodies of all that the API tells.
func (k *keel) bodies() map[string][]byte {
	k.t.Helper()
	c := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(k.dir, "ek.sock"))
	}}}
	defer c.CloseIdleConnections()
	out := map[string][]byte{}
	host := k.hosts[0].Name()
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/snapshot", "/api/v1/plan", "/api/v1/hosts", "/api/v1/hosts/" + host + "/diff",
		"/api/v1/instances/" + host + "/ledger", "/api/v1/rollouts", "/api/v1/rollouts/current", "/api/v1/revisions", "/api/v1/events?limit=1000", "/api/v1/store/backup"} {
		resp, err := c.Get("http://controller" + path)
		must(k.stage, err)
		body, err := io.ReadAll(resp.Body)
		must(k.stage, err)
		_ = resp.Body.Close()
		out[path] = body
		if resp.StatusCode >= 400 && path != "/metrics" && path != "/readyz" {
			k.t.Errorf("GET %s: %s\n%.300s", path, resp.Status, body)
		}
	}
	return out
}

// hunt is a keel with planted secrets, and everything that was told while they were about.
type hunt struct {
	*keel
	*canaries
	values     []string          // to be given to the ledger as its token
	told       map[string]string // by what told it
	temp       string            // where all programs make their temporary files
	recipient  string            // of the age key that the controller has
	keyFile    string
	secrets    string // the SOPS file with the token
	stopSearch func() (found []string, rounds int)
}

// newHunt plants so many secrets, begins to look for them in all processes and on all
// hosts, and starts a controller that logs everything.
func newHunt(t *testing.T, values int) *hunt {
	t.Helper()
	k := newKeel(t, 2)
	u := &hunt{keel: k, canaries: &canaries{}, told: map[string]string{}, temp: t.TempDir(), keyFile: filepath.Join(k.dir, "age.key"),
		secrets: filepath.Join(k.repo, "services/ledger/ledger.secrets.env")}
	u.recipient = strings.TrimSpace(secretVerb(k.stage, "", "keygen", u.keyFile))
	k.stop()
	k.configure("secrets: {ageIdentity: " + u.keyFile + "}")
	t.Setenv("TMPDIR", u.temp)
	t.Setenv("EVENKEEL_LOG_LEVEL", "trace")
	t.Setenv("EVENKEEL_SECRETS_AGEIDENTITY", u.keyFile)
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	for n := range values {
		u.values = append(u.values, fmt.Sprintf("canary-%d-%s", n, run)+`+/ "<&>é\9=%x;`)
		u.plant(u.values[n])
	}
	for _, h := range k.hosts {
		k.watchOn(h, u.canaries)
	}
	u.stopSearch = u.processes()
	seen := exec.Command("sleep", "300")
	seen.Env = []string{"X=" + control}
	must(k.stage, seen.Start())
	t.Cleanup(func() { _ = seen.Process.Kill(); _ = seen.Wait() })
	k.start()
	k.env("METRICS_AUTH_TOKEN=first\n", "")
	k.retune("source: [ledger.env]", "source: [ledger.env, ledger.secrets.env]")
	return u
}

func (u *hunt) hear(what, text string) { u.told[what] += text + "\n" }

// set writes the token's file anew; change replaces the value in it.
func (u *hunt) set(value string) {
	u.t.Helper()
	u.hear("secret set", secretVerb(u.stage, value+"\n", "set", u.secrets, "METRICS_AUTH_TOKEN", "--recipient", u.recipient))
}

func (u *hunt) change(value string) {
	u.t.Helper()
	u.hear("secret set again", secretVerb(u.stage, value+"\n", "set", u.secrets, "METRICS_AUTH_TOKEN"))
}

// ends hears all that the controller tells, and kills it in a way that has it tell what all
// its goroutines are at.
func (u *hunt) ends() {
	u.t.Helper()
	for path, body := range u.bodies() {
		u.hear("GET "+path, string(body))
	}
	must(u.stage, u.c.Process.Signal(syscall.SIGQUIT))
	<-u.ended
	log := u.logged()
	if !strings.Contains(log, "goroutine ") || !strings.Contains(log, " DBG ") {
		u.t.Error("there is no trace of goroutines in the log, or not all that it can tell")
	}
	u.hear("the log", log)
}

// search looks through what was told, where the secrets and the plain digests of files with
// them must not be, and through all files, processes and hosts.
func (u *hunt) search(digests ...string) {
	t := u.t
	t.Helper()
	for what, text := range u.told {
		if f := u.in([]byte(text)); f != "" {
			t.Errorf("%s tells %s", what, f)
		}
		for _, d := range digests {
			if strings.Contains(text, d) {
				t.Errorf("%s tells the plain digest %s of a file with secrets", what, d)
			}
		}
	}
	found, rounds := u.stopSearch()
	t.Logf("%d rounds of looking at all processes", rounds)
	if len(found) > 0 || rounds == 0 {
		t.Errorf("seen in processes: %s", strings.Join(found, "; "))
	}
	for _, dir := range []string{u.temp, u.dir} {
		u.canaries.files(t, dir)
	}
	for _, h := range u.hosts {
		if seen := u.watched(h); seen != "" {
			t.Errorf("%s: an unprivileged user saw\n%s", h.Name(), seen)
		}
		u.on(h, "rm /opt/watch/seen")
		places := u.on(h, "grep -rlaF -f /opt/watch/patterns /etc /var /run /tmp /root /home /opt /dev/shm 2>/dev/null; journalctl -q --no-pager -o export | grep -aF -f /opt/watch/patterns; :")
		for place := range strings.Lines(places) {
			place = strings.TrimSpace(place)
			if place != "/etc/ledger/ledger.env" && place != "/opt/watch/patterns" && !strings.HasPrefix(place, "/var/lib/evenkeel/blobs/") && !strings.HasPrefix(place, "/var/lib/evenkeel/generations/") {
				t.Errorf("%s: found in %s", h.Name(), place)
			}
		}
		if !strings.Contains(places, "/etc/ledger/ledger.env") {
			t.Errorf("%s: not found where it belongs", h.Name())
		}
	}
}

// A planted secret is looked for, in every form, wherever it could have got to: while it
// is rolled, replaced, taken back after a failure and damaged in git, with a log of
// everything, to the trace of a controller that is killed in the middle. It is found where
// it belongs, and nowhere else.
func TestSecretsEscapeNowhere(t *testing.T) {
	u := newHunt(t, 3)
	k, values := u.keel, u.values
	hear, set, change := u.hear, u.set, u.change
	digests := []string{}
	digest := func() {
		t.Helper()
		digests = append(digests, k.on(k.hosts[0], "sha256sum /etc/ledger/ledger.env")[:12])
	}
	set(values[0])
	k.push("a secret")
	k.hook()
	k.reconciled()
	digest()
	if got := k.tokens(); got != values[0]+" "+values[0] {
		t.Fatalf("they run with %q", got)
	}

	change(values[1])
	hear("plan of a checkout", fmt.Sprint(k.run(1, "plan", "--diff=full")))
	hear("plan of a checkout, JSON", fmt.Sprint(k.run(1, "plan", "-o", "json")))
	k.push("another value")
	k.hook()
	k.reconciled()
	digest()

	// a third, with what no instance gets healthy with: it is taken back
	change(values[2])
	k.env("PORT=8080", "PORT=none")
	k.push("a value that comes with a fault")
	k.hook()
	k.sees(60*time.Second, "it is taken back", func(s controller.Snapshot) bool {
		return s.Rollout != nil && !s.Rollout.Ended.IsZero() && s.Conditions.Get(controller.Reconciled).Status == controller.False
	})
	for _, args := range [][]string{{"status"}, {"plan", "--diff=full"}, {"diff", k.hosts[0].Name()}, {"explain", k.hosts[0].Name() + "/ledger"}, {"events"}, {"history"}, {"rollout", "status"}} {
		out, _ := k.ask(args...)
		hear(strings.Join(args, " "), out)
		out, _ = k.ask(append(args, "-o", "json")...)
		hear(strings.Join(args, " ")+" as JSON", out)
	}
	if plan := u.told["plan --diff=full"]; !strings.Contains(plan, "METRICS_AUTH_TOKEN") {
		t.Errorf("the plan does not name the secret:\n%s", plan)
	}
	damaged := []byte(read(t, k.stage, "services/ledger/ledger.secrets.env"))
	damaged[bytes.Index(damaged, []byte("ENC["))+30] ^= 1
	k.file("services/ledger/ledger.secrets.env", string(damaged))
	out, _ := k.exit([]int{0, 1}, "validate")
	hear("validate", out)
	tip := k.push("damaged")
	k.hook()
	k.sees(20*time.Second, "the damage is told", func(s controller.Snapshot) bool { return s.Source.Tip == tip })
	u.ends()
	u.search(digests...)
}

// files looks through all files of a folder.
func (c *canaries) files(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if f := c.in(data); err == nil && f != "" {
			t.Errorf("%s holds %s", path, f)
		}
		n++
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d files looked through in %s", n, dir)
}

// secretVerb runs evenkeel secret with something on stdin.
func secretVerb(s *stage, stdin string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(root, "bin/evenkeel"), append([]string{"secret"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("evenkeel secret %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}
