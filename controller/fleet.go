package controller

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// Fleet is one revision and the means to reach its hosts.
type Fleet struct {
	Revision desired.Revision
	Driver   hostdriver.Driver
	// Journals reads hosts' journals; nil: nobody does.
	Journals hostdriver.JournalReader
	// logPlaces bound how many are read at once; nil: nothing does.
	logPlaces *logPlaces
	Log       zerolog.Logger
	// Holder names who mutates, for the hosts' records: "apply deploy@build-1 pid 4711".
	Holder   string
	TakeOver bool
	// Claimed tells that Holder is a controller whose hosts are its own. Epoch is what
	// it mutates with; 0: one above all that hosts have obeyed.
	Claimed bool
	Epoch   uint64
	// Suspended are not touched, by an operator's word.
	Suspended Suspended
	// rotating is what is not touched for the sake of secrets, as Rotate found it.
	rotating Suspended
	// Ignore is drift that is left as it is.
	Ignore []rollout.Ignore
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
	// Retry brings what hosts have refused as well. Undo, where set, goes back.
	Retry bool
	Undo  *rollout.Back
	// IgnoreWindows lets what disturbs begin outside of windows.
	IgnoreWindows bool
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

// hosts are those of the inventory that are looked at, in order: all, or only those asked
// for. One host of a large fleet is looked at as often as any.
func (f *Fleet) hosts() []inventory.Host {
	all := f.Revision.Inventory.Hosts
	switch {
	case !f.HostsOnly || len(f.Hosts) == 0:
		return all
	case len(f.Hosts) == 1 && !strings.ContainsAny(f.Hosts[0], `*?[\`):
		if h, ok := f.Revision.Inventory.Find(f.Hosts[0]); ok {
			return []inventory.Host{h}
		}
		return nil
	}
	var asked []inventory.Host
	for i := range all {
		if matches(f.Hosts, all[i].Name) {
			asked = append(asked, all[i])
		}
	}
	return asked
}

func (f *Fleet) prune() bool {
	return f.Revision.Fleet.Spec.Prune == nil || *f.Revision.Fleet.Spec.Prune
}

// Suspended are hosts, services and instances with the reason why they are not touched.
type Suspended struct {
	All             string // why nothing at all is touched
	Hosts, Services map[string]string
	Instances       map[[2]string]string // host, service
}

// holds is what is not to be touched on one host, by the fleet repo's or an operator's
// word: see rollout.HostInput.
func (f *Fleet) holds(h inventory.Host) map[string]string {
	hold := map[string]string{}
	put := func(service, why string) {
		if why != "" {
			hold[service] = why
		}
	}
	put("", orWords(f.Suspended.All, orWords(f.Suspended.Hosts[h.Name], h.Suspend)))
	for _, s := range f.Revision.Services {
		put(s.Name, s.Spec.Suspend.Why())
	}
	for _, s := range []Suspended{f.rotating, f.Suspended} {
		for name, why := range s.Services {
			put(name, why)
		}
		for at, why := range s.Instances {
			if at[0] == h.Name {
				put(at[1], why)
			}
		}
	}
	return hold
}
