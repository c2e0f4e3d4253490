package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout"
)

// rotationRecord is what the store knows of rotations. Nothing in it is needed: without it
// a new look at the hosts gives the same forms, and keep is reckoned from when processes
// were started.
type rotationRecord struct {
	Revision string       `json:"revision"`
	Forms    []formRecord `json:"forms,omitempty"`
	// Settled are by secret.
	Settled map[string]settledRecord `json:"settled,omitempty"`
	// Told are the secrets of which it was said that they are overdue, with when they were made.
	Told map[string]time.Time `json:"told,omitempty"`
}

type formRecord struct {
	desired.FormKey
	Form desired.Form `json:"form"`
}

// settledRecord is since when all processes have had what they need of a value that was
// made at some time.
type settledRecord struct {
	Made time.Time `json:"made"`
	At   time.Time `json:"at"`
}

// rotationEvery is how often rotations that wait are looked at.
const rotationEvery = 10 * time.Second

// recallRotation takes up what the store knows of rotations.
func (c *Controller) recallRotation(ctx context.Context) error {
	_, err := c.ledger.get(ctx, keyRotation, &c.rotation)
	return err
}

// forms are those that were last told for a revision. They are no others' than that
// revision's, for its values are meant.
func (r rotationRecord) forms(revision string) desired.Forms {
	forms := desired.Forms{}
	if r.Revision != revision {
		return forms
	}
	for _, f := range r.Forms {
		forms[f.FormKey] = f.Form
	}
	return forms
}

// formed is the revision in force with its secrets in the forms that are known. c.mu is held.
func (c *Controller) formedRevision() *desired.Revision {
	if len(c.revision.Fleet.Spec.Secrets) == 0 {
		return c.revision
	}
	if c.formed == nil || c.formed.ID != c.revision.ID {
		c.formed = c.revision.WithForms(c.rotation.forms(c.revision.ID))
	}
	return c.formed
}

// unformed tells that it is not known yet what the hosts are to have of the revision's
// secrets.
func (c *Controller) unformed(revision string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revision != nil && len(c.revision.Fleet.Spec.Secrets) > 0 && c.rotation.Revision != revision
}

// rotate looks at the fleet's secrets, and gives f what each instance is to have next.
func (c *Controller) rotate(ctx context.Context, f *Fleet) error {
	if len(f.Revision.Fleet.Spec.Secrets) == 0 {
		c.mu.Lock()
		c.secrets = nil
		c.mu.Unlock()
		return nil
	}
	c.mu.Lock()
	was := c.rotation
	c.mu.Unlock()
	settled := map[string]time.Time{}
	for name, s := range was.Settled {
		if s.Made.Equal(f.Revision.Rotated[name]) {
			settled[name] = s.At
		}
	}
	secrets, err := f.Rotate(ctx, settled)
	if err != nil {
		return err
	}
	now := recordOf(f.Revision, secrets, was)
	var told []Event
	for _, s := range secrets {
		told = append(told, c.rotationEvents(s, f.Revision.ID, now)...)
	}
	if err := c.unsync(ctx, was, f.Revision); err != nil {
		return err
	}
	if !now.same(was) {
		if err := c.ledger.put(ctx, keyRotation, now); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.rotation, c.secrets = now, secrets
	formed := f.Revision
	c.formed = &formed
	c.mu.Unlock()
	for _, e := range told {
		c.record(ctx, e)
	}
	c.changed()
	return nil
}

// unsync notes of which hosts something else is desired than before although the revision
// is the same: what differs there is no drift. It is durable before the forms are.
func (c *Controller) unsync(ctx context.Context, was rotationRecord, rev desired.Revision) error {
	if was.Revision != rev.ID {
		return nil
	}
	before, changed := was.forms(rev.ID), false
	c.mu.Lock()
	for at, form := range rev.Forms() {
		if e := c.hosts[at.Host]; e != nil && before[at] != form {
			e.synced, e.rotates, changed = "", true, true
		}
	}
	c.mu.Unlock()
	if !changed {
		return nil
	}
	return c.saveSynced(ctx, rev.ID)
}

// recordOf is what is to be remembered.
func recordOf(rev desired.Revision, secrets []SecretStatus, was rotationRecord) rotationRecord {
	r := rotationRecord{Revision: rev.ID, Settled: map[string]settledRecord{}, Told: map[string]time.Time{}}
	for at, form := range rev.Forms() {
		r.Forms = append(r.Forms, formRecord{at, form})
	}
	slices.SortFunc(r.Forms, func(a, b formRecord) int {
		return cmp.Or(cmp.Compare(a.Secret, b.Secret), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Host, b.Host))
	})
	for _, s := range secrets {
		old, known := was.Settled[s.Secret]
		switch {
		case !s.Settled.IsZero():
			r.Settled[s.Secret] = settledRecord{s.Made, s.Settled}
		case known && s.Phase == rollout.RotationVerify: // somebody does not answer, and nobody is known to be behind
			r.Settled[s.Secret] = old
		}
		if s.Overdue {
			r.Told[s.Secret] = s.Made
		}
	}
	return r
}

func (r rotationRecord) same(o rotationRecord) bool {
	if r.Revision != o.Revision || !slices.Equal(r.Forms, o.Forms) || len(r.Settled) != len(o.Settled) || len(r.Told) != len(o.Told) {
		return false
	}
	for k, s := range r.Settled {
		if t := o.Settled[k]; !s.Made.Equal(t.Made) || !s.At.Equal(t.At) {
			return false
		}
	}
	for k, at := range r.Told {
		if !at.Equal(o.Told[k]) {
			return false
		}
	}
	return true
}

// rotationEvents are what there is to tell of a secret.
func (c *Controller) rotationEvents(s SecretStatus, revision string, now rotationRecord) []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Event
	if _, told := c.rotation.Told[s.Secret]; s.Overdue && (!told || !c.rotation.Told[s.Secret].Equal(now.Told[s.Secret])) {
		e := Event{Type: Warning, Reason: ReasonSecretOverdue, Revision: revision, Message: "secret " + s.Secret + " is to be rotated: nobody knows how old it is"}
		if !s.Due.IsZero() {
			e.Message = fmt.Sprintf("secret %s was to be rotated by %s", s.Secret, s.Due.Format(time.DateOnly))
		}
		out = append(out, e)
	}
	i := slices.IndexFunc(c.secrets, func(o SecretStatus) bool { return o.Secret == s.Secret })
	if s.Fault != "" && (i < 0 || c.secrets[i].Fault != s.Fault) {
		out = append(out, Event{Type: Warning, Reason: ReasonProblem, Revision: revision, Message: s.Fault})
	}
	if !s.Rotates || i >= 0 && c.secrets[i].Rotates && c.secrets[i].Phase == s.Phase && slices.Equal(c.secrets[i].Waits, s.Waits) {
		return out
	}
	if i < 0 && s.Phase == rollout.RotationDone {
		return out
	}
	e := Event{Type: Normal, Reason: ReasonRotation, Revision: revision, Message: "rotation of " + s.Secret + ": " + s.Progress()}
	if len(s.Waits) > 0 {
		e.Message += "; waits: " + s.Waits[0]
	}
	return append(out, e)
}

// rotationDue has rotations that are not done looked at again, where nothing else is to be
// done.
func (c *Controller) rotationDue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	after := time.Duration(-1)
	for _, s := range c.secrets {
		if !s.Active() {
			continue
		}
		wait := rotationEvery
		if left := time.Until(s.KeepUntil); !s.KeepUntil.IsZero() && left > 0 {
			wait = left + 100*time.Millisecond
		}
		if after < 0 || wait < after {
			after = wait
		}
	}
	if after >= 0 {
		c.queue.AddAfter(fleetKey, after)
	}
}
