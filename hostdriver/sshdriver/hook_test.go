package sshdriver

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

func hookOf(line string) hostdriver.Hook {
	return hostdriver.Hook{ID: strings.Repeat("ab", 16), Service: "web", Name: "migrate", Line: line}
}

// allEnd waits until no process has that word in its command line.
func allEnd(t *testing.T, of func() string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := of()
		if got == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it still runs: %s", got)
		}
	}
}

// Where there are no transient units, what a hook leaves in its process group ends with it,
// whether it ended itself or its time was over.
func TestHookLeavesNothingInItsGroup(t *testing.T) {
	eachShell(t, func(t *testing.T, h *shellHost) {
		for i, line := range []string{"sleep %d & echo started", "sleep %d & sleep 99"} {
			mark := fmt.Sprintf("97%d%04d", i, os.Getpid()%10000)
			op := hookOf(fmt.Sprintf(strings.ReplaceAll(line, "%d", "%[1]s"), mark))
			op.ID, op.Timeout = fmt.Sprintf("%032x", i), time.Second
			res := h.apply(op)
			if want := []int{0, 124}[i]; res.Exit != want || i == 0 && string(res.Output) != "started\n" {
				t.Errorf("%s: exit %d, want %d: %s", line, res.Exit, want, res.Output)
			}
			allEnd(t, func() string { return commandsWith("sleep\x00" + mark) })
		}
	})
}

// commandsWith are the processes of this machine whose command line has text in it.
func commandsWith(text string) string {
	var out string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline"); err == nil && strings.Contains(string(line), text) {
			out += e.Name() + " "
		}
	}
	return out
}

// Of hooks that run once a host remembers the last hundred, of each by itself.
func TestMarksOfHooksArePruned(t *testing.T) {
	eachShell(t, func(t *testing.T, h *shellHost) {
		mark := func(n int) hostdriver.Hook {
			op := hookOf("true")
			op.ID, op.Once, op.Elsewhere = fmt.Sprintf("%032x", n), true, true
			return op
		}
		other := mark(1000)
		other.Name = "other"
		h.apply(other)
		// A hundred that are older than what this host's clock tells apart.
		for n := range 100 {
			name := h.path("state/hooks/" + mark(n).Mark())
			if err := os.WriteFile(name, []byte("hook\tdone\tweb\tmigrate\ttest\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(time.Duration(n-200) * time.Minute)
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
		h.apply(mark(100))
		h.apply(mark(101))
		got := h.observe(hostdriver.Query{}).Hooks
		if len(got) != 101 {
			t.Errorf("%d are remembered", len(got))
		}
		for n, want := range map[int]bool{0: false, 1: false, 2: true, 99: true, 100: true, 101: true, 1000: true} {
			if _, is := got[mark(n).Mark()]; is != want {
				t.Errorf("%d is remembered: %v, want %v", n, is, want)
			}
		}
	})
}

// The journal of the host keeps what a hook said without the secrets that it was given; the
// controller gets it whole, and leaves out what is secret by itself.
func TestSecretsStayOutOfTheJournalOfHooks(t *testing.T) {
	eachShell(t, func(t *testing.T, h *shellHost) {
		h.write("bin/systemd-cat", "#!/bin/sh\ncat >>\"$EK_DIR/journal\"\n", 0o755)
		op := hookOf(`echo "is $TOKEN, and $TOKEN$TOKEN; $KEY on $PORT"; exit 3`)
		op.Env = map[string]string{"TOKEN": `a'b"c*$(x)`, "KEY": "first line\n--\nlast line", "PORT": "8080"}
		op.Secret = []string{"KEY", "TOKEN"}
		res := h.apply(op)
		if want := `is a'b"c*$(x), and a'b"c*$(x)a'b"c*$(x); first line` + "\n--\nlast line on 8080\n"; string(res.Output) != want {
			t.Errorf("output %q, want %q", res.Output, want)
		}
		journal, _ := h.read("journal")
		if want := "is [redacted], and [redacted][redacted]; [redacted]\n--\n[redacted] on 8080\n\nweb migrate: exit status 3\n"; journal != want {
			t.Errorf("the journal has %q, want %q", journal, want)
		}
		op.Secret = []string{"NONE"}
		if _, err := h.try(op); err == nil || !strings.Contains(err.Error(), "no variable of the hook's") {
			t.Errorf("a secret that it does not have: %v", err)
		}
	})
}

// On a host with systemd all that a hook leaves running ends with it, also what has left its
// session; what it was given is in no unit's settings; and while it runs it is not begun again.
func TestHookRunsInAUnitOfItsOwn(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	host := l.Hosts()[0]
	m := &labMachine{t: t, host: host}
	d := newLabDriver(t, l, "deploy")
	fence := hostdriver.Fence{Epoch: 1, Holder: "hooks"}
	apply := func(op hostdriver.Op) (hostdriver.Result, error) {
		return d.Apply(context.Background(), labHost(host), fence, op)
	}
	running := func() string { return m.do("pgrep -f 'sleep 98[0-9]'; :") }

	op := hookOf(`setsid -f sleep 981; nohup sleep 982 >/dev/null 2>&1 & cat /proc/self/cgroup; echo "$TOKEN in $PWD as $(id -un)"; systemctl show "evenkeel-hook-*"; cat /proc/[0-9]*/cmdline | tr '\0' ' '`)
	op.User, op.Env, op.Timeout = "plain", map[string]string{"TOKEN": "can''ary $HOME"}, 30*time.Second
	res, err := apply(op)
	said := string(res.Output)
	if err != nil || res.Exit != 0 || !strings.Contains(said, "/evenkeel-hook-host."+op.ID+".service\n") || strings.Count(said, "can''ary") != 1 || !strings.Contains(said, "can''ary $HOME in / as plain\n") {
		t.Errorf("%v, exit %d: %s", err, res.Exit, said)
	}
	allEnd(t, running)

	// Its time is over: it, and what ignores that it is asked to end.
	op = hookOf(`(trap '' TERM; sleep 983; sleep 984) & setsid -f sleep 985; sleep 986`)
	op.ID, op.Timeout, op.Once = strings.Repeat("cd", 16), time.Second, true
	if res, err = apply(op); err != nil || res.Exit != 124 {
		t.Errorf("%v, exit %d: %s", err, res.Exit, res.Output)
	}
	allEnd(t, running)

	// The shell that waits for it is killed: it goes on, and is not begun a second time.
	op = hookOf("echo begun >>/var/tmp/begun; [ \"$(wc -l </var/tmp/begun)\" -gt 1 ] || sleep 987 || :")
	op.ID, op.Timeout, op.Retry = strings.Repeat("ef", 16), time.Minute, true
	first := make(chan error, 1)
	go func() {
		_, err := apply(op)
		first <- err
	}()
	for end := time.Now().Add(20 * time.Second); running() == ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not begin")
		}
	}
	// The shells of the operation: those that are root's, and not in the hook's own unit.
	m.do(`for p in $(pgrep -x sh) $(pgrep -x dash); do grep -q evenkeel-hook /proc/$p/cgroup || grep -q enter /proc/$p/cmdline || [ $p = $$ ] || kill -9 $p; done; :`)
	if err := <-first; err == nil {
		t.Error("its shell was killed, and that is not told")
	}
	_, err = apply(op)
	if err == nil || !strings.Contains(err.Error(), "it runs there still, in evenkeel-hook-host."+op.ID+".service") {
		t.Errorf("it runs there, and is begun again: %v", err)
	}
	m.do("pkill -f '[s]leep 987'; :")
	allEnd(t, running)
	if res, err = apply(op); err != nil || !res.Ran || res.Exit != 0 {
		t.Errorf("once it has ended: %+v %v", res, err)
	}
	if got := strings.Fields(m.do("cat /var/tmp/begun")); len(got) != 2 {
		t.Errorf("it was begun %d times", len(got))
	}
}
