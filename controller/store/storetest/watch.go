package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller/store"
)

func watch(t *testing.T, s store.Store, prefix string) <-chan store.Event {
	t.Helper()
	events, err := s.Watch(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func next(t *testing.T, events <-chan store.Event) store.Event {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatal("the watch has ended")
		}
		return e
	case <-time.After(patience):
		t.Fatal("no event")
	}
	return store.Event{}
}

func wantEvent(t *testing.T, events <-chan store.Event, want string) {
	t.Helper()
	if got := tell(next(t, events)); got != want {
		t.Errorf("event %s, want %s", got, want)
	}
}

func tell(e store.Event) string {
	if e.Deleted {
		return fmt.Sprintf("-%s@%d", e.Key, e.Version)
	}
	return fmt.Sprintf("%s=%s@%d", e.Key, e.Value, e.Version)
}

func testWatch(t *testing.T, s store.Store) {
	put(t, s, "other", "x", 0)
	a := put(t, s, "w/a", "1", 0)
	b := put(t, s, "w/b", "1", 0)
	events := watch(t, s, "w/")
	wantEvent(t, events, fmt.Sprintf("w/a=1@%d", a))
	wantEvent(t, events, fmt.Sprintf("w/b=1@%d", b))
	put(t, s, "other2", "x", 0)
	b = put(t, s, "w/b", "2", b)
	wantEvent(t, events, fmt.Sprintf("w/b=2@%d", b))
	if err := s.Delete(t.Context(), "w/a", a); err != nil {
		t.Fatal(err)
	}
	e := next(t, events)
	if !e.Deleted || e.Key != "w/a" || e.Version <= b || len(e.Value) > 0 {
		t.Errorf("event %s, want the end of w/a", tell(e))
	}
	select {
	case e := <-events:
		t.Errorf("event %s where nothing changed", tell(e))
	case <-time.After(20 * time.Millisecond):
	}
}

func testWatchCoalesces(t *testing.T, s store.Store) {
	events := watch(t, s, "w/")
	idle := watch(t, s, "")
	var a, b, gone uint64
	for i := range 200 {
		a = put(t, s, "w/a", fmt.Sprint(i), a)
		if i == 100 {
			gone = put(t, s, "w/gone", "x", 0)
			if err := s.Delete(t.Context(), "w/gone", gone); err != nil {
				t.Fatal(err)
			}
		}
		b = put(t, s, "w/b", fmt.Sprint(i), b)
	}
	_ = idle
	seen := map[string]store.Event{}
	n := 0
	for ; len(seen) < 3 || seen["w/a"].Version != a || seen["w/b"].Version != b || !seen["w/gone"].Deleted; n++ {
		e := next(t, events)
		if e.Version <= seen[e.Key].Version {
			t.Fatalf("%s after version %d", tell(e), seen[e.Key].Version)
		}
		seen[e.Key] = e
	}
	if n > 20 {
		t.Errorf("%d events where three keys changed and nobody listened", n)
	}
}

// Watches that begin amid writes see, of each key, versions that grow, and the last one.
func testWatchRace(t *testing.T, s store.Store) {
	const keys, rounds, watchers = 3, 40, 6
	var wg sync.WaitGroup
	start := make(chan struct{})
	last := make([]uint64, keys)
	for k := range keys {
		wg.Go(func() {
			<-start
			v := uint64(0)
			for i := range rounds {
				var err error
				if i%10 == 9 {
					err = s.Delete(t.Context(), fmt.Sprintf("w/%d", k), v)
					v = 0
				} else {
					v, err = s.Put(t.Context(), fmt.Sprintf("w/%d", k), []byte(fmt.Sprint(i)), v)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			v, err := s.Put(t.Context(), fmt.Sprintf("w/%d", k), []byte("last"), v)
			if err != nil {
				t.Error(err)
			}
			last[k] = v
		})
	}
	for range watchers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			<-start
			events, err := s.Watch(ctx, "w/")
			if err != nil {
				t.Error(err)
				return
			}
			seen, done := map[string]uint64{}, 0
			for e := range events {
				if e.Version <= seen[e.Key] {
					t.Errorf("%s after version %d", tell(e), seen[e.Key])
				}
				seen[e.Key] = e.Version
				if string(e.Value) == "last" {
					if done++; done == keys {
						return
					}
				}
			}
			t.Errorf("the watch ended before the last words: %v", seen)
		})
	}
	close(start)
	wg.Wait()
	for k := range keys {
		wantRecord(t, s, fmt.Sprintf("w/%d", k), "last", last[k])
	}
}

func testWatchEnds(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancelled, err := s.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "x", 0)
	kept := watch(t, s, "")
	cancel()
	wantEnd(t, cancelled)
	put(t, s, "l", "x", 0)
	if got := tell(next(t, kept)) + " " + tell(next(t, kept)); !strings.HasPrefix(got, "k=x@") || !strings.Contains(got, "l=x@") {
		t.Errorf("events %s", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, kept)
}

func wantEnd(t *testing.T, events <-chan store.Event) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the watch goes on")
		}
	}
}
