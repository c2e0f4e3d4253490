package sshdriver

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// fixture is a server, a key that it takes, and a pool that knows it.
type fixture struct {
	server   *testServer
	identity string
	known    string
	pool     *Pool
}

func newFixture(t testing.TB, server []func(*testServer), options ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{server: startServer(t, server...)}
	path, public := newIdentity(t, "")
	f.identity = path
	f.server.authorize(public)
	f.known = writeFile(t, "known_hosts", f.server.knownLine()+"\n")
	f.pool = newPool(t, append([]func(*Options){func(o *Options) {
		o.IdentityFiles, o.KnownHosts = []string{f.identity}, []string{f.known}
	}}, options...)...)
	return f
}

// newPool makes a pool that looks at none of the tester's own files, with short pauses.
func newPool(t testing.TB, options ...func(*Options)) *Pool {
	t.Helper()
	o := Options{ConfigFile: "none", Agent: "none", ConnectTimeout: 5 * time.Second}
	for _, set := range options {
		set(&o)
	}
	p, err := NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	p.pauses = pauses{first: 50 * time.Millisecond, longest: 400 * time.Millisecond, stable: 20 * time.Millisecond}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (f *fixture) conn(t testing.TB) *Conn {
	t.Helper()
	c, err := f.pool.Conn(t.Context(), f.server.target("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// blackhole forwards to an address until it is cut: from then on it swallows what is
// sent through it and says nothing, as a half-open connection does.
type blackhole struct {
	listener net.Listener
	cut      chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func startBlackhole(t testing.TB, to string) *blackhole {
	t.Helper()
	b := &blackhole{cut: make(chan struct{})}
	var err error
	if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	b.wg.Add(1)
	go func() {
		defer b.wg.Done()
		for {
			near, err := b.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			b.mu.Lock()
			b.conns = append(b.conns, near, far)
			b.mu.Unlock()
			b.wg.Go(func() { b.copy(near, far) })
			b.wg.Go(func() { b.copy(far, near) })
		}
	}()
	t.Cleanup(func() {
		_ = b.listener.Close()
		b.mu.Lock()
		for _, c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.wg.Wait()
	})
	return b
}

func (b *blackhole) port() int { return b.listener.Addr().(*net.TCPAddr).Port }
func (b *blackhole) swallow()  { b.once.Do(func() { close(b.cut) }) }

func (b *blackhole) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			select {
			case <-b.cut:
			default:
				_ = to.Close()
			}
			return
		}
		select {
		case <-b.cut:
		default:
			_, _ = to.Write(buf[:n])
		}
	}
}

func wantContains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !bytes.Contains([]byte(text), []byte(p)) {
			t.Errorf("%q does not contain %q", text, p)
		}
	}
}
