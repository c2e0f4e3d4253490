package sshdriver

import (
	"slices"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// signalRoom is how many signals wait to be taken. Each host of a fleet has such room.
const signalRoom = 4

// maxSignalUnits is how many units one Signal names.
const maxSignalUnits = 64

// mailbox hands signals to whom they are for without ever waiting.
type mailbox struct {
	out chan hostdriver.Signal

	mu      sync.Mutex
	closed  bool
	kind    hostdriver.SignalKind // of the last one
	pending hostdriver.Signal     // changes that wait for their time
	timer   *time.Timer
	told    time.Time
}

// tell hands on how the watch stands, unless that is what it said last.
func (m *mailbox) tell(s hostdriver.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Kind == m.kind && s.Kind != hostdriver.Watching {
		return
	}
	m.pending = hostdriver.Signal{}
	m.put(s)
}

// put hands a signal on. Where nobody has taken the ones before, they become one of how the
// watch stands and one of what has changed since. It needs m.mu.
func (m *mailbox) put(s hostdriver.Signal) {
	if m.closed {
		return
	}
	m.kind, m.told = s.Kind, s.At
	select {
	case m.out <- s:
		return
	default:
	}
	var stands, changed hostdriver.Signal
	gather := func(s hostdriver.Signal) {
		if s.Kind != hostdriver.Changed {
			stands, changed = s, hostdriver.Signal{} // it says: look
			return
		}
		s.Units = mergeUnits(changed.Units, s.Units)
		s.Files, s.Reloaded = s.Files || changed.Files, s.Reloaded || changed.Reloaded
		changed = s
	}
	for waits := true; waits; {
		select {
		case old := <-m.out:
			gather(old)
		default:
			waits = false
		}
	}
	gather(s)
	for _, s := range []hostdriver.Signal{stands, changed} {
		if s.Kind != "" {
			m.out <- s // only this puts, so there is room
		}
	}
}

func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
	close(m.out)
}

// add gathers a change, and hands on at once what has been gathered, or a little later
// where it has just done so.
func (m *mailbox) add(s hostdriver.Signal, gather time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Units = mergeUnits(m.pending.Units, s.Units)
	s.Files, s.Reloaded = s.Files || m.pending.Files, s.Reloaded || m.pending.Reloaded
	waits := m.pending.Kind != ""
	m.pending = s
	switch wait := gather - s.At.Sub(m.told); {
	case wait <= 0:
		m.flushLocked()
	case !waits:
		m.timer = time.AfterFunc(wait, m.flush)
	}
}

func (m *mailbox) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushLocked()
}

func (m *mailbox) flushLocked() {
	if m.pending.Kind != "" {
		s := m.pending
		m.pending = hostdriver.Signal{}
		m.put(s)
	}
}

func mergeUnits(a, b []string) []string {
	for _, u := range b {
		if at, found := slices.BinarySearch(a, u); !found && len(a) < maxSignalUnits {
			a = slices.Insert(a, at, u)
		}
	}
	return a
}

// changed is what a host's systemd has signalled.
func (w *watch) changed(unit string, files, reloaded bool) {
	s := hostdriver.Signal{Host: w.host.Name, Kind: hostdriver.Changed, At: time.Now(), Files: files, Reloaded: reloaded}
	if unit != "" {
		s.Units = []string{unit}
	}
	w.add(s, w.times.gather)
}
