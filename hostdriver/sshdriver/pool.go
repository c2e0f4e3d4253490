package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Pool keeps one long-lived connection for each host and makes it again when it has
// ended. It is safe for concurrent use.
//
// However many ask for a host, it is dialled once. After a failure it is not dialled
// again before a pause that doubles each time, and asking in between returns the last
// error at once. A host that does not let us in is not dialled again at all until
// Reset, or until a key file, the agent's keys or the login itself have changed.
type Pool struct {
	resolver *resolver
	dialer   *dialer
	slots    chan struct{} // dials at once
	shells   chan struct{} // kept at once
	watches  chan struct{} // set up at once
	pauses   pauses

	ctx    context.Context // of all dials
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	entries map[string]*entry // by login
	conns   map[*Conn]struct{}
	closed  bool
}

// pauses between dials of a host that fails.
type pauses struct {
	first, longest time.Duration
	// stable is how long a connection must have lived for its end not to count as
	// a failure.
	stable time.Duration
}

var defaultPauses = pauses{first: 500 * time.Millisecond, longest: 30 * time.Second, stable: 3 * time.Second}

// entry is what is known of one login.
type entry struct {
	login    *login
	conn     *Conn
	dialing  *dialing
	failures int
	next     time.Time // not dialled before
	failed   error     // the last dial's
	untold   bool      // nobody has asked since
	stamp    string    // of what the login depends on, at that time
}

// dialing is a dial under way, for all who wait for it.
type dialing struct {
	done  chan struct{}
	asked bool // somebody waits for it, or has
	conn  *Conn
	err   error
}

var errPoolClosed = errors.New("connections are closed")

// NewPool reads ssh_config, once, and returns an empty pool. An error names the file
// and line that cannot be read.
func NewPool(o Options) (*Pool, error) {
	o = o.withDefaults()
	r, err := newResolver(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Pool{resolver: r, dialer: &dialer{options: o}, slots: make(chan struct{}, o.Concurrency), shells: make(chan struct{}, maxShells), watches: make(chan struct{}, o.Concurrency),
		pauses: defaultPauses,
		ctx:    ctx, cancel: cancel, entries: map[string]*entry{}, conns: map[*Conn]struct{}{}}, nil
}

// Conn returns the connection to t, making it if need be. ctx bounds the wait; the
// dial itself goes on for others, and for the next one to ask. The error
// carries a *hostdriver.Error of kind Unreachable, Unauthorized or HostKey.
func (p *Pool) Conn(ctx context.Context, t Target) (*Conn, error) {
	l, err := p.resolve(t)
	if err != nil {
		return nil, err
	}
	return p.connect(ctx, l)
}

func (p *Pool) connect(ctx context.Context, l *login) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, connectError(l, hostdriver.Unreachable, err, "")
	}
	stamp := ""
	if p.stuck(l) {
		stamp = loginStamp(l) // asks files and the agent, so not under the lock
	}
	conn, waiting, err := p.begin(l, stamp, true)
	if conn != nil || err != nil {
		return conn, err
	}
	select {
	case <-waiting.done:
		return waiting.conn, waiting.err
	case <-ctx.Done():
		return nil, connectError(l, hostdriver.Unreachable, fmt.Errorf("%s: not yet connected: %w", l, ctx.Err()), "")
	}
}

// Connect begins to make the connection to t, and returns at once. An error is told to who
// asks for it next.
func (p *Pool) Connect(t Target) {
	if l, err := p.resolve(t); err == nil && !p.stuck(l) {
		_, _, _ = p.begin(l, "", false)
	}
}

// Renew makes a new connection to t, even if one is up, and returns it: proof that the
// host still lets us in. From then on it is the host's connection; commands under way on
// the old one go on, and that ends with the last of them. Where there is none to be had,
// the old one stays the host's: it may be the only way left to mend that. Errors are
// those of Conn.
func (p *Pool) Renew(ctx context.Context, t Target) (*Conn, error) {
	l, err := p.resolve(t)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	var old *Conn
	e := p.entries[l.key()]
	if e != nil && e.conn != nil {
		old = e.conn
		p.lost(e)
	}
	p.mu.Unlock()
	conn, err := p.connect(ctx, l)
	if old == nil {
		return conn, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && e.conn == nil && e.dialing == nil && old.usable() && !p.closed {
		e.conn, e.failures, e.failed = old, 0, nil
		return nil, err
	}
	old.retire()
	return conn, err
}

func (p *Pool) resolve(t Target) (*login, error) {
	l, err := p.resolver.resolve(t)
	if err != nil {
		return nil, &hostdriver.Error{Kind: hostdriver.Unauthorized, Host: firstOf(t.Name, t.Address), Op: opConnect, Err: err,
			Mend: "correct the inventory or ssh_config"}
	}
	return l, nil
}

// stuck tells whether a person has to act before the host is dialled again.
func (p *Pool) stuck(l *login) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[l.key()]
	return e != nil && e.dialing == nil && e.failed != nil && hostdriver.KindOf(e.failed).NeedsPerson()
}

// begin returns the connection that is up, or the reason not to dial, or the dial
// that is under way. stamp is what the login depends on now, "" if not looked at; asked
// tells that somebody will hear of it.
func (p *Pool) begin(l *login, stamp string, asked bool) (*Conn, *dialing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, connectError(l, hostdriver.Unreachable, errPoolClosed, "")
	}
	e := p.entries[l.key()]
	if e == nil {
		e = &entry{}
		p.entries[l.key()] = e
	}
	e.login = l
	if e.conn != nil {
		if e.conn.usable() {
			return e.conn, nil, nil
		}
		p.lost(e)
	}
	if e.dialing == nil {
		if err := p.notYet(e, stamp, asked); err != nil {
			return nil, nil, err
		}
		e.dialing = &dialing{done: make(chan struct{})}
		p.wg.Add(1)
		go p.dial(e, l, e.dialing)
	}
	e.dialing.asked = e.dialing.asked || asked
	return nil, e.dialing, nil
}

// lost takes a connection out that has ended or is retired. One that ended soon
// after it was made counts as a failed dial, lest a host that hangs up on everyone be
// dialled without end.
func (p *Pool) lost(e *entry) {
	c := e.conn
	e.conn = nil
	if cause := c.Err(); cause != nil && time.Since(c.since) < p.pauses.stable {
		p.failure(e, connectError(c.login, hostdriver.Unreachable, fmt.Errorf("%s: connection lost soon after login: %w", c.login, cause), ""))
		return
	}
	e.failures, e.failed = 0, nil
}

func (p *Pool) failure(e *entry, err error) {
	e.failed, e.untold = err, false
	pause := p.pauses.first << min(e.failures, 16)
	if pause > p.pauses.longest || pause <= 0 {
		pause = p.pauses.longest
	}
	if hostdriver.KindOf(err) == hostdriver.HostKey {
		pause = p.pauses.longest // no login was tried: looking again now and then is harmless
	}
	e.failures++
	e.next = time.Now().Add(jitter(pause, rand.Float64())) // #nosec G404
}

// notYet returns the error that stands in the way of dialling now.
func (p *Pool) notYet(e *entry, stamp string, asked bool) error {
	if e.failed == nil {
		return nil
	}
	kind := hostdriver.KindOf(e.failed)
	if stamp != "" && stamp != e.stamp {
		return nil
	}
	if kind == hostdriver.Unauthorized {
		return e.failed
	}
	if wait := time.Until(e.next); wait > 0 {
		if e.untold && asked {
			e.untold = false
			return e.failed
		}
		return &PausedError{Err: e.failed, Next: e.next}
	}
	return nil
}

// PausedError is the last dial's error, returned again without dialling.
type PausedError struct {
	Err  error     // a *hostdriver.Error
	Next time.Time // when the host may be dialled again
}

func (e *PausedError) Error() string {
	return fmt.Sprintf("%v (tried a moment ago; again in %s)", e.Err, max(0, time.Until(e.Next)).Round(100*time.Millisecond))
}

// Unwrap returns the dial's error.
func (e *PausedError) Unwrap() error { return e.Err }

// dial runs one dial to its end, whoever waits for it.
func (p *Pool) dial(e *entry, l *login, d *dialing) {
	defer p.wg.Done()
	stamp := loginStamp(l)
	conn, blame, err := p.reach(l)
	p.mu.Lock()
	defer p.mu.Unlock()
	d.conn, d.err = conn, err
	e.dialing = nil
	switch {
	case err == nil && p.closed:
		d.conn, d.err = nil, connectError(l, hostdriver.Unreachable, errPoolClosed, "")
		conn.end(errClosed)
	case err == nil:
		e.conn = conn
		if conn.Err() == nil {
			p.conns[conn] = struct{}{}
		}
	case blame:
		e.stamp = stamp
		p.failure(e, err)
		e.untold = !d.asked
	}
	close(d.done)
}

// reach dials a login after the hops before it. blame tells whether a failure is the
// host's own: one of a hop before it says nothing about the host.
func (p *Pool) reach(l *login) (conn *Conn, blame bool, err error) {
	var via *Conn
	if l.via != nil {
		if via, err = p.connect(p.ctx, l.via); err != nil {
			return nil, false, reachError(l, err)
		}
	}
	// A slot is taken only now, so that hosts that wait for their jump host do not
	// keep it from being dialled.
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-p.ctx.Done():
		return nil, false, connectError(l, hostdriver.Unreachable, errPoolClosed, "")
	}
	p.wg.Add(1)
	if conn, err = p.dialer.dial(p.ctx, l, via, p.ended); err != nil {
		p.wg.Done()
	}
	return conn, p.ctx.Err() == nil, err
}

// ended forgets a connection.
func (p *Pool) ended(c *Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	p.wg.Done()
}

// Reset forgets what is kept for the host of that name: its connection is closed, and
// a failure no longer stands in the way of dialling it. Commands in flight end with
// an unknown outcome.
func (p *Pool) Reset(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, e := range p.entries {
		if e.login.name != name {
			continue
		}
		if e.conn != nil {
			go e.conn.end(errClosed)
		}
		e.conn, e.failed, e.failures = nil, nil, 0
		if e.dialing == nil {
			delete(p.entries, key)
		}
	}
}

// Close ends all connections and waits until nothing of the pool runs any more.
// Commands in flight end with an unknown outcome.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	conns := make([]*Conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	p.cancel()
	for _, c := range conns {
		c.end(errClosed)
	}
	p.wg.Wait()
	return nil
}
