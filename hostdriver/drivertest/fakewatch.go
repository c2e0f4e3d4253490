package drivertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

var _ hostdriver.Watcher = (*Fake)(nil)

// signalRoom is how many signals wait to be taken; an older one makes room for a newer.
const signalRoom = 16

// fakeWatch is one watch of a host. Its fields are the fleet's to lock.
type fakeWatch struct {
	host  string
	query hostdriver.WatchQuery
	out   chan hostdriver.Signal
	up    bool // signals changes
	ended bool
	boots int
	seen  watchedState
}

// watchedState is what a watch compares.
type watchedState struct {
	units    map[string]string
	paths    map[string]string
	reloaded int
}

// Watch implements hostdriver.Watcher. It signals within the call that changes the host,
// or within the next one where time has done it.
func (f *Fake) Watch(ctx context.Context, host inventory.Host, q hostdriver.WatchQuery) (<-chan hostdriver.Signal, error) {
	if err := q.Check(); err != nil {
		return nil, &hostdriver.Error{Kind: hostdriver.Refused, Host: host.Name, Op: "watch", Err: err}
	}
	h, err := f.reach(context.WithoutCancel(ctx), host.Name)
	defer f.mu.Unlock()
	w := &fakeWatch{host: host.Name, query: q, out: make(chan hostdriver.Signal, signalRoom)}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if h != nil {
			h.watches = slices.DeleteFunc(h.watches, func(other *fakeWatch) bool { return other == w })
		}
		w.ended = true
		close(w.out)
	})
	switch {
	case h == nil:
		f.tell(w, hostdriver.Signal{Kind: hostdriver.Lost, Err: unreachable(host.Name, "watch", err)})
	case err != nil:
		h.watches = append(h.watches, w)
		f.tell(w, hostdriver.Signal{Kind: hostdriver.Lost, Err: unreachable(host.Name, "watch", err)})
	default:
		h.watches = append(h.watches, w)
		h.beginWatch(w)
	}
	return w.out, nil
}

// tell gives a signal to who watches, in place of the oldest one if need be.
func (f *Fake) tell(w *fakeWatch, s hostdriver.Signal) {
	s.Host, s.At = w.host, f.now()
	w.up = s.Kind == hostdriver.Watching || s.Kind == hostdriver.Changed
	if w.ended {
		return
	}
	for {
		select {
		case w.out <- s:
			return
		default:
		}
		select {
		case <-w.out:
		default:
		}
	}
}

func (h *FakeHost) beginWatch(w *fakeWatch) {
	w.boots = h.boots
	if h.unwatchable {
		h.fleet.tell(w, hostdriver.Signal{Kind: hostdriver.Blind, Err: &hostdriver.Error{Kind: hostdriver.Failed, Host: h.name, Op: "watch",
			Err: errors.New("systemd-stdio-bridge: command not found"), Mend: "install the package systemd there"}})
		return
	}
	w.seen = h.watched(w.query)
	h.fleet.tell(w, hostdriver.Signal{Kind: hostdriver.Watching})
}

// signal tells each watch what has changed since it was last told.
func (h *FakeHost) signal() {
	for _, w := range h.watches {
		switch {
		case h.down != nil:
			if w.up {
				h.fleet.tell(w, hostdriver.Signal{Kind: hostdriver.Lost, Err: unreachable(h.name, "watch", h.down)})
			}
			w.boots = 0
		case w.boots != h.boots:
			if w.up {
				h.fleet.tell(w, hostdriver.Signal{Kind: hostdriver.Lost, Err: unreachable(h.name, "watch", errors.New("connection closed by the host"))})
			}
			h.beginWatch(w)
		case w.up:
			h.compare(w)
		}
	}
}

func (h *FakeHost) compare(w *fakeWatch) {
	now := h.watched(w.query)
	s := hostdriver.Signal{Kind: hostdriver.Changed, Files: !maps.Equal(now.paths, w.seen.paths), Reloaded: now.reloaded != w.seen.reloaded}
	for _, name := range w.query.Units {
		if now.units[name] != w.seen.units[name] {
			s.Units = append(s.Units, name)
		}
	}
	slices.Sort(s.Units)
	w.seen = now
	if s.Files || s.Reloaded || len(s.Units) > 0 {
		h.fleet.tell(w, s)
	}
}

func (h *FakeHost) watched(q hostdriver.WatchQuery) watchedState {
	now := watchedState{units: map[string]string{}, paths: map[string]string{}, reloaded: h.reloads}
	for _, name := range q.Units {
		u := h.state(name)
		now.units[name] = fmt.Sprint(u.Load, u.Active, u.Sub, u.InvocationID, u.MainPID, u.Restarts, u.Job, u.Result)
	}
	for _, name := range q.Paths {
		now.paths[name] = h.fingerprint(name)
		if n := h.nodes[name]; n == nil || n.kind != hostdriver.PathDir {
			continue
		}
		for p := range h.nodes {
			if path.Dir(p) == name && p != name {
				now.paths[p] = h.fingerprint(p)
			}
		}
	}
	return now
}

// fingerprint changes with each write, even of what was there before.
func (h *FakeHost) fingerprint(name string) string {
	n := h.nodes[name]
	if n == nil {
		return ""
	}
	return fmt.Sprintf("%p %s %s %s %o %s %s %s", n, n.kind, n.owner, n.group, n.mode, n.target, n.changed, n.data.SHA256())
}

// HideBus implements Machine.
func (h *FakeHost) HideBus() { h.do(func() { h.unwatchable = true }) }

// ShowBus implements Machine.
func (h *FakeHost) ShowBus() { h.do(func() { h.unwatchable = false }) }
