package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// Gate is one outside word. It keeps no state, and is safe for concurrent use.
type Gate interface {
	// Ask asks once. It ends with ctx, and by itself after the spec's timeout. An error
	// (see Error) means that nothing was learnt, which holds a host back as a closed
	// gate does.
	Ask(ctx context.Context) (Answer, error)
}

// Answer is what a gate said.
type Answer struct {
	Open bool
	// Reason is one line for a person that names the gate, such as "prometheus
	// https://prometheus.example.com: {job=\"gateway\"} is 0.3, above max 0.01".
	Reason string
	// Mend is what a person can do about a closed one, where that is known.
	Mend string
}

// Subject is what is asked about.
type Subject struct{ Host, Service, Revision string }

// Deps is what gates reach the world through, always from the controller.
type Deps struct {
	// Dial connects. nil: net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// RunLocal runs a command line. nil: peer.RunLocal.
	RunLocal func(ctx context.Context, line string, limit time.Duration) (peer.Output, error)
}

// New makes the Gate of one spec. It contacts nobody and reads no file.
func New(spec desired.GateSpec, about Subject, deps Deps) (Gate, error) {
	if deps.Dial == nil {
		deps.Dial = (&net.Dialer{}).DialContext
	}
	if deps.RunLocal == nil {
		deps.RunLocal = peer.RunLocal
	}
	g, err := adapter(spec, about, deps)
	if err != nil {
		return nil, fmt.Errorf("cannot ask before %s: %w", about.Host, err)
	}
	return g, nil
}

func adapter(spec desired.GateSpec, about Subject, deps Deps) (Gate, error) {
	if (spec.Command == nil) == (spec.Prometheus == nil) {
		return nil, errors.New("the gate sets not exactly one of command and prometheus")
	}
	if spec.Command != nil {
		return newCommand(*spec.Command, about, deps)
	}
	return newPrometheus(*spec.Prometheus, deps)
}

// Describe names a gate for messages, in a line without anything that could be secret:
// of a command its program only.
func Describe(spec desired.GateSpec) string {
	switch {
	case spec.Command != nil:
		return "command " + program(spec.Command.Run)
	case spec.Prometheus != nil:
		return describePrometheus(*spec.Prometheus)
	}
	return "no gate at all"
}

func program(line string) string {
	if name := peer.Program(line); name != "" {
		return name
	}
	return "…"
}

// All is the gate that is open where every one of gates is, all asked at once. It
// names those that are closed. Where none is closed and one could not be asked, its
// error is that one's.
func All(gates ...Gate) Gate { return all(gates) }

type all []Gate

func (a all) Ask(ctx context.Context) (Answer, error) {
	answers, errs := make([]Answer, len(a)), make([]error, len(a))
	var asking sync.WaitGroup
	for i, g := range a {
		asking.Go(func() { answers[i], errs[i] = g.Ask(ctx) })
	}
	asking.Wait()
	together := Answer{Open: true, Reason: "every gate is open"}
	var closed []string
	for i, answer := range answers {
		if errs[i] != nil || answer.Open {
			continue
		}
		together.Open = false
		closed = append(closed, answer.Reason)
		if together.Mend == "" {
			together.Mend = answer.Mend
		}
	}
	if !together.Open {
		together.Reason = strings.Join(closed, "; ")
		return together, nil
	}
	for _, err := range errs {
		if err != nil {
			return Answer{}, err
		}
	}
	return together, nil
}

// Error tells that a gate could not be asked. Mend, which may be empty, tells a person
// what to do about it and is kept apart from the detail; Error() does not contain it.
type Error struct {
	Gate string // as Describe has it
	Mend string
	Err  error // the detail; never nil
}

// Error reads "cannot ask the gate prometheus https://…: <detail>".
func (e *Error) Error() string { return fmt.Sprintf("cannot ask the gate %s: %v", e.Gate, e.Err) }

// Unwrap returns the detail.
func (e *Error) Unwrap() error { return e.Err }

// MendOf returns what a person can do about err, or "".
func MendOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Mend
	}
	return ""
}

// limit is the time that a gate is given.
func limit(d desired.Duration, otherwise time.Duration) (time.Duration, error) {
	switch {
	case d < 0:
		return 0, fmt.Errorf("timeout %s is negative", d)
	case d == 0:
		return otherwise, nil
	}
	return d.D(), nil
}
