package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// guarded runs what reads mapped pages. bbolt trusts them: a damaged one makes it
// panic, or read where nothing is mapped. Both become errors here.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &brokenPage{fmt.Errorf("a page of it makes no sense: %v", r)}
		}
	}()
	return f()
}

// brokenPage is a panic of bbolt's.
type brokenPage struct{ error }

var errNewerFormat = errors.New("it is of a newer format")

// check reads all records, and compares them with what is known of their whole.
func check(db *bolt.DB) error {
	return guarded(func() error { return db.View(checkRecords) })
}

func checkRecords(tx *bolt.Tx) error {
	own, records := tx.Bucket(bucketOwn), tx.Bucket(bucketRecords)
	switch {
	case own == nil && records == nil:
		return errNoBolt
	case own == nil || records == nil:
		return errors.New("half of it is missing")
	}
	format, err := strconv.Atoi(string(own.Get(keyFormat)))
	switch {
	case err != nil || format < 1:
		return fmt.Errorf("its format is %.20q", own.Get(keyFormat))
	case format > formatVersion:
		return fmt.Errorf("%w: %d, this evenkeel knows %d", errNewerFormat, format, formatVersion)
	}
	want, err := readState(own)
	if err != nil {
		return err
	}
	got := state{revision: want.revision}
	err = records.ForEach(func(k, v []byte) error {
		version, _, err := decodeRecord(k, v)
		if err != nil {
			return err
		}
		if version > want.revision {
			return fmt.Errorf("the record %.40q is of write %d, the last one was %d", k, version, want.revision)
		}
		got.count++
		got.digest += mark(k, v)
		return nil
	})
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("it holds %d records where there were %d, or others than were written", got.count, want.count)
	}
	return nil
}
