package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay stands before a socket and can be shut and opened again: to whoever speaks through
// it, the socket is gone, while what is behind it goes on.
type relay struct {
	t       *testing.T
	address string // of its own
	to      string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
}

// newRelay is an open one.
func newRelay(t *testing.T, to string) *relay {
	r := &relay{t: t, to: to, address: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	r.open()
	t.Cleanup(r.shut)
	return r
}

func (r *relay) open() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.listener, r.address = l, l.Addr().String()
	r.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(c)
		}
	}()
}

func (r *relay) carry(in net.Conn) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	r.mu.Lock()
	r.conns[in] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, in)
		r.mu.Unlock()
	}()
	go func() {
		_, _ = io.Copy(out, in)
		if c, ok := out.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
	}()
	_, _ = io.Copy(in, out)
}

// shut refuses everybody, and cuts those off who are there.
func (r *relay) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.listener.Close()
	for c := range r.conns {
		_ = c.Close()
	}
}
