package sshdriver

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// meteredConn counts what is heard, by which the keepalive knows a busy connection
// from a dead one, and notes when nothing more can be. On TCP it writes a packet as one.
type meteredConn struct {
	net.Conn
	heard  atomic.Int64
	broken atomic.Bool

	whole   bool // packets are written as one
	mu      sync.Mutex
	held    *[packetBegin]byte // the beginning of a packet; nil: none
	overdue *time.Timer
}

// beginnings are lent for as long as one is held: most connections write little.
var beginnings = sync.Pool{New: func() any { return new([packetBegin]byte) }}

// x/crypto's ssh writes through a bufio.Writer of the usual size: of a longer packet, first
// so many bytes, and then the rest. As each write is a TCP segment of its own (Go sets
// TCP_NODELAY), the other side was woken twice for each packet.
const (
	packetBegin = 4096                 // bytes
	heldAtMost  = 5 * time.Millisecond // before a beginning is taken for a whole: nothing depends on what writes here
)

func newMeteredConn(raw net.Conn) *meteredConn {
	m := &meteredConn{Conn: raw}
	_, m.whole = raw.(*net.TCPConn)
	return m
}

func (m *meteredConn) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.heard.Add(int64(n))
	if err != nil {
		m.broken.Store(true)
	}
	return n, err
}

// Write may hold the beginning of a packet back until its rest is written. An error of what
// was held is that of a later call.
func (m *meteredConn) Write(p []byte) (int, error) {
	if !m.whole {
		return m.Conn.Write(p)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		if len(p) != packetBegin {
			return m.Conn.Write(p)
		}
		m.held, _ = beginnings.Get().(*[packetBegin]byte)
		copy(m.held[:], p) // which is only lent
		if m.overdue == nil {
			m.overdue = time.AfterFunc(heldAtMost, m.writeHeld)
		} else {
			m.overdue.Reset(heldAtMost)
		}
		return len(p), nil
	}
	m.overdue.Stop()
	both := net.Buffers{m.held[:], p}
	n, err := both.WriteTo(m.Conn)
	m.release()
	return int(max(n-packetBegin, 0)), err
}

// writeHeld is for what had no rest.
func (m *meteredConn) writeHeld() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held != nil {
		_, _ = m.Conn.Write(m.held[:]) // whoever writes next has the error as well
		m.release()
	}
}

func (m *meteredConn) release() {
	beginnings.Put(m.held)
	m.held = nil
}
