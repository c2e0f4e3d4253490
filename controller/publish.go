package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Snapshot is the newest one. It is never nil.
func (c *Controller) Snapshot() *Snapshot { return c.snapshot.Load() }

// changed says that there is something new to publish.
func (c *Controller) changed() {
	select {
	case c.published <- struct{}{}:
	default:
	}
}

// publisher publishes a Snapshot soon after anything has changed: the first change at
// once, and many changes together, so that it takes a tenth of the time at most.
func (c *Controller) publisher(ctx context.Context) {
	for {
		select {
		case <-c.published:
		case <-ctx.Done():
			c.publish(time.Now())
			return
		}
		began := time.Now()
		c.publish(began)
		if !pause(ctx, max(5*time.Millisecond, 9*time.Since(began))) {
			continue
		}
	}
}

// publish makes the Snapshot of now.
func (c *Controller) publish(now time.Time) {
	now = now.UTC()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Snapshot{At: now, Controller: c.opt.Name, Source: c.source, HostConditions: make(map[string]Conditions, len(c.order)), Observed: make(map[string]Glance, len(c.order)),
		Drift: []Drift{}, Secrets: append([]SecretStatus{}, c.secrets...), Suspensions: []Suspension{}, Drains: []HandDrain{}, Plan: c.plan, Rollout: c.rolling, LastSuccess: c.success, Asked: c.asked.open()}
	instances := 0
	for _, e := range c.hosts {
		instances += len(e.instances)
	}
	s.Report = Report{Instances: make([]InstanceStatus, 0, instances), Hosts: make([]HostStatus, 0, len(c.order))}
	if c.revision != nil {
		s.Revision = c.revision.ID
	}
	for _, name := range c.order {
		e := c.hosts[name]
		s.Hosts = append(s.Hosts, e.status)
		s.Instances = append(s.Instances, e.instances...)
		s.Drift = append(s.Drift, e.drift...)
		s.HostConditions[name], s.Observed[name] = e.conds, e.glance
	}
	for _, k := range slices.Sorted(maps.Keys(c.suspended)) {
		s.Suspensions = append(s.Suspensions, c.suspended[k])
	}
	for _, k := range slices.Sorted(maps.Keys(c.drains)) {
		s.Drains = append(s.Drains, c.drains[k].HandDrain)
	}
	s.Queue = map[string]int{"waiting": c.queue.Len()}
	maps.Copy(s.Queue, c.working)
	s.Conditions = c.conds
	if c.frozen != "" {
		s.Conditions = s.Conditions.with(Condition{Type: Reconciled, Status: False, Reason: FrozenReason, Message: c.frozen, ObservedRevision: s.Revision}, now)
		c.conds = s.Conditions
	}
	var before map[string]Conditions
	if old := c.snapshot.Load(); old != nil {
		before = old.ServiceConditions
	}
	s.ServiceConditions = c.serviceConditions(s, before, now)
	c.snapshot.Store(s)
}

// serviceConditions sum up the instances of each service.
func (c *Controller) serviceConditions(s *Snapshot, before map[string]Conditions, now time.Time) map[string]Conditions {
	type sum struct {
		total, synced, healthy, progressing int
		unsynced, sick                      string
	}
	sums := map[string]*sum{}
	for _, i := range s.Instances {
		x := sums[i.Service]
		if x == nil {
			x = &sum{}
			sums[i.Service] = x
		}
		x.total++
		if i.Sync == Synced {
			x.synced++
		} else {
			x.unsynced = cmp.Or(x.unsynced, i.Host+": "+orWords(i.Reason, string(i.Sync)))
		}
		if i.Health == Healthy {
			x.healthy++
		} else {
			x.sick = cmp.Or(x.sick, i.Host+": "+orWords(i.Reason, string(i.Health)))
		}
		if i.Rollout != "" || i.Health == Progressing {
			x.progressing++
		}
	}
	out := map[string]Conditions{}
	for name, x := range sums {
		cs := before[name]
		cs = cs.with(partly(SyncedType, x.synced, x.total, x.unsynced, s.Revision), now)
		cs = cs.with(partly(HealthyType, x.healthy, x.total, x.sick, s.Revision), now)
		p := Condition{Type: Progress, Status: truth(x.progressing > 0), Reason: "Idle", ObservedRevision: s.Revision}
		if x.progressing > 0 {
			p.Reason, p.Message = "Rolling", fmt.Sprintf("%d of %s in hand", x.progressing, number(x.total, "instance"))
		}
		out[name] = cs.with(p, now)
	}
	if c.revision != nil {
		for _, q := range c.revision.Quarantined {
			if q.Service != "" {
				out[q.Service] = before[q.Service].with(Condition{Type: SyncedType, Status: Unknown, Reason: "Quarantined", Message: q.Pos.String() + ": " + q.Message, ObservedRevision: s.Revision}, now)
			}
		}
	}
	return out
}

func partly(kind string, n, total int, first, revision string) Condition {
	cond := Condition{Type: kind, Status: truth(n == total), Reason: "All", ObservedRevision: revision, Message: fmt.Sprintf("%d of %s", n, number(total, "instance"))}
	if n < total {
		cond.Reason = "Some"
		cond.Message += "; " + first
	}
	return cond
}
