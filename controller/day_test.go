package controller

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// A day of operation: pushes, hand edits, reboots, partitions, git that is away. At its
// end all is as desired, and there are no more goroutines, memory and records than after
// the first hours.
func TestDay(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulated day takes some seconds")
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t, 3, func(o *Options) {
			o.Poll, o.HealthEvery, o.PollHosts = time.Minute, 15*time.Second, 30*time.Second
			o.Retention = Retention{Events: 20, Revisions: 2, Rollouts: 4}
			o.Log = zerolog.Nop()
		})
		l.git.commit("c0", fleetFiles(3, "A=0\n"))
		l.start()
		var early, late measure
		const hours = 24
		for hour := range hours {
			for quarter := range 4 {
				time.Sleep(15 * time.Minute)
				host := l.hosts.Host(fmt.Sprintf("h%d", (hour+quarter)%3+1))
				switch (hour*4 + quarter) % 6 {
				case 0:
					host.WriteFile("/etc/web/motd", fmt.Sprintf("edited in hour %d\n", hour), 0o644)
				case 1:
					host.Reboot()
				case 2:
					host.Cut()
					time.Sleep(3 * time.Minute)
					host.Heal()
				case 3:
					host.Systemctl("stop", "web.service")
				case 4:
					l.git.commit(fmt.Sprintf("c%d-%d", hour, quarter), fleetFiles(3, fmt.Sprintf("A=%d.%d\n", hour, quarter)))
				case 5:
					l.git.set(func() { l.git.down = fmt.Errorf("connection refused") })
					time.Sleep(5 * time.Minute)
					l.git.set(func() { l.git.down = nil })
				}
			}
			switch hour {
			case 3:
				early = l.measure()
			case hours - 1:
				late = l.measure()
			}
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		s := l.c.Snapshot()
		tip := l.git.commits[len(l.git.commits)-1]
		if !reconciledAt(tip)(s) {
			t.Errorf("after the day: source %+v, conditions %+v, report %+v", s.Source, s.Conditions, s.Report)
		}
		t.Logf("after 4 h %+v, after 24 h %+v", early, late)
		if late.goroutines > early.goroutines+5 {
			t.Errorf("goroutines: %d after 4 h, %d after 24 h", early.goroutines, late.goroutines)
		}
		if late.records > early.records+3 || late.bytes > early.bytes*3/2 {
			t.Errorf("the store: %+v after 4 h, %+v after 24 h", early, late)
		}
		if late.heap > early.heap*2 {
			t.Errorf("the heap: %d after 4 h, %d after 24 h", early.heap, late.heap)
		}
		l.stop()
	})
}

// measure is what must not grow.
type measure struct {
	goroutines, records, bytes int
	heap                       uint64
}

func (l *loop) measure() measure {
	synctest.Wait()
	var m measure
	records, err := l.store.List(context.Background(), "")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range records {
		m.records++
		m.bytes += len(r.Value)
	}
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	m.goroutines, m.heap = runtime.NumGoroutine(), stats.HeapAlloc
	return m
}
