package apitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/rollout"
)

// Fake is a controller of a small fleet that exists only in its memory: hosts web-1 and
// web-2 run service gateway, db-1 does not answer. It implements api.Controller.
type Fake struct {
	mu        sync.Mutex
	now       func() time.Time
	snapshot  *controller.Snapshot
	events    []controller.Event
	followers map[*follower]bool
	pokes     []string
	actions   []controller.Action
	revisions []controller.RevisionEntry
	rollouts  []controller.RolloutEntry
	kept      map[string]controller.RolloutStatus
	broken    error
	store     store.Copier
	logged    []controller.LogEntry
	readers   map[chan struct{}]bool // of logs; told that there is more

	logQueries []controller.LogQuery
}

type follower struct {
	out chan controller.Event
}

// Revision is the revision that the fake has in force.
const Revision = "4f1c2d9e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e"

// began is when the fake's world began.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// New makes a Fake whose fleet was looked at.
func New() *Fake {
	f := &Fake{now: time.Now, followers: map[*follower]bool{}, kept: map[string]controller.RolloutStatus{}}
	f.snapshot = firstSnapshot()
	f.revisions = []controller.RevisionEntry{{Revision: Revision, Subject: "gateway: raise the limit", Author: "Ada <ada@example.com>", Signer: "ada", Accepted: began}}
	return f
}

func firstSnapshot() *controller.Snapshot {
	report := controller.Report{Revision: Revision,
		Instances: []controller.InstanceStatus{
			{Host: "web-1", Service: "gateway", Sync: controller.Synced, Health: controller.Healthy, Revision: Revision},
			{Host: "web-2", Service: "gateway", Sync: controller.OutOfSync, Health: controller.Degraded, Revision: Revision, Stale: true, Reason: "gateway.service failed"},
			{Host: "db-1", Service: "db", Sync: controller.UnknownSync, Health: controller.UnknownHealth, Reason: "no answer"}},
		Hosts: []controller.HostStatus{{Name: "web-1", Reachable: true}, {Name: "web-2", Reachable: true}, {Name: "db-1", Reason: "no answer"}}}
	plan := rollout.Plan{Revision: Revision, Services: []rollout.ServicePlan{}, Visits: []rollout.Visit{}, Hosts: []rollout.HostPlan{
		{Host: "web-1", Reachable: true, Changes: []rollout.Change{}},
		{Host: "web-2", Reachable: true, Changes: []rollout.Change{{Host: "web-2", Service: "gateway", Kind: rollout.KindProcess, Action: rollout.ActionRestart,
			Subject: "gateway.service", Stale: true, Disruption: rollout.Restart, Reason: "stale: it runs with an older LIMIT"}}},
		{Host: "db-1", Reason: "no answer", Changes: []rollout.Change{}}}}
	return &controller.Snapshot{At: began, Controller: "fake", Report: report, Plan: &plan, LastSuccess: began.Add(-time.Hour),
		Source: controller.Source{URL: "ssh://git@git.example.com/fleets/production.git", Branch: "main", Tip: Revision, Revision: Revision,
			Subject: "gateway: raise the limit", Author: "Ada <ada@example.com>", Committed: began.Add(-time.Minute), Fetched: began},
		Conditions:     controller.Conditions{{Type: controller.Reconciled, Status: controller.False, Reason: "Differs", Message: "1 host differs", LastTransitionTime: began}},
		HostConditions: map[string]controller.Conditions{"db-1": {{Type: controller.Reachable, Status: controller.False, Reason: "NoAnswer", Message: "no answer", LastTransitionTime: began}}}, ServiceConditions: map[string]controller.Conditions{},
		Drift:       []controller.Drift{{Host: "web-2", Service: "gateway", Subject: "gateway.service", Class: controller.DriftStale, Reason: "it runs with an older LIMIT", Keys: []string{"LIMIT"}, Since: began}},
		Suspensions: []controller.Suspension{}, Drains: []controller.HandDrain{}, Queue: map[string]int{"hosts": 1},
		Observed: map[string]controller.Glance{"web-1": {At: began, Took: 40 * time.Millisecond, Watched: true}, "db-1": {At: began, Took: time.Second, Error: "no answer"}}}
}

// Snapshot is the fake's.
func (f *Fake) Snapshot() *controller.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snapshot
}

// Change publishes a changed snapshot.
func (f *Fake) Change(change func(*controller.Snapshot)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change(change)
}

// change does so with f.mu held: readers of the old one see nothing of it.
func (f *Fake) change(change func(*controller.Snapshot)) {
	next := *f.snapshot
	next.Suspensions, next.Drains = slices.Clone(next.Suspensions), slices.Clone(next.Drains)
	change(&next)
	f.snapshot = &next
}

// Blank is the fake before it knows anything.
func (f *Fake) Blank() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snapshot = nil
}

// Break makes everything but the snapshot fail; nil mends it.
func (f *Fake) Break(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = err
}

// Poke notes why.
func (f *Fake) Poke(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pokes = append(f.pokes, why)
}

// Pokes is how often it was poked.
func (f *Fake) Pokes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pokes)
}

// Actions are those that were asked for, in order.
func (f *Fake) Actions() []controller.Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.actions)
}

// Happened records an event, and gives it to who follows.
func (f *Fake) Happened(e controller.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.happened(e)
}

func (f *Fake) happened(e controller.Event) {
	e.Seq = uint64(len(f.events) + 1)
	if e.At.IsZero() {
		e.At = began.Add(time.Duration(e.Seq) * time.Second)
	}
	if e.Type == "" {
		e.Type = controller.Normal
	}
	f.events = append(f.events, e)
	for w := range f.followers {
		select {
		case w.out <- e:
		default:
			close(w.out)
			delete(f.followers, w)
		}
	}
}

// Events are the newest of those after a number.
func (f *Fake) Events(_ context.Context, after uint64, limit int) ([]controller.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.events[min(after, uint64(len(f.events))):]
	return slices.Clone(list[max(0, len(list)-limit):]), f.broken
}

// room is how far a follower may fall behind.
const room = 16

// Follow gives events as they happen.
func (f *Fake) Follow(ctx context.Context, after uint64) (<-chan controller.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	kept := f.events[min(after, uint64(len(f.events))):]
	w := &follower{out: make(chan controller.Event, len(kept)+room)}
	for _, e := range kept {
		w.out <- e
	}
	f.followers[w] = true
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.followers[w] {
			delete(f.followers, w)
			close(w.out)
		}
	})
	return w.out, nil
}

// Followers is how many follow.
func (f *Fake) Followers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.followers)
}

// Revisions is the history.
func (f *Fake) Revisions(_ context.Context, limit int) ([]controller.RevisionEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.revisions[:min(limit, len(f.revisions))]), f.broken
}

// Rollouts is the history.
func (f *Fake) Rollouts(_ context.Context, limit int) ([]controller.RolloutEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rollouts[:min(limit, len(f.rollouts))]), f.broken
}

// RolloutByID is one of them, or the one under way.
func (f *Fake) RolloutByID(_ context.Context, id string) (controller.RolloutStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.snapshot.Rollout; r != nil && r.State.ID == id {
		return *r, f.broken
	}
	r, ok := f.kept[id]
	if !ok {
		return r, fmt.Errorf("rollout %q: %w", id, controller.ErrUnknownRollout)
	}
	return r, f.broken
}

// Store is what a backup of the fake is, unless it Keeps a store.
const Store = "the fake's store"

// Keeps makes backups those of a store.
func (f *Fake) Keeps(s store.Copier) { f.store = s }

// Backup writes the fake's store, in two pieces; a broken one breaks off in between.
func (f *Fake) Backup(ctx context.Context, w io.Writer, by string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.broken, controller.ErrNoBackup) {
		return 0, f.broken
	}
	if f.store != nil {
		return f.store.Backup(ctx, w)
	}
	n, err := io.WriteString(w, Store[:7])
	if err != nil || f.broken != nil {
		return int64(n), errors.Join(err, f.broken)
	}
	m, err := io.WriteString(w, Store[7:])
	f.happened(controller.Event{Reason: controller.ReasonOperator, By: by, Message: "backup: the store was copied"})
	return int64(n + m), err
}

// Diff is the host's part of the plan.
func (f *Fake) Diff(_ context.Context, host string) (rollout.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.snapshot == nil {
		return rollout.Plan{}, controller.ErrNotLooked
	}
	p := *f.snapshot.Plan
	p.Hosts = slices.DeleteFunc(slices.Clone(p.Hosts), func(h rollout.HostPlan) bool { return h.Host != host })
	if len(p.Hosts) == 0 {
		return p, fmt.Errorf("host %q: %w", host, controller.ErrUnknownObject)
	}
	return p, f.broken
}

// Logged are entries of service gateway's journals, as Logs tells them.
func (f *Fake) Logged(entries ...controller.LogEntry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logged = append(f.logged, entries...)
	for more := range f.readers {
		select {
		case more <- struct{}{}:
		default:
		}
	}
}

// Readers is how many read logs.
func (f *Fake) Readers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.readers)
}

// LogQueries are those that were made.
func (f *Fake) LogQueries() []controller.LogQuery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.logQueries)
}

// Logs tells what was Logged since, of web-1 and web-2; db-1 does not answer.
func (f *Fake) Logs(ctx context.Context, _ []string, q controller.LogQuery, sink controller.LogSink) error {
	f.mu.Lock()
	f.logQueries = append(f.logQueries, q)
	broken, more := f.broken, make(chan struct{}, 1)
	if f.readers == nil {
		f.readers = map[chan struct{}]bool{}
	}
	f.readers[more] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.readers, more)
	}()
	switch {
	case broken != nil:
		return broken
	case q.Service != "gateway":
		return fmt.Errorf("service %q: %w", q.Service, controller.ErrUnknownObject)
	}
	if err := sink.Hosts([]string{"db-1", "web-1", "web-2"}); err != nil {
		return err
	}
	sink.Lost("db-1", errors.New("no answer"))
	for told := 0; ; {
		f.mu.Lock()
		news := slices.Clone(f.logged[told:])
		f.mu.Unlock()
		told += len(news)
		for _, e := range news {
			if e.At.Before(q.Since) {
				continue
			}
			if err := sink.Entry(e); err != nil {
				return err
			}
		}
		if !q.Follow {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Explain is what there is to say of an instance.
func (f *Fake) Explain(_ context.Context, host, service string) (controller.Explanation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.snapshot.Instances {
		if i.Host == host && i.Service == service {
			return controller.Explanation{Status: i, Revision: Revision, Units: []controller.UnitFacts{{Name: service + ".service", Want: "started", Active: "active", Sub: "running", Enabled: "enabled", PID: 42}},
				Env: []controller.EnvFacts{}, Checks: []controller.CheckFacts{{Check: "http :8080/healthz", OK: true, Reason: "200"}}, Traffic: []controller.TrafficFacts{},
				Changes: []rollout.Change{}, Problems: []rollout.Problem{}, Causes: []controller.Cause{}}, f.broken
		}
	}
	return controller.Explanation{}, fmt.Errorf("%s/%s: %w", host, service, controller.ErrUnknownObject)
}
