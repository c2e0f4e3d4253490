package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/internal/feed"
)

// Store is a store.Store in a file.
type Store struct {
	path string
	lock *lock
	db   *bolt.DB
	feed feed.Feed

	// writes orders writes and what watchers are told of them.
	writes sync.Mutex

	mu     sync.RWMutex // held for reading while the file is in use
	closed bool

	broken atomic.Pointer[store.Error] // once a page was found to be damaged
}

var (
	_ store.Store  = (*Store)(nil)
	_ store.Copier = (*Store)(nil)
)

// Open opens the store in the file at path, or makes a new one where there is none.
// Every failure is a *store.Error whose kind tells what to do.
func Open(path string) (*Store, error) {
	l, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	db, err := open(path)
	if err != nil {
		l.release()
		return nil, err
	}
	return &Store{path: path, lock: l, db: db}, nil
}

func open(path string) (*bolt.DB, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, unavailable(path, err)
	}
	if err := inspect(path); err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, unavailable(path, fmt.Errorf("cannot keep others from reading it: %w", err))
	}
	db, err := openBolt(path)
	if err != nil {
		return nil, judged(path, err)
	}
	if err := check(db); err != nil {
		_ = db.Close()
		if errors.Is(err, errNoBolt) || errors.Is(err, errNewerFormat) {
			return nil, judged(path, err)
		}
		return nil, damaged(path, err)
	}
	return db, nil
}

// mapSize is how large a file is mapped at first: 1 GiB where addresses have 64 bits.
const mapSize = 64 << 20 << (4 * (^uint(0) >> 63))

// openBolt opens a file that is there. What bbolt leaves open when it panics over a
// damaged page is closed.
func openBolt(path string) (db *bolt.DB, err error) {
	var file *os.File
	err = guarded(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      time.Second, // nobody else has it: see lock
			FreelistType: bolt.FreelistMapType,
			// Address space is cheap, and a file that outgrows it waits for its readers.
			InitialMmapSize: mapSize,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode) // #nosec G304 -- the operator's
				file = f
				return f, err
			},
		})
		return err
	})
	var panicked *brokenPage
	if errors.As(err, &panicked) && file != nil {
		_ = file.Close()
	}
	return db, err
}

// create makes a new store file, which appears whole or not at all.
func create(path string) error {
	tmp := path + ".new" // only the lock's holder makes it
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return unavailable(path, err)
	}
	db, err := openBolt(tmp)
	if err == nil {
		if err = db.Update(initialise); err == nil {
			err = db.Close()
		} else {
			_ = db.Close()
		}
	}
	if err == nil {
		if err = os.Rename(tmp, path); err == nil {
			err = syncDir(filepath.Dir(path))
		}
	}
	if err != nil {
		_ = os.Remove(tmp)
		return writeError(path, fmt.Errorf("cannot make it: %w", err))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the operator's
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// SetAside renames a damaged store file, so that the next Open makes a new one, and
// returns its new name. It fails where another process has the store.
func SetAside(path string) (string, error) {
	l, err := takeLock(path)
	if err != nil {
		return "", err
	}
	defer l.release()
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(path, aside); err != nil {
		return "", unavailable(path, fmt.Errorf("cannot set it aside: %w", err))
	}
	return aside, syncDir(filepath.Dir(path))
}

// Path is the file.
func (s *Store) Path() string { return s.path }

// use runs f while the store cannot be closed. What it finds to be damaged stays so:
// nothing more is read from the file or written to it.
func (s *Store) use(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	if broken := s.broken.Load(); broken != nil {
		return broken
	}
	err := guarded(f)
	if err == nil || asIs(err) {
		return err
	}
	err = judged(s.path, err)
	var e *store.Error
	if errors.As(err, &e) && e.Kind == store.Damaged {
		s.broken.CompareAndSwap(nil, e)
	}
	return err
}

// asIs tells of an error that says nothing about the file.
func asIs(err error) bool {
	for _, e := range []error{store.ErrNotFound, store.ErrConflict, store.ErrInvalid, store.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return store.KindOf(err) != ""
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	var r store.Record
	err := s.use(ctx, func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketRecords).Get([]byte(key))
			if b == nil {
				return store.NotFound(key)
			}
			var err error
			r, err = record([]byte(key), b)
			return err
		})
	})
	return r, err
}

// record copies a record out of a transaction.
func record(key, encoded []byte) (store.Record, error) {
	version, value, err := decodeRecord(key, encoded)
	if err != nil {
		return store.Record{}, &brokenPage{err}
	}
	return store.Record{Key: string(key), Version: version, Value: append([]byte(nil), value...)}, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Record, error) {
	var all []store.Record
	err := s.use(ctx, func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			c := tx.Bucket(bucketRecords).Cursor()
			for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
				r, err := record(k, v)
				if err != nil {
					return err
				}
				all = append(all, r)
			}
			return nil
		})
	})
	return all, err
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, value []byte, version uint64) (uint64, error) {
	if err := store.CheckRecord(key, value); err != nil {
		return 0, err
	}
	var next uint64
	var absent error
	if version != 0 {
		absent = store.Conflict(key, version, 0)
	}
	err := s.write(ctx, key, version, absent, func(records *bolt.Bucket, st *state) (store.Event, error) {
		next = st.revision
		b := encodeRecord(key, next, value)
		st.count++
		st.digest += mark([]byte(key), b)
		return store.Event{Record: store.Record{Key: key, Version: next, Value: b[recordHeader:]}}, records.Put([]byte(key), b)
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, version uint64) error {
	return s.write(ctx, key, version, store.NotFound(key), func(records *bolt.Bucket, st *state) (store.Event, error) {
		e := store.Event{Record: store.Record{Key: key, Version: st.revision}, Deleted: true}
		return e, records.Delete([]byte(key))
	})
}

// write replaces the record of that version by what change makes of it, in one
// transaction with the state, and tells the watchers. absent is the error where there is
// no such record; nil where there must be none.
func (s *Store) write(ctx context.Context, key string, version uint64, absent error, change func(*bolt.Bucket, *state) (store.Event, error)) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	var told store.Event
	err := s.use(ctx, func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			own, records := tx.Bucket(bucketOwn), tx.Bucket(bucketRecords)
			st, err := readState(own)
			if err != nil {
				return &brokenPage{err}
			}
			if old := records.Get([]byte(key)); old != nil {
				found, _, err := decodeRecord([]byte(key), old)
				if err != nil {
					return &brokenPage{err}
				}
				if found != version {
					return store.Conflict(key, version, found)
				}
				st.count--
				st.digest -= mark([]byte(key), old)
			} else if absent != nil {
				return absent
			}
			st.revision++
			if told, err = change(records, &st); err != nil {
				return err
			}
			return own.Put(keyState, st.encode())
		})
	})
	if err != nil {
		return err
	}
	s.feed.Publish(told)
	return nil
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string) (<-chan store.Event, error) {
	s.writes.Lock()
	defer s.writes.Unlock()
	now, err := s.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	return s.feed.Watch(ctx, prefix, now)
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.feed.Close()
	err := guarded(s.db.Close)
	s.lock.release()
	if err != nil {
		return unavailable(s.path, err)
	}
	return nil
}

// judged gives what bbolt or the system says the kind that tells what to do.
func judged(path string, err error) error {
	var panicked *brokenPage
	switch {
	case store.KindOf(err) != "":
		return err
	case errors.As(err, &panicked), errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum):
		return damaged(path, err)
	case errors.Is(err, errNoBolt):
		return foreign(path, err)
	case errors.Is(err, errNewerFormat), errors.Is(err, berrors.ErrVersionMismatch):
		return newer(path, err)
	case errors.Is(err, berrors.ErrTimeout):
		return held(path, "")
	}
	return writeError(path, err)
}

// writeError is of a write, or a reading, that the system refused.
func writeError(path string, err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return &store.Error{Kind: store.Full, Place: path, Err: fmt.Errorf("there is no room: %w", err), Mend: "make room on its file system"}
		}
	}
	return unavailable(path, err)
}
