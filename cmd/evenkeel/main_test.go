package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// streams is a terminal of buffers.
func streams() (*terminal, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return &terminal{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, environ: func() []string { return nil }}, &out, &errs
}

func TestEveryVerbHelps(t *testing.T) {
	a := &app{}
	a.terminal, _, _ = streams()
	for _, c := range a.command().Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Example == "" || c.GroupID == "" {
			t.Errorf("%s has no example, or no group", c.Name())
		}
		term, out, errs := streams()
		if code := run([]string{c.Name(), "--help"}, term); code != 0 || errs.Len() > 0 {
			t.Errorf("%s --help: exit %d, %s", c.Name(), code, errs)
		}
		for _, l := range strings.Split(out.String(), "\n") {
			if len([]rune(l)) > 120 {
				t.Errorf("%s --help: a line of %d: %s", c.Name(), len([]rune(l)), l)
			}
		}
	}
}

// What is said of flags fits a terminal of 80 columns, for every verb, and none of it is lost.
func TestFlagsFitATerminal(t *testing.T) {
	a := &app{}
	a.terminal, _, _ = streams()
	var walk func(path []string, c *cobra.Command)
	walk = func(path []string, c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				walk(append(slices.Clone(path), sub.Name()), sub)
			}
		}
		term, out, _ := streams()
		run(append(slices.Clone(path), "--help"), term)
		flags, told := false, ""
		for _, l := range strings.Split(out.String(), "\n") {
			switch {
			case l == "Flags:" || l == "Global Flags:":
				flags = true
			case strings.TrimSpace(l) == "":
				flags = false
			case flags:
				told += " " + strings.Join(strings.Fields(l), " ")
				if n := len([]rune(l)); n > 80 {
					t.Errorf("%s --help: a line of %d: %s", strings.Join(path, " "), n, l)
				}
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			_, usage := pflag.UnquoteUsage(f)
			if !f.Hidden && !strings.Contains(told, strings.Join(strings.Fields(usage), " ")) {
				t.Errorf("%s --help does not tell of --%s: %s", strings.Join(path, " "), f.Name, usage)
			}
		})
	}
	walk(nil, a.command())
}

func TestABugIsToldWithoutATrace(t *testing.T) {
	term, _, errs := streams()
	term.environ = func() []string { panic("a bug") }
	if code := run([]string{"version"}, term); code != 1 || !strings.Contains(errs.String(), "a fault of evenkeel itself: a bug") || strings.Contains(errs.String(), "goroutine") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "two\nlines\n": "two: lines", "  a:\n\n  b": "a:: b", "esc\x1b[2J": `esc\x1b[2J`,
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "": false, "yeah\n": false, strings.Repeat("y", 5000): false} {
		term, _, errs := streams()
		term.stdin = strings.NewReader(answer)
		if got, err := term.confirm(context.Background(), "Apply? "); got != want || err != nil {
			t.Errorf("%.20q: %v, %v", answer, got, err)
		}
		if !strings.Contains(errs.String(), "Apply? ") {
			t.Error("the question was not put")
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	term, _, _ := streams()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	term.stdin = r
	if ok, err := term.confirm(ctx, "Apply? "); ok || err == nil {
		t.Errorf("an interrupted question: %v, %v", ok, err)
	}
	w.Close()
}

func TestStopperInAPass(t *testing.T) {
	s := newStopper(context.Background())
	defer s.close()
	said := make(chan string, 4)
	words := s.arm(func(line string) { said <- line })
	st := rollout.State{Visits: []rollout.Visit{{Host: "web-1"}, {Host: "web-2"}}}
	st.Visits[1].Phase = rollout.PhaseWait
	s.saw(st)
	kill(t)
	select {
	case e := <-words:
		if e.Kind != rollout.EventStop {
			t.Errorf("the first signal says %q", e.Kind)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the first signal does not stop softly")
	}
	if line := <-said; !strings.Contains(line, "finishing web-2, then stopping (Ctrl-C again stops at once)") {
		t.Errorf("said %q", line)
	}
	if s.ctx.Err() != nil || !s.stopping() {
		t.Error("the first signal stops at once")
	}
	kill(t)
	<-s.ctx.Done()
	if !errors.Is(context.Cause(s.ctx), errStoppedAtOnce) {
		t.Errorf("cause %v", context.Cause(s.ctx))
	}
	<-said
}

func TestStopperBeforeAPass(t *testing.T) {
	s := newStopper(context.Background())
	defer s.close()
	kill(t)
	select {
	case <-s.ctx.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("a signal before anything is begun does not stop")
	}
}

// kill sends this process a SIGTERM, which a stopper takes.
func kill(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

func TestWaitingNamesSlowHosts(t *testing.T) {
	began := time.Now()
	p := &pendingHosts{since: map[string]time.Time{"web-2": began, "web-1": began, "web-3": began.Add(time.Hour)}}
	names, longest := p.slow(began.Add(12 * time.Second))
	if got := waitWords(names, longest); !strings.Contains(got, "waiting for web-1, web-2 (12s)") {
		t.Errorf("got %q", got)
	}
	if waitWords(nil, 0) != "" {
		t.Error("says something where nobody is slow")
	}
	p = &pendingHosts{Driver: deaf{}, since: map[string]time.Time{}}
	if _, err := p.Observe(context.Background(), inventory.Host{Name: "h"}, hostdriver.Query{}); err == nil || len(p.since) > 0 {
		t.Errorf("%v; still pending: %v", err, p.since)
	}
}

type deaf struct{ hostdriver.Driver }

func (deaf) Observe(context.Context, inventory.Host, hostdriver.Query) (hostdriver.Observation, error) {
	return hostdriver.Observation{}, errors.New("no answer")
}

func TestWaitLineKeepsTheLogAbove(t *testing.T) {
	var out bytes.Buffer
	l := &waitLine{w: &out}
	l.set("waiting for a")
	if _, err := l.Write([]byte("a log line\n")); err != nil {
		t.Fatal(err)
	}
	l.set("")
	if want := "\r\x1b[Kwaiting for a\r\x1b[Ka log line\nwaiting for a\r\x1b[K"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestSSHDefaultsLieUnderTheHosts(t *testing.T) {
	rev := desired.Revision{}
	rev.Fleet.Spec.SSH = desired.SSHSpec{User: "deploy", Port: 2222, Jump: "bastion, other@far"}
	rev.Inventory.Hosts = []inventory.Host{{Name: "a"}, {Name: "b", User: "root", Port: 22, Jump: "none"}, {Name: "bastion"}}
	sshDefaults(&rev)
	want := []inventory.Host{{Name: "a", User: "deploy", Port: 2222, Jump: "bastion, other@far"}, {Name: "b", User: "root", Port: 22, Jump: "none"}, {Name: "bastion", User: "deploy", Port: 2222}}
	for i, h := range rev.Inventory.Hosts {
		if h.User != want[i].User || h.Port != want[i].Port || h.Jump != want[i].Jump {
			t.Errorf("%s: %+v", h.Name, h)
		}
	}
}

// gitRepo is a git work tree with a first fleet repo in folder fleet, committed.
func gitRepo(t *testing.T) (top string, git func(args ...string) string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	top = t.TempDir()
	git = func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", top, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	term, _, errs := streams()
	if code := run([]string{"init", filepath.Join(top, "fleet")}, term); code != 0 {
		t.Fatalf("init: %s", errs)
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "a fleet")
	return top, git
}

func TestRevisionOfACheckout(t *testing.T) {
	top, git := gitRepo(t)
	revision := func() string {
		t.Helper()
		c, err := openCheckout(filepath.Join(top, "fleet"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		rev, err := c.load(context.Background(), Settings{}, false)
		if err != nil {
			t.Fatal(err)
		}
		return rev.ID
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	head := git("rev-parse", "HEAD")
	if got := revision(); got != head {
		t.Errorf("a clean checkout is %s, not %s", got, head)
	}
	write("elsewhere.txt", "not of the fleet repo")
	if got := revision(); got != head {
		t.Errorf("a change beside the fleet repo makes it %s", got)
	}
	write("fleet/services/hello/hello.env.tmpl", "GREETING=other\n")
	dirty := revision()
	if !strings.HasPrefix(dirty, head+"-dirty-") {
		t.Errorf("a change that is not committed makes it %s", dirty)
	}
	write("fleet/services/hello/hello.env.tmpl", "GREETING=another\n")
	if again := revision(); again == dirty || !strings.HasPrefix(again, head+"-dirty-") {
		t.Errorf("another change does not tell: %s", again)
	}
	git("add", "fleet")
	git("commit", "-q", "-m", "another")
	if got := revision(); got == head || strings.Contains(got, "dirty") {
		t.Errorf("a new commit is %s", got)
	}
	if err := os.RemoveAll(filepath.Join(top, ".git")); err != nil {
		t.Fatal(err)
	}
	if got := revision(); !strings.HasPrefix(got, "checkout-") {
		t.Errorf("without git it is %s", got)
	}
}

func TestHolderIsOneLine(t *testing.T) {
	if h := holder(); !strings.HasPrefix(h, "apply ") || strings.ContainsAny(h, "\n\t") || len(h) > 256 {
		t.Errorf("%q", h)
	}
}
