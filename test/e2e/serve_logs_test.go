package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/evenkeel/evenkeel/test/lab/lab"
	"github.com/evenkeel/evenkeel/test/seal"
)

// talk logs what is written into its pipe, line by line.
const talkUnit = `[Unit]
Description=Talk
[Service]
RuntimeDirectory=talk
EnvironmentFile=/etc/talk.env
ExecStartPre=/usr/bin/mkfifo /run/talk/in
ExecStart=/bin/sh -c 'exec cat 0<>/run/talk/in'
SyslogIdentifier=talk
LogRateLimitIntervalSec=0
[Install]
WantedBy=multi-user.target
`

const talkSecret = "canary-of-logs-7f3a91"

// The journals of three hosts are read through a controller: in the order of their times,
// filtered, followed, without the secrets that it knows; and when who asked is gone, so is
// what read them on the hosts.
func TestLogsThroughController(t *testing.T) {
	s := newStage(t, 3)
	id, err := age.GenerateX25519Identity()
	must(s, err)
	key := filepath.Join(t.TempDir(), "age.key")
	must(s, os.WriteFile(key, []byte(id.String()+"\n"), 0o600))
	t.Setenv("SOPS_AGE_KEY_FILE", key)
	text, err := seal.Env("TALK_TOKEN="+talkSecret+"\n", id.Recipient().String())
	must(s, err)
	s.file("services/talk/talk.secrets.env", text)
	s.file("services/talk/talk.service", talkUnit)
	s.file("services/talk/service.yaml", `apiVersion: evenkeel/v1
kind: Service
metadata: {name: talk}
spec:
  selector: {matchLabels: {role: ledger}}
  units: [{source: talk.service, enabled: true, state: started}]
  env: [{path: /etc/talk.env, source: [talk.secrets.env], mode: "0600"}]
  rollout: {maxUnavailable: 3, minHealthyTime: 100ms}
`)
	k := newKeelOn(s)
	k.eventually(20*time.Second, "talk runs on all", func() bool {
		return !slices.ContainsFunc(k.hosts, func(h *lab.Host) bool {
			return k.on(h, "test -p /run/talk/in && systemctl is-active talk; true") != "active"
		})
	})
	t.Run("merged and filtered", func(t *testing.T) { logsMerged(t, k) })
	t.Run("without secrets", func(t *testing.T) { logsRedacted(t, k) })
	t.Run("followed", func(t *testing.T) { logsFollowed(t, k) })
	t.Run("a slow client", func(t *testing.T) { logsSlow(t, k) })
	k.stop()
	k.noReaders(0)
	if strings.Contains(k.logged(), talkSecret) {
		t.Error("the controller's log tells the secret")
	}
}

func (k *keel) talks(h *lab.Host, lines ...string) {
	k.t.Helper()
	var script strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&script, "echo '%s' >/run/talk/in; sleep 0.02\n", l)
	}
	k.on(h, script.String()+"journalctl --sync")
}

type logLine struct {
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	Unit     string    `json:"unit"`
	Priority int       `json:"priority"`
	Message  string    `json:"message"`
}

// logs are what the controller tells of talk.
func (k *keel) logs(exit int, args ...string) []logLine {
	k.t.Helper()
	c := exec.Command(filepath.Join(root, "bin/evenkeel"), append([]string{"logs", "talk", "-o", "json", "--server", "unix://" + filepath.Join(k.dir, "ek.sock")}, args...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if c.ProcessState.ExitCode() != exit {
		k.t.Fatalf("logs %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	var lines []logLine
	for text := range strings.Lines(string(out)) {
		var l logLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			k.t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func said(lines []logLine) string {
	var all []string
	for _, l := range lines {
		all = append(all, l.Host+" "+l.Message)
	}
	return strings.Join(all, "\n")
}

func logsMerged(t *testing.T, k *keel) {
	h1, h2, h3 := k.hosts[0], k.hosts[1], k.hosts[2]
	k.talks(h2, "one")
	k.talks(h1, "two", "<3>three")
	k.talks(h3, "four")
	k.talks(h2, "five")
	const all = "h2 one\nh1 two\nh1 three\nh3 four\nh2 five"
	lines := k.logs(0, "-n", "5")
	if said(lines) != all || !slices.IsSortedFunc(lines, func(a, b logLine) int { return a.Time.Compare(b.Time) }) || lines[2].Priority != 3 || lines[2].Unit != "talk.service" {
		t.Fatalf("%+v", lines)
	}
	from, until := lines[1].Time.Format(time.RFC3339Nano), lines[3].Time.Format(time.RFC3339Nano)
	for want, args := range map[string][]string{
		"h1 three":                  {"--priority", "err"},
		"h1 two\nh1 three\nh3 four": {"--since", from, "--until", until},
		"h2 one\nh3 four\nh2 five":  {"-n", "3", "--host", "h[23]"},
		"h2 one\nh1 two\nh3 four":   {"--grep", "^(one|two|four)$"},
		"h1 two":                    {"--grep", "^(one|two|four)$", "-n", "1", "--host", "h1"},
		"":                          {"--since", "1h", "--priority", "emerg"},
		"h1 two\nh1 three":          {"--since", from, "--host", "h1"},
	} {
		if got := said(k.logs(0, args...)); got != want {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
	contains(t, k.says("logs", "talk", "-n", "5"), " h1 talk[", "]: three")
	k.logs(1, "--host", "h9")
	k.logs(1, "--priority", "loud")
}

func logsRedacted(t *testing.T, k *keel) {
	at := time.Now().Format(time.RFC3339Nano)
	k.talks(k.hosts[0], "refused "+talkSecret+".", base64.StdEncoding.EncodeToString([]byte(talkSecret)), "canary-of-another")
	if got := said(k.logs(0, "--since", at)); got != "h1 refused [redacted].\nh1 [redacted]\nh1 canary-of-another" {
		t.Error(got)
	}
	// The pattern matches the secret, and whoever asks learns nothing of it.
	if got := said(k.logs(0, "--since", at, "--grep", "canary-of-")); got != "h1 canary-of-another" {
		t.Error(got)
	}
	// From a checkout, too.
	out, _ := k.run(0, "logs", "talk", "--since", at)
	if strings.Contains(out, talkSecret) || !strings.Contains(out, "refused [redacted].") {
		t.Error(out)
	}
}

// logFollower is an `evenkeel logs --follow` under way.
type logFollower struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	lines []string
	done  chan struct{}
}

func (k *keel) follower(args ...string) *logFollower {
	k.t.Helper()
	f := &logFollower{done: make(chan struct{})}
	f.cmd = exec.Command(filepath.Join(root, "bin/evenkeel"), append([]string{"logs", "talk", "-n", "1", "--follow", "--server", "unix://" + filepath.Join(k.dir, "ek.sock")}, args...)...)
	out, err := f.cmd.StdoutPipe()
	must(k.stage, err)
	f.cmd.Stderr = os.Stderr
	must(k.stage, f.cmd.Start())
	go func() {
		defer close(f.done)
		r := bufio.NewScanner(out)
		r.Buffer(nil, 1<<20)
		for r.Scan() {
			f.mu.Lock()
			f.lines = append(f.lines, r.Text())
			f.mu.Unlock()
		}
	}()
	k.t.Cleanup(func() { _ = f.cmd.Process.Kill() })
	return f
}

func (f *logFollower) has(text string) func() bool {
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.ContainsFunc(f.lines, func(l string) bool { return strings.Contains(l, text) })
	}
}

// noReaders waits until no more than n journalctl run on each host.
func (k *keel) noReaders(n int) {
	k.t.Helper()
	for _, h := range k.hosts {
		k.eventually(10*time.Second, fmt.Sprintf("%d read the journal of %s", n, h.Name()), func() bool { return k.readers(h) == n })
	}
}

func (k *keel) readers(h *lab.Host) int {
	n, err := strconv.Atoi(k.on(h, "pgrep -c -x journalctl; true"))
	must(k.stage, err)
	return n
}

func logsFollowed(t *testing.T, k *keel) {
	k.noReaders(0)
	first, second := k.follower(), k.follower("--host", "h1")
	for _, f := range []*logFollower{first, second} {
		k.eventually(10*time.Second, "it shows the last entry", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.lines) > 0 })
	}
	k.eventually(10*time.Second, "both follow", func() bool {
		return k.readers(k.hosts[0]) == 2 && k.readers(k.hosts[1]) == 1 && k.readers(k.hosts[2]) == 1
	})
	began := time.Now()
	k.on(k.hosts[2], "echo 'followed <"+talkSecret+">' >/run/talk/in")
	k.eventually(10*time.Second, "an entry comes", first.has("followed <[redacted]>"))
	t.Logf("an entry came after %s", time.Since(began).Round(time.Millisecond))
	if second.has("followed <")() {
		t.Error("an entry of another host came")
	}
	// A third would take what the controller itself works with there.
	c := exec.Command(filepath.Join(root, "bin/evenkeel"), "logs", "talk", "--host", "h1", "--server", "unix://"+filepath.Join(k.dir, "ek.sock"))
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "the journal of host h1 is being read 2 times over") || !strings.Contains(string(out), "mend: choose hosts") {
		t.Errorf("a third: %d %s", c.ProcessState.ExitCode(), out)
	}
	must(k.stage, first.cmd.Process.Kill())
	<-first.done
	_ = first.cmd.Wait()
	k.eventually(10*time.Second, "who was killed reads no more", func() bool {
		return k.readers(k.hosts[0]) == 1 && k.readers(k.hosts[1]) == 0 && k.readers(k.hosts[2]) == 0
	})
	must(k.stage, second.cmd.Process.Signal(syscall.SIGINT))
	<-second.done
	if err := second.cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
	k.noReaders(0)
}

// logsSlow: a client that takes nothing is let go, with what it held; another sees what
// happens meanwhile.
func logsSlow(t *testing.T, k *keel) {
	slow, err := net.Dial("unix", filepath.Join(k.dir, "ek.sock"))
	must(k.stage, err)
	defer slow.Close()
	_, err = fmt.Fprint(slow, "GET /api/v1/services/talk/logs?follow=1&lines=1 HTTP/1.1\r\nHost: x\r\n\r\n")
	must(k.stage, err)
	f := k.follower("--host", "h2")
	k.eventually(10*time.Second, "both follow", func() bool { return k.readers(k.hosts[0]) == 1 && k.readers(k.hosts[1]) == 2 })
	before := k.memory()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := k.hosts[0].Enter(ctx, "yes "+strings.Repeat("x", 1000)+" | head -n 12000 >/run/talk/in"); err != nil {
		t.Fatal(out, err)
	}
	for n := range 3 {
		began := time.Now()
		word := fmt.Sprint("meanwhile-", n)
		k.on(k.hosts[1], "echo "+word+" >/run/talk/in")
		k.eventually(10*time.Second, "the other one sees it", f.has(word))
		t.Logf("the other one saw an entry after %s", time.Since(began).Round(time.Millisecond))
	}
	after := k.memory()
	t.Logf("the controller has %d MiB, before %d MiB", after>>10, before>>10)
	if after-before > 64<<10 {
		t.Errorf("a client that takes nothing costs %d KiB", after-before)
	}
	k.eventually(20*time.Second, "who takes nothing is let go", func() bool { return k.readers(k.hosts[0]) == 0 && k.readers(k.hosts[1]) == 1 })
	must(k.stage, f.cmd.Process.Signal(syscall.SIGTERM))
	<-f.done
	_ = f.cmd.Wait()
	k.noReaders(0)
	contains(t, k.says("status"), "Synced")
}

// memory is what the controller has resident, in KiB.
func (k *keel) memory() int {
	k.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.c.Process.Pid))
	must(k.stage, err)
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	must(k.stage, err)
	return n
}
