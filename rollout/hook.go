package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// HookRun is a hook that a visit runs before anything of its host is disturbed or switched.
type HookRun struct {
	Service string        `json:"service"`
	Name    string        `json:"name"`
	ID      string        `json:"id"`
	Timeout time.Duration `json:"timeout,omitempty"`
	// Once tells that one host runs it for all: at most one visit with it is under way
	// until it has ended well.
	Once bool `json:"once,omitempty"`
	// Begun is durable before it is run. Done tells that it has ended well there, and
	// Elsewhere that it has on another host: here it is only remembered.
	Begun     bool `json:"begun,omitempty"`
	Done      bool `json:"done,omitempty"`
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// runs tells that it is one host's to run, and not known to have ended well anywhere.
func (r HookRun) runs() bool { return r.Once && !r.Done && !r.Elsewhere }

// RunsOnce tells whether the visit has a hook that one host runs for all.
func (v *Visit) RunsOnce() bool { return slices.ContainsFunc(v.Hooks, HookRun.runs) }

// hookMark is the name under which a host remembers a hook.
func hookMark(h *desired.Hook) string {
	return hostdriver.Hook{ID: h.ID, Once: h.Once, Release: h.Release}.Mark()
}

// hooks adds the hooks that the host has not run for the releases that it is to have.
func (d *differ) hooks(inst *desired.Instance) {
	for i := range inst.Hooks {
		h := &inst.Hooks[i]
		mark := d.o.Hooks[hookMark(h)]
		if mark.Done {
			continue
		}
		c := Change{Kind: KindHook, Action: ActionRun, Subject: h.Name, To: short(h.ID)}
		switch {
		case h.Once && mark.Service != "":
			c.Reason = fmt.Sprintf("it was begun by %s, and was not seen to end: the host tells", orElse(mark.Holder, "somebody"))
		case h.Once:
			c.Reason = "one host runs it for the service before any is switched"
		case h.Release != "":
			c.Reason = "it has not run in release " + releaseDigest(h.Release)
		default:
			c.Reason = "it has not run for these releases"
		}
		d.add(c)
	}
}

// onceHook is what all hosts together remember of a hook that one of them runs for all.
type onceHook struct {
	service, name       string
	done, begun, silent string // a host; "" where there is none
	retry               bool
}

// onceHooks are those, by ID.
func onceHooks(in *Input) map[string]*onceHook {
	var known map[string]*onceHook
	for i := range in.Hosts {
		h := &in.Hosts[i]
		for j := range h.Desired.Instances {
			inst := &h.Desired.Instances[j]
			for k := range inst.Hooks {
				x := &inst.Hooks[k]
				if !x.Once {
					continue
				}
				if known == nil {
					known = map[string]*onceHook{}
				}
				if known[x.ID] == nil {
					known[x.ID] = &onceHook{service: inst.Service, name: x.Name, retry: x.Retry}
				}
				known[x.ID].heard(h, hookMark(x))
			}
		}
	}
	return known
}

// heard adds what one host remembers.
func (k *onceHook) heard(h *HostInput, name string) {
	host := h.Desired.Host.Name
	if h.Observation == nil {
		k.silent = orElse(k.silent, host)
		return
	}
	switch mark, there := h.Observation.Hooks[name]; {
	case there && mark.Done:
		k.done = orElse(k.done, host)
	case there:
		k.begun = orElse(k.begun, host)
	}
}

// elsewhere tells the changes of one host what the others remember, and keeps it from
// running what may have been run on another one.
func (h *HostInput) elsewhere(d *Difference, known map[string]*onceHook) {
	if len(known) == 0 || planted == "hook's other hosts not asked" {
		return
	}
	host := h.Desired.Host.Name
	for i := range d.Changes {
		c := &d.Changes[i]
		inst := h.Instance(c.Service)
		if c.Kind != KindHook || inst == nil {
			continue
		}
		at := slices.IndexFunc(inst.Hooks, func(x desired.Hook) bool { return x.Name == c.Subject && x.Once })
		if at < 0 {
			continue
		}
		k := known[inst.Hooks[at].ID]
		problem := Problem{Host: host, Service: c.Service, Subject: "hook " + c.Subject}
		switch {
		case k.done != "":
			c.Reason = "it has run on " + k.done + ", and is noted here"
			continue
		case k.begun != "" && k.begun != host:
			problem.Reason = fmt.Sprintf("was begun on %s, and was not seen to end: %s comes first", k.begun, k.begun)
			problem.Mend = "apply again once it is settled there"
		case k.silent != "" && k.begun == "" && !k.retry:
			problem.Reason = fmt.Sprintf("runs once, and %s, which may have run it, does not answer", k.silent)
			problem.Mend = "bring that host back, or take it out of the inventory; or say retry: true, if it may be run again"
		default:
			continue
		}
		d.Problems = append(d.Problems, problem)
	}
}

// hooksOf are the hooks that a visit runs.
func (h *HostInput) hooksOf(v *Visit, known map[string]*onceHook) []HookRun {
	var out []HookRun
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil {
			continue
		}
		for i := range inst.Hooks {
			x := &inst.Hooks[i]
			if h.Observation.Hooks[hookMark(x)].Done {
				continue
			}
			r := HookRun{Service: name, Name: x.Name, ID: x.ID, Timeout: x.Timeout, Once: x.Once}
			r.Elsewhere = x.Once && known[x.ID] != nil && known[x.ID].done != "" && planted != "hook's other hosts not asked"
			out = append(out, r)
		}
	}
	return out
}

// HookOps are a visit's hooks as operations on its host, in order.
func (h *HostInput) HookOps(v *Visit) []hostdriver.Hook {
	var out []hostdriver.Hook
	for _, r := range v.Hooks {
		inst := h.Instance(r.Service)
		if inst == nil {
			continue
		}
		i := slices.IndexFunc(inst.Hooks, func(x desired.Hook) bool { return x.ID == r.ID })
		if i < 0 {
			continue
		}
		x := &inst.Hooks[i]
		op := hostdriver.Hook{ID: x.ID, Service: r.Service, Name: x.Name, Line: x.Run, User: x.User, Timeout: x.Timeout, Generation: v.To,
			Release: x.Release, Once: x.Once, Retry: x.Retry, Elsewhere: r.Elsewhere, Env: map[string]string{}}
		for _, path := range x.Env {
			for j := range inst.Files {
				if f := &inst.Files[j]; f.Path == path {
					for _, e := range f.Vars {
						op.Env[e.Key] = string(e.Value.Bytes())
						if e.Secret && !slices.Contains(op.Secret, e.Key) {
							op.Secret = append(op.Secret, e.Key)
						}
					}
				}
			}
		}
		out = append(out, op)
	}
	return out
}

// HookTime is how long a visit's hooks may take.
func (v *Visit) HookTime() time.Duration {
	t := time.Duration(0)
	for _, r := range v.Hooks {
		t += r.Timeout
	}
	return t
}

// Lines and bytes of a hook's output that are shown.
const (
	hookLines = 12
	hookBytes = 1500
)

// HookFailure is how a hook that ended badly is told: its exit status, and its last lines
// without what is secret in its environment.
func (h *HostInput) HookFailure(op hostdriver.Hook, res hostdriver.Result) error {
	how := fmt.Sprintf("it ended with exit status %d", res.Exit)
	switch {
	case res.Exit == 124:
		how = fmt.Sprintf("it did not end within %s", op.Timeout)
	case res.Exit > 128:
		how = fmt.Sprintf("it was ended by signal %d", res.Exit-128)
	}
	var secrets desired.Redaction
	secrets.Host(h.Desired)
	hide := func(text string) string { return text }
	if r := secrets.Replacer(); r != nil {
		hide = r.Replace
	}
	// Once more when it is printable, for what is taken out may have stood inside a secret.
	if text := hide(hostdriver.LastLines([]byte(hide(string(res.Output))), hookLines, hookBytes)); text != "" {
		how += ": " + text
	}
	mend := "see what it says; it runs again with the next apply"
	if op.Once && !op.Retry && (res.Exit > 127 || res.Exit == 124) {
		mend = fmt.Sprintf("find out what it has done: nobody runs it again before you say, on %s, that it is done (or that it is not)", h.Desired.Host.Name)
	}
	return &hostdriver.Error{Kind: hostdriver.Failed, Host: h.Desired.Host.Name, Op: fmt.Sprintf("run hook %s of %s", op.Name, op.Service),
		Err: fmt.Errorf("%s", how), Mend: mend}
}

// beginHooks notes that the hooks that run once are about to be.
func (v *Visit) beginHooks() {
	v.Hooks = slices.Clone(v.Hooks)
	for i := range v.Hooks {
		v.Hooks[i].Begun = v.Hooks[i].runs()
	}
}

// hooked notes that the hooks of a visit have ended well: no other host runs those that run
// once.
func (s *State) hooked(v *Visit) {
	done := map[string]bool{}
	v.Hooks = slices.Clone(v.Hooks)
	for i := range v.Hooks {
		v.Hooks[i].Done = true
		done[v.Hooks[i].ID] = v.Hooks[i].Once
	}
	if planted == "hook run on every host" {
		return
	}
	for i := range s.Visits {
		w := &s.Visits[i]
		if w.ID == v.ID || !slices.ContainsFunc(w.Hooks, func(r HookRun) bool { return done[r.ID] }) {
			continue
		}
		w.Hooks = slices.Clone(w.Hooks)
		for j := range w.Hooks {
			w.Hooks[j].Elsewhere = w.Hooks[j].Elsewhere || done[w.Hooks[j].ID]
		}
	}
}

// hookWith is a visit under way that runs a hook which v is to run otherwise, or nil.
func (s *State) hookWith(v *Visit) *Visit {
	if !v.RunsOnce() || planted == "hook twice at once" {
		return nil
	}
	for i := range s.Visits {
		w := &s.Visits[i]
		if w.ID == v.ID || !w.Active() && !(w.Phase == PhaseEnded && w.hookUnknown()) {
			continue
		}
		for _, r := range w.Hooks {
			if r.runs() && slices.ContainsFunc(v.Hooks, func(x HookRun) bool { return x.ID == r.ID && x.runs() }) {
				return w
			}
		}
	}
	return nil
}

// hookUnknown tells that a hook that runs once was begun, and what became of it is not known.
func (v *Visit) hookUnknown() bool {
	return slices.ContainsFunc(v.Hooks, func(r HookRun) bool { return r.Begun && !r.Done })
}
