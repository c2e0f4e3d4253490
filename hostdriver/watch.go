package hostdriver

import (
	"context"
	"fmt"
	"time"

	"github.com/evenkeel/evenkeel/inventory"
)

// Watcher tells when to look at a host. What is so there, only an Observation says.
type Watcher interface {
	// Watch watches the host until ctx ends, and then closes the channel, once what it
	// had set up on the host is gone or has been given up. It looks after itself: a
	// connection that drops, a host that reboots and a host that cannot be watched are
	// signalled, and tried again with growing pauses. The error, of kind Refused, means
	// that no host can be watched like that.
	//
	// The first Signal of kind Watching, and each later one, means that changes may have
	// been missed: look. A change is signalled once it has happened, and where one comes
	// while it is being signalled, again: so a look that begins after the last Signal
	// sees everything (see Signal.AnsweredBy). A look may itself cause signals of what it
	// finds changed, never without end.
	//
	// Signals that are not taken in time make room for later ones: the last one always
	// arrives, and its kind tells how the watch stands.
	//
	// All writers are signalled, evenkeel too. Who changes a host need not stop the
	// watch: what it did is covered by the look that it takes afterwards anyway, and a
	// Signal older than that look is answered by it. A hand that edits in between is not
	// lost, for its Signal is younger or the look has seen it.
	Watch(ctx context.Context, host inventory.Host, q WatchQuery) (<-chan Signal, error)
}

// WatchQuery is what to watch on a host.
type WatchQuery struct {
	// Owner is the controller's name. Watches of several owners stand side by side on a
	// host; one owner has one watch there, and a later one takes over what an earlier
	// one has left, as a controller does that was killed.
	Owner string
	// Paths are files and links, which need not exist, nor their directories. Of a
	// directory, what is in it is watched, not what lies deeper.
	Paths []string
	Units []string
}

// The most of each that a host is asked to watch.
const (
	MaxWatchPaths = 4096
	MaxWatchUnits = 1024
	maxOwner      = 256
)

// Check tells what in q no host can watch.
func (q WatchQuery) Check() error {
	switch {
	case q.Owner == "" || len(q.Owner) > maxOwner || HasControl(q.Owner):
		return fmt.Errorf("owner %.40q is not a name of at most %d bytes", q.Owner, maxOwner)
	case len(q.Paths) > MaxWatchPaths:
		return fmt.Errorf("%d paths are more than the %d that can be watched on a host", len(q.Paths), MaxWatchPaths)
	case len(q.Units) > MaxWatchUnits:
		return fmt.Errorf("%d units are more than the %d that can be watched on a host", len(q.Units), MaxWatchUnits)
	}
	for _, p := range q.Paths {
		if err := CheckPath(p); err != nil {
			return err
		}
	}
	for _, u := range q.Units {
		if err := CheckUnit(u); err != nil {
			return err
		}
	}
	return nil
}

// Signal is one word of a watch.
type Signal struct {
	Host string
	Kind SignalKind
	At   time.Time // the controller's clock when the host's word came
	// Units are, of Changed, units whose state has changed, sorted. There may be more.
	Units []string
	// Files tells, of Changed, that a watched path was written, replaced, made, removed,
	// or got another owner or mode; or something beside it in its directory was.
	Files bool
	// Reloaded tells, of Changed, that systemd has loaded its units anew, or that units
	// were enabled, disabled or masked.
	Reloaded bool
	// Unwatched are, of Watching, the paths whose changes are not signalled, and Err, an
	// *Error, tells why: they must be looked at from time to time.
	Unwatched []string
	// Err tells, of Lost and Blind, why: an *Error.
	Err error
}

// SignalKind tells how the watch stands.
type SignalKind string

const (
	// Watching: from now on changes are signalled. Look at the host.
	Watching SignalKind = "watching"
	// Changed: something has changed. Look at the host.
	Changed SignalKind = "changed"
	// Lost: the host does not answer. It is tried again; then Watching follows.
	Lost SignalKind = "lost"
	// Blind: the host answers and cannot be watched, or its word is not to be relied on.
	// Look at it from time to time instead. It is tried again, seldom; then Watching
	// follows.
	Blind SignalKind = "blind"
)

// AnsweredBy tells whether o was begun after what s tells of, so that nobody need look
// again because of s.
func (s Signal) AnsweredBy(o Observation) bool {
	return o.Host == s.Host && o.At.Add(-o.Took).After(s.At)
}
