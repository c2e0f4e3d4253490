package drain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// Drainer is one instance behind one balancer. It keeps no state of its own: what
// it says is what the balancer says. It is safe for concurrent use.
type Drainer interface {
	// Status asks the balancer how the instance stands, and changes nothing. An
	// error means that the balancer does not answer, or does not know the instance:
	// reason enough not to begin.
	Status(ctx context.Context) (Status, error)
	// Drain takes the instance out of rotation and returns once the balancer, asked
	// again, says so. It may be repeated.
	//
	// ours tells whether this call took it out, or may have, where err is not nil.
	// It is false where a hand had taken it out before: such an instance is left as
	// it is, and must not be undrained later. A repeated Drain finds its own earlier
	// work and says false too, so a caller whose record names this drain as ours
	// keeps the record.
	Drain(ctx context.Context) (ours bool, err error)
	// Undrain takes back what Drain did, and returns once the balancer, asked again,
	// says that nothing of it is left. It may be repeated. It does not wait until the
	// balancer finds the instance healthy (Status.Up), and an instance that somebody
	// put into maintenance meanwhile stays there.
	Undrain(ctx context.Context) error
}

// SessionsUnknown is a Status' Sessions where nobody can count them.
const SessionsUnknown = -1

// Status is what a balancer says of one instance at one moment.
type Status struct {
	// Known tells that the balancer can be asked whether the instance is in rotation.
	// Where it cannot (http, command, none), Drained means nothing.
	Known bool
	// Drained: a hand, ours or another's, took it out of rotation. An instance that
	// is out because its health check fails is not drained, it is not Up.
	Drained bool
	// Sessions is how many are open, WebSockets included. Where only "some" is known
	// it is 1; where nobody can count them, SessionsUnknown.
	Sessions int
	// Up: the balancer's own health check finds the instance well; true as well where
	// it makes none, or cannot be asked.
	Up bool
	// State is how the balancer puts it, such as "UP", "DRAIN", "MAINT", "DOWN (L4CON)".
	State string
}

// Forgot tells, of an instance that was drained, that it is back in rotation: the
// balancer was reloaded, or somebody undrained it.
func (s Status) Forgot() bool { return s.Known && !s.Drained }

// Deps is what adapters reach the world through. Every adapter needs some of it
// only; New says what is missing.
type Deps struct {
	// Dial connects from the controller. nil: net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Dialer connects from a host's side, through SSH.
	Dialer hostdriver.Dialer
	// Host finds the host that a balancer's address names (ssh+unix://lb-1/…).
	Host func(name string) (inventory.Host, bool)
	// Applier and Fence run commands on hosts.
	Applier hostdriver.Applier
	Fence   func() hostdriver.Fence
	// Observer reads a balancer's file on a host, for nginx.
	Observer hostdriver.Observer
	// RunLocal runs a command line on the controller. nil: peer.RunLocal.
	RunLocal func(ctx context.Context, line string, limit time.Duration) (peer.Output, error)
}

// New makes the Drainer of one spec, already rendered for host. It contacts nobody.
func New(spec desired.DrainSpec, host inventory.Host, deps Deps) (Drainer, error) {
	if deps.Dial == nil {
		deps.Dial = (&net.Dialer{}).DialContext
	}
	if deps.RunLocal == nil {
		deps.RunLocal = peer.RunLocal
	}
	d, err := adapter(spec, host, deps)
	if err != nil {
		return nil, fmt.Errorf("cannot drain %s: %w", host.Name, err)
	}
	return d, nil
}

func adapter(spec desired.DrainSpec, host inventory.Host, deps Deps) (Drainer, error) {
	if n := given(spec); n != 1 {
		return nil, fmt.Errorf("the drain sets %d of haproxy, nginx, http, command and none: set exactly one", n)
	}
	switch {
	case spec.HAProxy != nil:
		return newHAProxy(*spec.HAProxy, host, deps)
	case spec.Nginx != nil:
		return newNginx(*spec.Nginx, host, deps)
	case spec.HTTP != nil:
		return newHTTP(*spec.HTTP, host, deps)
	case spec.Command != nil:
		return newCommand(*spec.Command, host, deps)
	default:
		return none{}, nil
	}
}

func given(spec desired.DrainSpec) int {
	n := 0
	for _, set := range []bool{spec.HAProxy != nil, spec.Nginx != nil, spec.HTTP != nil, spec.Command != nil, spec.None != nil} {
		if set {
			n++
		}
	}
	return n
}

// Describe names a drain for messages, in a line without anything that could be a
// secret: no query of a URL, and of a command its program only.
func Describe(spec desired.DrainSpec) string {
	switch {
	case spec.HAProxy != nil:
		return fmt.Sprintf("haproxy %s %s/%s", peer.Line(spec.HAProxy.Address), peer.Line(spec.HAProxy.Backend), peer.Line(spec.HAProxy.Server))
	case spec.Nginx != nil:
		return describeNginx(*spec.Nginx) + " " + peer.Line(spec.Nginx.Server)
	case spec.HTTP != nil:
		return "http " + describeURL(spec.HTTP.Drain.URL)
	case spec.Command != nil:
		return describeCommand(*spec.Command)
	case spec.None != nil:
		return "none"
	}
	return "no drain at all"
}

// Error is what a Drainer returns. Mend, which may be empty, tells a person what to
// do about it and is kept apart from the detail; Error() does not contain it.
type Error struct {
	Op    string // "drain", "undrain", or "see the balancer of"
	Host  string // the instance's host
	Where string // the adapter and its address, such as "haproxy tcp://lb-1:9999"
	Mend  string
	Err   error // the detail; never nil
}

// Error reads "cannot drain web-3: haproxy tcp://lb-1:9999: <detail>".
func (e *Error) Error() string {
	return fmt.Sprintf("cannot %s %s: %s: %v", e.Op, e.Host, e.Where, e.Err)
}

// Unwrap returns the detail.
func (e *Error) Unwrap() error { return e.Err }

// MendOf returns what a person can do about err, or "".
func MendOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Mend != "" {
		return e.Mend
	}
	var m *mended
	if errors.As(err, &m) {
		return m.mend
	}
	return hostdriver.MendOf(err)
}

// mended is a detail on its way up that knows its mend.
type mended struct {
	err  error
	mend string
}

func (m *mended) Error() string { return m.err.Error() }
func (m *mended) Unwrap() error { return m.err }

func mend(text, format string, args ...any) error {
	return &mended{err: fmt.Errorf(format, args...), mend: text}
}

// The operations of Error.
const (
	opStatus  = "see the balancer of"
	opDrain   = "drain"
	opUndrain = "undrain"
)

func fail(op string, host inventory.Host, where string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Host: host.Name, Where: where, Mend: MendOf(err), Err: err}
}
