package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// line is the way to hosts; a Pool's connections are the real one.
type line interface {
	// run runs the script as the user who does the work, with the payload on its standard
	// input, and returns all of its output. payload may be nil; otherwise it is called
	// with what the host has written so far each time that grows, until it returns a
	// reader. An error is a *hostdriver.Error.
	run(ctx context.Context, host inventory.Host, rq request) (Result, error)
	dial(ctx context.Context, host inventory.Host, network, address string) (net.Conn, error)
	// refusal is the error of kind Become that a result without a reply means, or nil.
	refusal(ctx context.Context, host inventory.Host, r Result) error
}

// payloadFunc decides, from what the host has written so far, what to send it. It
// returns nil as long as that does not tell.
type payloadFunc func(soFar []byte) (io.Reader, error)

// request is one script with the name of what it does.
type request struct {
	op      string // to follow "cannot": "observe", "switch"
	script  *script
	call    string
	payload payloadFunc
}

// exchange sends one request and returns the records of its answer. Where the host
// reports a failure, that is the error, and the records before it are returned too.
func exchange(ctx context.Context, l line, host inventory.Host, rq request) ([]record, error) {
	if rq.script.err != nil {
		return nil, &hostdriver.Error{Kind: hostdriver.Refused, Host: host.Name, Op: rq.op, Err: rq.script.err, Mend: "correct the fleet repo"}
	}
	res, err := l.run(ctx, host, rq)
	if err != nil {
		return nil, renameOp(err, rq.op)
	}
	records, err := parseReply(res.Stdout, rq.script.nonce)
	if err != nil {
		if refused := l.refusal(ctx, host, res); refused != nil {
			return nil, refused
		}
		return nil, &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: rq.op, Err: noReply(err, res),
			Mend: "see whether a plain shell and coreutils are there: ssh to it and run: /bin/sh -c 'dd --version'"}
	}
	return records, hostError(records, host.Name, rq.op)
}

// renameOp says what was meant to be done instead of "run a command".
func renameOp(err error, op string) error {
	var e *hostdriver.Error
	if errors.As(err, &e) && e.Op == opRun {
		named := *e
		named.Op = op
		return &named
	}
	return err
}

// noReply is err with what is known of a shell that gave no whole reply.
func noReply(err error, res Result) error {
	how := fmt.Sprintf("status %d", res.Exit)
	if res.Signal != "" {
		how = "signal " + res.Signal
	}
	if said := printable(string(lastBytes(res.Stderr, 400)), 400); said != "" {
		return fmt.Errorf("%w (the shell ended with %s and said: %s)", err, how, said)
	}
	return fmt.Errorf("%w (the shell ended with %s)", err, how)
}

func lastBytes(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// hostError is the failure that the host reports itself, if it does: records "error"
// and "mend", and "detail" for what may hold secrets.
func hostError(records []record, host, op string) error {
	e := &hostdriver.Error{Host: host, Op: op}
	for _, r := range records {
		switch r.kind {
		case "error":
			e.Kind = hostdriver.ErrorKind(r.arg(0))
			e.Err = errors.New(firstOf(r.said(), "it gave no reason"))
			if !oneOf(r.arg(0), "become", "refused", "conflict", "failed", "unknown") {
				e.Kind = hostdriver.Unknown
			}
		case "mend":
			e.Mend = r.said()
		case "detail":
			e.Detail = strings.TrimSpace(strings.ToValidUTF8(string(r.body), "?"))
		}
	}
	if e.Err == nil {
		return nil
	}
	return e
}

// said is a record's body for a person to read.
func (r record) said() string { return printable(string(r.body), 2000) }

// poolLine runs requests over a Pool: in the shell that is kept on the host's connection,
// or, where there is none or it is busy, in a shell of the request's own.
type poolLine struct{ pool *Pool }

func (p poolLine) refusal(ctx context.Context, host inventory.Host, r Result) error {
	c, err := p.pool.Conn(ctx, TargetFor(host))
	if err != nil {
		return nil
	}
	return c.BecomeRefusal(r)
}

func (p poolLine) dial(ctx context.Context, host inventory.Host, network, address string) (net.Conn, error) {
	c, err := p.pool.Conn(ctx, TargetFor(host))
	if err != nil {
		return nil, err
	}
	return c.Dial(ctx, network, address)
}

func (p poolLine) run(ctx context.Context, host inventory.Host, rq request) (Result, error) {
	c, err := p.pool.Conn(ctx, TargetFor(host))
	if err != nil {
		return Result{}, err
	}
	// Where no shell stays, one for the request alone works, or tells better why not.
	if res, asked, err := c.askShell(ctx, rq, p.pool.shells); asked && !errors.Is(err, errNoShell) {
		return res, err
	}
	return c.runAlone(ctx, rq)
}

// runAlone runs a request in a shell of its own.
func (c *Conn) runAlone(ctx context.Context, rq request) (Result, error) {
	script := rq.script.pieces(rq.call)
	command := shellWords(script.len())
	if rq.payload != nil {
		command = payloadWords(script.len())
	}
	words, err := c.BecomeLine(command...)
	if err != nil {
		return Result{}, &hostdriver.Error{Kind: hostdriver.Become, Host: c.login.name, Op: opRun, Err: err, Mend: "name another user to become"}
	}
	if rq.payload == nil {
		return c.Exec(ctx, Command{Line: words, Stdin: &script, MaxStdout: maxReply})
	}
	s, err := c.Start(ctx, words)
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	// A host that goes silent must not hold up who waits for it.
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	out, err := converse(wholeSession{s}, strings.Join(script, ""), rq.payload)
	if err == nil {
		var res Result
		res, err = s.Wait(ctx)
		res.Stdout = out
		return res, err
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return Result{Exit: -1, Stderr: s.Stderr(), Stdout: out},
		&hostdriver.Error{Kind: hostdriver.Unknown, Host: c.login.name, Op: opRun, Err: err}
}

// wholeSession is a shell that serves one request alone.
type wholeSession struct{ *Session }

func (s wholeSession) sent(error) { _ = s.CloseWrite() }

// duplex is a running shell: its input, and its output up to the end of the request's.
type duplex interface {
	io.ReadWriter
	// sent tells that all of the payload was written, or with err that its source has
	// failed: the host then has too little of it, and must get to know.
	sent(err error)
}

// readBuffers are for what a host says while it is asked.
var readBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// converse sends the script, reads until payload knows what to send, sends that and
// reads the rest. A host that stops reading has made up its mind: what it wrote counts.
func converse(s duplex, script string, payload payloadFunc) ([]byte, error) {
	if payload != nil { // which may keep what it was shown
		return gather(s, script, payload, nil)
	}
	gathered := gatherBuffers.Get().(*[]byte)
	out, err := gather(s, script, payload, (*gathered)[:0])
	if cap(out) <= maxGathered {
		*gathered = out
	}
	out = slices.Clone(out) // once, and of its size
	gatherBuffers.Put(gathered)
	return out, err
}

// gatherBuffers are for replies while they come, up to that size.
var gatherBuffers = sync.Pool{New: func() any { return new([]byte) }}

const maxGathered = 256 << 10

// gather is converse, into out.
func gather(s duplex, script string, payload payloadFunc, out []byte) ([]byte, error) {
	sending := make(chan struct{})
	close(sending)
	send := func(r io.Reader, then func(error)) {
		before, done := sending, make(chan struct{})
		sending = done
		go func() {
			defer close(done)
			<-before
			_, err := io.Copy(s, r)
			then(err)
		}()
	}
	send(strings.NewReader(script), func(error) {})
	buf := readBuffers.Get().(*[32 << 10]byte)
	defer readBuffers.Put(buf)
	for sent := payload == nil; ; {
		n, err := s.Read(buf[:])
		if len(out)+n > maxReply {
			return out, fmt.Errorf("it wrote more than %d bytes; stopped reading", maxReply)
		}
		out = append(out, buf[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if sent {
			continue
		}
		r, err := payload(out)
		if err != nil {
			return out, err
		}
		if r != nil {
			sent = true
			send(r, s.sent)
		}
	}
}
