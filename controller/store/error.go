package store

import "errors"

// Kind says what to do about a store that cannot be used. It answers the loop, not
// the person.
type Kind string

const (
	// Held: another controller has the store. Only read; try again later.
	Held Kind = "held"
	// Damaged: torn, truncated or overwritten. What it held is unknown, which is not
	// "nothing": observe only, until it was set aside and rebuilt from the hosts'
	// records, or restored from a backup.
	Damaged Kind = "damaged"
	// Foreign: something else than a store of evenkeel's. Nothing was written to it.
	Foreign Kind = "foreign"
	// Newer: written by a newer evenkeel, in a format that this one cannot read.
	Newer Kind = "newer"
	// Full: there is no room for the write. Nothing was changed; what the write was to
	// come before must not be done.
	Full Kind = "full"
	// Unavailable: it could not be reached, opened or written. A write's outcome is
	// unknown.
	Unavailable Kind = "unavailable"
)

// Unreadable tells whether a store is there whose content cannot be known.
func (k Kind) Unreadable() bool { return k == Damaged || k == Foreign || k == Newer }

// Error is why a store cannot be used. Mend tells a person what to do about it; Error()
// does not contain it.
type Error struct {
	Kind  Kind
	Place string // the file or the address
	Mend  string
	Err   error // the detail; never nil
}

// Error reads "store /var/lib/evenkeel/evenkeel.db: <detail>".
func (e *Error) Error() string { return "store " + e.Place + ": " + e.Err.Error() }

// Unwrap returns the detail.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the Error in err's chain, "" where there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// MendOf is what a person can do about err, or "".
func MendOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Mend
	}
	return ""
}
