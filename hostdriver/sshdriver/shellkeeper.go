package sshdriver

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// How long a shell is kept.
const (
	// shellIdle is how soon a second request must follow the first for a shell to be
	// started, and how long one waits for the next request.
	shellIdle = 20 * time.Second
	// shellLife bounds its life, for it goes on as root after sudo's rules have changed.
	shellLife = 10 * time.Minute
	// maxShells bounds how many a Pool keeps: each costs some 40 KB here, and 7 MB there.
	maxShells = 512
)

// keeper keeps at most one shell, that of a connection.
type keeper struct {
	patience, life time.Duration // shellIdle and shellLife, but in tests

	mu     sync.Mutex
	shell  *shell
	busy   bool      // the shell is asked, or being started
	asked  time.Time // when the last request began
	never  bool      // shells do not answer there
	closed bool
	wanted int // how many commands wait for a place of the connection's
	idle   *time.Timer
}

// take returns the shell if there is one that is free. mayStart tells that the caller may
// start one instead; whatever it got, it must then call put.
func (k *keeper) take() (s *shell, mayStart bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	soon := !k.asked.IsZero() && time.Since(k.asked) < k.patience
	k.asked = time.Now()
	if k.busy || k.never || k.closed {
		return nil, false
	}
	if k.shell != nil && time.Since(k.shell.born) > k.life {
		go k.shell.close()
		k.shell = nil
	}
	k.busy = k.shell != nil || soon
	return k.shell, k.busy && k.shell == nil
}

// free is take for who does not want a shell started.
func (k *keeper) free() *shell {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy || k.closed || k.shell == nil {
		return nil
	}
	k.busy = true
	return k.shell
}

// put ends what take began. s is the shell if it is fit for another request, else nil.
func (k *keeper) put(s *shell) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy, k.shell = false, s
	switch {
	case s == nil:
	case k.closed || k.wanted > 0:
		k.shell = nil
		go s.close()
	case k.idle == nil:
		k.idle = time.AfterFunc(k.patience, k.yield)
	default:
		k.idle.Reset(k.patience)
	}
}

// refuse is put(nil), and no shell is started any more.
func (k *keeper) refuse() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy, k.never, k.shell = false, true, nil
}

// want has the shell's place given up, now or when it is free, until unwant.
func (k *keeper) want() {
	k.mu.Lock()
	k.wanted++
	k.mu.Unlock()
	k.yield()
}

func (k *keeper) unwant() {
	k.mu.Lock()
	k.wanted--
	k.mu.Unlock()
}

// yield closes a shell that nobody asks now: it has waited long enough, or something else
// needs its place.
func (k *keeper) yield() {
	k.mu.Lock()
	s := k.shell
	if k.busy {
		s = nil
	} else {
		k.shell = nil
	}
	k.mu.Unlock()
	if s != nil {
		s.close() // not under the lock: it may end the connection, which comes back here
	}
}

// end is yield for good.
func (k *keeper) end() {
	k.mu.Lock()
	k.closed = true
	if k.idle != nil {
		k.idle.Stop()
	}
	k.mu.Unlock()
	k.yield()
}

// askShell sends the request to the connection's own shell. asked is false where there is
// none to be had; then nothing was sent.
func (c *Conn) askShell(ctx context.Context, rq request, places chan struct{}) (res Result, asked bool, err error) {
	s, mayStart := c.shells.take()
	begin := ""
	if mayStart {
		if s, begin, err = c.startShell(ctx, rq.script.places, places); s == nil {
			return Result{}, err != nil, err
		}
	}
	if s == nil {
		return Result{}, false, nil
	}
	res, err = c.askKept(ctx, s, begin, rq)
	return res, true, err
}

// errNoShell tells that what was to be a shell that stays has ended without a word of the
// request: none of it was carried out.
var errNoShell = errors.New("no shell stays there")

// askKept asks a shell that was taken, and puts it back.
func (c *Conn) askKept(ctx context.Context, s *shell, begin string, rq request) (Result, error) {
	res, fit, err := s.ask(ctx, begin, rq)
	switch {
	case fit:
		c.shells.put(s)
	case begin != "" && !bytes.Contains(res.Stdout, []byte("\n"+rq.script.nonce+" ")):
		c.shells.refuse()
		if res.Exit >= 0 {
			return res, errNoShell
		}
	default:
		c.shells.put(nil)
	}
	if err != nil && hostdriver.KindOf(err) == "" {
		err = &hostdriver.Error{Kind: hostdriver.Unknown, Host: c.login.name, Op: opRun, Err: err}
	}
	return res, err
}

// startShell starts a shell and returns what must be sent to it first. Where no more are
// kept there is neither one nor an error.
func (c *Conn) startShell(ctx context.Context, p places, all chan struct{}) (*shell, string, error) {
	select {
	case all <- struct{}{}:
	default:
		c.shells.put(nil)
		return nil, "", nil
	}
	text := shellText(p)
	words, err := c.BecomeLine(payloadWords(len(text))...)
	if err == nil {
		var session *Session
		if session, err = c.Start(ctx, words); err == nil {
			return newShell(session, func() { <-all }), text, nil
		}
	}
	<-all
	c.shells.put(nil)
	return nil, "", err
}
