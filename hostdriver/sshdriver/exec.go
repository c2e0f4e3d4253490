package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Command is one command line for the login shell of the host's user.
type Command struct {
	// Line is read by that user's own shell, which may be sh, bash, fish or csh:
	// make it with Line. Scripts and secrets belong on Stdin, for what is in Line
	// can be seen by everyone on the host.
	Line string
	// Stdin is sent, then closed; nil closes it at once. When the command ends early,
	// Exec may leave a Read of it under way.
	Stdin     io.Reader
	MaxStdout int64 // bytes; 0: 8 MiB
	MaxStderr int64 // bytes; 0: 256 KiB
}

// Result is what a command left behind.
type Result struct {
	Stdout []byte
	Stderr []byte
	Exit   int    // -1 if a signal killed it
	Signal string // such as "KILL"
	// Truncated tells that the command wrote more than was allowed; Exec then
	// returns an error as well.
	Truncated bool
}

const (
	defaultMaxStdout = 8 << 20
	defaultMaxStderr = 256 << 10
	// lingerTime is how long output may still come after the exit status, counted
	// anew with each piece of it. Something that the command left running may hold
	// its stdout open for ever.
	lingerTime = 2 * time.Second
)

// Exec runs a command to its end and returns its output. It does so within ctx.
//
// An exit status other than 0 is not an error. An error carries a *hostdriver.Error:
// of kind Unknown if the command may have been started (then the Result holds what had
// come back), of any other kind if it surely was not.
func (c *Conn) Exec(ctx context.Context, cmd Command) (Result, error) {
	if cmd.MaxStdout <= 0 {
		cmd.MaxStdout = defaultMaxStdout
	}
	if cmd.MaxStderr <= 0 {
		cmd.MaxStderr = defaultMaxStderr
	}
	p, err := c.startProcess(ctx, cmd.Line)
	if err != nil {
		return Result{}, err
	}
	out := newOutput(cmd.MaxStdout, cmd.MaxStderr)
	out.stdout.expect = int(c.usual.Load())
	go p.feed(cmd.Stdin)
	go out.collect(p.ch)
	st, err := p.await(ctx, out)
	if err != nil {
		p.abandon()
		res := out.result()
		res.Exit = -1
		return res, err
	}
	p.finish()
	res := out.result()
	c.usual.Store(int64(min(len(res.Stdout), maxUsual)))
	res.Exit, res.Signal = st.code, st.signal
	if err := c.loginRefusal(res); err != nil {
		return res, err
	}
	return res, nil
}

// feedSize is how much of a command's input is sent at once: a connection keeps a buffer of
// the largest packet that it has ever sent, and there are many connections.
const feedSize = 4000

var feedBuffers = sync.Pool{New: func() any { return new([feedSize]byte) }}

// feed sends the command's input. A command that does not read it all may well succeed.
func (p *process) feed(stdin io.Reader) {
	if stdin != nil {
		buf := feedBuffers.Get().(*[feedSize]byte)
		_, _ = io.CopyBuffer(struct{ io.Writer }{p.ch}, struct{ io.Reader }{stdin}, buf[:])
		feedBuffers.Put(buf)
	}
	_ = p.ch.CloseWrite()
}

// await waits for the end of the command and of its output.
func (p *process) await(ctx context.Context, out *output) (exitStatus, error) {
	var st exitStatus
	select {
	case st = <-p.status:
		return st, p.drain(ctx, out)
	case <-p.ended:
		select {
		case st = <-p.status:
			return st, p.drain(ctx, out)
		default:
		}
		// sshd always tells how a command ended; without that, the session was cut.
		return st, p.unknown(fmt.Errorf("it ended without an exit status: %w", p.conn.explain(errors.New("session closed"))))
	case <-out.overflow:
		return st, p.unknown(out.overflowError())
	case <-ctx.Done():
		return st, p.unknown(fmt.Errorf("it has not ended: %w", ctx.Err()))
	}
}

// drain waits for the output that is still under way after the exit status.
func (p *process) drain(ctx context.Context, out *output) error {
	linger := time.NewTicker(lingerTime)
	defer linger.Stop()
	last := int64(-1)
	for {
		select {
		case <-out.done:
			if out.overflowed() {
				return p.unknown(out.overflowError())
			}
			// Output also ends when the connection breaks: then some of it is missing.
			if p.conn.raw.broken.Load() {
				return p.unknown(fmt.Errorf("while its output came: %w", p.conn.explain(io.ErrUnexpectedEOF)))
			}
			p.awaitEnd(ctx)
			return nil
		case <-out.overflow:
			return p.unknown(out.overflowError())
		case <-ctx.Done():
			return p.unknown(fmt.Errorf("its output has not ended: %w", ctx.Err()))
		case <-linger.C:
			now := out.received()
			if now == last {
				return nil // how it ended is known, and nothing has come for a while
			}
			last = now
		}
	}
}

// awaitEnd gives the host a moment to close the channel, which it does right after
// the output, so that the place is free for the next command.
func (p *process) awaitEnd(ctx context.Context) {
	wait := time.NewTimer(lingerTime)
	defer wait.Stop()
	select {
	case <-p.ended:
	case <-ctx.Done():
	case <-wait.C:
	}
}

// output collects what a command writes, up to a limit for each stream.
type output struct {
	stdout, stderr *capped
	overflow       chan struct{} // closed when a limit is passed
	once           sync.Once
	done           chan struct{} // closed when neither stream is read any more
}

func newOutput(maxStdout, maxStderr int64) *output {
	o := &output{overflow: make(chan struct{}), done: make(chan struct{})}
	over := func() { o.once.Do(func() { close(o.overflow) }) }
	o.stdout = &capped{name: "stdout", limit: maxStdout, over: over}
	o.stderr = &capped{name: "stderr", limit: maxStderr, over: over}
	return o
}

// collect reads both streams until they end or pass their limit.
func (o *output) collect(ch ssh.Channel) {
	var both sync.WaitGroup
	both.Go(func() { o.stdout.fill(ch) })
	both.Go(func() { o.stderr.fill(ch.Stderr()) })
	both.Wait()
	close(o.done)
}

func (o *output) overflowed() bool {
	select {
	case <-o.overflow:
		return true
	default:
		return false
	}
}

func (o *output) received() int64 { return o.stdout.size() + o.stderr.size() }

func (o *output) result() Result {
	var r Result
	var cut1, cut2 bool
	r.Stdout, cut1 = o.stdout.bytes()
	r.Stderr, cut2 = o.stderr.bytes()
	r.Truncated = cut1 || cut2
	return r
}

func (o *output) overflowError() error {
	c := o.stdout
	if _, cut := c.bytes(); !cut {
		c = o.stderr
	}
	return fmt.Errorf("it wrote more than %d bytes to %s; stopped reading", c.limit, c.name)
}

// maxUsual is how much room a command's output is given in advance, at most.
const maxUsual = 64 << 10

// capped is one stream's buffer.
type capped struct {
	name   string
	limit  int64
	expect int // how much is likely to come
	over   func()

	mu   sync.Mutex
	data []byte
	cut  bool
}

// fill reads r until it ends or passes the limit. What comes after that is left to
// the channel's flow control: the host has to stop sending. It reads straight into
// the data, for a fleet's commands wait all at once, each with its buffer.
func (c *capped) fill(r io.Reader) {
	for {
		spare := c.spare()
		n, err := r.Read(spare)
		if !c.took(n) {
			c.over()
			return
		}
		if err != nil {
			return
		}
	}
}

// spare returns room behind the data, one byte of it beyond the limit.
func (c *capped) spare() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.data) == cap(c.data) {
		c.data = slices.Grow(c.data, max(512, c.expect+c.expect/8-len(c.data)))
	}
	room := c.data[len(c.data):cap(c.data)]
	return room[:min(int64(len(room)), c.limit+1-int64(len(c.data)))]
}

// took adds the first n bytes of the spare room to the data, unless they pass the limit.
func (c *capped) took(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := int64(len(c.data) + n)
	c.cut = all > c.limit
	c.data = c.data[:min(all, c.limit)]
	return !c.cut
}

func (c *capped) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.data))
}

// bytes returns what has come so far; the caller owns it.
func (c *capped) bytes() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data[:len(c.data):len(c.data)], c.cut
}
