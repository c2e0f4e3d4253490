package sshdriver

import (
	"slices"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// signalRoom is how many signals wait to be taken; an older one makes room for a newer.
const signalRoom = 16

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

// put needs m.mu.
func (m *mailbox) put(s hostdriver.Signal) {
	if m.closed {
		return
	}
	m.kind, m.told = s.Kind, s.At
	for {
		select {
		case m.out <- s:
			return
		default:
		}
		select {
		case <-m.out:
		default:
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
