package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
)

// Do carries out an operator's word and says what was done. It is recorded, with who
// and why, whatever comes of it.
func (c *Controller) Do(ctx context.Context, a Action) (string, error) {
	words, err := c.do(ctx, a)
	e := Event{Type: Normal, Reason: ReasonOperator, Host: a.Host, Service: a.Service, Revision: a.Revision, By: a.By, Message: string(a.Verb) + ": " + words}
	if a.Reason != "" {
		e.Message += " (" + a.Reason + ")"
	}
	if err != nil {
		e.Type, e.Message = Warning, string(a.Verb)+" refused: "+err.Error()
	}
	c.record(ctx, e)
	c.changed()
	return words, err
}

func (c *Controller) do(ctx context.Context, a Action) (string, error) {
	switch a.Verb {
	case VerbReconcile:
		c.mu.Lock()
		c.asked.made++
		c.mu.Unlock()
		c.publish(time.Now()) // whoever asks for the rollout next must know
		c.queue.Forget(fleetKey)
		c.queue.Add(sourceKey)
		c.queue.Add(fleetKey)
		return "git is asked and every host is looked at now", nil
	case VerbPause:
		return c.pauseRollout(ctx, a)
	case VerbResume:
		return c.resumeRollout(ctx, a)
	case VerbPromote:
		return "the canaries are accepted", c.tellRollout(rollout.Event{Kind: rollout.EventPromote, By: a.By, Reason: a.Reason})
	case VerbAbort:
		return "the hosts in hand are finished or undrained, and no other is begun; it is not tried again until git moves or somebody retries",
			c.tellRollout(rollout.Event{Kind: rollout.EventAbort, By: a.By, Reason: a.Reason})
	case VerbUndo:
		return c.undoRollout(ctx, a)
	case VerbRetry:
		return c.retry(ctx, a)
	case VerbSuspend:
		return c.suspend(ctx, a)
	case VerbUnsuspend:
		return c.unsuspend(ctx, a)
	case VerbDrain:
		return c.drainHost(ctx, a)
	case VerbUndrain:
		return c.undrainHost(ctx, a)
	case VerbAccept:
		return c.accept(a)
	case VerbTakeOver:
		return c.takeOver(ctx)
	}
	return "", fmt.Errorf("the controller knows no verb %q", a.Verb)
}

// tellRollout gives the rollout under way an event.
func (c *Controller) tellRollout(e rollout.Event) error {
	if !c.tell(e) {
		return fmt.Errorf("%w: no rollout is under way", ErrNothingToDo)
	}
	return nil
}

// pauseRollout holds also after a restart of the controller, and for rollouts to come.
func (c *Controller) pauseRollout(ctx context.Context, a Action) (string, error) {
	w := word{By: a.By, Reason: a.Reason, At: time.Now().UTC()}
	if err := c.ledger.put(ctx, keyPaused, w); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.paused = &w
	c.mu.Unlock()
	if c.tell(rollout.Event{Kind: rollout.EventPause, By: a.By, Reason: a.Reason}) {
		return "the hosts in hand are finished, and no other is begun until it is resumed", nil
	}
	return "no rollout is under way; the next one waits until it is resumed", nil
}

func (c *Controller) resumeRollout(ctx context.Context, a Action) (string, error) {
	c.mu.Lock()
	was := c.paused
	c.mu.Unlock()
	if was == nil {
		return "", fmt.Errorf("%w: nothing is paused", ErrNothingToDo)
	}
	if err := c.ledger.drop(ctx, keyPaused); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.paused = nil
	c.mu.Unlock()
	c.tell(rollout.Event{Kind: rollout.EventResume, By: a.By, Reason: a.Reason})
	return "rollouts go on", nil
}

func suspensionKey(host, service string) string { return host + "/" + service }

// suspensionWords names what a suspension is about.
func suspensionWords(host, service string) string {
	switch {
	case host == "" && service == "":
		return "the fleet"
	case host == "":
		return "service " + service
	case service == "":
		return host
	}
	return service + " on " + host
}

// known refuses hosts and services that the fleet does not have.
func (c *Controller) known(a Action) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case a.Host == "" && a.Service == "":
		return nil // the whole fleet
	case a.Host != "" && !slices.Contains(c.order, a.Host):
		return fmt.Errorf("%w: host %q", ErrUnknownObject, a.Host)
	case a.Service == "" || c.revision == nil:
		return nil
	}
	_, good := c.revision.Service(a.Service)
	if !good && !slices.Contains(c.revision.HeldBack(), a.Service) {
		return fmt.Errorf("%w: service %q", ErrUnknownObject, a.Service)
	}
	return nil
}

// suspend keeps a host or a service from being touched from the next step on. A host in
// hand is finished first.
func (c *Controller) suspend(ctx context.Context, a Action) (string, error) {
	if err := c.known(a); err != nil {
		return "", err
	}
	s := Suspension{Host: a.Host, Service: a.Service, Reason: a.Reason, By: a.By, Since: time.Now().UTC(), Until: a.Until}
	key := suspensionKey(a.Host, a.Service)
	if err := c.ledger.put(ctx, prefixSuspend+key, s); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.suspended[key] = s
	c.mu.Unlock()
	c.tell(rollout.Event{Kind: rollout.EventReplan, Reason: suspensionWords(a.Host, a.Service) + " is suspended"})
	c.queue.Add(fleetKey)
	words := suspensionWords(a.Host, a.Service) + " is not touched"
	if !a.Until.IsZero() {
		return words + " until " + a.Until.UTC().Format("2006-01-02 15:04:05Z"), nil
	}
	return words + " until it is resumed", nil
}

func (c *Controller) unsuspend(ctx context.Context, a Action) (string, error) {
	key := suspensionKey(a.Host, a.Service)
	c.mu.Lock()
	_, ok := c.suspended[key]
	c.mu.Unlock()
	if !ok {
		return "", fmt.Errorf("%w: %s is not suspended", ErrNothingToDo, suspensionWords(a.Host, a.Service))
	}
	if err := c.ledger.drop(ctx, prefixSuspend+key); err != nil {
		return "", err
	}
	c.mu.Lock()
	delete(c.suspended, key)
	c.mu.Unlock()
	c.queue.Forget(fleetKey)
	c.queue.Add(fleetKey)
	return suspensionWords(a.Host, a.Service) + " is kept as git wants it again", nil
}

// suspensions are those in force, by host and by service; c.mu is held.
func (c *Controller) suspensions() Suspended {
	out := Suspended{Hosts: map[string]string{}, Services: map[string]string{}, Instances: map[[2]string]string{}}
	for _, s := range c.suspended {
		why := suspended
		if s.Reason != "" {
			why += ": " + s.Reason
		}
		switch {
		case s.Service == "" && s.Host == "":
			out.All = why
		case s.Service == "":
			out.Hosts[s.Host] = why
		case s.Host == "":
			out.Services[s.Service] = why
		default:
			out.Instances[[2]string{s.Host, s.Service}] = why
		}
	}
	return out
}

// lapse ends what was to last until now.
func (c *Controller) lapse(ctx context.Context) {
	now := time.Now()
	var over []Action
	c.mu.Lock()
	for _, s := range c.suspended {
		if !s.Until.IsZero() && now.After(s.Until) {
			over = append(over, Action{Verb: VerbUnsuspend, Host: s.Host, Service: s.Service})
		}
	}
	for _, d := range c.drains {
		if !d.Until.IsZero() && now.After(d.Until) {
			over = append(over, Action{Verb: VerbUndrain, Host: d.Host})
		}
	}
	c.mu.Unlock()
	for _, a := range over {
		if _, err := c.do(ctx, a); err != nil {
			c.log.Error().Err(err).Str("host", a.Host).Str("service", a.Service).Msg("cannot end what was to last until now")
			continue
		}
		c.record(ctx, Event{Type: Normal, Reason: ReasonSuspensionLapsed, Host: a.Host, Service: a.Service, Message: string(a.Verb) + ": its time is over"})
	}
}

// accept lets in a commit that does not descend from the last revision.
func (c *Controller) accept(a Action) (string, error) {
	c.mu.Lock()
	tip := c.source.Tip
	refused := c.source.Error != ""
	if refused && a.Revision != "" && strings.HasPrefix(tip, a.Revision) && len(a.Revision) >= 7 {
		c.override[tip] = a
	}
	_, ok := c.override[tip]
	c.mu.Unlock()
	switch {
	case !refused:
		return "", fmt.Errorf("%w: no revision is refused", ErrNothingToDo)
	case !ok:
		return "", fmt.Errorf("%w: the revision that is refused is %s, not %s", ErrNothingToDo, tip, a.Revision)
	}
	c.queue.Add(sourceKey)
	return "revision " + rollout.ShortRevision(tip) + " may follow although it does not descend from the last one", nil
}

// takeOver ends a freeze by an old store: the hosts' word counts from now on.
func (c *Controller) takeOver(ctx context.Context) (string, error) {
	c.mu.Lock()
	frozen := c.frozen
	highest := c.epoch
	for _, e := range c.hosts {
		if e.seen != nil && e.seen.observation != nil {
			highest = max(highest, e.seen.observation.Epoch)
		}
	}
	c.mu.Unlock()
	if frozen == "" {
		return "", fmt.Errorf("%w: nothing is frozen", ErrNothingToDo)
	}
	if c.opt.ReadOnly != "" {
		return "", fmt.Errorf("the store cannot be written: %s", c.opt.ReadOnly)
	}
	if err := c.nextEpoch(ctx, highest); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.frozen, c.recalled = "", c.epoch
	c.conds = c.conds.with(Condition{Type: Reconciled, Status: False, Reason: "TakenOver", Message: "the hosts are taken over, and looked at"}, time.Now().UTC())
	c.mu.Unlock()
	c.queue.Forget(fleetKey)
	c.queue.Add(fleetKey)
	return "the hosts are this controller's again, from what is found on them", nil
}
