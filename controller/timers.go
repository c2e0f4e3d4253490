package controller

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/robfig/cron/v3"
)

// timers put work into the queue when it is due.
func (c *Controller) timers(ctx context.Context) {
	schedule, err := cron.ParseStandard(c.opt.Drift.Schedule)
	if err != nil {
		c.log.Error().Err(err).Msg("no schedule") // defaults has parsed it
		return
	}
	git := time.NewTicker(c.opt.Poll)
	defer git.Stop()
	hosts := time.NewTicker(c.opt.PollHosts)
	defer hosts.Stop()
	lapse := time.NewTicker(time.Second)
	defer lapse.Stop()
	drift := time.NewTimer(time.Until(schedule.Next(time.Now())))
	defer drift.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.stopping:
			return
		case <-git.C:
			c.queue.Add(sourceKey)
		case <-drift.C:
			c.queue.Add(fleetKey)
			drift.Reset(time.Until(schedule.Next(time.Now())))
		case <-hosts.C:
			c.pollHosts()
		case now := <-lapse.C:
			c.mu.Lock()
			c.beat = now
			c.mu.Unlock()
			c.lapse(ctx)
		}
	}
}

// pollHosts has those hosts looked at that are not watched.
func (c *Controller) pollHosts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, e := range c.hosts {
		if !e.glance.Watched {
			c.queue.AddAfter(hostKey(name), time.Duration(rand.Int64N(int64(c.opt.PollHosts/4)+1)))
		}
	}
}

// jitter is d, give or take a fifth, so that many are not due at once.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + time.Duration(rand.Int64N(int64(2*d/5)+1))
}
