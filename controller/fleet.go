package controller

import (
	"context"
	"path"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// Fleet is one revision and the means to reach its hosts.
type Fleet struct {
	Revision desired.Revision
	Driver   hostdriver.Driver
	Log      zerolog.Logger
	// Holder names who mutates, for the hosts' records: "apply deploy@build-1 pid 4711".
	Holder   string
	TakeOver bool
	// Concurrency bounds how many hosts are talked to at once; 0: 64.
	Concurrency int
	// ObserveTimeout bounds one reading of one host; 0: 20 s.
	ObserveTimeout time.Duration
	// Hosts and Services are globs; empty: all. A host that is not among them is
	// not even looked at, unless a chosen service runs there and counts in the budget.
	Hosts    []string
	Services []string
	// HostsOnly leaves out hosts that would be looked at for the budgets' sake only:
	// for what changes nothing.
	HostsOnly bool
	// Promoted are services whose canaries were accepted for this revision, by name; see
	// State.Promoted.
	Promoted map[string]bool
	// PruneAll lets a revision that wants nothing anywhere take everything away.
	PruneAll bool
	// Save makes a State durable before its commands run. nil: the hosts' own
	// records are all there is.
	Save func(context.Context, State) error
}

func (f *Fleet) concurrency() int {
	if f.Concurrency > 0 {
		return f.Concurrency
	}
	return 64
}

func (f *Fleet) observeTimeout() time.Duration {
	if f.ObserveTimeout > 0 {
		return f.ObserveTimeout
	}
	return 20 * time.Second
}

// matches tells whether name is among globs (path.Match's); none means all.
func matches(globs []string, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g string) bool {
		ok, err := path.Match(g, name)
		return err == nil && ok
	})
}

// hosts are the inventory's hosts in order.
func (f *Fleet) hosts() []inventory.Host { return f.Revision.Inventory.Hosts }

func (f *Fleet) prune() bool {
	return f.Revision.Fleet.Spec.Prune == nil || *f.Revision.Fleet.Spec.Prune
}
