package hostdriver

import (
	"errors"
	"strings"
)

// ErrorKind says what to do about an Error. It answers the loop, not the person.
type ErrorKind string

const (
	// Unreachable: the host did not answer, or not in time. Nothing was started
	// there. Temporary: try again later, with backoff.
	Unreachable ErrorKind = "unreachable"
	// Unauthorized: the host, or a host on the way to it, does not let us in, or
	// we do not know how to log in. A person must act; trying again only annoys
	// the host.
	Unauthorized ErrorKind = "unauthorized"
	// HostKey: the host did not prove to be the one meant. A person must act;
	// nothing was sent to it, not even the user's name.
	HostKey ErrorKind = "hostkey"
	// Become: we are in, but may not become the user that the work needs. A person
	// must act; nothing was done.
	Become ErrorKind = "become"
	// Refused: the host has a newer controller, or another one holds its lock.
	// Nothing was done.
	Refused ErrorKind = "refused"
	// Conflict: what is on the host is not what the Op expected to replace. Nothing
	// was done; observe and plan again.
	Conflict ErrorKind = "conflict"
	// Failed: the host tried and says that it did not work.
	Failed ErrorKind = "failed"
	// Unknown: it may have been done, begun or never started. Observe the host
	// before anything else is done to it; never repeat blindly.
	Unknown ErrorKind = "unknown"
)

// Temporary tells whether time alone may mend it.
func (k ErrorKind) Temporary() bool { return k == Unreachable || k == Refused }

// NeedsPerson tells whether trying again is useless until a person has acted.
func (k ErrorKind) NeedsPerson() bool {
	return k == Unauthorized || k == HostKey || k == Become
}

// Error is what a driver returns about one host. Mend, which may be empty, tells a
// person what to do about it and is kept apart from the detail, so that it can be
// shown on a line of its own; Error() does not contain it. Nor does it contain Detail,
// which may hold secrets that a service wrote to its journal: show it to the person at
// the terminal who asked, and do not log, store or publish it.
type Error struct {
	Kind ErrorKind
	Host string // the host's name in the inventory
	Op   string // what was tried, to follow "cannot": "connect to", "observe"
	Mend string
	Err  error // the detail; never nil
	// Here: it went wrong on this machine, before the host was asked anything.
	Here bool
	// Detail is what the host's own programs said, in lines: the last of a failed
	// unit's journal. Often empty.
	Detail string
	// Findings are, of a precheck, what was found, one by one.
	Findings []Finding
}

// Error reads "cannot connect to web-1: <detail>".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("cannot ")
	b.WriteString(e.Op)
	if e.Host != "" {
		b.WriteByte(' ')
		b.WriteString(e.Host)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the detail.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost Error in err's chain, and "" where
// there is none: then the error is not a host's (a cancelled caller, a bug).
func KindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// MendOf returns what a person can do about err: the first Mend that is not empty
// in its chain, or "".
func MendOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Mend != "" {
			return e.Mend
		}
		err = e.Err
	}
	return ""
}
