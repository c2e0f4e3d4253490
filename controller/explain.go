package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
	"github.com/evenkeel/evenkeel/rollout/drain"
	"github.com/evenkeel/evenkeel/rollout/health"
)

// Explanation is all that is known of one instance at one moment.
type Explanation struct {
	Status   InstanceStatus   `json:"status"`
	Revision string           `json:"revision"` // what is desired
	Mend     string           `json:"mend,omitempty"`
	Facts    *HostFacts       `json:"host,omitempty"` // nil where the host did not answer
	Units    []UnitFacts      `json:"units"`
	Env      []EnvFacts       `json:"env"`
	Checks   []CheckFacts     `json:"checks"`
	Traffic  []TrafficFacts   `json:"balancers"`
	Changes  []rollout.Change `json:"changes"`
	// Problems keep the instance from being changed; Causes are why it is as it is.
	Problems []rollout.Problem `json:"problems"`
	Causes   []Cause           `json:"causes"`
	// Changed is the commit that last touched the service's files, where git tells.
	Changed *CommitInfo `json:"changed,omitempty"`
	// Journal is what systemd and the units said last, as far as it tells something.
	Journal []LogLine `json:"journal,omitempty"`
	// JournalLost tells that the host's journal is gone after a reboot, so that what came
	// before the last one is not known.
	JournalLost bool `json:"journalLost,omitempty"`
}

// HostFacts are the host's own records.
type HostFacts struct {
	Systemd    string                 `json:"systemd"`
	Clock      time.Time              `json:"clock"`
	Generation uint64                 `json:"generation"`
	Applied    string                 `json:"applied"` // the revision of that generation
	Kept       []uint64               `json:"kept"`
	Holder     string                 `json:"holder,omitempty"` // who last changed it
	Claim      string                 `json:"claim,omitempty"`
	Step       *hostdriver.StepRecord `json:"step,omitempty"`
}

// UnitFacts is one unit of the service.
type UnitFacts struct {
	Name       string    `json:"name"`
	Want       string    `json:"want"` // "started", "stopped" or ""
	Active     string    `json:"active"`
	Sub        string    `json:"sub"`
	Enabled    string    `json:"enabled"`
	Result     string    `json:"result,omitempty"` // in words, of one that does not run
	Since      time.Time `json:"since"`            // when it last became active, on the host's clock
	Ended      time.Time `json:"ended"`            // when it last became inactive or failed, on the host's clock
	PID        int       `json:"pid,omitempty"`
	Restarts   int       `json:"restarts,omitempty"`
	Generation uint64    `json:"generation,omitempty"` // that it was started with by us; 0: by somebody else
	Behind     string    `json:"behind,omitempty"`     // in what way its process is not what it should be
	Stale      bool      `json:"stale,omitempty"`      // it is behind what is on the host's disk, too
	Exe        string    `json:"exe,omitempty"`        // the program that its process runs
	Cwd        string    `json:"cwd,omitempty"`        // the folder that it runs in
	Replaced   bool      `json:"replaced,omitempty"`   // the program was removed or replaced since
	// LastRun and NextRun are a timer's, on the host's clock; NextRun is not known of one
	// that counts from another event, such as the boot.
	LastRun time.Time `json:"lastRun,omitzero"`
	NextRun time.Time `json:"nextRun,omitzero"`
	// Foreign are drop-ins that are not evenkeel's.
	Foreign []string `json:"foreign,omitempty"`
}

// EnvFacts is one env file: its keys, never a value.
type EnvFacts struct {
	Path    string   `json:"path"`
	Keys    []string `json:"keys"`
	Secret  []string `json:"secret,omitempty"` // those of Keys whose values are secrets
	Differs []string `json:"differs,omitempty"`
}

// CheckFacts is one health check, made now.
type CheckFacts struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason"`
	Mend   string `json:"mend,omitempty"`
}

// TrafficFacts is what one balancer says of the instance now.
type TrafficFacts struct {
	Balancer string `json:"balancer"`
	OK       bool   `json:"ok"` // it sends traffic, as far as it can be asked
	State    string `json:"state"`
	Sessions int    `json:"sessions"` // -1: nobody can count them
	Mend     string `json:"mend,omitempty"`
	Err      error  `json:"-"` // it could not be asked; State says so in words
}

// Explain tells all about one instance in the View: it makes the health checks and
// asks the balancers now. An error means that the View has no such instance.
func (f *Fleet) Explain(ctx context.Context, v *View, host, service string) (Explanation, error) {
	i := slices.IndexFunc(v.Input.Hosts, func(h rollout.HostInput) bool { return h.Desired.Host.Name == host })
	if i < 0 {
		return Explanation{}, unknownObject(fmt.Sprintf("no host %s was looked at", host))
	}
	in := &v.Input.Hosts[i]
	e := Explanation{Revision: v.Input.Revision, Mend: v.Mends()[host], Units: []UnitFacts{}, Env: []EnvFacts{}, Checks: []CheckFacts{},
		Traffic: []TrafficFacts{}, Changes: []rollout.Change{}, Problems: []rollout.Problem{}, Causes: []Cause{}}
	inst, ok := in.Desired.Instance(service)
	if !ok && !has(in, service) && !slices.Contains(in.Desired.Held, service) {
		return Explanation{}, unknownObject(fmt.Sprintf("service %s does not run on host %s", service, host))
	}
	refused := refusals(v.Plan)[host]
	status := slices.IndexFunc(hostInstances(v, in, refused, func(string) rollout.Instance { return rollout.Instance{} }), func(s InstanceStatus) bool { return s.Service == service })
	if o := in.Observation; o != nil {
		e.Facts = &HostFacts{Systemd: o.Systemd, Clock: o.Clock, Generation: o.Manifest.Generation, Applied: o.Manifest.Revision, Kept: o.Kept, Holder: o.Holder, Claim: o.Claim, Step: o.Step}
		e.differences(v, in, service)
		if ok {
			entries := f.journalOf(ctx, in.Desired, &inst)
			back := slices.ContainsFunc(refused, func(p rollout.Problem) bool { return p.Service == service })
			e.units(&inst, o, entries, back)
			e.Causes = append(e.Causes, f.tried(ctx, in, &inst)...)
			e.env(&inst)
			e.JournalLost = f.journalLost(ctx, in.Desired.Host)
		}
	}
	if ok {
		ctx, cancel := context.WithTimeout(ctx, liveTimeout)
		defer cancel()
		var both sync.WaitGroup
		both.Go(func() { e.Traffic = f.trafficFacts(ctx, &inst, in) })
		if in.Observation != nil {
			e.Checks = f.checkFacts(ctx, &inst, in.Desired.Host, *in.Observation)
		}
		both.Wait()
	}
	if status >= 0 {
		e.Status = hostInstances(v, in, refused, func(string) rollout.Instance { return e.live(&inst, in) })[status]
	}
	return e, nil
}

// differences takes what separates the instance from the revision, whether or not
// it would be changed by an apply.
func (e *Explanation) differences(v *View, in *rollout.HostInput, service string) {
	d := rollout.Diff(in.Desired, *in.Observation, rollout.DiffOptions{Salt: v.Input.Salt, Prune: v.Input.Prune})
	for _, c := range d.Changes {
		if c.Service == service {
			e.Changes = append(e.Changes, c)
		}
	}
	for _, p := range append(slices.Clone(in.Failed), d.Problems...) {
		if p.Service == service || p.Service == "" {
			e.Problems = append(e.Problems, p)
		}
	}
}

// journalOf is the end of the instance's journal, without the secrets of the host; what cannot be
// read is left out.
func (f *Fleet) journalOf(ctx context.Context, hs desired.HostState, inst *desired.Instance) []hostdriver.JournalEntry {
	host := hs.Host
	var secrets desired.Redaction
	secrets.Host(hs)
	redactor := secrets.Replacer()
	var names []string
	for _, u := range inst.Units {
		if !hostdriver.IsTemplate(u.Name) {
			names = append(names, u.Name)
		}
	}
	if f.Journals == nil || len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	var entries []hostdriver.JournalEntry
	err := f.Journals.Journal(ctx, host, hostdriver.JournalQuery{Units: names, Lines: explainRead}, func(e hostdriver.JournalEntry) error {
		if redactor != nil {
			e.Message, e.Identifier = redactor.Replace(e.Message), redactor.Replace(e.Identifier)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		f.Log.Warn().Err(err).Str("host", host.Name).Msg("the journal was not read")
	}
	return entries
}

// journalFolder is where a journal is that outlives a reboot (journald.conf(5), Storage=).
const journalFolder = "/var/log/journal"

// journalLost tells whether the host keeps its journal in memory only.
func (f *Fleet) journalLost(ctx context.Context, host inventory.Host) bool {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	o, err := f.Driver.Observe(ctx, host, hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: journalFolder, Bare: true}}})
	return err == nil && o.Paths[journalFolder].Type == hostdriver.PathAbsent
}

func (e *Explanation) units(inst *desired.Instance, o *hostdriver.Observation, entries []hostdriver.JournalEntry, back bool) {
	trouble := map[string]bool{}
	defer func() { e.Journal = tellingLines(entries, trouble) }()
	for i := range inst.Units {
		u := &inst.Units[i]
		got := o.Units[u.Name]
		facts := UnitFacts{Name: u.Name, Want: u.State, Active: got.Active, Sub: got.Sub, Enabled: got.File, Since: got.ActiveSince, Ended: got.InactiveSince, PID: got.MainPID, Restarts: got.Restarts,
			LastRun: got.TimerLast, NextRun: got.TimerNext}
		if p, ok := o.Processes[u.Name]; ok && got.MainPID > 0 {
			facts.Exe, facts.Cwd, facts.Replaced = p.Exe, p.Cwd, p.Deleted
		}
		if !got.Running() {
			facts.Result = rollout.ResultWords(got)
		}
		if s := o.Started[u.Name]; s.InvocationID != "" && s.InvocationID == got.InvocationID {
			facts.Generation = s.Generation
		}
		for _, path := range got.DropIns {
			if _, ours := o.Manifest.Find(hostdriver.KindFile, path); !ours {
				facts.Foreign = append(facts.Foreign, path)
			}
		}
		for _, c := range e.Changes {
			if c.Kind == rollout.KindProcess && c.Subject == u.Name && (c.Action == rollout.ActionRestart || c.Action == rollout.ActionReload) {
				facts.Behind, facts.Stale = strings.CutPrefix(c.Reason, "stale: ")
			}
		}
		e.Units = append(e.Units, facts)
		p := &patient{unit: u, state: got, paths: o.Paths, changes: e.Changes, foreign: facts.Foreign, behind: facts.Behind, back: back, drain: inst.DrainAtMost(), at: o.Clock}
		for _, entry := range entries {
			if entry.Unit == u.Name {
				p.entries = append(p.entries, entry)
			}
		}
		// What a timer or a socket starts is not started by us, and fails all the same.
		if c, wrong := p.diagnose(); wrong && (u.State == "started" || got.Active == "failed") {
			e.Causes = append(e.Causes, c)
			trouble[u.Name] = true
		}
	}
}

func (e *Explanation) env(inst *desired.Instance) {
	for i := range inst.Files {
		file := &inst.Files[i]
		if file.Kind != desired.FileEnv {
			continue
		}
		facts := EnvFacts{Path: file.Path, Keys: []string{}}
		for _, v := range file.Vars {
			facts.Keys = append(facts.Keys, v.Key)
			if v.Secret {
				facts.Secret = append(facts.Secret, v.Key)
			}
		}
		for _, c := range e.Changes {
			if c.Kind == rollout.KindEnv && c.Subject == file.Path {
				facts.Differs = c.Keys
			}
		}
		e.Env = append(e.Env, facts)
	}
}

// live is the instance as the facts gathered have it.
func (e *Explanation) live(inst *desired.Instance, in *rollout.HostInput) rollout.Instance {
	if in.Observation == nil {
		return rollout.Instance{Unreachable: true}
	}
	is := rollout.JudgeUnits(inst, in.Observation.Units)
	if !is.Up {
		return is
	}
	for _, c := range e.Checks {
		if !c.OK {
			is.Up, is.Reason = false, c.Reason
			return is
		}
	}
	for _, t := range e.Traffic {
		if !t.OK {
			is.Up, is.Reason = false, t.Balancer+" has it "+t.State
			return is
		}
	}
	return is
}

func (f *Fleet) checkFacts(ctx context.Context, inst *desired.Instance, host inventory.Host, o hostdriver.Observation) []CheckFacts {
	out := make([]CheckFacts, len(inst.Health))
	deps := f.healthDeps(inst, host, onlooker(o), o.Units)
	var wg sync.WaitGroup
	for i, spec := range inst.Health {
		wg.Go(func() {
			out[i].Check = health.Describe(spec)
			c, err := health.New(spec, host, deps)
			if err != nil {
				out[i].Reason = err.Error()
				return
			}
			r := c.Check(ctx)
			out[i].OK, out[i].Reason, out[i].Mend = r.OK, r.Reason, r.Mend
		})
	}
	wg.Wait()
	return out
}

func (f *Fleet) trafficFacts(ctx context.Context, inst *desired.Instance, in *rollout.HostInput) []TrafficFacts {
	out := make([]TrafficFacts, len(inst.Drain))
	fence := hostdriver.Fence{}
	if in.Observation != nil {
		fence = onlooker(*in.Observation)
	}
	var wg sync.WaitGroup
	for i, spec := range inst.Drain {
		wg.Go(func() { out[i] = f.balancer(ctx, spec, in.Desired.Host, fence) })
	}
	wg.Wait()
	return out
}

// balancer asks one balancer for one instance.
func (f *Fleet) balancer(ctx context.Context, spec desired.DrainSpec, host inventory.Host, fence hostdriver.Fence) TrafficFacts {
	t := TrafficFacts{Balancer: drain.Describe(spec)}
	d, err := drain.New(spec, host, f.drainDeps(fence))
	if err == nil {
		var st drain.Status
		if st, err = d.Status(ctx); err == nil {
			t.OK, t.State, t.Sessions = st.Up && !(st.Known && st.Drained), st.State, st.Sessions
			return t
		}
	}
	t.Err, t.State, t.Mend, t.Sessions = err, err.Error(), drain.MendOf(err), drain.SessionsUnknown
	return t
}
