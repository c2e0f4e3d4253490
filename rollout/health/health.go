package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// defaultTimeout is how long a check may take where its spec does not say.
const defaultTimeout = 5 * time.Second

// Checker is one proof that an instance serves. It is safe for concurrent use.
type Checker interface {
	// Check looks once. It ends with ctx, and by itself after the spec's timeout.
	Check(ctx context.Context) Result
}

// Result is what one look saw.
type Result struct {
	OK bool
	// Unknown tells, where OK is false, that nothing was learnt about the instance:
	// its host did not answer, or may not be asked like this.
	Unknown bool
	// Reason is one line for a person, such as "connection refused on 127.0.0.1:8080"
	// or "status 503, want 200"; where OK, what proved it. It never holds the body of
	// an answer or a header; of a command it holds the first line it printed; of a
	// journal nothing.
	Reason string
	// Mend is what a person can do about it, where that is known.
	Mend string
	Took time.Duration
}

// Deps is what checks reach the host through. Every check needs some of it only;
// New says what is missing.
type Deps struct {
	// Dialer connects from the host's side, for http and tcp.
	Dialer hostdriver.Dialer
	// Applier and Fence run commands, and read journals.
	Applier hostdriver.Applier
	Fence   func() hostdriver.Fence
	// Unit looks a unit up, as it is now. Its error means that nothing is known.
	Unit func(ctx context.Context, name string) (hostdriver.UnitState, error)
	// Started are the units that the service wants started: what a unit check
	// without a name looks at.
	Started []string
}

// New makes the Checker of one spec, already rendered for host. It contacts nobody.
func New(spec desired.HealthSpec, host inventory.Host, deps Deps) (Checker, error) {
	c, err := check(spec, host, deps)
	if err != nil {
		return nil, fmt.Errorf("cannot check %s: %w", host.Name, err)
	}
	return c, nil
}

func check(spec desired.HealthSpec, host inventory.Host, deps Deps) (Checker, error) {
	given := 0
	for _, set := range []bool{spec.HTTP != nil, spec.TCP != nil, spec.Command != nil, spec.Unit != nil, spec.Journal != nil} {
		if set {
			given++
		}
	}
	if given != 1 {
		return nil, fmt.Errorf("the check sets %d of http, tcp, command, unit and journal: set exactly one", given)
	}
	switch {
	case spec.HTTP != nil:
		return newHTTP(*spec.HTTP, host, deps)
	case spec.TCP != nil:
		return newTCP(*spec.TCP, host, deps)
	case spec.Command != nil:
		return newCommand(*spec.Command, host, deps)
	case spec.Journal != nil:
		return newJournal(*spec.Journal, host, deps)
	default:
		return newUnit(*spec.Unit, deps)
	}
}

// Describe names a check for messages, in a line without anything that could be a
// secret: no query, no header, and of a command its program only.
func Describe(spec desired.HealthSpec) string {
	switch {
	case spec.HTTP != nil:
		path, _, _ := strings.Cut(spec.HTTP.Path, "?")
		return peer.Line("http " + address(spec.HTTP.Host, spec.HTTP.Port) + path)
	case spec.TCP != nil:
		return peer.Line("tcp " + address(spec.TCP.Host, spec.TCP.Port))
	case spec.Command != nil:
		return "command " + program(spec.Command.Run)
	case spec.Journal != nil:
		return peer.Line("journal of " + spec.Journal.Unit)
	case spec.Unit != nil && spec.Unit.Name != "":
		return peer.Line("unit " + spec.Unit.Name)
	case spec.Unit != nil:
		return "unit: every started one"
	}
	return "no check at all"
}

// All is the check that every one of checkers passes, all looking at once. It says
// of each that fails why; of one that passes, nothing.
func All(checkers ...Checker) Checker { return all(checkers) }

type all []Checker

func (a all) Check(ctx context.Context) Result {
	begun := time.Now()
	results := make([]Result, len(a))
	var looking sync.WaitGroup
	for i, c := range a {
		looking.Go(func() { results[i] = c.Check(ctx) })
	}
	looking.Wait()
	together := Result{OK: true, Reason: "every check passes"}
	var reasons []string
	for _, r := range results {
		if r.OK {
			continue
		}
		// What one check learnt is known, whatever another could not learn.
		together.Unknown = r.Unknown && (together.OK || together.Unknown)
		together.OK = false
		if together.Mend == "" {
			together.Mend = r.Mend
		}
		reasons = append(reasons, r.Reason)
	}
	if !together.OK {
		together.Reason = strings.Join(reasons, "; ")
	}
	together.Took = time.Since(begun)
	return together
}

// look runs one check within its time and gives its Result the time it took.
func look(ctx context.Context, limit time.Duration, once func(context.Context) Result) Result {
	begun := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, limit, errOwnLimit)
	defer cancel()
	r := once(limited)
	if !r.OK && ctx.Err() != nil {
		r = Result{Unknown: true, Reason: "the check was ended before it was done"}
	}
	r.Took = time.Since(begun)
	return r
}

var errOwnLimit = errors.New("took too long")

// late tells that the check's own time is over.
func late(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errOwnLimit) }

func timeout(d desired.Duration) (time.Duration, error) {
	switch {
	case d < 0:
		return 0, fmt.Errorf("timeout %s is negative", d)
	case d == 0:
		return defaultTimeout, nil
	}
	return d.D(), nil
}

// address is where a check connects: 127.0.0.1 of the host where none is given.
func address(host string, port int) string {
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

func checkAddress(host string, port int) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("port %d is none: set 1 to 65535", port)
	}
	if strings.ContainsAny(host, "[]/ \t\r\n\x00@") {
		return fmt.Errorf("host %q is neither a name nor an address", peer.Line(host))
	}
	return nil
}
