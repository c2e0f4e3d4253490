package sshdriver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// maxTurnStderr is what a shell may write to stderr for one request.
const maxTurnStderr = defaultMaxStderr

var errTooLoud = fmt.Errorf("it wrote more than %d bytes to stderr; stopped reading", maxTurnStderr)

// remote is a command under way with a shell at its other end; *Session is the real one.
type remote interface {
	io.ReadWriteCloser
	CloseWrite() error
	Wait(ctx context.Context) (Result, error)
	Stderr() []byte
	// freshStderr forgets what was written there so far; Read fails once more than max
	// bytes have followed.
	freshStderr(max int64)
}

// shell is one that stays (see script/shell.sh), and who asks it. It answers one request at
// a time. It is fit for another only if it has answered the last one to its end; in any
// other case it is closed, and what became of the request is as unknown as it would be of a
// shell of its own.
type shell struct {
	session remote
	born    time.Time
	told    map[string]bool // the parts that it has
	release func()          // gives its place among a Pool's back
	once    sync.Once
}

func newShell(session remote, release func()) *shell {
	return &shell{session: session, born: time.Now(), release: release, told: map[string]bool{"frame": true, "shell": true}}
}

func (s *shell) close() {
	s.once.Do(func() {
		_ = s.session.Close()
		s.release()
	})
}

// ask sends one request and returns what came back, as if a shell had been started for it.
// begin is what a new shell must be sent first. fit tells whether another request may
// follow; otherwise the shell was closed.
func (s *shell) ask(ctx context.Context, begin string, rq request) (res Result, fit bool, err error) {
	defer func() {
		if !fit {
			s.close()
		}
	}()
	s.session.freshStderr(maxTurnStderr)
	// A host that goes silent must not hold up who waits for it.
	stop := context.AfterFunc(ctx, s.close)
	t := &turn{session: s.session, mark: []byte("\n" + rq.script.nonce + " gone ")}
	out, err := converse(t, begin+s.message(rq), rq.payload)
	intact := stop()
	res = Result{Exit: -1, Stdout: out, Stderr: s.session.Stderr()}
	switch {
	case ctx.Err() != nil && !t.over:
		err = ctx.Err()
	case err != nil:
	case t.over:
		res.Exit = t.status
		fit = intact && !t.spoilt && !t.short.Load() && answered(out, rq)
	default: // the shell itself has ended
		res, err = s.session.Wait(ctx)
		res.Stdout = out
	}
	return res, fit, err
}

// answered tells whether a request was carried out to its end. One that has failed may not
// have read all that was sent to it.
func answered(out []byte, rq request) bool {
	nonce := "\n" + rq.script.nonce
	return bytes.Contains(out, []byte(nonce+" end ")) && (rq.payload == nil || !bytes.Contains(out, []byte(nonce+" error ")))
}

// message is the request for this very shell: with the parts that it has not got yet.
func (s *shell) message(rq request) string {
	var parts []string
	for _, p := range rq.script.parts {
		if !s.told[p] {
			s.told[p] = true
			parts = append(parts, p)
		}
	}
	payload := 0
	if rq.payload != nil {
		payload = 1
	}
	more := partsText(parts)
	errand, size := rq.script.errand(rq.call), 0
	if len(errand) > readable {
		size = len(errand)
	} else {
		errand += rq.script.nonce + "\n"
	}
	return fmt.Sprintf("%s %d %d %d\n", rq.script.nonce, len(more), size, payload) + more + errand
}

// readable is how long a request may be, in bytes, to be read by the shell itself.
const readable = 1500

// turn is one request's share of a shell's output: it ends where the shell itself tells
// that the request has.
type turn struct {
	session remote
	mark    []byte // before the status and the end of the line
	tail    []byte // what was read last, as far as the mark may begin in it
	over    bool
	status  int
	spoilt  bool        // something follows
	short   atomic.Bool // too little was sent
}

func (t *turn) Read(p []byte) (int, error) {
	if t.over {
		return 0, io.EOF
	}
	n, err := t.session.Read(p)
	t.look(p[:n])
	return n, err
}

// maxStatus is the length of the longest status, with the end of its line.
const maxStatus = len("255\n")

// look finds the mark, however the output was cut into pieces.
func (t *turn) look(piece []byte) {
	t.tail = append(t.tail, piece...)
	if at := bytes.Index(t.tail, t.mark); at >= 0 {
		said, rest, whole := bytes.Cut(t.tail[at+len(t.mark):], []byte("\n"))
		switch status, err := strconv.ParseUint(string(said), 10, 8); {
		case whole:
			t.over, t.status, t.spoilt = true, int(status), t.spoilt || err != nil || len(rest) > 0
			return
		case len(said) >= maxStatus:
			t.over, t.spoilt = true, true
			return
		}
		t.tail = append(t.tail[:0], t.tail[at:]...)
		return
	}
	if over := len(t.tail) - len(t.mark); over > 0 {
		t.tail = append(t.tail[:0], t.tail[over:]...)
	}
}

func (t *turn) Write(p []byte) (int, error) { return t.session.Write(p) }

// sent: the shell's input goes on, unless the payload is less than the host waits for.
func (t *turn) sent(err error) {
	if err != nil {
		t.short.Store(true)
		_ = t.session.CloseWrite()
	}
}
