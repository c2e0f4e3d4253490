package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// bridge is the command under way that gives a host's D-Bus. Unlike a Session it has no
// goroutines and no buffers of its own, for each host of a fleet has one for good: a Read
// or a Write ends with the host's word or with the connection, not with Close. Who cannot
// wait as long leaves it behind.
//
// What it writes to stderr is left where it arrives, some 2 MB of it at most: nothing else
// is read from it after that, which a bridge that complains as much is not worth.
type bridge struct {
	*process
	once sync.Once
}

// openBridge starts the bridge to the host's D-Bus, which keeps one of the connection's
// places. Where the host allows so few sessions that this would keep commands out, there
// is no watch.
func (w *watch) openBridge(ctx context.Context, conn *Conn) (*bridge, error) {
	if conn.options.MaxSessions < 2 {
		return nil, w.fail(hostdriver.Failed, errors.New("one session at a time is allowed, and commands need it"), "allow more sessions a connection")
	}
	// The shell in between is what sudo's rules allow already.
	line, err := conn.BecomeLine("/bin/sh", "-c", "exec systemd-stdio-bridge")
	if err != nil {
		return nil, err
	}
	p, err := conn.startProcess(ctx, line)
	if err != nil {
		return nil, err
	}
	b := &bridge{process: p}
	ch, reqs, err := conn.openChannel(ctx, "session", nil)
	if err != nil {
		b.close()
		return nil, w.fail(hostdriver.Failed, fmt.Errorf("it allows too few sessions for a watch beside commands: %w", err),
			"raise MaxSessions in its sshd_config: 10, which is sshd's default, is enough")
	}
	go ssh.DiscardRequests(reqs)
	go func() { _ = ch.Close() }()
	return b, nil
}

func (b *bridge) Read(p []byte) (int, error)  { return b.ch.Read(p) }
func (b *bridge) Write(p []byte) (int, error) { return b.ch.Write(p) }

// close ends the bridge, without waiting for the host.
func (b *bridge) close() { b.once.Do(b.finish) }

// broken replaces the end of what it said by why the connection broke, where it did.
func (b *bridge) broken(err error) error {
	if errors.Is(err, io.EOF) && b.conn.raw.broken.Load() {
		return b.conn.explain(io.ErrUnexpectedEOF)
	}
	return err
}

// result is how it ended and what it wrote to stderr; ok is false where it has not, within
// that time.
func (b *bridge) result(within time.Duration) (r Result, ok bool) {
	wait := time.NewTimer(within)
	defer wait.Stop()
	select {
	case <-b.ended:
	case <-wait.C:
		return Result{Exit: -1}, false
	}
	r.Exit = -1
	r.Stderr, _ = io.ReadAll(io.LimitReader(b.ch.Stderr(), sessionStderr))
	select {
	case st := <-b.status:
		b.status <- st // for the next one who asks
		r.Exit, r.Signal = st.code, st.signal
		return r, true
	default:
		return r, false
	}
}
