package controller

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// follow hands on what the hosts write from now on, until ctx ends. An entry waits for
// logSettle, so that those of several hosts come in the order of their times.
func (m *logMerge) follow(ctx context.Context, sources []*logSource) error {
	ctx, cancel := context.WithCancel(ctx)
	words := make(chan logWord, logAhead)
	var hosts sync.WaitGroup
	defer hosts.Wait()
	defer cancel()
	for _, s := range sources {
		hosts.Go(func() { m.followHost(ctx, s, words) })
	}
	tick := time.NewTicker(logSettle / 3)
	defer tick.Stop()
	var waiting logWaitingHeap
	held := 0
	tooMany := func() bool { return len(waiting) > logWaiting || held > logHeld }
	release := func(now time.Time) error {
		for len(waiting) > 0 && (now.Sub(waiting[0].came) >= logSettle || tooMany()) {
			e := heap.Pop(&waiting).(logWord).entry
			held -= len(e.Message)
			if err := m.sink.Entry(e); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			for len(waiting) > 0 {
				if err := m.sink.Entry(heap.Pop(&waiting).(logWord).entry); err != nil {
					return err
				}
			}
			return context.Cause(ctx)
		case w := <-words:
			switch {
			case w.lost != nil:
				m.lost(w.entry.Host, w.lost)
			case w.back:
				if m.sink.Back != nil {
					m.sink.Back(w.entry.Host)
				}
			default:
				heap.Push(&waiting, w)
				held += len(w.entry.Message)
			}
			if tooMany() {
				if err := release(w.came); err != nil {
					return err
				}
			}
		case now := <-tick.C:
			if err := release(now); err != nil {
				return err
			}
		}
	}
}

// logWord is what came of one host: an entry; or that it was lost, or is back.
type logWord struct {
	entry LogEntry
	came  time.Time
	lost  error
	back  bool
}

// followHost follows one host, and goes on where it was after each loss.
func (m *logMerge) followHost(ctx context.Context, s *logSource, words chan<- logWord) {
	say := func(w logWord) error {
		w.entry.Host, w.came = s.host.Name, time.Now()
		select {
		case words <- w:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for range s.entries { // until s.err is final
	}
	// One that did not answer before has been told of already.
	told := s.err != nil
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := m.read(ctx, s, m.hostQuery(s, true), func() {
			if told {
				told = false
				_ = say(logWord{back: true}) // ctx has ended: so does the reading
			}
		}, func(e hostdriver.JournalEntry) error {
			s.last = e.Cursor
			return say(logWord{entry: LogEntry{JournalEntry: e}})
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = &hostdriver.Error{Kind: hostdriver.Unknown, Host: s.host.Name, Op: "follow the journal of", Err: errors.New("it has ended")}
		}
		if time.Since(began) > logPauseLongest {
			failures = 0
		}
		if !told {
			told = true
			if say(logWord{lost: err}) != nil {
				return
			}
		}
		if hostdriver.KindOf(err).NeedsPerson() {
			return
		}
		pause := time.NewTimer(min(logPauseFirst<<min(failures, 10), logPauseLongest))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// logWaitingHeap has the oldest entry first, by the hosts' clocks.
type logWaitingHeap []logWord

func (h logWaitingHeap) Len() int           { return len(h) }
func (h logWaitingHeap) Less(i, j int) bool { return h[i].entry.At.Before(h[j].entry.At) }
func (h logWaitingHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *logWaitingHeap) Push(x any)        { *h = append(*h, x.(logWord)) }
func (h *logWaitingHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	*h = old[:len(old)-1]
	return w
}
