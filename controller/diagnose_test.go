package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// TestDiagnose is about what no lab host shows: other versions' words, and the kernel's.
func TestDiagnose(t *testing.T) {
	said := func(lines ...string) (out []hostdriver.JournalEntry) {
		for _, l := range lines {
			who, text, _ := strings.Cut(l, ": ")
			out = append(out, hostdriver.JournalEntry{Unit: "a.service", Identifier: who, Message: text, Priority: 6})
		}
		return out
	}
	unit := desired.Unit{Name: "a.service", State: "started", Needs: []desired.Need{{Kind: desired.NeedProgram, Name: "/opt/a", Key: "ExecStart="}}}
	failed := func(result string, status int) hostdriver.UnitState {
		return hostdriver.UnitState{Load: "loaded", Active: "failed", Sub: "failed", Result: result, ExecStatus: status}
	}
	for name, c := range map[string]struct {
		state   hostdriver.UnitState
		entries []hostdriver.JournalEntry
		paths   map[string]hostdriver.PathState
		want    string
	}{
		"a newer systemd's words": {failed("exit-code", 203), said("(a)[7]: a.service: Unable to locate executable '/opt/a': No such file or directory", "systemd: a.service: Failed at step EXEC spawning /opt/a: No such file or directory"), nil, "/opt/a is missing"},
		"no journal at all":       {failed("exit-code", 203), nil, map[string]hostdriver.PathState{"/opt/a": {Type: hostdriver.PathAbsent}}, "the program /opt/a is missing"},
		"killed by the kernel":    {failed("oom-kill", 9), said("systemd: a.service: A process of this unit has been killed by the OOM killer."), nil, "want of memory"},
		"what it said long since is not asked of one that runs": {hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", Result: "success"}, said("a: too many open files"), nil, ""},
		"a restart, and why":     {hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", Result: "success", Restarts: 3}, said("a: fatal error: out of memory"), nil, "gets no more memory"},
		"a loader without files": {failed("exit-code", 127), said("a: a: error while loading shared libraries: libc.so.6: cannot open shared object file: Error 24"), nil, "run out of open files"},
		"a restart long since, and a file that systemd was not told of": {hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", Result: "success", Restarts: 1, NeedReload: true}, nil, nil, "systemd was not told"},
		"an end that says nothing":                                      {failed("exit-code", 1), said("a: goodbye"), nil, "the program itself ended with an error"},
	} {
		p := &patient{unit: &unit, state: c.state, entries: c.entries, paths: c.paths}
		got, ok := p.diagnose()
		if ok != (c.want != "") || !strings.Contains(got.Cause, c.want) || ok && got.Mend == "" {
			t.Errorf("%s: %v %+v, want %q", name, ok, got, c.want)
		}
	}
	next := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	timer := desired.Unit{Name: "a.timer", State: "started"}
	p := &patient{unit: &timer, at: next.Add(time.Hour), state: hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "waiting", TimerNext: next}}
	if c, ok := p.diagnose(); !ok || !strings.Contains(c.Cause, "overdue") {
		t.Errorf("a timer that missed its run: %+v", c)
	}
	if p.at = next.Add(-time.Hour); true {
		if c, ok := p.diagnose(); ok {
			t.Errorf("a timer that waits: %+v", c)
		}
	}
	// A long run misses another one where one was due meanwhile, and only there.
	for text, c := range map[string]struct {
		after  time.Duration
		missed bool
	}{
		"OnCalendar=daily": {5 * time.Hour, false}, "OnCalendar=daily\nOnCalendar=*:0/5": {7 * time.Minute, true}, "OnCalendar=hourly": {62 * time.Minute, true}, "OnCalendar=weekly": {26 * time.Hour, false},
		"OnCalendar=hourly\nRandomizedDelaySec=10min": {62 * time.Minute, false}, "OnCalendar=no such time": {100 * time.Hour, false}, "OnUnitActiveSec=1min": {time.Hour, false},
	} {
		timer.Text, _ = desired.ParseUnit([]byte("[Timer]\n" + text + "\n"))
		p := &patient{unit: &timer, at: next.Add(c.after), state: hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", TimerLast: next, TimerNext: next}}
		if got, ok := p.diagnose(); ok != c.missed {
			t.Errorf("%s, running for %s: %v %+v", text, c.after, ok, got)
		}
	}
	timer.Text, _ = desired.ParseUnit([]byte("[Timer]\nOnCalendar=daily\nAccuracySec=2h\n"))
	p = &patient{unit: &timer, at: next.Add(time.Hour), state: hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "waiting", TimerNext: next}}
	if c, ok := p.diagnose(); ok {
		t.Errorf("a timer that may be late: %+v", c)
	}
}

func TestTellingLines(t *testing.T) {
	var entries []hostdriver.JournalEntry
	for i := range 50 {
		e := hostdriver.JournalEntry{Unit: "a.service", Priority: 6, Message: "request"}
		switch i {
		case 3:
			e.Priority, e.Message = 3, "cannot open the database"
		case 48:
			e.Unit = "b.service"
		}
		entries = append(entries, e)
	}
	if lines := tellingLines(entries, nil); len(lines) != 4 {
		t.Errorf("of a healthy one: %+v", lines)
	}
	lines := tellingLines(entries, map[string]bool{"a.service": true})
	if len(lines) != explainShown || lines[0].Message != "cannot open the database" || lines[1].Message != "request" {
		t.Errorf("of one in trouble: %+v", lines)
	}
	for i := range 40 { // what the unit says comes later than what systemd says of it
		e := hostdriver.JournalEntry{Unit: "a.service", Identifier: "systemd", Priority: 6, Message: fmt.Sprint("Started a, ", i)}
		entries = append(entries, e)
	}
	if behind := tellingLines(entries, map[string]bool{"a.service": true}); len(behind) != explainShown || behind[0].Message != "request" || behind[1].Identifier != "systemd" {
		t.Errorf("of one whose own words are far behind: %+v", behind)
	}
	for _, l := range lines {
		if l.Unit != "a.service" {
			t.Errorf("%+v", l)
		}
	}
}

// What was gone back from is not brought by the next apply, so that is no mend.
func TestDiagnoseAfterGoingBack(t *testing.T) {
	p := &patient{unit: &desired.Unit{Name: "a.service", State: "started"}, behind: "PORT is not what the process has",
		state: hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", Result: "success"}}
	if c, _ := p.diagnose(); !strings.Contains(c.Mend, "evenkeel apply restarts it") {
		t.Errorf("got %+v", c)
	}
	p.back = true
	if c, _ := p.diagnose(); !strings.Contains(c.Cause, "gone back to: PORT") || !strings.Contains(c.Mend, "--retry") {
		t.Errorf("got %+v", c)
	}
}

// One that runs, and was restarted, holds its own port; one that does not run is kept from it.
func TestCausesFound(t *testing.T) {
	found := []hostdriver.Finding{
		{Reason: hostdriver.PortTaken, Place: "a.service", What: "a.service: health tcp 80: another process has that port", Mend: "ss -ltnp"},
		{Reason: hostdriver.DirectoryMissing, Place: "a.service", What: "a.service: there is no such directory"}, // systemd says as much
	}
	if c := causesFound(found, map[string]hostdriver.UnitState{"a.service": {Active: "active", MainPID: 7, Restarts: 3}}); len(c) != 0 {
		t.Errorf("of one that runs: %+v", c)
	}
	c := causesFound(found, map[string]hostdriver.UnitState{"a.service": {Active: "activating", Restarts: 3}})
	if want := (Cause{Subject: "a.service", Cause: "health tcp 80: another process has that port", Mend: "ss -ltnp"}); len(c) != 1 || c[0] != want {
		t.Errorf("got %+v", c)
	}
}
