package world

import (
	"slices"
	"strconv"
	"time"
)

// UnitSpec is what does not change about a unit: where its inputs are and how long
// systemd's own doings take.
type UnitSpec struct {
	Service      string
	Name         string
	File         string   // path of its unit file
	EnvFiles     []string // read at each start, in order
	Configs      []string // read at each start and reload
	Link         string   // the program's symlink, or ""
	Notify       bool     // Type=notify: its start job ends once it is ready
	RestartPause time.Duration
	StopTime     time.Duration
	// Foreign is not managed by evenkeel.
	Foreign bool
}

// startTimeout is TimeoutStartSec of all units.
const startTimeout = 40 * time.Second

// The start limit (StartLimitBurst, StartLimitIntervalSec).
const (
	startLimitBurst    = 5
	startLimitInterval = 10 * time.Second
)

// Unit is one service unit as systemd has it. Restart=on-failure.
type Unit struct {
	UnitSpec
	Active string
	Sub    string
	Result string
	Masked bool
	// AdminJob tells that somebody's job is queued on it.
	AdminJob bool
	// StuckStop lets no stop of it end.
	StuckStop bool
	// Deaf lets a restart be reported as done without one: its job was cancelled.
	Deaf bool
	// Sick lets its health check fail, whatever it runs.
	Sick bool
	Proc *Process

	host     *Host
	loaded   *Item
	restarts int
	flush    bool // the next start counts restarts anew
	status   int
	starts   []time.Duration
	turn     int // of its state: a timer of an earlier one does nothing
	was      string
	stopping []func()       // who waits for the stop under way
	starting []func(string) // who waits for the start under way
}

// Process is a unit's main process.
type Process struct {
	Invocation string
	PID        int
	Started    time.Duration
	Read       map[string]*File // what it read, by path; of its link, the release
	Vars       map[string]string
	Conduct    Conduct
}

// Host is the one it is on.
func (u *Unit) Host() *Host { return u.host }

// Healthy tells whether its health check passes.
func (u *Unit) Healthy() bool {
	p, now := u.Proc, u.host.now()
	return p != nil && u.Active == "active" && !u.Sick && !p.Conduct.Sick && now >= p.Started+p.Conduct.Ready
}

// Invocation is the InvocationID that systemctl show has.
func (u *Unit) Invocation() string {
	if u.Proc != nil {
		return u.Proc.Invocation
	}
	return u.was
}

func (u *Unit) set(active, sub, result string) {
	u.Active, u.Sub, u.Result = active, sub, result
	u.turn++
	u.host.touched()
}

// later runs f after d, unless the unit's state has changed until then.
func (u *Unit) later(d time.Duration, f func()) {
	turn := u.turn
	u.host.after(d, func() {
		if u.turn == turn {
			f()
		}
	})
}

// jobQueued tells whether a job that a restart would have to replace is waiting or
// under way on it. A start is none: a restart merges with it (systemd's job-mode fail).
func (u *Unit) jobQueued() bool {
	return u.AdminJob || u.Active == "deactivating"
}

// start begins a start. done is told "" once the job has ended well, or why not; it
// is told nothing while the job is still running.
func (u *Unit) start(a *Actor, done func(string)) {
	now := u.host.now()
	switch {
	case u.Masked:
		done("unit " + u.Name + " is masked")
		return
	case u.loaded == nil:
		done("unit " + u.Name + " not found")
		return
	case u.Proc != nil: // it runs, or a start of somebody else's is under way
		if u.Sub == "start" {
			u.starting = append(u.starting, done)
			return
		}
		done("")
		return
	}
	u.starts = slices.DeleteFunc(u.starts, func(at time.Duration) bool { return now-at >= startLimitInterval })
	if len(u.starts) >= startLimitBurst {
		u.flush = true
		u.set("failed", "failed", "start-limit-hit")
		done("start request repeated too quickly")
		return
	}
	u.starts = append(u.starts, now)
	u.spawn(a, done)
}

// spawn makes the process of a start that systemd has accepted.
func (u *Unit) spawn(a *Actor, done func(string)) {
	p, why := u.read()
	if why != "" {
		u.status, u.flush = 1, true
		u.set("failed", "failed", "resources")
		done(why)
		return
	}
	u.Proc, u.was = p, p.Invocation
	if u.flush {
		u.restarts, u.flush = 0, false
	}
	if c := p.Conduct; u.Notify && !c.CannotStart && (c.NeverStarted || c.Dies == 0 || c.Dies > c.Ready) {
		u.starting = append(u.starting, done)
		u.set("activating", "start", "success")
		u.host.world.Watch.Started(u, a)
		if c.NeverStarted {
			u.later(startTimeout, func() { u.end("timeout", 0) })
			return
		}
		u.later(c.Ready, func() {
			u.set("active", "running", "success")
			u.mortal(c)
			u.started("")
		})
		return
	}
	u.set("active", "running", "success")
	u.host.world.Watch.Started(u, a)
	u.mortal(p.Conduct)
	u.later(p.Conduct.Ready, u.host.touched)
	done("")
}

// started tells those who wait for the start under way.
func (u *Unit) started(why string) {
	waiting := u.starting
	u.starting = nil
	for _, done := range waiting {
		done(why)
	}
}

// mortal sees to it that a process ends as its conduct says.
func (u *Unit) mortal(c Conduct) {
	switch {
	case c.CannotStart:
		u.later(2*time.Millisecond, func() { u.Die(203) })
	case c.Dies > 0:
		d := c.Dies
		if c.DiesSpread > 0 {
			d += time.Duration(uint64(u.host.nextID())*2654435761) % c.DiesSpread
		}
		u.later(max(0, u.Proc.Started+d-u.host.now()), func() { u.Die(1) })
	}
}

// read is a new process with what is on disk now.
func (u *Unit) read() (*Process, string) {
	h := u.host
	p := &Process{Invocation: h.Name + "-" + strconv.Itoa(h.nextID()), PID: 100 + h.ids, Started: h.now(), Read: map[string]*File{}, Vars: map[string]string{}}
	items := []*Item{u.loaded}
	p.Read[u.File] = &File{Item: u.loaded}
	for _, path := range u.EnvFiles {
		f := h.Files[path]
		if f == nil || f.Item == nil {
			return nil, "cannot read " + path
		}
		p.Read[path] = f
		items = append(items, f.Item)
		for k, v := range f.Item.Vars {
			p.Vars[k] = v
		}
	}
	for _, path := range u.Configs {
		p.Read[path] = h.Files[path]
		if f := h.Files[path]; f != nil {
			items = append(items, f.Item)
		}
	}
	if u.Link != "" {
		p.Read[u.Link] = h.Files[u.Link]
		it := h.program(u.Link)
		if it == nil {
			items = append(items, &Item{Conduct: &Conduct{CannotStart: true}})
		}
		items = append(items, it)
	}
	p.Conduct = together(items)
	return p, ""
}

// program is what a link leads to, or nil.
func (h *Host) program(link string) *Item {
	l := h.Files[link]
	if l == nil {
		return nil
	}
	if f := h.Files[l.Target]; f != nil {
		return f.Item
	}
	return nil
}

// Die ends its process with that exit status; systemd starts it again after
// RestartPause.
func (u *Unit) Die(status int) {
	if u.Proc != nil && u.Active != "deactivating" {
		u.end("exit-code", status)
	}
}

func (u *Unit) end(result string, status int) {
	u.Proc, u.status = nil, status
	u.set("activating", "auto-restart", result)
	u.started("it ended with result " + result)
	u.later(u.RestartPause, func() {
		u.restarts++
		u.set("inactive", "dead", result)
		u.start(nil, func(string) {})
	})
}

// stop begins a stop. done is told once it has ended; of one that is stuck, nothing.
func (u *Unit) stop(done func()) {
	if u.Proc == nil {
		if u.Active != "failed" {
			u.flush = true
			u.set("inactive", "dead", "success")
		}
		done()
		return
	}
	u.stopping = append(u.stopping, done)
	if u.Active == "deactivating" {
		return
	}
	u.set("deactivating", "stop-sigterm", "success")
	u.started("the job was cancelled")
	if !u.StuckStop {
		u.later(u.StopTime, func() { u.stopped("success") })
	}
}

func (u *Unit) stopped(result string) {
	waiting := u.stopping
	u.Proc, u.stopping, u.flush = nil, nil, true
	u.set("inactive", "dead", result)
	for _, done := range waiting {
		done()
	}
}

// reload has the process read its configs again.
func (u *Unit) reload(done func(string)) {
	p := u.Proc
	if p == nil || u.Active != "active" {
		done("unit " + u.Name + " is not active")
		return
	}
	next := *p
	next.Read = map[string]*File{}
	var items []*Item
	for path, f := range p.Read {
		if slices.Contains(u.Configs, path) {
			f = u.host.Files[path]
		}
		next.Read[path] = f
		switch {
		case f == nil:
		case path == u.Link:
			items = append(items, u.host.program(u.Link))
		default:
			items = append(items, f.Item)
		}
	}
	next.Conduct = together(items)
	next.Conduct.Ready, next.Conduct.CannotStart, next.Conduct.NeverStarted = p.Conduct.Ready, false, false
	u.Proc = &next
	u.host.touched()
	if c := next.Conduct; c.Dies > 0 && c.Dies != p.Conduct.Dies {
		u.later(c.Dies, func() { u.Die(1) })
	}
	done("")
}

// vanish is what becomes of it when its host goes down.
func (u *Unit) vanish() {
	u.Proc, u.restarts, u.starts, u.stopping, u.starting, u.AdminJob = nil, 0, nil, nil, nil, false
	u.Active, u.Sub, u.Result = "inactive", "dead", "success"
	u.turn++
}

// StopByHand, StartByHand and RestartByHand are a person at the host's shell.
func (u *Unit) StopByHand() { u.stop(func() {}) }

// StartByHand starts it.
func (u *Unit) StartByHand() {
	u.start(&Actor{}, func(string) {})
}

// RestartByHand stops and starts it.
func (u *Unit) RestartByHand() {
	u.stop(func() { u.StartByHand() })
}

// FreeStop lets a stop that was stuck end.
func (u *Unit) FreeStop() {
	u.StuckStop = false
	if u.Active == "deactivating" {
		u.stopped("timeout")
	}
}
