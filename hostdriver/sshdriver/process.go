package sshdriver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const opRun = "run a command on"

// process is one command on a channel of its own.
type process struct {
	conn    *Conn
	ch      ssh.Channel
	status  chan exitStatus // one value at most: the host has said how it ended
	ended   chan struct{}   // closed when the channel is closed by the host or has died
	settled bool            // finish or abandon was called
}

// exitStatus is how a command ended: RFC 4254, section 6.10.
type exitStatus struct {
	code   int    // -1 if it was killed
	signal string // "KILL", "TERM": without SIG
}

// startProcess takes a place, opens a session and starts line in it, all within ctx.
// An error of another kind than Unknown means that nothing was started. The caller
// must call finish or abandon, once.
func (c *Conn) startProcess(ctx context.Context, line string) (*process, error) {
	if err := c.join(); err != nil {
		return nil, c.fail(hostdriver.Unreachable, opRun, err, "")
	}
	if err := c.takeSlot(ctx); err != nil {
		c.leave()
		return nil, err
	}
	ch, reqs, err := c.openSession(ctx)
	if err != nil {
		<-c.slots
		c.leave()
		return nil, err
	}
	p := &process{conn: c, ch: ch, status: make(chan exitStatus, 1), ended: make(chan struct{})}
	go p.listen(reqs)
	if err := p.exec(ctx, line); err != nil {
		p.abandon()
		return nil, err
	}
	return p, nil
}

// takeSlot waits for one of the connection's places.
func (c *Conn) takeSlot(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	c.shells.want()
	defer c.shells.unwant()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-c.done:
		return c.fail(hostdriver.Unreachable, opRun, fmt.Errorf("connection lost: %w", c.Err()), "")
	case <-ctx.Done():
		return c.fail(hostdriver.Unreachable, opRun, fmt.Errorf("%d commands still run there: %w", cap(c.slots), ctx.Err()), "")
	}
}

// openSession opens a channel, again and again while the host says that it has no
// more of them: then it is at its MaxSessions, which is no fault of its own.
func (c *Conn) openSession(ctx context.Context) (ssh.Channel, <-chan *ssh.Request, error) {
	pause := 20 * time.Millisecond
	for alone := 0; ; {
		ch, reqs, err := c.openChannel(ctx, "session", nil)
		if err == nil {
			return ch, reqs, nil
		}
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || refused.Reason == ssh.UnknownChannelType {
			return nil, nil, c.fail(hostdriver.Unreachable, opRun, fmt.Errorf("cannot open a session: %w", err), "")
		}
		c.shells.yield()
		// With no other session of ours there is nothing to wait for, except that the
		// host may not have noticed the end of the last one.
		if len(c.slots) <= 1 {
			if alone++; alone > 8 {
				return nil, nil, c.fail(hostdriver.Unauthorized, opRun, fmt.Errorf("it allows no sessions: %w", err),
					"see MaxSessions in its sshd_config: it must be at least 1, better 10")
			}
		}
		wait := time.NewTimer(jitter(pause, rand.Float64())) // #nosec G404
		select {
		case <-wait.C:
		case <-c.done:
		case <-ctx.Done():
			wait.Stop()
			return nil, nil, c.fail(hostdriver.Unreachable, opRun, fmt.Errorf("it has no session free (MaxSessions): %w", ctx.Err()), "")
		}
		pause = min(2*pause, time.Second)
	}
}

// exec asks the host to run line. From here on the outcome of a failure is unknown,
// but for a host that answers no.
func (p *process) exec(ctx context.Context, line string) error {
	type answer struct {
		ok  bool
		err error
	}
	result := make(chan answer, 1)
	go func() {
		ok, err := p.ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
		result <- answer{ok, err}
	}()
	select {
	case a := <-result:
		switch {
		case a.err != nil:
			return p.unknown(fmt.Errorf("while starting it: %w", p.conn.explain(a.err)))
		case !a.ok:
			return p.conn.fail(hostdriver.Unreachable, opRun, errors.New("it refused to start a command"),
				"see its journal (journalctl -u ssh): sshd may be unable to fork, or may allow only other kinds of session")
		}
		return nil
	case <-ctx.Done():
		return p.unknown(fmt.Errorf("no answer to its start: %w", ctx.Err()))
	}
}

// listen takes the host's word on how the command ended, until the channel closes.
func (p *process) listen(reqs <-chan *ssh.Request) {
	defer close(p.ended)
	told := false
	for req := range reqs {
		var st exitStatus
		switch req.Type {
		case "exit-status":
			if len(req.Payload) < 4 {
				continue
			}
			st.code = int(int32(binary.BigEndian.Uint32(req.Payload))) // #nosec G115 -- as on the wire
		case "exit-signal":
			var m struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if ssh.Unmarshal(req.Payload, &m) != nil {
				continue
			}
			st = exitStatus{code: -1, signal: printable(m.Signal, 32)}
		default:
			if req.WantReply {
				_ = req.Reply(false, nil)
			}
			continue
		}
		if !told {
			told = true
			p.status <- st
		}
	}
}

// finish gives the place back after the command has ended.
func (p *process) finish() {
	if p.settled {
		return
	}
	p.settled = true
	select {
	case <-p.ended:
		<-p.conn.slots
		p.conn.leave()
	default:
		p.settled = false
		p.abandon()
	}
}

// abandon closes the channel without waiting for the host to agree. The place is
// given back when it does: until then the command still counts there.
func (p *process) abandon() {
	if p.settled {
		return
	}
	p.settled = true
	go func() { _ = p.ch.Close() }()
	p.conn.abandon(p.ended)
}

// unknown makes the error for a command that may have been started, or done.
func (p *process) unknown(err error) error {
	return p.conn.fail(hostdriver.Unknown, opRun, err, "")
}
