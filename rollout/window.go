package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// Opening is an answer to CmdWindow, of the clock on the wall: whether a service's
// windows are open, for how long from now (0: no end is known), and in words.
type Opening struct {
	desired.Opening
	For time.Duration `json:"for,omitempty"`
}

// OpeningAt is the answer at a moment.
func OpeningAt(ws desired.Windows, now time.Time) Opening {
	o := Opening{Opening: ws.At(now)}
	if !o.Until.IsZero() {
		o.For = o.Until.Sub(now)
	}
	return o
}

// WindowState is what is known of a service's windows.
type WindowState struct {
	Opening
	Known  bool          `json:"known,omitempty"`
	Holds  time.Duration `json:"holds,omitempty"` // the answer is good before this time of the rollout
	Asking bool          `json:"asking,omitempty"`
}

// windowHolds is how long an answer is good at most: the clock on the wall may be put
// forward or back.
const windowHolds = time.Minute

// opened takes an answer.
func (s *State) opened(e Event) {
	ss := s.service(e.Service)
	if ss == nil {
		return
	}
	ss.Window.Asking = false
	if e.Window == nil {
		return
	}
	holds := windowHolds
	if e.Window.For > 0 {
		holds = min(holds, e.Window.For)
	}
	ss.Window = WindowState{Opening: *e.Window, Known: true, Holds: s.At + holds}
}

// windowsOpen tells whether all services that v disturbs are known to be within their
// windows. A step that was left on a host is finished at any time.
func (s *State) windowsOpen(v *Visit) bool {
	return v.Recover || planted == "windows ignored" || !slices.ContainsFunc(v.Disturbs, func(name string) bool {
		ss := s.service(name)
		return ss != nil && len(ss.Strategy.Windows) > 0 && !(ss.Window.Known && ss.Window.Open && (s.At < ss.Window.Holds || planted == "window's end overlooked"))
	})
}

// inWindows is the same, and asks where it is not known, or again once it may be otherwise.
func (a *admission) inWindows(v *Visit) bool {
	if a.s.windowsOpen(v) {
		return true
	}
	for _, at := range a.r.disturbs[v.ID] {
		if ss := &a.s.Services[at]; len(ss.Strategy.Windows) > 0 {
			a.askWindow(ss)
		}
	}
	return false
}

func (a *admission) askWindow(ss *ServiceState) {
	w := &ss.Window
	if w.Asking || w.Known && w.Open && a.s.At < w.Holds {
		return
	}
	after := time.Duration(0)
	if w.Known {
		after = max(0, w.Holds-a.s.At)
	}
	w.Asking = true
	a.out = append(a.out, Command{Kind: CmdWindow, Visit: -1, Service: ss.Service, After: after})
}

// tellWindows adds to a plan how the windows of the services that it disturbs stand, or
// that they are ignored.
func tellWindows(p *Plan, in Input) {
	for i := range p.Services {
		sp := &p.Services[i]
		if len(sp.Strategy.Windows) == 0 || in.At.IsZero() {
			continue
		}
		o := OpeningAt(sp.Strategy.Windows, in.At)
		if !in.IgnoreWindows {
			sp.Window = &o
			continue
		}
		sp.Strategy.Windows = nil
		if !o.Open && slices.ContainsFunc(p.Visits, func(v Visit) bool { return slices.Contains(v.Disturbs, sp.Service) }) {
			p.WindowsIgnored = append(p.WindowsIgnored, o.Words(sp.Service))
		}
	}
}

// Words says of a service whose windows are closed until when and why.
func (o Opening) Words(service string) string {
	if o.Open {
		return ""
	}
	until := ""
	if !o.Until.IsZero() {
		until = " until " + o.Until.Format("Mon 2006-01-02 15:04 MST")
	}
	return fmt.Sprintf("%s: windows closed%s, %s", service, until, o.Why)
}
