package controller

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/evenkeel/evenkeel/controller/store"
)

// ErrNoBackup answers who asks for a copy of a store that cannot be copied.
var ErrNoBackup = errors.New("there is no store to copy")

// Backup writes a copy of the store, as it is at one moment, while all goes on, and
// returns its length. From the next pass on, hosts obey a later epoch than the copy
// knows: so whoever restores it later is told by the hosts that it is an old one.
func (c *Controller) Backup(ctx context.Context, w io.Writer, by string) (int64, error) {
	if c.opt.ReadOnly != "" {
		return 0, fmt.Errorf("%w: %s", ErrNoBackup, c.opt.ReadOnly)
	}
	from, ok := c.opt.Store.(store.Copier)
	if !ok {
		return 0, fmt.Errorf("%w: it is kept by others, who have means of their own", ErrNoBackup)
	}
	n, err := from.Backup(ctx, w)
	e := Event{Type: Normal, Reason: ReasonOperator, By: by, Message: fmt.Sprintf("backup: the store was copied, %d bytes", n)}
	if err != nil {
		e.Type, e.Message = Warning, "backup failed: "+err.Error()
	}
	c.record(context.WithoutCancel(ctx), e)
	if err != nil {
		return n, err
	}
	c.mu.Lock()
	c.renew = true
	c.mu.Unlock()
	c.queue.Add(fleetKey)
	return n, nil
}

// renewed takes the epoch that follows a backup. No pass is under way when it is called.
func (c *Controller) renewed(ctx context.Context) error {
	c.mu.Lock()
	due := c.renew && c.frozen == ""
	c.mu.Unlock()
	if !due {
		return nil
	}
	if err := c.nextEpoch(ctx, 0); err != nil {
		return err
	}
	c.mu.Lock()
	c.renew = false
	c.mu.Unlock()
	return nil
}

// meet takes a host's word at the first look at it in this controller's life: one that
// has obeyed an epoch which the store did not know when it was opened says that the
// store is an old copy. It returns why nothing may be changed, or "". c.mu is held.
func (c *Controller) meet(host, claim string, obeyed uint64) string {
	first := !c.met[host]
	c.met[host] = true
	if !first || claim != c.opt.Name || obeyed <= c.recalled {
		return ""
	}
	return oldStore(host, obeyed, c.recalled)
}

func oldStore(host string, obeyed, known uint64) string {
	return fmt.Sprintf("%s has obeyed epoch %d of this controller, and its store knows %d only: the store is an old copy, or a new one in the place of one that was lost. Look at evenkeel status; then: evenkeel take-over --reason …", host, obeyed, known)
}
