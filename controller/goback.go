package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/rollout"
)

// lookBefore bounds the look by which an undo finds out whether there is anything to undo.
const lookBefore = 30 * time.Second

// undoRollout goes back, by a rollout of its own. What is under way is ended first: its
// host in hand is finished. The wish is durable, so that it outlives the controller.
func (c *Controller) undoRollout(ctx context.Context, a Action) (string, error) {
	if err := c.known(a); err != nil {
		return "", err
	}
	f := c.fleet()
	if f == nil {
		return "", ErrNotLooked
	}
	u := undoing{Of: f.Revision.ID, Back: rollout.Back{Revision: a.Revision, Reason: a.Reason}, Host: a.Host, Service: a.Service, By: a.By, At: time.Now().UTC()}
	u.narrow(f)
	busy := c.tell(rollout.Event{Kind: rollout.EventReplan, By: a.By, Reason: "undo: " + orWords(a.Reason, "an operator wants the generation before")})
	if !busy {
		ctx, cancel := context.WithTimeout(ctx, lookBefore)
		defer cancel()
		v, err := f.Look(ctx)
		if err != nil {
			return "", err
		}
		if len(v.Plan.Visits) == 0 && len(v.Plan.Unreachable()) == 0 {
			return "", fmt.Errorf("%w: %s", ErrNothingToDo, firstOf(v.Plan.Warnings))
		}
	}
	if err := c.ledger.put(ctx, keyUndo, u); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.undo = &u
	c.mu.Unlock()
	c.queue.Forget(fleetKey)
	c.queue.Add(fleetKey)
	words := "hosts go back to what they had before revision " + rollout.ShortRevision(u.Of)
	if a.Revision != "" {
		words = "hosts go back to revision " + rollout.ShortRevision(a.Revision)
	}
	return words + ", one after the other; it is not tried again until git moves or somebody retries", nil
}

// narrow makes a fleet one that goes back.
func (u *undoing) narrow(f *Fleet) {
	f.Undo, f.Retry = &u.Back, false
	if u.Host != "" {
		f.Hosts = []string{globQuote(u.Host)}
	}
	if u.Service != "" {
		f.Services = []string{globQuote(u.Service)}
	}
}

// toUndo is what an operator wants undone of the revision in force; nil where nothing.
func (c *Controller) toUndo() *undoing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.undo == nil || c.revision == nil || c.undo.Of != c.revision.ID {
		return nil
	}
	return c.undo
}

// undoPass goes back, as far as hosts can be reached; held are those that are not to be
// touched. It is called again until there is nothing left to undo.
func (c *Controller) undoPass(ctx context.Context, f *Fleet, u *undoing, held map[string]string) error {
	u.narrow(f)
	v, err := f.Look(ctx)
	if err != nil {
		return err
	}
	for i := range v.Input.Hosts {
		if in := &v.Input.Hosts[i]; in.Skip == "" {
			in.Skip = held[in.Desired.Host.Name]
		}
	}
	v.Plan = rollout.Build(v.Input)
	if len(v.Plan.Visits) > 0 {
		return c.roll(ctx, f, v)
	}
	if away := v.Plan.Unreachable(); len(away) > 0 {
		return fmt.Errorf("undo: %s does not answer", strings.Join(away, ", "))
	}
	c.record(ctx, Event{Type: Normal, Reason: ReasonOperator, Host: u.Host, Service: u.Service, Revision: u.Of, By: u.By, Message: "undo: no host is left to go back"})
	return c.undoOver(ctx)
}

// undoOver forgets an operator's wish to go back.
func (c *Controller) undoOver(ctx context.Context) error {
	c.mu.Lock()
	c.undo = nil
	c.mu.Unlock()
	c.queue.Add(fleetKey)
	return c.ledger.drop(ctx, keyUndo)
}

// retry forgets that the revision failed, was undone or refused. An undo that is under way
// ends with its host in hand, and what has gone back comes again.
func (c *Controller) retry(ctx context.Context, a Action) (string, error) {
	undoing := c.toUndo() != nil
	c.mu.Lock()
	stall, plan, rev := c.stalled, c.plan, c.revision
	c.mu.Unlock()
	refused := plan != nil && slices.ContainsFunc(plan.Problems(), func(p rollout.Problem) bool { return p.Refused })
	if rev == nil || stall == nil && !refused && !undoing {
		return "", fmt.Errorf("%w: no revision is held back", ErrNothingToDo)
	}
	if err := errors.Join(c.ledger.put(ctx, keyRetry, rev.ID), c.ledger.drop(ctx, keyStalled), c.ledger.drop(ctx, keyUndo)); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.stalled, c.undo, c.retrying = nil, nil, rev.ID
	if plan != nil {
		for _, p := range plan.Problems() {
			if e := c.hosts[p.Host]; e != nil && p.Refused {
				e.synced = "" // it went back: that it differs is no drift
			}
		}
	}
	c.mu.Unlock()
	words := "revision " + rollout.ShortRevision(rev.ID) + " is tried again"
	if undoing && c.tell(rollout.Event{Kind: rollout.EventReplan, By: a.By, Reason: "retry: " + orWords(a.Reason, "an operator wants the revision again")}) {
		words += ", once the hosts in hand have gone back"
	}
	c.queue.Forget(fleetKey)
	c.queue.Add(fleetKey)
	return words, nil
}

// retried ends a retry: what fails, or is refused, from now on is so again.
func (c *Controller) retried(ctx context.Context) error {
	c.mu.Lock()
	was := c.retrying
	c.retrying = ""
	c.mu.Unlock()
	if was == "" {
		return nil
	}
	return c.ledger.drop(ctx, keyRetry)
}
