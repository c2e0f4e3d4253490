package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Conn is a logged-in connection to one host, kept by a Pool and shared by all who
// ask it for that host. Its users never close it. It is safe for concurrent use.
//
// No call outlives its context, even if the host has gone silent: what is then left
// behind ends with the connection, which its own keepalive gives up after three
// intervals without a word.
type Conn struct {
	login   *login
	via     *Conn
	ssh     ssh.Conn
	raw     *meteredConn
	options Options
	since   time.Time
	slots   chan struct{} // one for each command at once
	done    chan struct{} // closed when the connection has ended
	// retiring ends when the connection gets no new users. Who uses it for good moves on.
	retiring context.Context
	moveOn   context.CancelFunc
	shells   keeper       // of the shell that requests are sent to
	usual    atomic.Int64 // how much the last command wrote to stdout

	mu        sync.Mutex
	cause     error // why it ended
	users     int   // commands and tunnels that somebody still waits for
	abandoned int   // commands whose caller has left, but that still run
	retired   bool  // gets no new users; ends with its last one
}

var (
	errSilent  = errors.New("the host has gone silent")
	errClosed  = errors.New("connection closed by evenkeel")
	errRetired = errors.New("connection given up for a new one")
)

// newConn makes one that is yet to be attended to.
func newConn(l *login, via *Conn, conn ssh.Conn, raw *meteredConn, o Options) *Conn {
	c := &Conn{login: l, via: via, ssh: conn, raw: raw, options: o, since: time.Now(),
		slots: make(chan struct{}, o.MaxSessions), done: make(chan struct{}),
		shells: keeper{patience: shellIdle, life: shellLife}}
	if o.Stay {
		c.shells.asked = time.Now()
	}
	c.retiring, c.moveOn = context.WithCancel(context.Background())
	return c
}

// attend serves the connection until it has ended, and calls then. It is one goroutine for
// all, for there is one for each host of a fleet: what the host asks is refused, and it is
// asked for signs of life.
func (c *Conn) attend(chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request, then func()) {
	defer then()
	defer func() { c.end(c.ssh.Wait()) }()
	k := newKeepalive(c.options.KeepaliveInterval)
	defer k.timer.Stop()
	var refusing chan struct{} // not nil: one is refused, which takes as long as the host likes
	refuse := func(do func()) {
		done := make(chan struct{})
		refusing = done
		go func() {
			defer close(done)
			do()
		}()
	}
	for {
		opened, asked := chans, reqs
		if refusing != nil {
			opened, asked = nil, nil
		}
		select {
		case ch, ok := <-opened:
			if !ok {
				return // the connection is over
			}
			refuse(func() { _ = ch.Reject(ssh.Prohibited, "evenkeel opens channels, not its hosts") })
		case req, ok := <-asked:
			if !ok {
				return
			}
			if req.WantReply {
				refuse(func() { _ = req.Reply(false, nil) })
			}
		case <-refusing:
			refusing = nil
		case <-k.timer.C:
			if !k.due(c) {
				c.end(errSilent)
			}
		}
	}
}

// Host is the name by which the inventory knows the host.
func (c *Conn) Host() string { return c.login.name }

// User is who is logged in.
func (c *Conn) User() string { return c.login.user }

// Done is closed when the connection has ended; Err tells why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is nil while the connection is up.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// end closes the connection once. The raw connection goes first, for closing in
// good order would wait for a host that may be silent.
func (c *Conn) end(cause error) {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	if cause == nil {
		cause = errors.New("connection closed by the host")
	}
	c.cause = cause
	close(c.done)
	c.mu.Unlock()
	c.shells.end()
	_ = c.raw.Close()
	_ = c.ssh.Close()
}

// keepalive asks the host for a sign of life where it has said nothing for a while.
// Whatever is heard counts, so that a host that is busy sending is not taken for a dead one.
type keepalive struct {
	interval time.Duration
	timer    *time.Timer
	heard    int64 // at the last turn
	missed   int
	answered chan struct{} // of the question under way; nil: there is none
}

func newKeepalive(interval time.Duration) *keepalive {
	// Connections that were made together need not ask together.
	return &keepalive{interval: interval, timer: time.NewTimer(time.Duration(rand.Float64() * float64(interval))), heard: -1} // #nosec G404
}

// due is a turn; it tells whether the connection is still taken for alive.
func (k *keepalive) due(c *Conn) bool {
	k.timer.Reset(k.interval)
	if now := c.raw.heard.Load(); now != k.heard {
		k.heard, k.missed = now, 0
		return true
	}
	if k.missed++; k.missed >= 3 {
		return false
	}
	select {
	case <-k.answered:
		k.answered = nil
	default:
	}
	if k.answered == nil {
		k.answered = c.ask()
	}
	return true
}

// ask sends one keepalive; the channel is closed when the host has answered, or when
// the connection has ended.
func (c *Conn) ask() chan struct{} {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil)
	}()
	return answered
}

// join counts a user in, unless the connection takes no more.
func (c *Conn) join() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cause != nil:
		return c.cause
	case c.retired:
		return errRetired
	}
	c.users++
	return nil
}

// leave counts a user out.
func (c *Conn) leave() {
	c.mu.Lock()
	c.users--
	last := c.retired && c.users == 0
	c.mu.Unlock()
	if last {
		c.end(errRetired)
	}
}

// abandonGrace is how long a host may take to end a command whose session was closed.
const abandonGrace = 3 * time.Second

// abandon counts a command's user out who does not wait for its end. Its place stays
// taken until the host says that it has ended, for it still counts there. When half of
// the places are lost like that, the connection is retired: the pool makes another.
func (c *Conn) abandon(ended <-chan struct{}) {
	c.leave()
	go func() {
		grace := time.NewTimer(abandonGrace)
		defer grace.Stop()
		select {
		case <-ended:
			<-c.slots
			return
		case <-c.done:
			return
		case <-grace.C:
		}
		c.addAbandoned(1)
		select {
		case <-ended:
			c.addAbandoned(-1)
			<-c.slots
		case <-c.done:
		}
	}()
}

func (c *Conn) addAbandoned(n int) {
	c.mu.Lock()
	c.abandoned += n
	tooMany := 2*c.abandoned >= c.options.MaxSessions
	c.mu.Unlock()
	if tooMany {
		c.retire()
	}
}

// retire lets the connection end with its last user, and at once if it has none.
func (c *Conn) retire() {
	c.mu.Lock()
	c.retired = true
	unused := c.users == 0
	c.mu.Unlock()
	c.moveOn()
	// The caller may hold the pool's lock.
	if unused {
		go c.end(errRetired)
		return
	}
	go c.shells.end()
}

func (c *Conn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause == nil && !c.retired
}

// fail makes the error of an operation on this host.
func (c *Conn) fail(kind hostdriver.ErrorKind, op string, err error, mend string) error {
	return &hostdriver.Error{Kind: kind, Host: c.login.name, Op: op, Mend: mend, Err: err}
}

// openChannel opens a channel within ctx. A channel that opens too late is closed.
func (c *Conn) openChannel(ctx context.Context, kind string, data []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	result := make(chan opened)
	go func() {
		ch, reqs, err := c.ssh.OpenChannel(kind, data)
		select {
		case result <- opened{ch, reqs, err}:
		case <-ctx.Done():
			if err == nil {
				go ssh.DiscardRequests(reqs)
				_ = ch.Close()
			}
		}
	}()
	select {
	case o := <-result:
		if o.err != nil {
			o.err = c.explain(o.err)
		}
		return o.ch, o.reqs, o.err
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// explain replaces what a broken connection makes of every error, an EOF, by why it broke.
func (c *Conn) explain(err error) error {
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return err
	}
	select {
	case <-c.done:
	case <-time.After(50 * time.Millisecond): // the error arrives before the verdict
	}
	if cause := c.Err(); cause != nil {
		return fmt.Errorf("connection lost: %w", cause)
	}
	return err
}
