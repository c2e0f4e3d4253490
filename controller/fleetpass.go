package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// fleetPass looks at every host and, where the fleet is not as the revision wants it,
// rolls. An error means that it is to be tried again after a while.
func (c *Controller) fleetPass(ctx context.Context) error {
	c.mutate.Lock()
	defer func() {
		c.mutate.Unlock()
		c.lookAgain()
	}()
	if err := c.renewed(ctx); err != nil {
		return err
	}
	defer c.answered()()
	f := c.fleet()
	if f == nil {
		return nil
	}
	if err := c.rotate(ctx, f); err != nil {
		return err
	}
	v, err := f.Look(ctx)
	if err != nil {
		return err
	}
	c.looked(ctx, v)
	c.watchAll(ctx, v)
	c.setPlan(v.Plan)
	c.markIdle(v)
	if c.isStopping() {
		return nil
	}
	f, held, err := c.fenceOff(ctx, f, v)
	if err != nil || c.frozenWhy() != "" {
		c.reconciled(v, c.frozenWhy())
		return err
	}
	if cut := c.narrow(v, held); len(cut) > 0 {
		c.log.Info().Strs("hosts", cut).Msg("taking back switches that were cut in the middle")
		if _, err := f.Repair(ctx, v); err != nil {
			return fmt.Errorf("cannot take back a switch that was cut: %w", err)
		}
		c.queue.Add(fleetKey)
		return nil
	}
	if u := c.toUndo(); u != nil {
		return c.undoPass(ctx, f, u, held)
	}
	if len(v.Plan.Visits) == 0 {
		c.reconciled(v, "")
		c.rotationDue()
		if f.Retry { // one that was asked for meanwhile has yet to come
			if err := c.retried(ctx); err != nil {
				return err
			}
		}
		return c.saveSynced(ctx, v.Input.Revision)
	}
	return c.roll(ctx, f, v)
}

// narrow takes out of the plan what is not to be done now: hosts of others, drift that
// is only reported or that flaps, and what a halted rollout of this revision has left.
// It returns the hosts on which a switch was cut.
func (c *Controller) narrow(v *View, held map[string]string) []string {
	c.mu.Lock()
	st := c.stalled
	synced := map[string]bool{}
	for name, e := range c.hosts {
		synced[name] = e.synced == v.Input.Revision
	}
	c.mu.Unlock()
	replan := false
	for i := range v.Input.Hosts {
		in := &v.Input.Hosts[i]
		name := in.Desired.Host.Name
		why := held[name]
		if why == "" && c.opt.Drift.Report && synced[name] && in.Observation != nil && in.Observation.Step == nil {
			why = "drift is reported, not corrected"
		}
		if why != "" && in.Skip == "" {
			in.Skip, replan = why, true
		}
	}
	if st != nil && st.Revision == v.Input.Revision {
		for i := range v.Input.Hosts {
			replan = st.holdBack(&v.Input.Hosts[i]) || replan
		}
	}
	if replan {
		v.Plan = rollout.Build(v.Input)
	}
	return v.Cut()
}

// holdBack keeps a host from being brought what a rollout has failed with. One that has it
// already was proven healthy with it: drift is put right there.
func (st *stalled) holdBack(in *rollout.HostInput) (held bool) {
	for _, s := range st.Services {
		if in.Hold[s] != "" || in.Has(s) {
			continue
		}
		hold := maps.Clone(in.Hold)
		if hold == nil {
			hold = map[string]string{}
		}
		hold[s] = "not tried again: " + st.Reason
		in.Hold, held = hold, true
	}
	return held
}

// fenceOff makes sure of whose the hosts are before any is changed. Hosts that nobody
// claims become this controller's; those of others are held. A host that has obeyed this
// controller at an epoch that its store does not know freezes everything: the store is
// an old one.
func (c *Controller) fenceOff(ctx context.Context, f *Fleet, v *View) (*Fleet, map[string]string, error) {
	held := map[string]string{}
	if c.frozenWhy() != "" {
		return f, held, nil
	}
	var highest uint64
	var claim []int
	for i, in := range v.Input.Hosts {
		o := in.Observation
		if o == nil || in.Skip != "" {
			continue
		}
		name := in.Desired.Host.Name
		switch {
		case o.Claim == c.opt.Name && o.Epoch > f.Epoch:
			c.fenced(ctx, name, oldStore(name, o.Epoch, f.Epoch))
			return f, held, nil
		case o.Claim != "" && o.Claim != c.opt.Name && !c.opt.TakeOver:
			held[name] = "it belongs to controller " + o.Claim
			continue
		}
		if o.Claim != c.opt.Name {
			claim = append(claim, i)
			highest = max(highest, o.Epoch)
		}
	}
	if highest >= f.Epoch {
		if err := c.nextEpoch(ctx, highest); err != nil {
			return f, held, err
		}
		rotating := f.rotating
		f = c.fleet()
		f.rotating = rotating
	}
	if len(claim) == 0 || c.opt.Drift.Report || c.frozenWhy() != "" {
		return f, held, nil
	}
	var g errgroup.Group
	g.SetLimit(c.opt.Concurrency)
	errs := make([]error, len(claim))
	for n, i := range claim {
		host := v.Input.Hosts[i].Desired.Host
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, quickOp)
			defer cancel()
			_, errs[n] = f.Driver.Apply(ctx, host, f.fence(v), hostdriver.Claim{})
			return nil
		})
	}
	_ = g.Wait()
	for n, i := range claim {
		if errs[n] != nil {
			held[v.Input.Hosts[i].Desired.Host.Name] = "it could not be claimed: " + errs[n].Error()
		}
	}
	return f, held, nil
}

// fenced freezes all changes for what a host says. Several hosts may say it at once; the
// first tells of it.
func (c *Controller) fenced(ctx context.Context, host, why string) {
	if c.freeze(why) {
		c.record(ctx, Event{Type: Warning, Reason: ReasonFenced, Host: host, Message: why})
	}
}

// nextEpoch takes an epoch above that of the store and the given one.
func (c *Controller) nextEpoch(ctx context.Context, above uint64) error {
	n, err := store.RaiseEpoch(ctx, c.opt.Store, above)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.epoch = n
	c.mu.Unlock()
	return nil
}

// roll carries a plan out, and draws the consequences.
func (c *Controller) roll(ctx context.Context, f *Fleet, v *View) error {
	control := make(chan rollout.Event, 16)
	rs := RolloutStatus{Began: time.Now().UTC(), Why: c.whyRoll(v)}
	save := &saver{l: c.ledger, c: &rs, promoted: f.Promoted}
	if err := c.ledger.dropVisits(ctx); err != nil {
		return fmt.Errorf("cannot begin a rollout, for the store fails: %w", err)
	}
	f.Save = save.save
	c.mu.Lock()
	c.rolling, c.control = &rs, control
	paused := c.paused
	c.mu.Unlock()
	if paused != nil {
		control <- rollout.Event{Kind: rollout.EventPause, Reason: paused.Reason}
	}
	if c.isStopping() {
		control <- rollout.Event{Kind: rollout.EventStop, Reason: "the controller is stopping"}
	}
	follow := &follower{c: c, began: rs, seen: map[int]rollout.Phase{}}
	st, err := f.Apply(ctx, control, v, func(st State, _ rollout.Event, _ []rollout.Command) { follow.report(ctx, st) })
	follow.flush()
	c.mu.Lock()
	c.control = nil
	c.mu.Unlock()
	rs.State, rs.Ended = st, time.Now().UTC()
	o := OutcomeOf(Ended{Plan: v.Plan, State: st, Skipped: v.Skipped(), Mends: v.Mends(), Stopped: c.isStopping(), Err: err})
	rs.Outcome = &o
	return c.ended(ctx, rs, err)
}

// whyRoll is why a rollout begins.
func (c *Controller) whyRoll(v *View) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.Input.Undo != nil {
		return orWords(v.Input.Undo.Reason, "undo")
	}
	var drift, left bool
	for _, x := range v.Plan.Visits {
		e := c.hosts[x.Host]
		if e != nil && e.rotates && e.synced == "" {
			if words := RotationWords(c.secrets); words != "" {
				return words
			}
		}
		if e == nil || e.synced != v.Input.Revision {
			return "revision " + rollout.ShortRevision(v.Input.Revision)
		}
		drift, left = drift || !x.Recover, left || x.Recover
	}
	if left && !drift {
		return "a step that was left"
	}
	return "drift"
}

// ended records a rollout that is over, and tells what follows: nothing, another look,
// or another try after a while.
func (c *Controller) ended(ctx context.Context, rs RolloutStatus, failed error) error {
	c.mu.Lock()
	c.rolling = &rs
	if c.promoted.Services == nil || c.promoted.Revision != rs.State.Revision {
		c.promoted = promotedRecord{Revision: rs.State.Revision, Services: map[string]bool{}}
	}
	maps.Copy(c.promoted.Services, rs.State.Promoted())
	c.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	st, o := rs.State, rs.Outcome
	var errs *multierror.Error
	errs = multierror.Append(errs, c.ledger.file(ctx, rs))
	e := Event{Type: Normal, Reason: ReasonRolloutEnded, Rollout: st.ID, Revision: st.Revision, Message: o.Words()}
	if o.Result != Converged && !st.Replan {
		e.Type = Warning
	}
	c.record(ctx, e)
	for _, l := range o.LeftDrained {
		c.record(ctx, Event{Type: Warning, Reason: ReasonLeftDrained, Host: l.Host, Service: l.Service, Rollout: st.ID,
			Message: fmt.Sprintf("%s of %s is left drained at %s; it is undrained as soon as that can be done", l.Service, l.Host, l.Where)})
	}
	switch {
	case failed != nil:
		errs = multierror.Append(errs, failed)
	case c.isStopping():
	case st.Replan, o.Result == Converged:
		c.queue.Add(fleetKey)
	case o.Undo != nil && c.retries(st.Revision): // said during the undo, it is the last word
		c.queue.Add(fleetKey)
	case o.Result == Failed, o.Result == Reverted, st.Aborted:
		errs = multierror.Append(errs, c.stall(ctx, st, *o), c.retried(ctx))
		if o.Undo != nil {
			errs = multierror.Append(errs, c.undoOver(ctx))
		}
		c.queue.Add(fleetKey)
	default: // time may mend it
		c.changed()
		return errors.Join(errs.ErrorOrNil(), fmt.Errorf("rollout %s: %s", st.ID, o.Words()))
	}
	c.changed()
	return errs.ErrorOrNil()
}

// retries tells whether an operator wants a revision tried again.
func (c *Controller) retries(revision string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retrying != "" && c.retrying == revision
}

// stall keeps what a failed rollout was to do from being tried again until git moves.
func (c *Controller) stall(ctx context.Context, st State, o Outcome) error {
	s := stalled{Revision: st.Revision, Reason: firstLine(o.Words()), At: time.Now().UTC()}
	if st.Halted != nil {
		s.Reason = st.Halted.Host + ": " + st.Halted.Reason
	}
	c.mu.Lock()
	if c.stalled != nil && c.stalled.Revision == s.Revision {
		s.Services = slices.Clone(c.stalled.Services)
	}
	c.mu.Unlock()
	for _, v := range st.NotDone() {
		for _, name := range v.Concerns() {
			if !slices.Contains(s.Services, name) {
				s.Services = append(s.Services, name)
			}
		}
	}
	if len(s.Services) == 0 {
		return nil
	}
	slices.Sort(s.Services)
	c.mu.Lock()
	c.stalled = &s
	c.mu.Unlock()
	return c.ledger.put(ctx, keyStalled, s)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// lookAgain has the hosts looked at that changed while a pass over the fleet was under
// way: it may have looked at them before.
func (c *Controller) lookAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, e := range c.hosts {
		if e.dirty {
			e.dirty = false
			c.queue.Add(hostKey(name))
		}
	}
}

func (c *Controller) setPlan(p rollout.Plan) {
	c.mu.Lock()
	c.plan = &p
	c.mu.Unlock()
}

// reconciled sets the fleet's condition after a look by which nothing is to be done.
func (c *Controller) reconciled(v *View, why string) {
	cond := Condition{Type: Reconciled, Status: True, Reason: "AsDesired", ObservedRevision: v.Input.Revision}
	var left []string
	for _, h := range v.Plan.Hosts {
		switch {
		case !h.Reachable:
			left = append(left, h.Host+" does not answer")
		case len(h.Problems) > 0:
			left = append(left, h.Host+": "+differs(h))
		}
	}
	c.mu.Lock()
	if why == "" && c.stalled != nil && c.stalled.Revision == v.Input.Revision {
		why = "not tried again until git moves: " + c.stalled.Reason
	}
	for _, name := range c.order {
		if e := c.hosts[name]; why == "" && e.status.Reachable && e.synced != v.Input.Revision && len(left) == 0 {
			left = append(left, name+" differs")
		}
	}
	switch {
	case why != "":
		cond.Status, cond.Reason, cond.Message = False, "Held", why
	case len(left) > 0:
		cond.Status, cond.Reason, cond.Message = False, "Left", firstOf(left)
	default:
		c.success = time.Now().UTC()
	}
	c.conds = c.conds.with(cond, time.Now().UTC())
	c.mu.Unlock()
	c.changed()
}

// saveSynced notes in the store which hosts are as desired.
func (c *Controller) saveSynced(ctx context.Context, revision string) error {
	now := syncedRecord{Revision: revision, Hosts: c.syncedHosts(revision)}
	var was syncedRecord
	if _, err := c.ledger.get(ctx, keySynced, &was); err != nil {
		return err
	}
	if was.Revision == now.Revision && slices.Equal(was.Hosts, now.Hosts) {
		return nil
	}
	return c.ledger.put(ctx, keySynced, now)
}
