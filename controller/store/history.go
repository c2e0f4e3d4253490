package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// History keeps the last so many values under a prefix: revisions, rollouts, events.
// The older ones go as new ones come. It is safe for concurrent use, also by several
// controllers of one store.
type History struct {
	store  Store
	prefix string
	keep   int

	mu   sync.Mutex
	keys []uint64 // that are there, ascending
}

// Entry is one value of a History.
type Entry struct {
	Number uint64 // counts up; never used twice
	Value  []byte
}

// OpenHistory returns the history under prefix, which ends in a slash. What exceeds
// keep is removed by the next Append.
func OpenHistory(ctx context.Context, s Store, prefix string, keep int) (*History, error) {
	if !strings.HasSuffix(prefix, "/") || keep < 1 {
		return nil, fmt.Errorf("a history needs a prefix that ends in / and keeps at least 1, not %q and %d", prefix, keep)
	}
	h := &History{store: s, prefix: prefix, keep: keep}
	records, err := s.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("cannot read the history %s: %w", prefix, err)
	}
	for _, r := range records {
		if n, ok := h.number(r.Key); ok {
			h.keys = append(h.keys, n)
		}
	}
	return h, nil
}

// key writes numbers so that they sort.
func (h *History) key(n uint64) string { return fmt.Sprintf("%s%020d", h.prefix, n) }

func (h *History) number(key string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(key, h.prefix), 10, 64)
	return n, err == nil && h.key(n) == key
}

// Append adds a value and returns its number.
func (h *History) Append(ctx context.Context, value []byte) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := uint64(1)
	if n := len(h.keys); n > 0 {
		next = h.keys[n-1] + 1
	}
	for ; ; next++ {
		_, err := h.store.Put(ctx, h.key(next), value, 0)
		if errors.Is(err, ErrConflict) { // another controller's
			h.keys = append(h.keys, next)
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("cannot add to the history: %w", err)
		}
		break
	}
	h.keys = append(h.keys, next)
	return next, h.trim(ctx)
}

// trim removes what is too old. h.mu is held.
func (h *History) trim(ctx context.Context) error {
	for len(h.keys) > h.keep {
		key := h.key(h.keys[0])
		r, err := h.store.Get(ctx, key)
		if err == nil {
			err = h.store.Delete(ctx, key, r.Version)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("cannot shorten the history: %w", err)
		}
		h.keys = h.keys[1:]
	}
	return nil
}

// Last returns the newest n entries, oldest first; n < 0: all.
func (h *History) Last(ctx context.Context, n int) ([]Entry, error) {
	h.mu.Lock()
	keys := h.keys
	if n >= 0 && n < len(keys) {
		keys = keys[len(keys)-n:]
	}
	keys = append([]uint64(nil), keys...)
	h.mu.Unlock()
	entries := make([]Entry, 0, len(keys))
	for _, k := range keys {
		r, err := h.store.Get(ctx, h.key(k))
		if errors.Is(err, ErrNotFound) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the history: %w", err)
		}
		entries = append(entries, Entry{Number: k, Value: r.Value})
	}
	return entries, nil
}

// Trim removes all but the last keep records under prefix, by the order of their
// keys, and tells how many went.
func Trim(ctx context.Context, s Store, prefix string, keep int) (int, error) {
	records, err := s.List(ctx, prefix)
	if err != nil {
		return 0, err
	}
	gone := 0
	for _, r := range records[:max(0, len(records)-max(0, keep))] {
		err := s.Delete(ctx, r.Key, r.Version)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) { // somebody was here meanwhile
			continue
		}
		if err != nil {
			return gone, fmt.Errorf("cannot remove what is old under %s: %w", prefix, err)
		}
		gone++
	}
	return gone, nil
}
