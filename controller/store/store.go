package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Record is one value and the version of the write that made it.
type Record struct {
	Key string
	// Version is never used twice in one store, not even for another key or after the
	// record was deleted, and grows with every write.
	Version uint64
	Value   []byte // the caller's own copy
}

// Event is one change of a record, or that it is there.
type Event struct {
	Record
	Deleted bool // Value is nil, Version the deletion's
}

// Store keeps records. It is safe for concurrent use.
//
// A write that returns nil is durable. One that returns ErrConflict, ErrNotFound,
// ErrInvalid or ErrClosed, or an *Error of kind Full, changed nothing. Any other error
// leaves it open whether it was done: Get tells.
type Store interface {
	// Get returns the record; ErrNotFound where there is none.
	Get(ctx context.Context, key string) (Record, error)
	// List returns the records whose keys begin with prefix, by key, as they were at
	// one moment.
	List(ctx context.Context, prefix string) ([]Record, error)
	// Put writes the record if it still has that version, and returns the new one.
	// Version 0: there must be no such record. ErrConflict where it is otherwise.
	Put(ctx context.Context, key string, value []byte, version uint64) (uint64, error)
	// Delete removes the record if it still has that version. ErrConflict where it has
	// another, ErrNotFound where there is none.
	Delete(ctx context.Context, key string, version uint64) error
	// Watch tells what is under prefix now, and from then on how it changes. Of several
	// changes of one key that were not yet taken only the last is told, in the order of
	// the keys' first untold change; who takes slowly delays nobody. The channel is
	// closed when ctx ends or the store is closed.
	Watch(ctx context.Context, prefix string) (<-chan Event, error)
	// Close ends all watches, waits for what is under way, and releases the store.
	Close() error
}

// Copier is a Store that can copy itself while it is used. One that others keep (a
// cluster) has means of its own.
type Copier interface {
	// Backup writes a copy, as the store is at one moment, and returns its length.
	Backup(ctx context.Context, w io.Writer) (int64, error)
}

var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("no such record")
	// ErrConflict: the record is not, or no longer, of the version that was meant.
	ErrConflict = errors.New("the record was changed meanwhile")
	// ErrInvalid: such a key or value cannot be kept.
	ErrInvalid = errors.New("not a record that can be kept")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
)

const (
	// MaxKey is the most bytes a key may have.
	MaxKey = 512
	// MaxValue is the most bytes a value may have.
	MaxValue = 32 << 20
)

// CheckKey tells why a key cannot be kept: keys are paths, "rollouts/42/state", of
// printable characters. The error is an ErrInvalid.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: the key is empty", ErrInvalid)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: the key has more than %d bytes: %.40q…", ErrInvalid, MaxKey, key)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return fmt.Errorf("%w: the key %q has characters that do not print", ErrInvalid, key)
	}
	return nil
}

// CheckRecord tells why a record cannot be kept.
func CheckRecord(key string, value []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("%w: the value of %s has %d bytes, more than %d", ErrInvalid, key, len(value), MaxValue)
	}
	return nil
}

// Conflict makes the ErrConflict of a write that meant one version and found another.
func Conflict(key string, meant, found uint64) error {
	switch {
	case meant == 0:
		return fmt.Errorf("%s: %w: it exists, at version %d", key, ErrConflict, found)
	case found == 0:
		return fmt.Errorf("%s: %w: it was deleted, version %d was meant", key, ErrConflict, meant)
	}
	return fmt.Errorf("%s: %w: it is at version %d, %d was meant", key, ErrConflict, found, meant)
}

// NotFound makes the ErrNotFound of a key.
func NotFound(key string) error { return fmt.Errorf("%s: %w", key, ErrNotFound) }
