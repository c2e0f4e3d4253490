package webhook

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		d := NewDebounce(time.Second, func() { at = append(at, time.Since(began)) })
		defer d.Stop()
		ask := func(n int) {
			for range n {
				d.Ask()
			}
		}
		ask(1) // at once
		time.Sleep(300 * time.Millisecond)
		ask(10_000) // at the window's end
		time.Sleep(5 * time.Second)
		ask(1) // at once again
		time.Sleep(5 * time.Second)
		for range 50 { // without end: once a window
			ask(100)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want := []time.Duration{0, 1000, 5300, 10300, 11300, 12300, 13300, 14300, 15300}
		if len(at) != len(want) {
			t.Fatalf("calls at %v", at)
		}
		for i := range want {
			if at[i] != want[i]*time.Millisecond {
				t.Errorf("call %d at %v, want %v", i, at[i], want[i]*time.Millisecond)
			}
		}
		ask(2)
		d.Stop()
		n := len(at)
		time.Sleep(5 * time.Second)
		ask(1)
		synctest.Wait()
		if len(at) != n {
			t.Error("it calls after its end")
		}
	})
}
