package gitrepo

import (
	"errors"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Kind says what to do about an Error. It answers the loop, not the person.
type Kind string

const (
	// Unreachable: the server did not answer, or not in time. Try again later; the last
	// tip stays in force.
	Unreachable Kind = "unreachable"
	// Unauthorized: the server does not let us in, did not prove who it is, or has no
	// such repository or branch. A person must act; trying again does not hurt.
	Unauthorized Kind = "unauthorized"
	// Refused: what the repository holds is not accepted: too large, damaged, hostile,
	// not signed as it must be. The last tip stays in force until the branch moves.
	Refused Kind = "refused"
	// Local: the folder of the bare repository cannot be used.
	Local Kind = "local"
)

// Error is what the package returns. Mend, which may be empty, tells a person what to do
// about it; Error() does not contain it.
type Error struct {
	Kind Kind
	Op   string // what was tried, to follow "cannot": "fetch ssh://git.example.com/fleet.git"
	Mend string
	Err  error // the detail; never nil
}

// Error reads "cannot fetch ssh://…: <detail>".
func (e *Error) Error() string { return "cannot " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the detail.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the outermost Error in err's chain, "" where there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// MendOf is what a person can do about err: the first Mend in its chain, or "".
func MendOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return hostdriver.MendOf(err)
		}
		if e.Mend != "" {
			return e.Mend
		}
		err = e.Err
	}
	return ""
}

// fault is a detail that knows its kind and mend before it gets its Op.
type fault struct {
	kind Kind
	err  error
	mend string
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func unreachable(err error, mend string) error  { return &fault{Unreachable, err, mend} }
func unauthorized(err error, mend string) error { return &fault{Unauthorized, err, mend} }
func refused(err error, mend string) error      { return &fault{Refused, err, mend} }
func local(err error, mend string) error        { return &fault{Local, err, mend} }

// fail gives an error its Op, and a kind where it has none yet.
func fail(op string, kind Kind, err error) error {
	var done *Error
	var f *fault
	var h *hostdriver.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &done):
		return err
	case errors.As(err, &f):
		return &Error{Kind: f.kind, Op: op, Mend: f.mend, Err: err}
	case errors.As(err, &h):
		if h.Kind.NeedsPerson() {
			return &Error{Kind: Unauthorized, Op: op, Mend: h.Mend, Err: err}
		}
		return &Error{Kind: Unreachable, Op: op, Mend: h.Mend, Err: err}
	}
	return &Error{Kind: kind, Op: op, Err: err}
}

// oneLine is at most limit bytes of somebody else's words, on one line, without
// anything that a terminal would act on.
func oneLine(s string, limit int) string {
	var b strings.Builder
	blank := false
	for _, r := range s {
		if b.Len() >= limit {
			b.WriteString("…")
			break
		}
		if r <= ' ' || (r >= 0x7f && r <= 0xa0) || r == 0x2028 || r == 0x2029 || (r >= 0x200b && r <= 0x200f) || (r >= 0x202a && r <= 0x202e) ||
			(r >= 0x2066 && r <= 0x2069) || r == 0xfffd {
			blank = b.Len() > 0
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
