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
	w := &watch{pool: d.pool, host: host, query: q, times: d.watchTimes, last: hostdriver.Watching, mailbox: mailbox{out: make(chan hostdriver.Signal, signalRoom)}}
	w.query.Paths, w.query.Units = slices.Clone(q.Paths), slices.Clone(q.Units)
	go w.run(ctx)
	return w.out, nil
}

// watch keeps one host watched. While it listens, which is nearly always, one goroutine
// reads what the host says (see listening), and none waits for that.
type watch struct {
	pool  *Pool
	host  inventory.Host
	query hostdriver.WatchQuery
	times watchTimes

	conn     *Conn // the last one
	layout   layout
	noisyAt  time.Time
	began    time.Time // the last attempt
	failures int
	last     hostdriver.SignalKind

	mailbox
}

// run watches until ctx ends: again and again. Where it listens it returns, and what ends
// that calls it again.
func (w *watch) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.began = time.Now()
		err := w.begin(ctx)
		if err == nil {
			return
		}
		if !w.ended(ctx, err) {
			break
		}
	}
	w.close()
}

// ended draws what follows from the end of an attempt, and tells whether there is to be
// another, for which it is then time.
func (w *watch) ended(ctx context.Context, err error) (again bool) {
	switch {
	case ctx.Err() != nil || errors.Is(err, errPoolClosed):
		return false
	case errors.Is(err, errNoisy):
		w.quieter()
		return true
	case errors.Is(err, errWatchAgain):
		return true
	case time.Since(w.began) > w.times.stable:
		w.failures = 0
	}
	kind := hostdriver.Lost
	if k := hostdriver.KindOf(err); k == hostdriver.Failed || k == hostdriver.Become {
		kind = hostdriver.Blind
	}
	if kind != w.last {
		w.failures, w.last = 0, kind
	}
	w.tell(hostdriver.Signal{Host: w.host.Name, Kind: kind, At: time.Now(), Err: err})
	w.rest(ctx, kind, w.pause(kind, w.failures, err))
	w.failures++
	return true
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

// begin sets a watch up and has it listened to. An error says why it cannot.
func (w *watch) begin(ctx context.Context) error {
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
	defer func() { <-w.pool.watches }()
	setup, cancel := context.WithTimeout(ctx, w.times.setup)
	defer cancel()
	b, err := w.openBridge(setup, conn)
	if err != nil {
		return renameOp(err, opWatch)
	}
	type standing struct {
		s   *systemdWatch
		err error
	}
	result, l := make(chan standing, 1), w.layout
	if time.Since(w.noisyAt) > w.times.blindly {
		l = compact
	}
	go func() {
		s, err := w.setUp(conn, b, l)
		result <- standing{s, err}
	}()
	select {
	case r := <-result:
		if r.err == nil {
			w.listen(ctx, conn, b, r.s)
			return nil
		}
		b.close()
		return r.err
	case <-setup.Done():
		b.close()
		if conn.Err() != nil {
			return w.fail(hostdriver.Unreachable, fmt.Errorf("connection lost: %w", conn.Err()), "")
		}
		return w.fail(hostdriver.Unreachable, fmt.Errorf("not set up within %s", w.times.setup), "")
	}
}

// setUp has the host's systemd signal what is asked for. It takes as long as the host likes,
// and may be left behind.
func (w *watch) setUp(conn *Conn, b *bridge, l layout) (*systemdWatch, error) {
	bus := &bus{stream: b}
	if err := bus.authenticate(); err != nil {
		return nil, w.noBridge(conn, b, b.broken(err))
	}
	s := newSystemdWatch(bus, w.query)
	s.layout = l
	s.changed = func(string, bool, bool) {} // Watching will say: look
	if err := s.begin(l); err != nil {
		return nil, w.explain(conn, b, b.broken(err))
	}
	return s, nil
}

func (w *watch) connect(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, w.times.setup)
	defer cancel()
	return w.pool.Conn(ctx, TargetFor(w.host))
}

// listening is a watch that stands.
type listening struct {
	*watch
	ctx    context.Context // of the watch
	conn   *Conn
	bridge *bridge
	s      *systemdWatch
	last   stopping
	over   sync.Once

	arming sync.Mutex
	free   []func() bool
}

// listen hands on what the host signals, from now on, until that ends.
func (w *watch) listen(ctx context.Context, conn *Conn, b *bridge, s *systemdWatch) {
	w.layout = s.layout
	s.changed = w.changed
	standing := hostdriver.Signal{Host: w.host.Name, Kind: hostdriver.Watching, At: time.Now(), Unwatched: s.unwatched}
	if s.why != nil {
		standing.Err = w.fail(hostdriver.Failed, s.why, "")
	}
	w.tell(standing)
	l := &listening{watch: w, ctx: ctx, conn: conn, bridge: b, s: s}
	l.arming.Lock() // what ends it at once waits until all stands
	defer l.arming.Unlock()
	l.free = []func() bool{context.AfterFunc(ctx, l.stop), context.AfterFunc(conn.retiring, l.stop)}
	if w.layout != compact {
		l.free = append(l.free, time.AfterFunc(w.times.blindly, func() { l.end(errWatchAgain) }).Stop)
	}
	go l.read()
}

// read takes what the host says. It waits there for days, with little on its stack.
func (l *listening) read() {
	for {
		m, err := l.s.bus.receive()
		if err == nil {
			err = l.s.check()
		}
		if serial, ok := l.last.serial(); ok && err == nil {
			if reply, is := replySerial(m); is && reply == serial {
				err = errWatchEnded
			}
		}
		if err != nil {
			l.end(err)
			return
		}
	}
}

// end is the end of the watch, which comes once; another one follows, if that is wanted.
func (l *listening) end(err error) {
	l.over.Do(func() { go l.next(err) })
}

func (l *listening) next(err error) {
	l.arming.Lock()
	for _, free := range l.free {
		free()
	}
	l.arming.Unlock()
	err = l.reason(err)
	l.bridge.close()
	if l.ended(l.ctx, err) {
		l.run(l.ctx)
		return
	}
	l.close()
}

// reason is what the end of the watch means.
func (l *listening) reason(err error) error {
	switch {
	case l.ctx.Err() != nil:
		return l.ctx.Err()
	case l.conn.Err() == nil && (l.conn.retiring.Err() != nil || errors.Is(err, errWatchAgain)):
		return errWatchAgain
	}
	return l.explain(l.conn, l.bridge, l.bridge.broken(err))
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

func (e *stopping) serial() (uint32, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last, e.sent
}

// stop asks the host to take away what was made there, and waits a little for its word.
func (l *listening) stop() {
	bound := time.AfterFunc(l.times.stop, func() { l.end(errWatchEnded) }) // sending may wait for the host, too
	l.last.mu.Lock()
	defer l.last.mu.Unlock()
	if l.last.sent {
		return
	}
	serial, err := l.s.stopUnits()
	if err != nil {
		bound.Stop()
		l.end(err)
		return
	}
	l.last.sent, l.last.last = true, serial
}

// noBridge explains a bridge that did not answer: by how it ended and what it said.
func (w *watch) noBridge(conn *Conn, b *bridge, err error) error {
	if conn.Err() != nil || errors.Is(err, errBusAbuse) {
		return w.explain(conn, b, err)
	}
	res, ok := b.result(w.times.stop)
	if !ok {
		return w.explain(conn, b, err)
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
func (w *watch) explain(conn *Conn, b *bridge, err error) error {
	kind := hostdriver.Unreachable
	switch {
	case errors.Is(err, errNoisy):
		return err
	case errors.Is(err, errBusAbuse):
		kind = hostdriver.Failed
	case conn.Err() != nil:
		err = fmt.Errorf("connection lost: %w", conn.Err())
	default:
		res, _ := b.result(50 * time.Millisecond)
		if said := printable(string(lastBytes(res.Stderr, 400)), 300); said != "" {
			err = fmt.Errorf("%w (the bridge to its D-Bus said: %s)", err, said)
		}
	}
	return w.fail(kind, err, "")
}

func (w *watch) fail(kind hostdriver.ErrorKind, err error, mend string) error {
	return &hostdriver.Error{Kind: kind, Host: w.host.Name, Op: opWatch, Err: err, Mend: mend}
}
