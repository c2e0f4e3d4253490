package show

import (
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestLogEntry(t *testing.T) {
	l := NewLog([]string{"web-1", "web-10"})
	at := time.Date(2026, 5, 1, 13, 0, 0, 1500000, time.UTC)
	for want, e := range map[string]hostdriver.JournalEntry{
		"2026-05-01 13:00:00.001Z web-1  gw[7]: listening\n":                             {At: at, Identifier: "gw", PID: 7, Priority: 6, Message: "listening"},
		"2026-05-01 13:00:00.001Z web-1  gw: \\x1b[2Jgone\\x07\n":                        {At: at, Unit: "gw.service", Priority: 3, Message: "\x1b[2Jgone\x07"},
		"2026-05-01 13:00:00.001Z web-1  gw\\n: panic\n    at a.go:1\n   \n    b\\xff\n": {At: at, Identifier: "gw\n", Priority: -1, Message: "panic\r\nat a.go:1\n\nb\xff\n\n"},
		"2026-05-01 13:00:00.001Z web-1  gw:\n":                                          {At: at, Identifier: "gw"},
	} {
		if got := Plain(l.Entry(controller.LogEntry{Host: "web-1", JournalEntry: e})); got != want {
			t.Errorf("got\n%q, want\n%q", got, want)
		}
	}
}
