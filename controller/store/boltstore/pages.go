package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kinds of pages, and of a leaf's elements, in bbolt's format 2.
const (
	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreelist = 0x10
	elementSize  = 16
	elementInner = 0x01 // a leaf's element that is a bucket
	inlineHeader = 16   // of such an element's value: root page, sequence
	deepest      = 64
)

// walk reads a file's pages through, without trusting a word of them. bbolt has a check
// of its own, but it takes a page's word for its length, which may be a thousand
// million pages, and follows pages that point at each other for ever.
type walk struct {
	f    io.ReaderAt
	meta boltMeta
	used map[uint64]bool
}

// checkPages tells what is wrong with a file's pages: each is in place, in order, used
// once, and not free at the same time.
func checkPages(f io.ReaderAt, meta boltMeta) error {
	w := &walk{f: f, meta: meta, used: map[uint64]bool{}}
	if err := w.tree(meta.root, 0, nil); err != nil {
		return err
	}
	return w.freelist()
}

// page reads the page of that number with all that overflows from it, once.
func (w *walk) page(id uint64) (kind, count uint16, body []byte, err error) {
	if id < 2 || id >= w.meta.pages {
		return 0, 0, nil, fmt.Errorf("page %d is referred to, of %d", id, w.meta.pages)
	}
	size := uint64(w.meta.pageSize)
	var header [pageHeader]byte
	if _, err := w.f.ReadAt(header[:], int64(id*size)); err != nil { // #nosec G115 -- within the file
		return 0, 0, nil, fmt.Errorf("page %d cannot be read: %w", id, err)
	}
	e := binary.NativeEndian
	if own := e.Uint64(header[:]); own != id {
		return 0, 0, nil, fmt.Errorf("page %d says that it is page %d", id, own)
	}
	overflow := uint64(e.Uint32(header[12:]))
	if overflow >= w.meta.pages-id {
		return 0, 0, nil, fmt.Errorf("page %d runs over the end", id)
	}
	for i := id; i <= id+overflow; i++ {
		if w.used[i] {
			return 0, 0, nil, fmt.Errorf("page %d is used twice", i)
		}
		w.used[i] = true
	}
	body = make([]byte, (overflow+1)*size)
	if _, err := w.f.ReadAt(body, int64(id*size)); err != nil { // #nosec G115 -- within the file
		return 0, 0, nil, fmt.Errorf("page %d cannot be read: %w", id, err)
	}
	return e.Uint16(header[8:]), e.Uint16(header[10:]), body, nil
}

// tree reads the page and all pages below it. Their keys are not below lowest.
func (w *walk) tree(id uint64, depth int, lowest []byte) error {
	kind, count, body, err := w.page(id)
	if err != nil {
		return err
	}
	if depth > deepest {
		return fmt.Errorf("page %d is nested too deep", id)
	}
	switch kind {
	case pageBranch:
		return w.branch(id, depth, int(count), body, lowest)
	case pageLeaf:
		return w.leaf(id, depth, int(count), body, lowest)
	}
	return fmt.Errorf("page %d is of kind %#x", id, kind)
}

func (w *walk) branch(id uint64, depth, count int, body, lowest []byte) error {
	if count == 0 {
		return fmt.Errorf("page %d leads nowhere", id)
	}
	e := binary.NativeEndian
	for i := range count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(body) {
			return fmt.Errorf("page %d has %d elements", id, count)
		}
		key, err := slice(body, at, e.Uint32(body[at:]), e.Uint32(body[at+4:]))
		if err != nil || outOfOrder(i, lowest, key) {
			return fmt.Errorf("page %d: element %d is cut off or out of order", id, i)
		}
		if err := w.tree(e.Uint64(body[at+8:]), depth+1, key); err != nil {
			return err
		}
		lowest = key
	}
	return nil
}

func (w *walk) leaf(id uint64, depth, count int, body, lowest []byte) error {
	e := binary.NativeEndian
	for i := range count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(body) {
			return fmt.Errorf("page %d has %d elements", id, count)
		}
		keySize := e.Uint32(body[at+8:])
		key, err := slice(body, at, e.Uint32(body[at+4:]), keySize)
		if err != nil || outOfOrder(i, lowest, key) {
			return fmt.Errorf("page %d: element %d is cut off or out of order", id, i)
		}
		value, err := slice(body, at, e.Uint32(body[at+4:])+keySize, e.Uint32(body[at+12:]))
		if err != nil {
			return fmt.Errorf("page %d: element %d is cut off", id, i)
		}
		if e.Uint32(body[at:])&elementInner != 0 {
			if err := w.bucket(id, depth, value); err != nil {
				return err
			}
		}
		lowest = key
	}
	return nil
}

// bucket reads what an element's value says of a bucket: its root page, or a page
// within the value.
func (w *walk) bucket(id uint64, depth int, value []byte) error {
	if len(value) < inlineHeader {
		return fmt.Errorf("page %d: a bucket is cut off", id)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.tree(root, depth+1, nil)
	}
	inline := value[inlineHeader:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != pageLeaf {
		return fmt.Errorf("page %d: a bucket is cut off", id)
	}
	if depth > deepest {
		return fmt.Errorf("page %d is nested too deep", id)
	}
	return w.leaf(id, depth+1, int(binary.NativeEndian.Uint16(inline[10:])), inline, nil)
}

// slice returns what an element at that place points at.
func slice(body []byte, element int, pos, size uint32) ([]byte, error) {
	from := uint64(element) + uint64(pos) // #nosec G115 -- an index
	to := from + uint64(size)
	if to > uint64(len(body)) {
		return nil, io.ErrUnexpectedEOF
	}
	return body[from:to], nil
}

// outOfOrder tells of a key that is not above the one before it; a page's first may be
// the one by which the page above leads to it.
func outOfOrder(i int, before, key []byte) bool {
	c := bytes.Compare(before, key)
	return c > 0 || (c == 0 && i > 0)
}

// freelist reads which pages are free: what is in use must not be among them, for it
// would be written over.
func (w *walk) freelist() error {
	kind, n, body, err := w.page(w.meta.freelist)
	if err != nil {
		return fmt.Errorf("the list of free pages: %w", err)
	}
	if kind != pageFreelist {
		return errors.New("the list of free pages is missing")
	}
	e := binary.NativeEndian
	ids, count := body[pageHeader:], uint64(n)
	if n == 0xFFFF {
		count, ids = e.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return errors.New("the list of free pages is cut off")
	}
	for i := range count {
		id := e.Uint64(ids[8*i:])
		if id < 2 || id >= w.meta.pages || w.used[id] {
			return fmt.Errorf("page %d is said to be free", id)
		}
		w.used[id] = true
	}
	return nil
}
