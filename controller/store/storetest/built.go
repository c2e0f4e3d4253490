package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/evenkeel/evenkeel/controller/store"
)

func testEpochs(t *testing.T, s store.Store) {
	if e, err := store.Epoch(t.Context(), s); err != nil || e != 0 {
		t.Errorf("a new store's epoch is %d, %v", e, err)
	}
	for _, c := range []struct{ above, want uint64 }{{0, 1}, {0, 2}, {40, 41}, {7, 42}} {
		if e, err := store.RaiseEpoch(t.Context(), s, c.above); err != nil || e != c.want {
			t.Errorf("raised above %d: %d, %v; want %d", c.above, e, err, c.want)
		}
	}
	if _, err := store.RaiseEpoch(t.Context(), s, ^uint64(0)); err == nil {
		t.Error("the epoch has wrapped around")
	}
	var mu sync.Mutex
	taken := map[uint64]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			e, err := store.RaiseEpoch(t.Context(), s, 0)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || taken[e] {
				t.Errorf("epoch %d, taken before: %v, %v", e, taken[e], err)
			}
			taken[e] = true
		})
	}
	wg.Wait()
	if e, err := store.Epoch(t.Context(), s); err != nil || e != 58 {
		t.Errorf("the epoch is %d, %v; want 58", e, err)
	}
	r, err := s.Get(t.Context(), store.EpochKey)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, store.EpochKey, "no number", r.Version)
	if _, err := store.Epoch(t.Context(), s); err == nil || !strings.Contains(err.Error(), "no number") {
		t.Errorf("a record that is no epoch: %v", err)
	}
	if _, err := store.RaiseEpoch(t.Context(), s, 0); err == nil {
		t.Error("raised what is no epoch")
	}
}

func history(t *testing.T, s store.Store, keep int) *store.History {
	t.Helper()
	h, err := store.OpenHistory(t.Context(), s, "history/", keep)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func wantLast(t *testing.T, h *store.History, n int, want string) {
	t.Helper()
	entries, err := h.Last(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%d:%s", e.Number, e.Value))
	}
	if s := strings.Join(got, " "); s != want {
		t.Errorf("last %d: %s, want %s", n, s, want)
	}
}

func add(t *testing.T, h *store.History, values ...string) {
	t.Helper()
	for _, v := range values {
		if _, err := h.Append(t.Context(), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
}

func testHistory(t *testing.T, s store.Store) {
	put(t, s, "history/not a number", "x", 0)
	put(t, s, "historyx", "x", 0)
	h := history(t, s, 3)
	wantLast(t, h, -1, "")
	add(t, h, "a", "b", "c", "d", "e")
	wantLast(t, h, -1, "3:c 4:d 5:e")
	wantLast(t, h, 2, "4:d 5:e")
	wantLast(t, h, 0, "")
	h = history(t, s, 2)
	add(t, h, "f")
	wantLast(t, h, 9, "5:e 6:f")
	all, err := s.List(t.Context(), "history")
	if err != nil || len(all) != 4 {
		t.Errorf("%d records are left, want the last 2 and 2 that are no entries; %v", len(all), err)
	}
	for _, bad := range []struct {
		prefix string
		keep   int
	}{{"history", 1}, {"history/", 0}} {
		if _, err := store.OpenHistory(t.Context(), s, bad.prefix, bad.keep); err == nil {
			t.Errorf("a history under %q that keeps %d", bad.prefix, bad.keep)
		}
	}
}

func testHistoryShared(t *testing.T, s store.Store) {
	one, two := history(t, s, 3), history(t, s, 3)
	add(t, one, "a", "b")
	add(t, two, "c")
	add(t, one, "d", "e")
	wantLast(t, one, -1, "3:c 4:d 5:e")
	add(t, two, "f")
	wantLast(t, two, -1, "4:d 5:e 6:f")
	wantLast(t, one, -1, "4:d 5:e") // it learns of f with its next entry
	add(t, one, "g")
	wantLast(t, one, -1, "5:e 6:f 7:g")
}

func testTrim(t *testing.T, s store.Store) {
	for i := range 5 {
		put(t, s, fmt.Sprintf("old/%d", i), "x", 0)
	}
	put(t, s, "kept", "x", 0)
	if n, err := store.Trim(t.Context(), s, "old/", 2); err != nil || n != 3 {
		t.Errorf("%d trimmed, %v", n, err)
	}
	if n, err := store.Trim(t.Context(), s, "old/", 9); err != nil || n != 0 {
		t.Errorf("%d trimmed, %v", n, err)
	}
	all, err := s.List(t.Context(), "")
	if err != nil || len(all) != 3 || all[1].Key != "old/3" {
		t.Errorf("left: %+v, %v", all, err)
	}
}
