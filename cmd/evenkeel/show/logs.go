package show

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/evenkeel/evenkeel/controller"
)

// Log shows entries of hosts' journals, a line each.
type Log struct {
	hostWidth int
}

// NewLog knows the hosts whose entries may come, to align what follows their names.
func NewLog(hosts []string) *Log {
	l := &Log{}
	for _, h := range hosts {
		l.hostWidth = max(l.hostWidth, min(ansi.StringWidth(Clean(h)), 24))
	}
	return l
}

const logTimeForm = "2006-01-02 15:04:05.000Z"

// Entry is one entry: time, host, who says it, and what. Further lines of a message are
// indented, so that none can be taken for another entry.
func (l *Log) Entry(e controller.LogEntry) string {
	who := Clean(e.Identifier)
	if who == "" {
		who = Clean(strings.TrimSuffix(e.Unit, ".service"))
	}
	if e.PID > 0 {
		who += fmt.Sprintf("[%d]", e.PID)
	}
	colour := priorityPaint(e.Priority)
	var b strings.Builder
	b.WriteString(faint.of(e.At.UTC().Format(logTimeForm)) + " " + hostPaint(e.Host).of(pad(Clean(e.Host), l.hostWidth)) + " " + who + ":")
	for i, line := range strings.Split(strings.TrimRight(e.Message, "\n"), "\n") {
		if i > 0 {
			b.WriteString("\n   ")
		}
		if line = strings.TrimSuffix(line, "\r"); line != "" {
			b.WriteString(" " + colour.of(Clean(line)))
		}
	}
	b.WriteString("\n")
	return b.String()
}

func priorityPaint(p int) paint {
	switch {
	case p < 0:
		return ""
	case p <= 3:
		return red
	case p == 4:
		return yellow
	case p == 7:
		return faint
	}
	return ""
}

// hostPaint gives a host one of a few colours, always the same.
func hostPaint(host string) paint {
	h := fnv.New32a()
	_, _ = h.Write([]byte(host))
	colours := []paint{cyan, green, magenta, bold}
	return colours[h.Sum32()%uint32(len(colours))] // #nosec G115 -- four
}
