package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

var _ hostdriver.Watcher = (*Driver)(nil)

const opWatch = "watch"

// watchTimes are a watch's pauses and bounds.
type watchTimes struct {
	first, longest time.Duration // between attempts at a host that is lost
	blind, blindly time.Duration // first and longest, of one that cannot be watched
	stable         time.Duration // a watch that lasted as long starts anew with its pauses
	setup, stop    time.Duration
	gather         time.Duration // changes that come within are one Signal
}

var hostWatchTimes = watchTimes{first: 100 * time.Millisecond, longest: 30 * time.Second, blind: time.Second, blindly: 10 * time.Minute,
	stable: 10 * time.Second, setup: 20 * time.Second, stop: 2 * time.Second, gather: 20 * time.Millisecond}

// Watch watches the host with what its own systemd offers: a bridge to its D-Bus, on a
// session of the connection that commands run on. See hostdriver.Watcher.
func (d *Driver) Watch(ctx context.Context, host inventory.Host, q hostdriver.WatchQuery) (<-chan hostdriver.Signal, error) {
	err := q.Check()
	if d.pool == nil {
		err = errors.New("the driver has no connections")
	}
	if err != nil {
		return nil, &hostdriver.Error{Kind: hostdriver.Refused, Host: host.Name, Op: opWatch, Err: err, Mend: "correct the fleet repo"}
	}
	w := &watch{pool: d.pool, host: host, query: q, times: d.watchTimes, mailbox: mailbox{out: make(chan hostdriver.Signal, signalRoom)}}
	w.query.Paths, w.query.Units = slices.Clone(q.Paths), slices.Clone(q.Units)
	go w.run(ctx)
	return w.out, nil
}

// watch keeps one host watched.
type watch struct {
	pool  *Pool
	host  inventory.Host
	query hostdriver.WatchQuery
	times watchTimes

	conn    *Conn // the last one
	layout  layout
	noisyAt time.Time

	mailbox
}

// run watches until ctx ends: again and again.
func (w *watch) run(ctx context.Context) {
	defer w.close()
	failures, last := 0, hostdriver.Watching
	for ctx.Err() == nil {
		began := time.Now()
		err := w.once(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, errPoolClosed):
			return
		case errors.Is(err, errNoisy):
			w.quieter()
			continue
		case errors.Is(err, errWatchAgain):
			continue
		case time.Since(began) > w.times.stable:
			failures = 0
		}
		kind := hostdriver.Lost
		if k := hostdriver.KindOf(err); k == hostdriver.Failed || k == hostdriver.Become {
			kind = hostdriver.Blind
		}
		if kind != last {
			failures, last = 0, kind
		}
		w.tell(hostdriver.Signal{Host: w.host.Name, Kind: kind, At: time.Now(), Err: err})
		w.rest(ctx, kind, w.pause(kind, failures, err))
		failures++
	}
}

// quieter is the answer to paths that change without end: watch fewer of them. It is
// forgotten after a while.
func (w *watch) quieter() {
	w.layout = map[layout]layout{compact: exact, exact: none, none: none}[w.layout]
	w.noisyAt = time.Now()
}

// pause is how long to wait before the next attempt.
func (w *watch) pause(kind hostdriver.SignalKind, failures int, err error) time.Duration {
	first, longest := w.times.first, w.times.longest
	if kind == hostdriver.Blind {
		first, longest = w.times.blind, w.times.blindly
	}
	pause := min(first<<min(failures, 16), longest)
	var paused *PausedError
	if errors.As(err, &paused) {
		pause = max(0, time.Until(paused.Next)) + time.Millisecond
	}
	return jitter(pause, rand.Float64()) // #nosec G404
}

// rest ends early when the connection does over which the host could not be watched: it
// may have been going down.
func (w *watch) rest(ctx context.Context, kind hostdriver.SignalKind, pause time.Duration) {
	var ended <-chan struct{}
	if kind == hostdriver.Blind && w.conn != nil {
		ended = w.conn.Done()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	case <-ctx.Done():
	}
}

// once watches until that ends, and says why it did.
func (w *watch) once(ctx context.Context) error {
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	w.conn = conn
	// Where all hosts of a fleet are to be watched at once, each still has its time.
	select {
	case w.pool.watches <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	free := sync.OnceFunc(func() { <-w.pool.watches })
	defer free()
	setup, cancel := context.WithTimeout(ctx, w.times.setup)
	defer cancel()
	session, err := w.openBridge(setup, conn)
	if err != nil {
		return renameOp(err, opWatch)
	}
	defer func() { _ = session.Close() }()
	stopSetup := context.AfterFunc(setup, func() { _ = session.Close() })
	b := &bus{stream: session}
	if err := b.authenticate(); err != nil {
		return w.noBridge(setup, conn, session, err)
	}
	if time.Since(w.noisyAt) > w.times.blindly {
		w.layout = compact
	}
	s := newSystemdWatch(b, w.query)
	s.changed = func(string, bool, bool) {} // Watching will say: look
	if err := s.begin(w.layout); err != nil {
		return w.explain(conn, session, err)
	}
	free()
	if !stopSetup() {
		return w.fail(hostdriver.Unreachable, fmt.Errorf("not set up within %s", w.times.setup), "")
	}
	return w.listen(ctx, conn, session, s)
}

func (w *watch) connect(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, w.times.setup)
	defer cancel()
	return w.pool.Conn(ctx, TargetFor(w.host))
}

// listen hands on what the host signals.
func (w *watch) listen(ctx context.Context, conn *Conn, session *Session, s *systemdWatch) error {
	s.changed = w.changed
	standing := hostdriver.Signal{Host: w.host.Name, Kind: hostdriver.Watching, At: time.Now(), Unwatched: s.unwatched}
	if s.why != nil {
		standing.Err = w.fail(hostdriver.Failed, s.why, "")
	}
	w.tell(standing)
	var last stopping
	defer context.AfterFunc(ctx, func() { last.stop(s, session, w.times.stop) })()
	defer context.AfterFunc(conn.retiring, func() { last.stop(s, session, w.times.stop) })()
	if w.layout != compact {
		again := time.AfterFunc(w.times.blindly, func() { _ = session.Close() })
		defer again.Stop()
	}
	for {
		m, err := s.bus.receive()
		if err == nil {
			err = s.check()
		}
		if serial, ok := last.serial(); ok && err == nil {
			if reply, is := replySerial(m); is && reply == serial {
				err = errWatchEnded
			}
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case conn.Err() == nil && (conn.retiring.Err() != nil || w.layout != compact && time.Since(w.noisyAt) >= w.times.blindly):
			return errWatchAgain
		default:
			return w.explain(conn, session, err)
		}
	}
}

var (
	errWatchEnded = errors.New("the watch has ended")
	errWatchAgain = errors.New("the watch begins anew")
)

// stopping is the orderly end of a watch: what it made on the host goes first.
type stopping struct {
	mu   sync.Mutex
	sent bool
	last uint32
}

func (e *stopping) stop(s *systemdWatch, session *Session, within time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sent {
		return
	}
	serial, err := s.stopUnits()
	if err != nil {
		_ = session.Close()
		return
	}
	e.sent, e.last = true, serial
	time.AfterFunc(within, func() { _ = session.Close() })
}

func (e *stopping) serial() (uint32, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last, e.sent
}

const bridgeBuffer = 1 << 10 // a fleet has many, and little passes

// openBridge starts the bridge to the host's D-Bus, which keeps one of the connection's
// places. Where the host allows so few sessions that this would keep commands out, there
// is no watch.
func (w *watch) openBridge(ctx context.Context, conn *Conn) (*Session, error) {
	if conn.options.MaxSessions < 2 {
		return nil, w.fail(hostdriver.Failed, errors.New("one session at a time is allowed, and commands need it"), "allow more sessions a connection")
	}
	// The shell in between is what sudo's rules allow already.
	line, err := conn.BecomeLine("/bin/sh", "-c", "exec systemd-stdio-bridge")
	if err != nil {
		return nil, err
	}
	session, err := conn.start(ctx, line, bridgeBuffer, bridgeBuffer)
	if err != nil {
		return nil, err
	}
	ch, reqs, err := conn.openChannel(ctx, "session", nil)
	if err != nil {
		_ = session.Close()
		return nil, w.fail(hostdriver.Failed, fmt.Errorf("it allows too few sessions for a watch beside commands: %w", err),
			"raise MaxSessions in its sshd_config: 10, which is sshd's default, is enough")
	}
	go ssh.DiscardRequests(reqs)
	go func() { _ = ch.Close() }()
	return session, nil
}

// noBridge explains a bridge that did not answer: by how it ended and what it said.
func (w *watch) noBridge(ctx context.Context, conn *Conn, session *Session, err error) error {
	if conn.Err() != nil || ctx.Err() != nil || errors.Is(err, errBusAbuse) {
		return w.explain(conn, session, err)
	}
	wait, cancel := context.WithTimeout(ctx, w.times.stop)
	defer cancel()
	res, waitErr := session.Wait(wait)
	if waitErr != nil {
		return w.explain(conn, session, err)
	}
	if refusal := errors.Join(conn.loginRefusal(res), conn.BecomeRefusal(res)); refusal != nil {
		return refusal
	}
	said := printable(string(lastBytes(res.Stderr, 400)), 300)
	if res.Exit == 127 || strings.Contains(said, "not found") {
		return w.fail(hostdriver.Failed, fmt.Errorf("systemd-stdio-bridge is not there: %s", said), "install there the part of systemd that has it, or let it be polled")
	}
	return w.fail(hostdriver.Failed, fmt.Errorf("the bridge to its D-Bus ended with status %d: %s", res.Exit, firstOf(said, err.Error())),
		"see whether D-Bus runs there: systemctl status dbus")
}

// explain makes the error of a watch that was cut: Failed where the host's word is not
// to be relied on.
func (w *watch) explain(conn *Conn, session *Session, err error) error {
	kind := hostdriver.Unreachable
	switch {
	case errors.Is(err, errNoisy):
		return err
	case errors.Is(err, errBusAbuse):
		kind = hostdriver.Failed
	case conn.Err() != nil:
		err = fmt.Errorf("connection lost: %w", conn.Err())
	default:
		if said := printable(string(lastBytes(session.Stderr(), 400)), 300); said != "" {
			err = fmt.Errorf("%w (the bridge to its D-Bus said: %s)", err, said)
		}
	}
	return w.fail(kind, err, "")
}

func (w *watch) fail(kind hostdriver.ErrorKind, err error, mend string) error {
	return &hostdriver.Error{Kind: kind, Host: w.host.Name, Op: opWatch, Err: err, Mend: mend}
}
