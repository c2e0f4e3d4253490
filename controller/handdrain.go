package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/drain"
)

// handDrainRecord is a HandDrain with what will have to be undone.
type handDrainRecord struct {
	HandDrain
	Records []hostdriver.DrainRecord `json:"records"`
}

// drainHost takes every instance of a host out of traffic, if the budgets of its
// services allow that, and keeps it so until it is undrained. What will have to be
// undone is durable before it is done.
func (c *Controller) drainHost(ctx context.Context, a Action) (string, error) {
	if a.Host == "" {
		return "", fmt.Errorf("name a host to drain")
	}
	if err := c.known(a); err != nil {
		return "", err
	}
	if !c.lockMutate(ctx) {
		return "", fmt.Errorf("a rollout is under way: abort it first, or wait for its end")
	}
	defer c.mutate.Unlock()
	f := c.fleet()
	v, err := f.Look(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(v.Input.Hosts, func(h rollout.HostInput) bool { return h.Desired.Host.Name == a.Host })
	if i < 0 || v.Input.Hosts[i].Observation == nil {
		return "", fmt.Errorf("%s does not answer", a.Host)
	}
	in := &v.Input.Hosts[i]
	if err := c.allowsDrain(ctx, f, v, in); err != nil {
		return "", err
	}
	fx := newEffects(f, v)
	var services []string
	for _, inst := range in.Desired.Instances {
		services = append(services, inst.Service)
	}
	records, err := fx.toDrain(ctx, rollout.Visit{Host: a.Host, Drains: services}, fx.hosts[a.Host])
	if err != nil {
		return "", err
	}
	rec := handDrainRecord{HandDrain: HandDrain{Host: a.Host, Reason: a.Reason, By: a.By, Since: time.Now().UTC(), Until: a.Until}, Records: records}
	c.mu.Lock()
	if was, again := c.drains[a.Host]; again {
		rec.Records = append(was.Records, records...)
	}
	c.mu.Unlock()
	if len(rec.Records) == 0 {
		return "", fmt.Errorf("%w: no service on %s has a drain, or all are out of traffic already", ErrNothingToDo, a.Host)
	}
	if err := c.ledger.put(ctx, prefixDrain+a.Host, rec); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.drains[a.Host] = rec
	c.mu.Unlock()
	if err := fx.drain(ctx, nil, rollout.Visit{Host: a.Host, Drains: services, Progress: rollout.Progress{Drained: records}}, fx.hosts[a.Host]); err != nil {
		return "", fmt.Errorf("%s may be drained in part; undrain takes it back: %w", a.Host, err)
	}
	c.queue.Add(healthKey(a.Host))
	return fmt.Sprintf("%s is out of traffic at %s", a.Host, number(len(rec.Records), "place")), nil
}

// lockMutate waits for a look at the fleet that is under way, and for no rollout.
func (c *Controller) lockMutate(ctx context.Context) bool {
	for !c.mutate.TryLock() {
		c.mu.Lock()
		rolls := c.control != nil
		c.mu.Unlock()
		if rolls || !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return true
}

// allowsDrain asks the budget of every service on the host, by a look at all instances.
func (c *Controller) allowsDrain(ctx context.Context, f *Fleet, v *View, in *rollout.HostInput) error {
	fx := newEffects(f, v)
	for i := range in.Desired.Instances {
		inst := &in.Desired.Instances[i]
		if len(inst.Drain) == 0 {
			continue
		}
		b := rollout.NewBudget(inst.Service, inst.Strategy, fx.instances(ctx, inst.Service), nil)
		if !b.Allows(inst.Host) {
			return fmt.Errorf("the budget does not allow it: %s", b)
		}
	}
	return nil
}

// undrainHost takes back what drainHost did.
func (c *Controller) undrainHost(ctx context.Context, a Action) (string, error) {
	c.mu.Lock()
	rec, ok := c.drains[a.Host]
	c.mu.Unlock()
	if !ok {
		return "", fmt.Errorf("%w: %s was not drained through this controller", ErrNothingToDo, a.Host)
	}
	f := c.fleet()
	host, err := c.inventoryHost(a.Host)
	if f == nil || err != nil {
		return "", fmt.Errorf("%s is not in the inventory any more: undrain it at its balancer", a.Host)
	}
	state, _ := f.Revision.Resolve(ctx, host)
	var errs *multierror.Error
	for _, r := range rec.Records {
		fence := hostdriver.Fence{Epoch: f.Epoch, Holder: f.Holder, Claimed: true}
		d, err := drain.FromRecord(r, host, f.drainDeps(fence), drainSpecs(&handled{HostInput: rollout.HostInput{Desired: state}}))
		if err == nil {
			err = d.Undrain(ctx)
		}
		errs = multierror.Append(errs, err)
	}
	if err := errs.ErrorOrNil(); err != nil {
		return "", err
	}
	if err := c.ledger.drop(ctx, prefixDrain+a.Host); err != nil {
		return "", err
	}
	c.mu.Lock()
	delete(c.drains, a.Host)
	c.mu.Unlock()
	c.queue.Add(healthKey(a.Host))
	c.queue.Add(fleetKey)
	return a.Host + " gets traffic again", nil
}
