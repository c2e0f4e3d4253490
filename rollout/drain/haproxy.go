package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

const (
	// haproxyLimit bounds one conversation with the runtime API.
	haproxyLimit = 10 * time.Second
	// haproxyReply caps an answer: 20,000 servers' worth.
	haproxyReply = 8 << 20
	// haproxyConfirm bounds how long a change may take to be read back.
	haproxyConfirm = 3 * time.Second
	// haproxyPause is between two readings.
	haproxyPause = 50 * time.Millisecond
)

// haproxy drains through HAProxy's runtime API (management.txt, section 9.3;
// HAProxy 1.8 and later), over a stats socket of level admin. Each command line has
// a connection of its own, as the non-interactive mode wants it.
//
// "set server … state drain" stops new sessions and leaves open ones and the health
// check alone. It is not saved anywhere: a balancer that reloads forgets it, unless
// it keeps its server state in a file; Status then says so. After a reload, sessions
// that the old process still serves are not counted by the new one.
type haproxy struct {
	spec   desired.HAProxyDrain
	host   inventory.Host
	dial   func(context.Context) (net.Conn, error)
	where  string
	server string // backend/server
}

func newHAProxy(spec desired.HAProxyDrain, host inventory.Host, deps Deps) (*haproxy, error) {
	h := &haproxy{
		spec:   spec,
		host:   host,
		where:  "haproxy " + peer.Line(spec.Address),
		server: spec.Backend + "/" + spec.Server,
	}
	for _, n := range [][2]string{{"backend", spec.Backend}, {"server", spec.Server}} {
		if !haproxyName(n[1]) {
			return nil, fmt.Errorf("%s: %s %q is not a name that HAProxy allows (letters, digits, '-', '_', '.' and ':')", h.where, n[0], peer.Line(n[1]))
		}
	}
	dial, err := haproxyDial(spec.Address, deps)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.where, err)
	}
	h.dial = dial
	return h, nil
}

// haproxyName holds names to what HAProxy's own configuration allows, so that no
// name can end a command and begin another.
func haproxyName(name string) bool {
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case strings.ContainsRune("-_.:", r):
		default:
			return false
		}
	}
	return name != "" && len(name) <= 255
}

// Status reads the administrative state from "show servers state" and the sessions
// from "show stat", in one conversation: "show stat" alone calls a drained server
// whose check fails just DOWN.
func (h *haproxy) Status(ctx context.Context) (Status, error) {
	s, err := h.read(ctx)
	if err != nil {
		return Status{}, fail(opStatus, h.host, h.where, err)
	}
	return s.status(), nil
}

// Drain leaves a server alone that is in maintenance or drain by hand. One that is
// out for another reason (weight 0, the server it tracks) is drained all the same,
// so that it does not come back in the middle of a step.
func (h *haproxy) Drain(ctx context.Context) (ours bool, err error) {
	s, err := h.read(ctx)
	if err != nil {
		return false, fail(opDrain, h.host, h.where, err)
	}
	if s.admin&(adminForcedMaint|adminForcedDrain) != 0 {
		return false, nil
	}
	sent, err := h.set(ctx, "drain")
	if err == nil {
		err = h.confirm(ctx, "drain", func(s haproxyServer) bool {
			return s.admin&(adminForcedMaint|adminForcedDrain) != 0
		})
	}
	return sent, fail(opDrain, h.host, h.where, err)
}

// Undrain sets only a drained server ready: "ready" on one that a person put into
// maintenance would take the maintenance away.
func (h *haproxy) Undrain(ctx context.Context) error {
	s, err := h.read(ctx)
	if err != nil {
		return fail(opUndrain, h.host, h.where, err)
	}
	if s.admin&adminForcedDrain == 0 || s.admin&adminForcedMaint != 0 {
		return nil
	}
	_, err = h.set(ctx, "ready")
	if err == nil {
		err = h.confirm(ctx, "ready", func(s haproxyServer) bool { return s.admin&adminForcedDrain == 0 })
	}
	return fail(opUndrain, h.host, h.where, err)
}

func (h *haproxy) read(ctx context.Context) (haproxyServer, error) {
	reply, _, err := h.talk(ctx, "show servers state "+h.spec.Backend+";show stat "+h.spec.Backend+" 4 -1")
	if err != nil {
		return haproxyServer{}, err
	}
	return parseHAProxy(reply, h.spec.Backend, h.spec.Server)
}

// set reports whether the command may have reached the balancer.
func (h *haproxy) set(ctx context.Context, state string) (sent bool, err error) {
	reply, sent, err := h.talk(ctx, "set server "+h.server+" state "+state)
	if err != nil {
		return sent, err
	}
	if reply = strings.TrimSpace(reply); reply != "" {
		return false, haproxyRefusal(reply, h.spec.Backend, h.spec.Server)
	}
	return true, nil
}

// confirm reads until the change shows. Other hands (an agent check, a reload, a
// person) may undo it at once, so that accepted does not yet mean done.
func (h *haproxy) confirm(ctx context.Context, state string, done func(haproxyServer) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, haproxyConfirm, errOwnLimit)
	defer cancel()
	for {
		s, err := h.read(ctx)
		if err == nil && done(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = mend("does an agent check, a reload or somebody else set it back?",
					"set server %s state %s was accepted, and yet the balancer still says %s", h.server, state, s.status().State)
			}
			return err
		case <-time.After(haproxyPause):
		}
	}
}

// talk sends one command line and returns the whole answer. sent tells whether the
// balancer may have read the line.
func (h *haproxy) talk(ctx context.Context, line string) (reply string, sent bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, haproxyLimit, errOwnLimit)
	defer cancel()
	conn, err := h.dial(ctx)
	if err != nil {
		return "", false, notReached(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // not every connection keeps deadlines
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", true, inTime(ctx, fmt.Errorf("cannot send a command: %w", err), haproxyLimit)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, haproxyReply+1))
	if err != nil {
		return "", true, inTime(ctx, fmt.Errorf("cannot read the answer: %w", err), haproxyLimit)
	}
	if len(answer) > haproxyReply {
		return "", true, notHAProxy("it answers with more than %d bytes", haproxyReply)
	}
	reply = string(answer)
	// An empty line ends every answer.
	if reply != "\n" && !strings.HasSuffix(reply, "\n\n") {
		if !strings.HasSuffix(reply, "\n") && strings.HasPrefix(reply, "HTTP/") {
			return "", true, notHAProxy("it answers in HTTP")
		}
		return "", true, notHAProxy("its answer was cut short after %d bytes", len(answer))
	}
	return reply, true, nil
}

func notHAProxy(format string, args ...any) error {
	return mend("the address must be that of HAProxy's runtime API: in haproxy.cfg, under global, `stats socket ADDRESS level admin`", format, args...)
}

// haproxyRefusal gives HAProxy's own words a mend.
func haproxyRefusal(reply, backend, server string) error {
	words := peer.FirstLine(reply)
	lower := strings.ToLower(words)
	switch {
	case strings.HasPrefix(lower, "no such backend"), strings.HasPrefix(lower, "can't find backend"), strings.HasPrefix(lower, "no such proxy"):
		return mend("compare the drain's `backend` with the names of backends in haproxy.cfg", "backend %s: %s", backend, words)
	case strings.HasPrefix(lower, "no such server"):
		return mend("compare the drain's `server` with the names of servers in that backend", "server %s/%s: %s", backend, server, words)
	case strings.HasPrefix(lower, "permission denied"):
		return mend("give that stats socket `level admin` in haproxy.cfg", "server %s/%s: %s", backend, server, words)
	case strings.HasPrefix(lower, "unknown command"):
		return notHAProxy("it does not know the command: %s", words)
	case words == "":
		return notHAProxy("its answer is empty")
	}
	return errors.New(words)
}
