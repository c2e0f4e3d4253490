package memstore

import (
	"context"
	"sort"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/internal/feed"
)

// Store is a store.Store in memory. The zero value is empty and ready.
type Store struct {
	mu       sync.Mutex
	records  map[string]store.Record
	revision uint64
	closed   bool
	feed     feed.Feed
	fail     Failure
}

var _ store.Store = (*Store)(nil)

// Failure decides what becomes of a write ("put" or "delete" of a key): nil lets it
// pass. With done, the write is carried out all the same and its outcome is lost.
type Failure func(op, key string) (done bool, err error)

// Fail makes writes fail from now on; nil ends it.
func (s *Store) Fail(f Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.Record{}, store.ErrClosed
	}
	r, ok := s.records[key]
	if !ok {
		return store.Record{}, store.NotFound(key)
	}
	return clone(r), nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	return s.list(prefix), nil
}

func (s *Store) list(prefix string) []store.Record {
	var all []store.Record
	for key, r := range s.records {
		if strings.HasPrefix(key, prefix) {
			all = append(all, clone(r))
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Key < all[j].Key })
	return all
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, value []byte, version uint64) (uint64, error) {
	if err := store.CheckRecord(key, value); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(ctx); err != nil {
		return 0, err
	}
	if found := s.records[key].Version; found != version {
		return 0, store.Conflict(key, version, found)
	}
	done, err := s.failure("put", key)
	if err != nil && !done {
		return 0, err
	}
	s.revision++
	r := store.Record{Key: key, Version: s.revision, Value: append([]byte(nil), value...)}
	if s.records == nil {
		s.records = map[string]store.Record{}
	}
	s.records[key] = r
	s.feed.Publish(store.Event{Record: r})
	if err != nil {
		return 0, err
	}
	return r.Version, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, version uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(ctx); err != nil {
		return err
	}
	found, ok := s.records[key]
	switch {
	case !ok:
		return store.NotFound(key)
	case found.Version != version:
		return store.Conflict(key, version, found.Version)
	}
	done, err := s.failure("delete", key)
	if err != nil && !done {
		return err
	}
	s.revision++
	delete(s.records, key)
	s.feed.Publish(store.Event{Record: store.Record{Key: key, Version: s.revision}, Deleted: true})
	return err
}

func (s *Store) writable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed {
		return store.ErrClosed
	}
	return nil
}

func (s *Store) failure(op, key string) (bool, error) {
	if s.fail == nil {
		return false, nil
	}
	return s.fail(op, key)
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string) (<-chan store.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	return s.feed.Watch(ctx, prefix, s.list(prefix))
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.feed.Close()
	return nil
}

func clone(r store.Record) store.Record {
	r.Value = append([]byte(nil), r.Value...)
	return r
}
