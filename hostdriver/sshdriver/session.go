package sshdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Session is a command that runs on, such as a shell that reads scripts from its
// stdin or a bridge to D-Bus. Read reads its stdout and Write writes its stdin; one
// goroutine may do each. It holds one of the connection's places until Close.
//
// Close, which is needed in any case, never waits for the host and unblocks Read and
// Write; so does the end of the connection.
type Session struct {
	process *process
	stdin   *io.PipeWriter
	stdout  *io.PipeReader
	stderr  *tail
	copied  chan struct{} // closed when all of stdout has been passed on
	close   sync.Once
}

const (
	sessionStderr = 64 << 10
	sessionBuffer = 8 << 10  // of stdout, while the session lives: a fleet has many
	packetSize    = 32 << 10 // the most that OpenSSH takes at once
)

// Start starts line (see Command) within ctx, which does not bound what follows. Its
// errors are those of Exec.
func (c *Conn) Start(ctx context.Context, line string) (*Session, error) {
	p, err := c.startProcess(ctx, line)
	if err != nil {
		return nil, err
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	s := &Session{process: p, stdin: inW, stdout: outR, stderr: &tail{limit: sessionStderr}, copied: make(chan struct{})}
	go func() {
		err := feedSession(paced{p.ch, newPacer(func() error {
			_, err := p.ch.SendRequest("keepalive@openssh.com", true, nil)
			return err
		})}, inR, feedSize, packetSize)
		_ = inR.CloseWithError(err)
		_ = p.ch.CloseWrite()
	}()
	go func() {
		defer close(s.copied)
		_, err := io.CopyBuffer(outW, p.ch, make([]byte, sessionBuffer))
		if err == nil && p.conn.raw.broken.Load() {
			err = fmt.Errorf("session on %s: %w", c.login.name, p.conn.explain(io.ErrUnexpectedEOF))
		}
		_ = outW.CloseWithError(err) // nil: io.EOF
		<-p.ended
		_ = inR.Close()
	}()
	go func() {
		if _, err := io.CopyBuffer(s.stderr, p.ch.Stderr(), make([]byte, 512)); errors.Is(err, errTooLoud) {
			_ = outW.CloseWithError(err)
		}
	}()
	return s, nil
}

// feedSession copies as io.Copy does. Once much is sent it sends whole packets, for each
// costs the host a turn. Little is sent in small pieces (see feedSize).
func feedSession(to io.Writer, from io.Reader, buffer, most int) error {
	buf := make([]byte, buffer)
	for sent := 0; ; {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if sent += n; n == len(buf) && n < most && sent >= 2*most {
			buf = make([]byte, most)
		}
	}
}

// paced is a writer that waits after each packet until more may be sent.
type paced struct {
	io.Writer
	pacer *pacer
}

func (p paced) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	p.pacer.wrote(n)
	return n, err
}

// Read returns io.EOF when the command has closed its stdout, and another error when
// the connection broke.
func (s *Session) Read(p []byte) (int, error) { return s.stdout.Read(p) }

// Write returns io.ErrClosedPipe when the command or the session has ended.
func (s *Session) Write(p []byte) (int, error) { return s.stdin.Write(p) }

// CloseWrite ends the command's stdin.
func (s *Session) CloseWrite() error { return s.stdin.Close() }

// Stderr returns the last 64 KiB of what the command has written there so far.
func (s *Session) Stderr() []byte { return s.stderr.bytes() }

func (s *Session) freshStderr(max int64) { s.stderr.fresh(max) }

// Wait waits for the command to end, within ctx, and returns how it did: Exit, Signal
// and Stderr of the Result. Somebody must read stdout meanwhile, lest the command wait
// for that. The error is of kind Unknown.
func (s *Session) Wait(ctx context.Context) (Result, error) {
	p := s.process
	select {
	case <-p.ended:
	case <-ctx.Done():
		return Result{Exit: -1, Stderr: s.Stderr()}, p.unknown(fmt.Errorf("it has not ended: %w", ctx.Err()))
	}
	select {
	case st := <-p.status:
		p.status <- st // for the next Wait
		return Result{Exit: st.code, Signal: st.signal, Stderr: s.Stderr()}, nil
	default:
		return Result{Exit: -1, Stderr: s.Stderr()}, p.unknown(fmt.Errorf("it ended without an exit status: %w", p.conn.explain(errors.New("session closed"))))
	}
}

// Close ends the session. A command that does not end when its stdin and stdout are
// closed runs on there.
func (s *Session) Close() error {
	s.close.Do(func() {
		_ = s.stdin.Close()
		_ = s.stdout.Close()
		s.process.finish()
	})
	return nil
}

// tail keeps the last bytes written to it.
type tail struct {
	limit int
	mu    sync.Mutex
	data  []byte
	room  int64 // 0: no end
}

// fresh forgets what was written, and takes no more than that much (see errTooLoud).
func (t *tail) fresh(room int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data, t.room = nil, room
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.room > 0 {
		if t.room -= int64(len(p)); t.room <= 0 {
			t.room = 1
			return 0, errTooLoud
		}
	}
	t.data = append(t.data, p...)
	if over := len(t.data) - t.limit; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.data...)
}
