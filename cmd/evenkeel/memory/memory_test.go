package memory

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	for held, want := range map[uint64]int{0: 100, 20 << 20: 100, headroom: 100, 2 * headroom: 50, 4 * headroom: 25, 5 * headroom: 20, 1 << 40: 20} {
		if got := percent(held); got != want {
			t.Errorf("%d bytes: %d %%, want %d", held, got, want)
		}
	}
}

// What is held in fact counts: a process that holds much has it collected sooner, and later
// again once that is gone.
func TestKeep(t *testing.T) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("the environment says what holds")
	}
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { Keep(ctx); close(ended) }()
	is := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	becomes := func(what string, so func(int) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !so(is()); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: GOGC is %d, and %d bytes are held", what, is(), held())
			}
		}
	}
	much := make([]byte, 2*headroom)
	runtime.GC()
	becomes("much is held", func(p int) bool { return p >= 40 && p <= 50 })
	runtime.KeepAlive(much)
	much = nil
	runtime.GC()
	becomes("it is gone", func(p int) bool { return p == most })
	cancel()
	<-ended
}

func TestKeepLeavesTheOperatorsWord(t *testing.T) {
	t.Setenv("GOGC", "77")
	done := make(chan struct{})
	go func() { Keep(context.Background()); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on where GOGC is set")
	}
}
