package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/rollout"
)

// What the controller is asked about, beside its Snapshot.

// Events are the last limit (0: all) of those after a number, oldest first.
func (c *Controller) Events(ctx context.Context, after uint64, limit int) ([]Event, error) {
	return c.ledger.events(ctx, after, limit)
}

// Follow gives the events after a number as they come, until ctx ends. The channel is
// closed earlier where its reader is too slow: follow again from the last one.
func (c *Controller) Follow(ctx context.Context, after uint64) (<-chan Event, error) {
	return c.ledger.followFrom(ctx, after), nil
}

// Revisions are the newest limit (0: all) that were desired, newest first.
func (c *Controller) Revisions(ctx context.Context, limit int) ([]RevisionEntry, error) {
	all, err := lastOf[RevisionEntry](ctx, c.ledger.revisions, limit)
	slices.Reverse(all)
	return all, err
}

// Rollouts are the newest limit (0: all), newest first.
func (c *Controller) Rollouts(ctx context.Context, limit int) ([]RolloutEntry, error) {
	all, err := lastOf[RolloutEntry](ctx, c.ledger.rollouts, limit)
	slices.Reverse(all)
	return all, err
}

// RolloutByID is one rollout, whole: the one under way, or one of the history.
func (c *Controller) RolloutByID(ctx context.Context, id string) (RolloutStatus, error) {
	if rs := c.Snapshot().Rollout; rs != nil && rs.State.ID == id {
		return *rs, nil
	}
	if rs, ok, err := c.ledger.archive.find(ctx, id); ok || err != nil {
		return rs, err
	}
	all, err := c.Rollouts(ctx, 0)
	if err != nil {
		return RolloutStatus{}, err
	}
	for _, r := range all {
		if r.ID == id {
			return RolloutStatus{}, fmt.Errorf("%w: %s is too long ago to be kept whole; it ended at %s: %s", ErrUnknownRollout, id, r.Ended.Format(time.RFC3339), r.Words)
		}
	}
	return RolloutStatus{}, fmt.Errorf("%w: %q is not in the history", ErrUnknownRollout, id)
}

// look looks at one host now.
func (c *Controller) look(ctx context.Context, host string) (*Fleet, *View, error) {
	f := c.fleet()
	if f == nil {
		return nil, nil, fmt.Errorf("%w: there is no revision", ErrNotLooked)
	}
	if _, err := c.inventoryHost(host); err != nil {
		return nil, nil, err
	}
	f.Hosts, f.HostsOnly = []string{globQuote(host)}, true
	v, err := f.Look(ctx)
	if err == nil && len(v.Input.Hosts) == 0 {
		err = fmt.Errorf("%w: host %q", ErrUnknownObject, host)
	}
	return f, v, err
}

// Diff is how a host differs from the revision; it is looked at now.
func (c *Controller) Diff(ctx context.Context, host string) (rollout.Plan, error) {
	_, v, err := c.look(ctx, host)
	if err != nil {
		return rollout.Plan{}, err
	}
	return v.Plan, nil
}

// Explain tells all about one instance; it looks at the host now.
func (c *Controller) Explain(ctx context.Context, host, service string) (Explanation, error) {
	f, v, err := c.look(ctx, host)
	if err != nil {
		return Explanation{}, err
	}
	f.Journals, _ = f.Driver.(hostdriver.JournalReader)
	e, err := f.Explain(ctx, v, host, service)
	if info, described := c.opt.Git.Describe(ctx, f.Revision.ID); described == nil {
		e.Changed = &info
	}
	// What a service logs may hold secrets, and an answer of the API goes further than to
	// the person who asked: the causes are told, the lines are not.
	e.Journal = nil
	return e, err
}

// logMessageMost is the longest message that is handed on: journald itself cuts a line of
// a process' output at 48 KiB.
const logMessageMost = 64 << 10

// Logs merges the journals of a service on hosts (globs; none: on all), as Fleet.Logs
// does. Its secrets are hidden.
func (c *Controller) Logs(ctx context.Context, hosts []string, q LogQuery, sink LogSink) error {
	f := c.fleet()
	if f == nil {
		return fmt.Errorf("%w: there is no revision", ErrNotLooked)
	}
	if err := f.knowsService(q.Service); err != nil {
		return err
	}
	f.Hosts, f.logPlaces = hosts, &c.logs
	f.Journals, _ = f.Driver.(hostdriver.JournalReader)
	if f.Journals == nil {
		return fmt.Errorf("%w: no host's journal can be read", ErrNotLooked)
	}
	q.Hidden, q.MessageMost = true, logMessageMost
	_, err := f.Logs(ctx, q, sink)
	return err
}

// knowsService tells whether the revision has a service of that name.
func (f *Fleet) knowsService(name string) error {
	names := f.Revision.HeldBack()
	for _, s := range f.Revision.Services {
		names = append(names, s.Name)
	}
	if slices.Contains(names, name) {
		return nil
	}
	if near, ok := fault.Nearest(name, names); ok {
		return unknownObject(fmt.Sprintf("there is no service %.80q; is %s meant?", name, near))
	}
	return unknownObject(fmt.Sprintf("there is no service %.80q", name))
}
