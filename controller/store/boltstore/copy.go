package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/evenkeel/evenkeel/controller/store"
)

// Summary is what is in a store file that was read through and found to be whole.
type Summary struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Records int    `json:"records"`
	Writes  uint64 `json:"writes"` // that were ever done; the last one's version
	Epoch   uint64 `json:"epoch"`  // the highest that was taken from it
}

// Verify reads a store file through, as Open does, and changes nothing of it. It is for
// backups; a file that a controller has open is told as held.
func Verify(path string) (Summary, error) {
	sum := Summary{Path: path}
	err := view(path, func(tx *bolt.Tx) error {
		st, err := readState(tx.Bucket(bucketOwn))
		if err != nil {
			return err
		}
		sum.Records, sum.Writes, sum.Bytes = int(st.count), st.revision, tx.Size() // #nosec G115 -- that many were just counted
		if b := tx.Bucket(bucketRecords).Get([]byte(store.EpochKey)); b != nil {
			_, value, err := decodeRecord([]byte(store.EpochKey), b)
			if err != nil {
				return err
			}
			if sum.Epoch, err = store.ParseEpoch(value); err != nil {
				return err
			}
		}
		return nil
	})
	return sum, err
}

// CopyFile writes a copy of the store file at path, which no controller has open, and
// returns its length. Nothing of the file is changed, nor of who may use it.
func CopyFile(ctx context.Context, path string, to *os.File) (int64, error) {
	out := &backupWriter{ctx: ctx, w: to}
	err := view(path, func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(out)
		return err
	})
	if out.err != nil {
		err = fmt.Errorf("cannot write the backup: %w", out.err)
	}
	return out.n, err
}

// view reads a whole file that nobody writes to.
func view(path string, read func(*bolt.Tx) error) error {
	info, err := os.Stat(path)
	if err != nil {
		return unavailable(path, err)
	}
	if !info.Mode().IsRegular() {
		return foreign(path, errors.New("it is no regular file"))
	}
	if err := inspect(path); err != nil {
		return err
	}
	var db *bolt.DB
	err = guarded(func() (err error) {
		db, err = bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: 100 * time.Millisecond})
		return err
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return inUse(path)
	}
	if err != nil {
		return judged(path, err)
	}
	defer func() { _ = guarded(db.Close) }()
	if err := check(db); err != nil {
		if errors.Is(err, errNoBolt) || errors.Is(err, errNewerFormat) {
			return judged(path, err)
		}
		return damaged(path, err)
	}
	if err := guarded(func() error { return db.View(read) }); err != nil {
		return judged(path, err)
	}
	return nil
}

// inUse is the error of a file that a controller has open.
func inUse(path string) error {
	holder := "another process"
	if f, err := os.Open(lockPath(path)); err == nil { // #nosec G304 -- the operator's
		holder = readHolder(f)
		_ = f.Close()
	}
	if strings.TrimSpace(holder) == "" {
		holder = "another process"
	}
	return &store.Error{Kind: store.Held, Place: path, Err: fmt.Errorf("it is in use by %s", holder), Mend: "ask the controller that has it: --server unix:///run/evenkeel/evenkeel.sock"}
}
