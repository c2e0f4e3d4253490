package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller/store"
)

// Run holds a store to the contract. open makes an empty one; who opens it closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"records are what was written", testRecords},
		{"a write means one version", testVersions},
		{"versions are never used twice", testVersionsGrow},
		{"a list is sorted and of one prefix", testList},
		{"odd keys and values", testOdd},
		{"values belong to the caller", testOwnership},
		{"of many who write one succeeds", testRace},
		{"a watch tells what is and what changes", testWatch},
		{"a watch that is not read delays nobody", testWatchCoalesces},
		{"no watcher misses the last word", testWatchRace},
		{"watches end", testWatchEnds},
		{"a cancelled caller changes nothing", testCancelled},
		{"epochs", testEpochs},
		{"a history keeps the last", testHistory},
		{"histories are shared", testHistoryShared},
		{"trim keeps the last", testTrim},
		{"after the end", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			c.test(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func put(t *testing.T, s store.Store, key, value string, version uint64) uint64 {
	t.Helper()
	v, err := s.Put(t.Context(), key, []byte(value), version)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return v
}

func wantRecord(t *testing.T, s store.Store, key, value string, version uint64) {
	t.Helper()
	r, err := s.Get(t.Context(), key)
	if err != nil || r.Key != key || string(r.Value) != value || r.Version != version {
		t.Errorf("get %s: %+v, %v; want %q at version %d", key, r, err, value, version)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func testRecords(t *testing.T, s store.Store) {
	_, err := s.Get(t.Context(), "a")
	wantErr(t, "get of nothing", err, store.ErrNotFound)
	if !strings.Contains(err.Error(), "a: ") {
		t.Errorf("the error does not name the key: %v", err)
	}
	v1 := put(t, s, "a", "one", 0)
	wantRecord(t, s, "a", "one", v1)
	v2 := put(t, s, "a", "two", v1)
	wantRecord(t, s, "a", "two", v2)
	if err := s.Delete(t.Context(), "a", v2); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), "a")
	wantErr(t, "get of what was deleted", err, store.ErrNotFound)
}

func testVersions(t *testing.T, s store.Store) {
	ctx := t.Context()
	v1 := put(t, s, "k", "one", 0)
	v2 := put(t, s, "k", "two", v1)
	_, err := s.Put(ctx, "k", []byte("x"), 0)
	wantErr(t, "create of what exists", err, store.ErrConflict)
	_, err = s.Put(ctx, "k", []byte("x"), v1)
	wantErr(t, "put over an old version", err, store.ErrConflict)
	_, err = s.Put(ctx, "k", []byte("x"), v2+1)
	wantErr(t, "put over a version to come", err, store.ErrConflict)
	_, err = s.Put(ctx, "other", []byte("x"), v2)
	wantErr(t, "put over another's version", err, store.ErrConflict)
	wantErr(t, "delete of an old version", s.Delete(ctx, "k", v1), store.ErrConflict)
	wantErr(t, "delete without a version", s.Delete(ctx, "k", 0), store.ErrConflict)
	wantErr(t, "delete of nothing", s.Delete(ctx, "other", v2), store.ErrNotFound)
	wantRecord(t, s, "k", "two", v2)
	if err := s.Delete(ctx, "k", v2); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(ctx, "k", []byte("x"), v2)
	wantErr(t, "put over what was deleted", err, store.ErrConflict)
	put(t, s, "k", "three", 0)
}

func testVersionsGrow(t *testing.T, s store.Store) {
	last := uint64(0)
	for i := range 20 {
		v := put(t, s, fmt.Sprintf("k%d", i%3), "x", 0)
		if v <= last {
			t.Fatalf("write %d has version %d after %d", i, v, last)
		}
		last = v
		if err := s.Delete(t.Context(), fmt.Sprintf("k%d", i%3), v); err != nil {
			t.Fatal(err)
		}
	}
}

func testList(t *testing.T, s store.Store) {
	for _, k := range []string{"b/2", "b/10", "a", "b", "b/1", "c/1", "b/1/x"} {
		put(t, s, k, "of "+k, 0)
	}
	for prefix, want := range map[string]string{"b/": "b/1 b/1/x b/10 b/2", "": "a b b/1 b/1/x b/10 b/2 c/1", "x": "", "b/1": "b/1 b/1/x b/10"} {
		all, err := s.List(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, r := range all {
			keys = append(keys, r.Key)
			if string(r.Value) != "of "+r.Key || r.Version == 0 {
				t.Errorf("list has %+v", r)
			}
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("list %q: %s, want %s", prefix, got, want)
		}
	}
}

func testOdd(t *testing.T, s store.Store) {
	big := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	for _, c := range []struct{ key, value string }{
		{"empty", ""}, {"binary", "\x00\xff\n"}, {"big", big}, {strings.Repeat("k", store.MaxKey), "long key"},
		{"ключ/鍵 with blanks", "unicode"}, {"/", "slash"}, {"..", "dots"}, {"a//b", "twice"},
	} {
		wantRecord(t, s, c.key, c.value, put(t, s, c.key, c.value, 0))
	}
	for _, key := range []string{"", "new\nline", "nul\x00", "\xff", strings.Repeat("k", store.MaxKey+1)} {
		_, err := s.Put(t.Context(), key, nil, 0)
		wantErr(t, fmt.Sprintf("put %.20q", key), err, store.ErrInvalid)
		_, err = s.Get(t.Context(), key)
		wantErr(t, fmt.Sprintf("get %.20q", key), err, store.ErrNotFound)
	}
	_, err := s.Put(t.Context(), "huge", make([]byte, store.MaxValue+1), 0)
	wantErr(t, "put of too much", err, store.ErrInvalid)
}

func testOwnership(t *testing.T, s store.Store) {
	value := []byte("value")
	v, err := s.Put(t.Context(), "k", value, 0)
	if err != nil {
		t.Fatal(err)
	}
	events, err := s.Watch(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	copy(value, "XXXXX")
	r, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	copy(r.Value, "YYYYY")
	all, err := s.List(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	copy(all[0].Value, "ZZZZZ")
	if e := next(t, events); string(e.Value) != "value" {
		t.Errorf("the event has %q", e.Value)
	}
	wantRecord(t, s, "k", "value", v)
}

func testRace(t *testing.T, s store.Store) {
	const writers, rounds = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < rounds; {
				r, err := s.Get(t.Context(), "counter")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
					return
				}
				_, err = s.Put(t.Context(), "counter", append(r.Value, '.'), r.Version)
				if err == nil {
					done++
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	r, err := s.Get(t.Context(), "counter")
	if err != nil || len(r.Value) != writers*rounds {
		t.Errorf("%d writes of %d count: %v", len(r.Value), writers*rounds, err)
	}
}

func testCancelled(t *testing.T, s store.Store) {
	v := put(t, s, "k", "value", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, "k")
	wantErr(t, "get", err, context.Canceled)
	_, err = s.List(ctx, "")
	wantErr(t, "list", err, context.Canceled)
	_, err = s.Put(ctx, "k", []byte("x"), v)
	wantErr(t, "put", err, context.Canceled)
	wantErr(t, "delete", s.Delete(ctx, "k", v), context.Canceled)
	wantRecord(t, s, "k", "value", v)
}

func testClosed(t *testing.T, s store.Store) {
	v := put(t, s, "k", "value", 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(t.Context(), "k")
	wantErr(t, "get", err, store.ErrClosed)
	_, err = s.List(t.Context(), "")
	wantErr(t, "list", err, store.ErrClosed)
	_, err = s.Put(t.Context(), "k", nil, v)
	wantErr(t, "put", err, store.ErrClosed)
	wantErr(t, "delete", s.Delete(t.Context(), "k", v), store.ErrClosed)
	_, err = s.Watch(t.Context(), "")
	wantErr(t, "watch", err, store.ErrClosed)
}

// patience is how long an event may take on a busy machine.
const patience = 10 * time.Second
