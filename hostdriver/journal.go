package hostdriver

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/evenkeel/evenkeel/inventory"
)

// JournalReader reads hosts' journals.
type JournalReader interface {
	// Journal calls each with what q asks for, oldest first, as the host gives it, and
	// returns when there is no more; where q follows, when ctx ends. What each does
	// not take holds the host up, so little of a journal is ever kept here. each's own
	// error ends the reading and is returned as it is; any other is an *Error.
	Journal(ctx context.Context, host inventory.Host, q JournalQuery, each func(JournalEntry) error) error
}

// JournalQuery is what to read of a host's journal.
type JournalQuery struct {
	// Units are those whose entries are read: what their processes log, and what systemd
	// says about them.
	Units []string
	// Priority is as journalctl's -p has it: a level such as "warning" or "4", and what
	// is worse; or a range, "err..notice". "": all.
	Priority string
	// Grep is a regular expression (PCRE2) for the message, matched on the host. "": all.
	Grep string
	// Since and Until bound an entry's time on the host's own clock; zero: not bounded.
	Since, Until time.Time
	// Lines is how many of the last are read; 0: all.
	Lines int
	// After is the cursor of the entry to go on behind, or "". Then Lines must be 0.
	After string
	// Follow goes on as entries are written.
	Follow bool
	// Begun, if not nil, is called once, before any entry, when the host has begun to
	// read: with the time on the host's own clock.
	Begun func(at time.Time)
}

// JournalEntry is one entry of a journal. Nothing in it is to be trusted: a process
// writes what it likes, and control characters are among it.
type JournalEntry struct {
	At         time.Time // the host's own clock, when journald got it; to the microsecond
	Unit       string    // whose it is, or which it is about
	Identifier string    // what the process calls itself (SYSLOG_IDENTIFIER)
	PID        int       // 0: not told
	Priority   int       // 0 (emerg) to 7 (debug); -1: not told
	Message    string    // may have many lines, and bytes that are not UTF-8
	Cursor     string
}

var (
	journalPriority = regexp.MustCompile(`^` + priorityLevel + `(\.\.` + priorityLevel + `)?$`)
	journalCursor   = regexp.MustCompile(`^[A-Za-z0-9=;-]{1,512}$`)
)

const priorityLevel = `(emerg|alert|crit|err|warning|notice|info|debug|[0-7])`

// MaxGrep is how long a pattern may be, in bytes.
const MaxGrep = 1000

// Check tells what in q no host can be asked.
func (q JournalQuery) Check() error {
	for _, u := range q.Units {
		if err := CheckUnit(u); err != nil {
			return err
		}
	}
	switch {
	case len(q.Units) == 0:
		return errors.New("there is no unit to read of")
	case q.Priority != "" && !journalPriority.MatchString(q.Priority):
		return fmt.Errorf("%.60q is no priority", q.Priority)
	case len(q.Grep) > MaxGrep || HasControl(q.Grep):
		return fmt.Errorf("the pattern %.60q is longer than %d bytes, or holds a control character", q.Grep, MaxGrep)
	case q.After != "" && (!journalCursor.MatchString(q.After) || q.Lines != 0):
		return fmt.Errorf("%.60q is no place to go on from", q.After)
	case q.Lines < 0:
		return fmt.Errorf("%d lines cannot be read", q.Lines)
	}
	return nil
}
