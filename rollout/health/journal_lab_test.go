package health

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// labTalker says what is in /etc/talk, and then nothing more.
const labTalker = "[Service]\nExecStart=/bin/sh -c 'cat /etc/talk; exec sleep infinity'\n"

// TestLabJournal reads the journal of a real host, through SSH and sudo.
func TestLabJournal(t *testing.T) {
	lab.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	driver, err := sshdriver.New(sshdriver.Options{User: "deploy", Become: true, IdentityFiles: []string{l.IdentityFile()},
		KnownHosts: []string{l.KnownHostsFile()}, ConfigFile: "none", Agent: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	h := l.Hosts()[0]
	host := inventory.Host{Name: "web-1", Address: h.Address()}
	say := func(text string) {
		t.Helper()
		if err := h.WriteFile("/etc/talk", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := h.Exec(ctx, "systemctl daemon-reload; systemctl reset-failed talker 2>/dev/null; systemctl restart talker"); err != nil {
			t.Fatal(err, out)
		}
	}
	if err := h.WriteFile("/etc/systemd/system/talker.service", []byte(labTalker), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(want, refuse string) Result {
		t.Helper()
		c, err := New(desired.HealthSpec{Journal: &desired.JournalHealth{Unit: "talker.service", Want: want, Refuse: refuse}}, host, Deps{
			Applier: driver, Fence: func() hostdriver.Fence { return hostdriver.Fence{Epoch: 3, Holder: "test"} },
			Unit: func(ctx context.Context, name string) (hostdriver.UnitState, error) {
				o, err := driver.Observe(ctx, host, hostdriver.Query{Light: true, Units: []string{name}})
				return o.Units[name], err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return c.Check(ctx)
	}
	ok := func(want, refuse string) {
		t.Helper()
		var r Result
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if r = check(want, refuse); r.OK {
				return
			}
		}
		t.Errorf("want %q, refuse %q: %+v", want, refuse, r)
	}
	refused := func(want, refuse, reason string) {
		t.Helper()
		if r := check(want, refuse); r.OK || r.Unknown || !strings.Contains(r.Reason, reason) {
			t.Errorf("want %q, refuse %q: %+v, want %s", want, refuse, r, reason)
		}
	}

	refused("x", "", "has not been started")
	say("warming up\nready, \x1b[1mat last\x1b[0m\n")
	ok("^ready, .*at last", "panic")
	say("another start\n")
	ok("^another start$", "warming") // what it said before its restart does not count
	refused("^ready", "", "no line of the journal of talker.service since it was started matches")

	// Far more than is read: the beginning and the end are.
	say("the first line\n" + strings.Repeat("something in between\n", 8000) + "panic: the last line\n")
	ok("^the first line$", "")
	ok("^panic: the last line$", "")
	refused("the first line", "^panic", `matches refuse "^panic"`)
	r := check("^never$", "")
	if !strings.Contains(r.Reason, "(of its first 32 KiB and its last 28)") {
		t.Errorf("%+v", r)
	}
	t.Logf("a look at a long journal took %s", r.Took.Round(time.Millisecond))

	if out, err := h.Exec(ctx, "mkdir -p /etc/systemd/system/talker.service.d; printf '[Service]\\nStandardOutput=null\\n' >/etc/systemd/system/talker.service.d/quiet.conf"); err != nil {
		t.Fatal(err, out)
	}
	say("into the void\n")
	refused("void", "", "has nothing since it was started")
}
