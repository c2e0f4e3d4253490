package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// hostWatch is one host's watch under way.
type hostWatch struct {
	query  hostdriver.WatchQuery
	cancel context.CancelFunc
	done   chan struct{}
}

// stop ends the watch. w may be nil.
func (w *hostWatch) stop() {
	if w != nil {
		w.cancel()
	}
}

// watchAll sees to it that every host of a look is watched.
func (c *Controller) watchAll(ctx context.Context, v *View) {
	for i := range v.Input.Hosts {
		c.watchHost(ctx, &v.Input.Hosts[i])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, e := range c.hosts {
		if len(e.live) == 0 {
			c.queue.Add(healthKey(name))
		}
	}
}

// watchHost begins to watch a host, or watches what it is to be from now on.
func (c *Controller) watchHost(ctx context.Context, in *rollout.HostInput) {
	if c.opt.Watcher == nil || in.Observation == nil || c.isStopping() {
		return
	}
	host := in.Desired.Host
	q := watchQuery(c.opt.Name, in)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.hosts[host.Name]
	if e == nil || e.watch != nil && sameWatch(e.watch.query, q) {
		return
	}
	was := e.watch
	was.stop()
	ctx, cancel := context.WithCancel(ctx)
	w := &hostWatch{query: q, cancel: cancel, done: make(chan struct{})}
	e.watch = w
	go func() {
		defer close(w.done)
		defer cancel()
		if was != nil {
			<-was.done
		}
		signals, err := c.opt.Watcher.Watch(ctx, host, q)
		if err != nil {
			c.watched(host.Name, w, Condition{Status: False, Reason: "Refused", Message: err.Error()})
			return
		}
		for s := range signals {
			c.signal(host.Name, w, s)
		}
	}()
}

// signal takes one word of a watch.
func (c *Controller) signal(host string, w *hostWatch, s hostdriver.Signal) {
	cond := Condition{Status: True, Reason: "Watching"}
	switch s.Kind {
	case hostdriver.Watching:
		if len(s.Unwatched) > 0 {
			cond.Status, cond.Reason, cond.Message = False, "Partly", s.Unwatched[0]+" cannot be watched"
		}
	case hostdriver.Lost:
		cond.Status, cond.Reason, cond.Message = False, "Lost", errText(s.Err)
	case hostdriver.Blind:
		cond.Status, cond.Reason, cond.Message = False, BlindReason, errText(s.Err)
		if mend := hostdriver.MendOf(s.Err); mend != "" {
			cond.Message += " (" + mend + ")"
		}
	}
	if s.Kind == hostdriver.Changed {
		c.mu.Lock()
		e := c.hosts[host]
		answered := e != nil && e.seen != nil && e.seen.observation != nil && s.AnsweredBy(*e.seen.observation)
		c.mu.Unlock()
		if answered {
			return
		}
	} else {
		c.watched(host, w, cond)
	}
	c.queue.Add(hostKey(host))
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// watched notes how a host's watch stands.
func (c *Controller) watched(host string, w *hostWatch, cond Condition) {
	cond.Type = Watched
	was := ""
	c.mu.Lock()
	if e := c.hosts[host]; e != nil && e.watch == w {
		was = e.conds.Get(Watched).Reason
		e.glance.Watched = cond.Status == True
		e.conds = e.conds.with(cond, time.Now().UTC())
	}
	c.mu.Unlock()
	switch {
	case cond.Reason == BlindReason && was != BlindReason:
		c.log.Warn().Str("host", host).Str("why", cond.Message).Msg("the host cannot be watched, and is polled")
	case cond.Status == True && was == BlindReason:
		c.log.Info().Str("host", host).Msg("the host is watched again")
	}
	c.changed()
}

// unwatch ends all watches, and waits until what they had set up is gone.
func (c *Controller) unwatch() {
	c.mu.Lock()
	var all []*hostWatch
	for _, e := range c.hosts {
		if e.watch != nil {
			e.watch.stop()
			all = append(all, e.watch)
		}
	}
	c.mu.Unlock()
	bound := time.After(10 * time.Second)
	for _, w := range all {
		select {
		case <-w.done:
		case <-bound:
			return
		}
	}
}

// watchQuery is what on a host is evenkeel's, or is to be.
func watchQuery(owner string, in *rollout.HostInput) hostdriver.WatchQuery {
	q := hostdriver.WatchQuery{Owner: owner}
	add := func(to *[]string, name string) {
		if !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	for i := range in.Desired.Instances {
		watchInstance(&q, &in.Desired.Instances[i], add)
	}
	for _, e := range in.Observation.Manifest.Entries {
		switch e.Kind {
		case hostdriver.KindFile, hostdriver.KindLink:
			add(&q.Paths, e.Name)
		case hostdriver.KindUnit:
			add(&q.Units, e.Name)
		}
	}
	watchManagers(&q, in.Observation, add)
	slices.Sort(q.Paths)
	slices.Sort(q.Units)
	q.Paths, q.Units = q.Paths[:min(len(q.Paths), hostdriver.MaxWatchPaths)], q.Units[:min(len(q.Units), hostdriver.MaxWatchUnits)]
	return q
}

// watchManagers adds what tells that a unit of a user's has started or ended: its manager
// keeps a link there for each that runs. And what tells that the manager is to run at all.
func watchManagers(q *hostdriver.WatchQuery, o *hostdriver.Observation, add func(*[]string, string)) {
	for name := range o.Managers {
		if u := o.Users[name]; u.Exists {
			add(&q.Paths, fmt.Sprintf("/run/user/%d/systemd/units", u.UID))
			add(&q.Paths, "/var/lib/systemd/linger/"+name)
		}
	}
}

func watchInstance(q *hostdriver.WatchQuery, inst *desired.Instance, add func(*[]string, string)) {
	for _, f := range inst.Files {
		add(&q.Paths, f.Path)
	}
	for _, a := range inst.Artifacts {
		add(&q.Paths, a.Link)
	}
	for _, u := range inst.Units {
		add(&q.Units, u.Name)
	}
}

func sameWatch(a, b hostdriver.WatchQuery) bool {
	return a.Owner == b.Owner && slices.Equal(a.Paths, b.Paths) && slices.Equal(a.Units, b.Units)
}
