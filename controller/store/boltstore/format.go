package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// formatVersion is of what this file describes. A file of a higher one is not opened.
//
//	bucket "evenkeel":  "format" → decimal; "state" → state
//	bucket "records":   key → version (8 bytes) | CRC-32C of key, version and value (4) | value
//
// Numbers are big-endian.
const formatVersion = 1

var (
	bucketOwn     = []byte("evenkeel")
	bucketRecords = []byte("records")
	keyFormat     = []byte("format")
	keyState      = []byte("state")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const recordHeader = 12

func checksum(key, version, value []byte) uint32 {
	c := crc32.Update(0, castagnoli, key)
	c = crc32.Update(c, castagnoli, version)
	return crc32.Update(c, castagnoli, value)
}

func encodeRecord(key string, version uint64, value []byte) []byte {
	b := make([]byte, recordHeader, recordHeader+len(value))
	binary.BigEndian.PutUint64(b, version)
	binary.BigEndian.PutUint32(b[8:], checksum([]byte(key), b[:8], value))
	return append(b, value...)
}

// decodeRecord returns the value as a part of b.
func decodeRecord(key, b []byte) (version uint64, value []byte, err error) {
	if len(b) < recordHeader {
		return 0, nil, fmt.Errorf("the record %.40q is cut off", key)
	}
	value = b[recordHeader:]
	if binary.BigEndian.Uint32(b[8:]) != checksum(key, b[:8], value) {
		return 0, nil, fmt.Errorf("the record %.40q does not match its checksum", key)
	}
	return binary.BigEndian.Uint64(b), value, nil
}

// state is what every write changes together with its record, so that a page that was
// lost or is of an older write shows.
type state struct {
	revision uint64 // the last write's
	count    uint64 // of records
	digest   uint64 // sum over the records' marks
}

// mark stands for one record in the digest.
func mark(key, encoded []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(encoded[:recordHeader])
	_, _ = h.Write(key)
	return h.Sum64()
}

func (s state) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.revision)
	b = binary.BigEndian.AppendUint64(b, s.count)
	return binary.BigEndian.AppendUint64(b, s.digest)
}

func readState(own *bolt.Bucket) (state, error) {
	b := own.Get(keyState)
	if len(b) != 24 {
		return state{}, errors.New("its state record is missing or cut off")
	}
	return state{revision: binary.BigEndian.Uint64(b), count: binary.BigEndian.Uint64(b[8:]), digest: binary.BigEndian.Uint64(b[16:])}, nil
}

// initialise makes an empty store of a new bolt file.
func initialise(tx *bolt.Tx) error {
	own, err := tx.CreateBucket(bucketOwn)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(bucketRecords); err != nil {
		return err
	}
	if err := own.Put(keyFormat, []byte(strconv.Itoa(formatVersion))); err != nil {
		return err
	}
	return own.Put(keyState, state{}.encode())
}
