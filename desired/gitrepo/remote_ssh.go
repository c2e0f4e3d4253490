package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// sshRemote is git-upload-pack on a server, over its stdin and stdout.
type sshRemote struct {
	repo    *Repo
	program Program
	stop    func() bool // of what closes the program when the fetch's time is over
	adv     *advertised
}

func (r *Repo) dialSSH(ctx context.Context) (remote, error) {
	if r.options.SSH == nil {
		return nil, unauthorized(errors.New("no way to reach SSH servers was configured"), "")
	}
	p, err := r.options.SSH.Start(ctx, r.place.server, "git-upload-pack "+shellQuote(r.place.path))
	if err != nil {
		return nil, err
	}
	return &sshRemote{repo: r, program: p, stop: context.AfterFunc(ctx, func() { _ = p.Close() })}, nil
}

// shellQuote is what git does with a path.
func shellQuote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

func (s *sshRemote) tip(ctx context.Context, ref string) (plumbing.Hash, error) {
	a, err := readAdvertised(ctx, s.program, s.repo.limits.Refs)
	if err != nil {
		return plumbing.ZeroHash, s.explain(ctx, err)
	}
	s.adv = &a
	return a.tip(ref)
}

func (s *sshRemote) transfer(ctx context.Context, want plumbing.Hash, have []plumbing.Hash, into *objects) error {
	req, text, err := s.adv.request(want, have)
	if err != nil {
		return err
	}
	if _, err := s.program.Write(text); err != nil {
		return s.explain(ctx, err)
	}
	s.adv = nil // nothing more may be asked
	if err := answer(ctx, req, s.program, into, s.repo.limits); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// explain adds what the server wrote to stderr before it hung up.
func (s *sshRemote) explain(ctx context.Context, err error) error {
	var f *fault
	if errors.As(err, &f) && f.kind != Refused {
		return err
	}
	if ctx.Err() != nil {
		return unreachable(fmt.Errorf("no answer in time: %w", ctx.Err()), "")
	}
	hung := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || strings.Contains(err.Error(), "empty input")
	if !hung {
		return err
	}
	said := s.stderr()
	if said == "" {
		return unreachable(fmt.Errorf("the server hung up: %w", err), "")
	}
	return unauthorized(fmt.Errorf("the server says: %s", said), "see git.url, and whether this key may read the repository")
}

// stderr waits a moment for it: it comes on a way of its own.
func (s *sshRemote) stderr() string {
	for range 20 {
		if said := oneLine(string(s.program.Stderr()), 300); said != "" {
			return said
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ""
}

// close ends the conversation in good order where nothing was asked for.
func (s *sshRemote) close() {
	if s.adv != nil {
		_, _ = io.WriteString(s.program, "0000")
	}
	s.stop()
	_ = s.program.Close()
}
