package health

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

const invocation = "0123456789abcdef0123456789abcdef"

var loaded = hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", InvocationID: invocation}

// journalOf is a check of gw.service on a host that answers so.
func journalOf(t *testing.T, spec desired.JournalHealth, unit hostdriver.UnitState, unitErr error, host *answers) Checker {
	t.Helper()
	spec.Unit = "gw.service"
	c, err := New(desired.HealthSpec{Journal: &spec}, web1, Deps{
		Applier: host,
		Fence:   func() hostdriver.Fence { return hostdriver.Fence{Epoch: 1} },
		Unit: func(_ context.Context, name string) (hostdriver.UnitState, error) {
			if name != "gw.service" {
				return hostdriver.UnitState{}, errors.New("asked for " + name)
			}
			return unit, unitErr
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestJournal(t *testing.T) {
	const said = "starting with token hunter2\n\nlistening on :8080\nlate: a slow query, hunter2\n"
	failed := &hostdriver.Error{Kind: hostdriver.Failed, Host: "web-1", Op: "run", Err: errors.New("/run is full")}
	tests := []struct {
		name         string
		want, refuse string
		result       hostdriver.Result
		err          error
		is           Result
	}{
		{"what is wanted", `^listening on :\d+$`, "panic", hostdriver.Result{Output: []byte(said)}, nil,
			Result{OK: true, Reason: `the journal of gw.service has a line that matches want "^listening on :\d+$"`}},
		{"not wanted yet", `^ready$`, "", hostdriver.Result{Output: []byte(said)}, nil,
			Result{Reason: `no line of the journal of gw.service since it was started matches want "^ready$"`, Mend: "see it on the host: journalctl -u gw.service"}},
		{"what is refused", "", `(?i)SLOW QUERY`, hostdriver.Result{Output: []byte(said)}, nil,
			Result{Reason: `the journal of gw.service has a line that matches refuse "(?i)SLOW QUERY"`, Mend: "see it on the host: journalctl -u gw.service"}},
		{"refused beats wanted", "listening", "token", hostdriver.Result{Output: []byte(said)}, nil,
			Result{Reason: `the journal of gw.service has a line that matches refuse "token"`, Mend: "see it on the host: journalctl -u gw.service"}},
		{"nothing refused", "", "panic", hostdriver.Result{Output: []byte(said)}, nil,
			Result{OK: true, Reason: `no line of the journal of gw.service matches refuse "panic"`}},
		{"nothing refused in nothing", "", "panic", hostdriver.Result{}, nil,
			Result{OK: true, Reason: `no line of the journal of gw.service matches refuse "panic"`}},
		{"nothing at all", "ready", "", hostdriver.Result{}, nil,
			Result{Reason: "the journal of gw.service has nothing since it was started", Mend: "does the unit log to the journal (StandardOutput=), and does journald keep it (Storage=)?"}},
		{"no match over lines", `hunter2\s+listening`, "", hostdriver.Result{Output: []byte(said)}, nil,
			Result{Reason: `no line of the journal of gw.service since it was started matches want "hunter2\s+listening"`, Mend: "see it on the host: journalctl -u gw.service"}},
		{"wanted, in a journal that is long", "^first$", "", hostdriver.Result{Output: []byte("first\n" + long("head", "tail"))}, nil,
			Result{OK: true, Reason: `the journal of gw.service has a line that matches want "^first$"`}},
		{"missing, in a journal that is long", "ready", "", hostdriver.Result{Output: []byte(long("head", "tail"))}, nil,
			Result{Reason: `no line of the journal of gw.service since it was started matches want "ready" (of its first 32 KiB and its last 28)`, Mend: "see it on the host: journalctl -u gw.service"}},
		{"no journalctl", "ready", "", hostdriver.Result{Exit: 127}, nil, Result{Unknown: true, Reason: "the host has no journalctl", Mend: "use another check there"}},
		{"a broken journal", "ready", "", hostdriver.Result{Exit: 3, Output: []byte(said)}, nil,
			Result{Unknown: true, Reason: "journalctl fails on the host", Mend: "see what it says there: journalctl -u gw.service"}},
		{"too slow", "ready", "", hostdriver.Result{Exit: 124, Output: []byte(said)}, failed,
			Result{Unknown: true, Reason: "the journal of gw.service was not read within 3s", Mend: "give the check a longer `timeout`, or the journal less to keep (SystemMaxUse= in journald.conf)"}},
		{"cannot be begun", "ready", "", hostdriver.Result{}, failed, Result{Unknown: true, Reason: "the journal of gw.service: cannot run web-1: /run is full"}},
		{"host unreachable", "ready", "", hostdriver.Result{}, lost,
			Result{Unknown: true, Reason: "the journal of gw.service: cannot connect to web-1: no route to host", Mend: "is it up?"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host := &answers{result: tt.result, err: tt.err}
			wantResult(t, journalOf(t, desired.JournalHealth{Want: tt.want, Refuse: tt.refuse, Timeout: desired.Duration(3 * time.Second)}, loaded, nil, host), tt.is)
			if !strings.HasPrefix(host.run.Line, "ID="+invocation+"\n") || host.run.Timeout != 3*time.Second || host.run.User != "" {
				t.Errorf("it ran %+v", host.run)
			}
		})
	}
}

// long is what the script prints of a long journal: full, and cut in the middle of lines.
func long(head, tail string) string {
	h := strings.Repeat(head+" line\n", journalHead)[:journalHead]
	t := strings.Repeat(tail+" line\n", journalTail)
	return h + "\n" + t[len(t)-journalTail:]
}

func TestJournalAsksAboutOneInvocationOnly(t *testing.T) {
	for _, tt := range []struct {
		unit hostdriver.UnitState
		err  error
		want Result
	}{
		{hostdriver.UnitState{Load: "not-found"}, nil, Result{Reason: "gw.service is not-found"}},
		{hostdriver.UnitState{Load: "loaded", Active: "inactive"}, nil, Result{Reason: "gw.service has not been started"}},
		{hostdriver.UnitState{Load: "loaded", InvocationID: "0123; rm -rf /"}, nil, Result{Unknown: true, Reason: "gw.service: the host tells an invocation that cannot be one"}},
		{hostdriver.UnitState{}, lost, Result{Unknown: true, Reason: "gw.service: cannot connect to web-1: no route to host", Mend: "is it up?"}},
	} {
		host := &answers{}
		wantResult(t, journalOf(t, desired.JournalHealth{Want: "x"}, tt.unit, tt.err, host), tt.want)
		if host.run.Line != "" {
			t.Errorf("it ran %q", host.run.Line)
		}
	}
}

func TestJournalLines(t *testing.T) {
	for _, tt := range []struct {
		name, output string
		want         string
		cut          bool
	}{
		{"nothing", "", "", false},
		{"blank lines", "a\r\n\n\nb", "a|b", false},
		{"full to the last byte, and read before there was more", strings.Repeat("x", journalHead-4) + "\na\nb", strings.Repeat("x", journalHead-4) + "|a", true},
		{"a tail of whole lines", strings.Repeat("x", journalHead-2) + "\ny\nb\nc\n", strings.Repeat("x", journalHead-2) + "|b|c", true},
		{"a tail that is cut", strings.Repeat("x", journalHead) + "\n" + strings.Repeat("y", journalTail-3) + "\nz\n", "z", true},
		{"a tail without end", strings.Repeat("x", journalHead) + "\n" + strings.Repeat("y", journalTail), "", true},
	} {
		lines, cut := journalLines([]byte(tt.output))
		if got := string(bytes.Join(lines, []byte("|"))); got != tt.want || cut != tt.cut {
			t.Errorf("%s: %d lines, %d bytes, cut %v", tt.name, len(lines), len(got), cut)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("a\nb\n"), uint16(0))
	f.Add([]byte(long("head", "tail")), uint16(3))
	f.Add([]byte("\n"), uint16(40000))
	f.Fuzz(func(t *testing.T, output []byte, more uint16) {
		output = append(output, bytes.Repeat([]byte("hunter2"), int(more)/7)...)
		lines, _ := journalLines(output)
		all := 0
		for _, l := range lines {
			all += len(l)
			if len(l) == 0 || bytes.IndexByte(l, '\n') >= 0 {
				t.Fatalf("%q is no line", l)
			}
		}
		if all > len(output) {
			t.Fatalf("%d bytes of %d", all, len(output))
		}
		c := journalOf(t, desired.JournalHealth{Want: `^never$`, Refuse: `^nor this$`}, loaded, nil, &answers{result: hostdriver.Result{Output: output}})
		if r := c.Check(t.Context()); strings.Contains(r.Reason+r.Mend, "hunter2") {
			t.Fatalf("it shows a line: %+v", r)
		}
	})
}
