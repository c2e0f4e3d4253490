package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

func secretHost() desired.HostState {
	return desired.HostState{Instances: []desired.Instance{{Service: "gw", Files: []desired.File{
		{Secret: true, Content: hostdriver.NewContent([]byte("password: \"hunter22222\"\n"))}}}}}
}

// TestAPatternTellsNothingOfASecret: what holds a secret is told without it; and where a
// pattern chooses, not at all, so that the pattern cannot be used to guess it.
func TestAPatternTellsNothingOfASecret(t *testing.T) {
	var s desired.Redaction
	s.Host(secretHost())
	entry := hostdriver.JournalEntry{Message: "refused hunter22222", Identifier: "gw"}
	for name, c := range map[string]struct {
		q     LogQuery
		shown string
	}{
		"all":                     {LogQuery{Hidden: true}, "refused [redacted]"},
		"a pattern":               {LogQuery{Hidden: true, Grep: "hunter2"}, ""},
		"a pattern of who knows":  {LogQuery{Grep: "hunter2"}, "refused [redacted]"},
		"cut after it is hidden":  {LogQuery{MessageMost: 12}, "refused [red… (cut: it has 18 bytes)"},
		"long enough to be whole": {LogQuery{MessageMost: 18}, "refused [redacted]"},
	} {
		m := &logMerge{query: c.q, redactor: s.Replacer()}
		if e, shown := m.shown(entry); shown != (c.shown != "") || shown && e.Message != c.shown {
			t.Errorf("%s: %v %q", name, shown, e.Message)
		}
	}
	m := &logMerge{query: LogQuery{Hidden: true, Grep: "x"}, redactor: s.Replacer()}
	if _, shown := m.shown(hostdriver.JournalEntry{Message: "nothing", Identifier: "hunter22222"}); shown {
		t.Error("a secret in the name of who says it is shown")
	}
	// Which of the last lines are shown must not tell it either: hosts count none.
	src := &logSource{}
	for q, want := range map[LogQuery]int{{Lines: 3}: 3, {Lines: 3, Hidden: true}: 3, {Lines: 3, Grep: "x"}: 3, {Lines: 3, Grep: "x", Hidden: true}: 0} {
		if got := (&logMerge{query: q}).hostQuery(src, false).Lines; got != want {
			t.Errorf("%+v: %d lines are asked for, want %d", q, got, want)
		}
	}
}

func TestWhatIsHeldBackIsBounded(t *testing.T) {
	var got []string
	emit, flush := lastEntries(1000, func(e LogEntry) error { got = append(got, e.Message[:1]); return nil })
	long := strings.Repeat("x", logHeld/4)
	for i := range 10 {
		if err := emit(LogEntry{JournalEntry: hostdriver.JournalEntry{Message: fmt.Sprint(i) + long}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(); err != nil || strings.Join(got, "") != "789" {
		t.Errorf("%v %v", got, err)
	}
}

func TestLogPlaces(t *testing.T) {
	var p logPlaces
	first, err := p.take([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.take([]string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	var named tooManyLogs
	if _, err := p.take([]string{"b", "a"}); !errors.Is(err, ErrTooManyLogs) || !errors.As(err, &named) || named.Mend() == "" || !strings.Contains(err.Error(), "host a is being read 2 times") {
		t.Errorf("a third on one host: %v", err)
	}
	second()
	second()
	third, err := p.take([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, logHostsMost-3)
	for i := range many {
		many[i] = fmt.Sprint("h", i)
	}
	if _, err := p.take(many); !errors.Is(err, ErrTooManyLogs) || !strings.Contains(err.Error(), "of 4 hosts are being read") {
		t.Errorf("more than there is room for: %v", err)
	}
	first()
	third()
	if _, err := p.take(append(many, "x", "y", "z", "one too many")); !errors.Is(err, ErrTooManyLogs) || !strings.Contains(err.Error(), "runs on 129 hosts") {
		t.Errorf("more than there ever is: %v", err)
	}
	if p.n != 0 || len(p.on) != 0 {
		t.Errorf("%d places are taken, on %v", p.n, p.on)
	}
}
