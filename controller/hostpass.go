package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// fleet is the revision in force with the means to reach its hosts; nil while there is
// none.
func (c *Controller) fleet() *Fleet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.revision == nil {
		return nil
	}
	f := &Fleet{Revision: *c.formedRevision(), Driver: c.opt.Driver, Log: c.log, Holder: c.opt.Name, Claimed: true, Epoch: c.epoch, TakeOver: c.opt.TakeOver,
		Concurrency: c.opt.Concurrency, Suspended: c.suspensions(), Ignore: c.opt.Drift.Ignore}
	f.Retry = c.retrying == c.revision.ID
	if c.promoted.Revision == c.revision.ID {
		f.Promoted = maps.Clone(c.promoted.Services)
	}
	return f
}

// hostPass looks at one host. What somebody changed there and can be put right without
// disturbing anything is put right at once; all else is the fleet's to plan.
func (c *Controller) hostPass(ctx context.Context, name string) error {
	f := c.fleet()
	if f == nil {
		return nil
	}
	if _, known := f.Revision.Inventory.Find(name); !known {
		return nil
	}
	f.Hosts, f.HostsOnly = []string{globQuote(name)}, true
	alone := c.mutate.TryRLock()
	if alone {
		defer c.mutate.RUnlock()
	}
	v, err := f.Look(ctx)
	if err != nil {
		return err
	}
	if len(v.Input.Hosts) == 0 {
		return nil
	}
	c.looked(ctx, v)
	in := v.Input.Hosts[0]
	if in.Observation == nil {
		return &unreachable{host: name, reason: in.Reason}
	}
	c.watchHost(ctx, &v.Input.Hosts[0])
	if !alone {
		c.changedMeanwhile(v)
		if c.mutate.TryRLock() { // the pass ended before it was told
			c.mutate.RUnlock()
			c.lookAgain()
		}
		return nil
	}
	return c.correct(ctx, f, v)
}

// unreachable is a look that got no answer.
type unreachable struct{ host, reason string }

func (u *unreachable) Error() string { return u.host + " does not answer: " + u.reason }

// globQuote is a pattern of path.Match that matches just s.
func globQuote(s string) string {
	var out []rune
	for _, r := range s {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}

// changedMeanwhile notes that a host differs while a pass over the fleet is under way:
// it is looked at again afterwards. One that a rollout is through with, or does not visit, has it planned again.
func (c *Controller) changedMeanwhile(v *View) {
	plan := v.Plan.Hosts[0]
	if len(v.Plan.Visits) == 0 {
		return
	}
	c.mu.Lock()
	e := c.hosts[plan.Host]
	if o := v.Input.Hosts[0].Observation; e != nil && o.At.Add(-o.Took).Before(e.settled) {
		e.dirty = true // it was read in the middle of its visit
		c.mu.Unlock()
		return
	}
	ahead := c.rolling == nil || slices.ContainsFunc(c.rolling.State.Visits, func(x rollout.Visit) bool {
		return x.Host == plan.Host && x.Phase != rollout.PhaseEnded
	})
	drifts := e != nil && e.synced == v.Input.Revision
	if e != nil {
		e.dirty = true
	}
	c.mu.Unlock()
	if !ahead && drifts && !c.opt.Drift.Report {
		c.tell(rollout.Event{Kind: rollout.EventReplan, Reason: "drift on " + plan.Host})
	}
}

// correct puts right what disturbs nobody, and leaves all else to the fleet's pass.
func (c *Controller) correct(ctx context.Context, f *Fleet, v *View) error {
	name, plan := v.Plan.Hosts[0].Host, v.Plan.Hosts[0]
	if c.unformed(v.Input.Revision) {
		c.queue.Add(fleetKey)
		return nil
	}
	switch done, err := c.keep(ctx, f, v); {
	case err != nil:
		return err
	case done:
		c.queue.Add(hostKey(name)) // what else differs there
		return nil
	}
	if len(v.Plan.Visits) == 0 && v.Input.Hosts[0].Observation.Switching == nil {
		return nil
	}
	c.mu.Lock()
	e := c.hosts[name]
	drifts := e != nil && e.synced == v.Input.Revision
	frozen := c.frozen
	c.mu.Unlock()
	switch {
	case e == nil || frozen != "" || c.isStopping():
		return nil
	case drifts && c.opt.Drift.Report && plan.Recover == nil:
		return nil // it is shown, and that is all
	case !drifts || plan.Recover != nil || slices.ContainsFunc(v.Plan.Visits, func(x rollout.Visit) bool { return !x.Quiet || x.RunsOnce() }):
		if drifts {
			if wait := c.flaps(ctx, e, plan, true); wait > 0 {
				c.queue.AddAfter(fleetKey, wait)
				return nil
			}
		}
		c.queue.Add(fleetKey)
		return nil
	}
	if why := c.mayNotTouch(v.Input.Hosts[0].Observation); why != "" {
		c.queue.Add(fleetKey)
		return nil
	}
	if wait := c.flaps(ctx, e, plan, false); wait > 0 {
		c.queue.AddAfter(hostKey(name), wait)
		return nil
	}
	st, err := f.Apply(ctx, nil, v, nil)
	if err != nil {
		return err
	}
	for _, x := range st.NotDone() {
		return fmt.Errorf("drift on %s could not be corrected: %s", x.Host, x.Reason)
	}
	c.corrected(ctx, v.Plan)
	after, err := f.Look(ctx)
	if err != nil {
		return err
	}
	c.looked(ctx, after)
	return nil
}

// Drift that comes back again and again flaps: somebody else writes there, too. From
// the third correction within a quarter of an hour on, each waits twice as long.
const (
	flapWindow   = 15 * time.Minute
	flapsFrom    = 3
	leastFlap    = 30 * time.Second
	mostFlap     = 30 * time.Minute
	forgetFlapIn = time.Hour
)

// flaps notes a correction that is about to be made and returns 0, or how long to wait
// with it: where everything that differs was put right too often lately. A correction that
// has to wait for a rollout counts once, however often the host is looked at meanwhile.
func (c *Controller) flaps(ctx context.Context, e *hostEntry, plan rollout.HostPlan, rolls bool) time.Duration {
	now := time.Now()
	subjects := map[string]bool{}
	for _, ch := range plan.Changes {
		subjects[ch.Service+" "+ch.Subject] = true
	}
	c.mu.Lock()
	wait := time.Duration(-1)
	for s := range subjects {
		if rolls && e.inHand(s) {
			wait = 0
			delete(subjects, s)
			continue
		}
		if left := e.flapping(s, now); wait < 0 || left < wait {
			wait = left
		}
	}
	if wait <= 0 {
		for s := range subjects {
			e.corrections[s] = append(e.corrections[s], now)
		}
		c.mu.Unlock()
		return 0
	}
	var told []Event
	e.drift = slices.Clone(e.drift)
	for i := range e.drift {
		d := &e.drift[i]
		times := e.corrections[d.Service+" "+d.Subject]
		if d.Class == DriftForeign || len(times) == 0 {
			continue
		}
		if d.Class != DriftFlapping {
			told = append(told, Event{Type: Warning, Reason: ReasonFlapping, Host: e.name, Service: d.Service,
				Message: fmt.Sprintf("%s on %s was put right %d times within the hour: somebody else changes it, too; the next time is in %s", d.Subject, e.name, len(times), wait.Round(time.Second))})
		}
		d.Class, d.Corrected, d.Next = DriftFlapping, len(times), now.Add(wait).UTC()
	}
	c.mu.Unlock()
	for _, ev := range told {
		c.record(ctx, ev)
	}
	c.changed()
	return wait
}

// inHand tells that something differs ever since its last correction was begun: what waits
// for the budget, or failed, has not come back.
func (e *hostEntry) inHand(subject string) bool {
	times := e.corrections[subject]
	return len(times) > 0 && slices.ContainsFunc(e.drift, func(d Drift) bool {
		return d.Class != DriftForeign && d.Service+" "+d.Subject == subject && !d.Since.After(times[len(times)-1])
	})
}

// putRight forgets drift that was put right: what differs from now on has come back.
func (e *hostEntry) putRight(of func(service string) bool) {
	e.drift = slices.DeleteFunc(slices.Clone(e.drift), func(d Drift) bool { return d.Class != DriftForeign && of(d.Service) })
}

// flapping tells how long something must wait until it may be put right again; 0 where
// it was not put right too often lately.
func (e *hostEntry) flapping(subject string, now time.Time) time.Duration {
	times := slices.DeleteFunc(e.corrections[subject], func(t time.Time) bool { return now.Sub(t) > forgetFlapIn })
	if len(times) == 0 {
		delete(e.corrections, subject)
		return 0
	}
	e.corrections[subject] = times
	recent := 0
	for _, t := range times {
		if now.Sub(t) < flapWindow {
			recent++
		}
	}
	if recent < flapsFrom {
		return 0
	}
	pause := min(mostFlap, leastFlap<<min(recent-flapsFrom, 10))
	return max(0, pause-now.Sub(times[len(times)-1]))
}

// mayNotTouch tells why the host is not this controller's to change, as the host says.
func (c *Controller) mayNotTouch(o *hostdriver.Observation) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case o.Claim != "" && o.Claim != c.opt.Name && !c.opt.TakeOver:
		return "it belongs to controller " + o.Claim
	case o.Claim == c.opt.Name && o.Epoch > c.epoch:
		return fmt.Sprintf("it has obeyed epoch %d of %s, and this store knows %d only", o.Epoch, o.Holder, c.epoch)
	case o.Claim != c.opt.Name && o.Epoch >= c.epoch:
		return fmt.Sprintf("it has obeyed epoch %d of %s", o.Epoch, o.Holder)
	}
	return ""
}

func (c *Controller) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

// healthPass asks a host's health checks and balancers, and is due again after a while.
func (c *Controller) healthPass(ctx context.Context, name string) error {
	f := c.fleet()
	c.mu.Lock()
	e := c.hosts[name]
	var seen *sighting
	watched := false
	if e != nil {
		seen, watched = e.seen, e.glance.Watched
	}
	c.mu.Unlock()
	if f == nil || e == nil {
		return nil // it has left the inventory
	}
	defer c.queue.AddAfter(healthKey(name), jitter(c.opt.HealthEvery))
	if seen == nil || seen.observation == nil {
		return nil
	}
	began := time.Now()
	live := f.liveOn(ctx, seen, watched)
	c.mu.Lock()
	turned := false
	if e.seen != nil && c.hosts[name] == e {
		for s, is := range live {
			was, known := e.live[s]
			turned = turned || known && was.Up != is.Up || !known && !is.Up
		}
		same := maps.Equal(e.live, live) && e.liveAt.After(e.settled)
		if e.live, e.liveAt = live, began; !same {
			e.report()
		}
	}
	c.mu.Unlock()
	if turned {
		c.queue.Add(hostKey(name))
		c.changed()
	}
	return nil
}

// inventoryHost is a host of the revision in force.
func (c *Controller) inventoryHost(name string) (inventory.Host, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.inventory.Find(name)
	if !ok {
		return h, unknownObject(fmt.Sprintf("the fleet has no host %q", name))
	}
	return h, nil
}
