package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout"
)

// fetchTimeout bounds one question to git.
const fetchTimeout = 2 * time.Minute

// sourcePass fetches, and makes the tip the desired revision if it may be one: signed by
// whom it must be, descending from the one before, and free of faults that concern the
// whole fleet. Otherwise the last good one stays, and the condition says why.
func (c *Controller) sourcePass(ctx context.Context) error {
	defer c.changed()
	defer c.fetched()()
	fetch, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	tip, err := c.opt.Git.Fetch(fetch)
	if err != nil {
		c.sourceTrouble(ctx, "FetchFailed", "", err)
		if loadErr := c.loadLast(ctx); loadErr != nil {
			return errors.Join(err, loadErr)
		}
		return err
	}
	c.mu.Lock()
	c.source.Tip, c.source.Fetched = tip, time.Now().UTC()
	known := c.revision != nil && c.revision.ID == tip
	last := c.accepted.Revision
	c.mu.Unlock()
	if known {
		c.sourceWell(ctx)
		return nil
	}
	entry, err := c.vet(ctx, last, tip)
	if err == nil {
		err = c.adopt(ctx, entry)
	}
	if err != nil {
		c.sourceTrouble(ctx, reasonRefused(err), tip, err)
		return c.loadLast(ctx) // waits for git to move: no use in trying the same commit again
	}
	c.sourceWell(ctx)
	return nil
}

// refusal is why a commit does not become the revision.
type refusal struct {
	reason, mend string
	err          error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func reasonRefused(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return "Refused"
}

func mendRefused(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.mend
	}
	return ""
}

// vet tells whether the tip may follow the last revision.
func (c *Controller) vet(ctx context.Context, last, tip string) (RevisionEntry, error) {
	e := RevisionEntry{Revision: tip, Accepted: time.Now().UTC().Truncate(time.Millisecond)}
	signer, err := c.opt.Git.Verify(ctx, tip)
	if err != nil {
		return e, &refusal{reason: "BadSignature", mend: "have it signed by one of the signers, or add the signer's key to git.signers", err: err}
	}
	e.Signer = signer
	if last != "" && last != tip {
		descends, err := c.opt.Git.Descends(ctx, last, tip)
		if err != nil {
			return e, fmt.Errorf("cannot compare %s with %s: %w", rollout.ShortRevision(tip), rollout.ShortRevision(last), err)
		}
		c.mu.Lock()
		by, overridden := c.override[tip]
		c.mu.Unlock()
		if !descends && !overridden {
			return e, &refusal{reason: "NotADescendant", mend: "if that is meant: evenkeel accept " + tip + " --reason …",
				err: fmt.Errorf("commit %s does not descend from %s, which is desired: the branch was rewritten", rollout.ShortRevision(tip), rollout.ShortRevision(last))}
		}
		if !descends {
			e.Overridden = by.By
		}
	}
	info, err := c.opt.Git.Describe(ctx, tip)
	if err != nil {
		return e, fmt.Errorf("cannot read commit %s: %w", rollout.ShortRevision(tip), err)
	}
	e.Subject, e.Author = info.Subject, info.Author
	return e, nil
}

// load decodes a commit.
func (c *Controller) load(ctx context.Context, commit string) (desired.Revision, error) {
	files, err := c.opt.Git.Files(ctx, commit)
	if err != nil {
		return desired.Revision{}, fmt.Errorf("cannot read commit %s: %w", rollout.ShortRevision(commit), err)
	}
	rev, err := c.opt.Load(ctx, files, commit)
	if err != nil {
		return desired.Revision{}, &refusal{reason: "Invalid", mend: "evenkeel validate names all faults; commit the mend", err: fmt.Errorf("commit %s has faults: %w", rollout.ShortRevision(commit), err)}
	}
	rev.ID = commit
	return rev, nil
}

// adopt makes a vetted commit the desired revision: durable first, then in force.
func (c *Controller) adopt(ctx context.Context, e RevisionEntry) error {
	rev, err := c.load(ctx, e.Revision)
	if err != nil {
		return err
	}
	c.mu.Lock()
	fresh := c.accepted.Revision != e.Revision
	c.mu.Unlock()
	if fresh {
		if err := c.ledger.put(ctx, keyAccepted, e); err != nil {
			return err
		}
		if _, err := appendTo(ctx, c.ledger.revisions, e); err != nil {
			c.log.Error().Err(err).Msg("the history of revisions cannot be saved")
		}
		c.record(ctx, Event{Type: Normal, Reason: ReasonRevision, Revision: e.Revision, By: e.Overridden,
			Message: fmt.Sprintf("revision %s is desired: %s (%s)", rollout.ShortRevision(e.Revision), e.Subject, e.Author)})
	}
	c.install(ctx, e, rev)
	return nil
}

// install puts a revision in force.
func (c *Controller) install(ctx context.Context, e RevisionEntry, rev desired.Revision) {
	if c.opt.Adopt != nil {
		c.opt.Adopt(&rev)
	}
	c.mu.Lock()
	c.revision, c.accepted, c.inventory = &rev, e, rev.Inventory
	info := &c.source
	info.Revision, info.Subject, info.Author, info.Signer = e.Revision, e.Subject, e.Author, e.Signer
	var over []string
	if c.stalled != nil && c.stalled.Revision != rev.ID {
		c.stalled, over = nil, append(over, keyStalled)
	}
	if c.undo != nil && c.undo.Of != rev.ID {
		c.undo, over = nil, append(over, keyUndo)
	}
	if c.retrying != "" && c.retrying != rev.ID {
		c.retrying, over = "", append(over, keyRetry)
	}
	for _, key := range over {
		if err := c.ledger.drop(ctx, key); err != nil {
			c.log.Error().Err(err).Str("record", key).Msg("cannot forget what was said of the revision before")
		}
	}
	c.mu.Unlock()
	for _, q := range rev.Quarantined {
		c.record(ctx, Event{Type: Warning, Reason: ReasonQuarantined, Service: q.Service, Revision: rev.ID, Message: q.Pos.String() + ": " + q.Message})
	}
	c.inventoryChanged(ctx, rev.Inventory)
	c.tell(rollout.Event{Kind: rollout.EventReplan, Reason: "revision " + rollout.ShortRevision(rev.ID) + " is there"})
	c.queue.Forget(fleetKey)
	c.queue.Add(fleetKey)
}

// loadLast puts the revision of before the start in force, where none is yet: what was
// desired stays so, also while git does not answer.
func (c *Controller) loadLast(ctx context.Context) error {
	c.mu.Lock()
	e, have := c.accepted, c.revision != nil
	c.mu.Unlock()
	if have || e.Revision == "" {
		return nil
	}
	rev, err := c.load(ctx, e.Revision)
	if err != nil {
		return err
	}
	c.install(ctx, e, rev)
	return nil
}

func (c *Controller) sourceWell(ctx context.Context) {
	c.mu.Lock()
	was := c.source.Error
	c.source.Error, c.source.Mend, c.source.Refused = "", "", ""
	c.conds = c.conds.with(Condition{Type: SourceReady, Status: True, Reason: "Fetched", ObservedRevision: c.source.Revision, Message: "the tip of " + c.source.Branch + " is desired"}, time.Now().UTC())
	c.conds = c.conds.with(revisionCondition(c.revision), time.Now().UTC())
	c.mu.Unlock()
	if was != "" {
		c.record(ctx, Event{Type: Normal, Reason: ReasonSourceBack, Message: "git answers, and its tip is desired"})
	}
}

// revisionCondition tells of services that faults left out.
func revisionCondition(rev *desired.Revision) Condition {
	cond := Condition{Type: RevisionReady, Status: True, Reason: "Decoded"}
	if rev == nil {
		return Condition{Type: RevisionReady, Status: Unknown, Reason: "None", Message: "there is no revision yet"}
	}
	cond.ObservedRevision = rev.ID
	if n := len(rev.Quarantined); n > 0 {
		q := rev.Quarantined[0]
		cond.Status, cond.Reason = False, "Quarantined"
		cond.Message = fmt.Sprintf("%s; %s left out", q.Pos.String()+": "+q.Message, number(len(rev.HeldBack()), "service"))
	}
	return cond
}

func (c *Controller) sourceTrouble(ctx context.Context, reason, tip string, err error) {
	c.mu.Lock()
	was := c.source.Error
	c.source.Error, c.source.Mend = err.Error(), mendRefused(err)
	if tip != "" {
		c.source.Refused = tip
	}
	c.conds = c.conds.with(Condition{Type: SourceReady, Status: False, Reason: reason, Message: err.Error(), ObservedRevision: c.source.Revision}, time.Now().UTC())
	now := c.source.Error
	c.mu.Unlock()
	if was == now {
		return
	}
	e := Event{Type: Warning, Reason: ReasonSourceFailed, Revision: tip, Message: now}
	if tip != "" {
		e.Reason = ReasonRefused
	}
	c.record(ctx, e)
}
