package drivertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// Fake is a fleet of hosts in memory, and the hostdriver.Driver that reaches them.
type Fake struct {
	mu     sync.Mutex
	clock  func() time.Time
	passed time.Duration
	behave func(Start) Behaviour
	hosts  map[string]*FakeHost
}

var _ hostdriver.Driver = (*Fake)(nil)

// Epoch is when a Fake's own clock begins.
var Epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// New makes a fleet without hosts. clock may be nil: then time stands still but for Pass.
func New(clock func() time.Time) *Fake {
	if clock == nil {
		clock = func() time.Time { return Epoch }
	}
	return &Fake{clock: clock, behave: Programs, hosts: map[string]*FakeHost{}}
}

// Start is a process about to be started.
type Start struct {
	Host, Unit string
	Argv       []string
	Exe        string            // Argv[0] with symbolic links followed
	Digest     string            // of the executable's content, "" for the system's own
	Env        map[string]string // as systemd hands it over
}

// Behaviour is what a process does. The zero value runs until it is stopped.
type Behaviour struct {
	Exits      bool          // ends by itself, After its start, with Status
	After      time.Duration // of Exits
	Status     int
	ReadyAfter time.Duration // how long a unit of Type=notify, exec, forking or oneshot takes to start
	StopAfter  time.Duration // how long it takes to end when told to
	HidesEnv   bool          // writes a title over its environment
}

// Programs are the behaviours of programs that every host has: sleep, true, false. All
// others run until they are stopped.
func Programs(s Start) Behaviour {
	switch s.Exe {
	case "/bin/true", "/usr/bin/true":
		return Behaviour{Exits: true}
	case "/bin/false", "/usr/bin/false":
		return Behaviour{Exits: true, Status: 1}
	case "/bin/sleep", "/usr/bin/sleep":
		if len(s.Argv) > 1 && s.Argv[1] != "infinity" {
			return Behaviour{Exits: true, After: seconds(s.Argv[1])}
		}
	}
	return Behaviour{}
}

// Behave sets what decides how processes behave, in place of Programs. It is called with
// the fleet locked: it must not call the fleet.
func (f *Fake) Behave(decide func(Start) Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave = decide
}

// Host returns the host of that name, making it at first.
func (f *Fake) Host(name string) *FakeHost {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[name]
	if h == nil {
		h = newFakeHost(f, name)
		f.hosts[name] = h
	}
	return h
}

// Inventory is a Host of the inventory for each host, by name.
func (f *Fake) Inventory(names ...string) []inventory.Host {
	var all []inventory.Host
	for _, n := range names {
		f.Host(n)
		all = append(all, inventory.Host{Name: n, Address: n})
	}
	return all
}

// Pass lets time pass for all hosts.
func (f *Fake) Pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passed += d
}

func (f *Fake) now() time.Time { return f.clock().Add(f.passed) }

// reach locks the fleet and brings the host up to now, or says why it can't be reached.
// The caller unlocks in any case.
func (f *Fake) reach(ctx context.Context, name string) (*FakeHost, error) {
	f.mu.Lock()
	h := f.hosts[name]
	switch {
	case h == nil:
		return nil, errors.New("no such host")
	case ctx.Err() != nil:
		return h, ctx.Err()
	}
	h.advance(f.now())
	h.signal()
	return h, h.down
}

func unreachable(host, op string, err error) error {
	return &hostdriver.Error{Kind: hostdriver.Unreachable, Host: host, Op: op, Err: err}
}

// Observe implements hostdriver.Observer.
func (f *Fake) Observe(ctx context.Context, host inventory.Host, q hostdriver.Query) (hostdriver.Observation, error) {
	h, err := f.reach(ctx, host.Name)
	defer f.mu.Unlock()
	if err != nil {
		return hostdriver.Observation{}, unreachable(host.Name, "observe", err)
	}
	if err := checkQuery(q); err != nil {
		return hostdriver.Observation{}, &hostdriver.Error{Kind: hostdriver.Refused, Host: host.Name, Op: "observe", Err: err}
	}
	if err := h.garbled; err != nil {
		return hostdriver.Observation{}, &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: "observe", Err: err}
	}
	return h.observe(q), nil
}

// Apply implements hostdriver.Applier.
func (f *Fake) Apply(ctx context.Context, host inventory.Host, fence hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	h, err := f.reach(ctx, host.Name)
	defer f.mu.Unlock()
	name := hostdriver.OpName(op)
	if err != nil {
		return hostdriver.Result{}, unreachable(host.Name, name, err)
	}
	cut := h.cut
	h.cut = ""
	if cut == CutBefore {
		return hostdriver.Result{}, lost(host.Name, name)
	}
	h.interrupted = cut == CutDuring
	res, err := h.apply(fence, op)
	h.interrupted = false
	h.signal()
	if cut != "" {
		return hostdriver.Result{}, lost(host.Name, name)
	}
	var e *hostdriver.Error
	if errors.As(err, &e) {
		e.Host, e.Op = host.Name, name
	}
	return res, err
}

func lost(host, op string) error {
	return &hostdriver.Error{Kind: hostdriver.Unknown, Host: host, Op: op, Err: errors.New("the reply was lost")}
}

// failure makes a host's own error; Host and Op are filled in by Apply.
func failure(kind hostdriver.ErrorKind, mend, format string, a ...any) error {
	return &hostdriver.Error{Kind: kind, Err: fmt.Errorf(format, a...), Mend: mend}
}

// DialHost implements hostdriver.Dialer: it reaches what Listen has set up.
func (f *Fake) DialHost(ctx context.Context, host inventory.Host, network, address string) (net.Conn, error) {
	h, err := f.reach(ctx, host.Name)
	defer f.mu.Unlock()
	if err != nil {
		return nil, unreachable(host.Name, "dial from", err)
	}
	l := h.listeners[network+" "+address]
	if l.serve == nil || l.unit != "" && !h.ready(l.unit, f.now()) {
		return nil, failureAt(host.Name, address)
	}
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		l.serve(there)
	}()
	return here, nil
}

func failureAt(host, address string) error {
	return &hostdriver.Error{Kind: hostdriver.Failed, Host: host, Op: "dial from",
		Err: fmt.Errorf("%s: connection refused", address), Mend: "see whether something listens there"}
}
