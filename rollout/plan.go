package rollout

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// Input is what a Plan is made of.
type Input struct {
	Revision string
	Hosts    []HostInput // in the inventory's order
	Salt     string      // of the Queries
	Prune    bool
	// EmptyOK lets every managed service be taken away at once; without it, a
	// revision that wants nothing anywhere prunes nothing.
	EmptyOK bool
	// Terse leaves the texts of diffs out.
	Terse bool
	// Skip are services (by name) that are not to be touched: suspended, or not
	// among those asked for. They still count in the budget.
	Skip map[string]string // name to reason
	// At is when the hosts were observed, by the clock on the wall: windows are told of
	// that moment. IgnoreWindows leaves them out.
	At            time.Time
	IgnoreWindows bool
	// Promoted are services (by name) whose canaries were accepted for this revision.
	Promoted map[string]bool
	// Leads is, of services whose leader comes last, what their hosts answered, by
	// service and host.
	Leads map[string]map[string]Lead
	// Retry brings what hosts have refused as well.
	Retry bool
	// Undo, where set, makes the plan one of going back.
	Undo *Back
	// Ignore are differences that are left as they are.
	Ignore []Ignore
}

// HostInput is one host's two sides. Observation is nil where the host did not
// answer, and Reason says why.
type HostInput struct {
	Desired     desired.HostState
	Observation *hostdriver.Observation
	Reason      string
	// Failed are services that could not be resolved for this host.
	Failed []Problem
	// Skip, where set, is why nothing may be done on this host.
	Skip string
	// Hold is why services are not to be touched on this host although they are looked
	// at and shown, by service; that of "" is for the whole host.
	Hold map[string]string
}

// holds tells why a service is not to be touched on this host; "" where it may be.
func (h *HostInput) holds(service string) string {
	if why := h.Hold[""]; why != "" {
		return why
	}
	return h.Hold[service]
}

// Plan is all Changes of a Revision over the fleet, in order.
type Plan struct {
	Revision string        `json:"revision"`
	Hosts    []HostPlan    `json:"hosts"`
	Services []ServicePlan `json:"services"`
	Visits   []Visit       `json:"visits"`
	// Undo is set where it is a plan of going back, and not of what the revision wants.
	Undo *Back `json:"undo,omitempty"`
	// WindowsIgnored are the windows, in words, that are closed and do not count.
	WindowsIgnored []string `json:"windowsIgnored,omitempty"`
	// Warnings are about the plan as a whole.
	Warnings []string `json:"warnings,omitempty"`
}

// HostPlan is one host's share.
type HostPlan struct {
	Host      string    `json:"host"`
	Reachable bool      `json:"reachable"`
	Reason    string    `json:"reason,omitempty"` // why it is not reachable, or not to be touched
	Changes   []Change  `json:"changes"`
	Problems  []Problem `json:"problems,omitempty"`
	// Suspended are services that are to be left as they are here, by name, or the host
	// as a whole; those of which nothing differs, too.
	Suspended []SuspendedPlan `json:"suspended,omitempty"`
	// Recover names the step that somebody left unfinished on this host.
	Recover *hostdriver.StepRecord `json:"recover,omitempty"`
}

// SuspendedPlan is what is left as it is on a host.
type SuspendedPlan struct {
	Service string `json:"service,omitempty"` // "": the whole host
	Reason  string `json:"reason"`
	Changes int    `json:"changes"` // that would have been made
}

// SuspendedWhy is why the whole host is left as it is, "" where it is not.
func (h HostPlan) SuspendedWhy() string {
	for _, s := range h.Suspended {
		if s.Service == "" {
			return s.Reason
		}
	}
	return ""
}

// ServicePlan is one service's strategy and budget over its hosts.
type ServicePlan struct {
	Service   string           `json:"service"`
	After     []string         `json:"after,omitempty"`
	Strategy  desired.Strategy `json:"strategy"`
	Instances []Instance       `json:"instances"`
	Budget    Budget           `json:"budget"`
	// Drains tells that its hosts leave traffic before they are restarted.
	Drains  bool        `json:"drains,omitempty"`
	Batches []int       `json:"batches,omitempty"` // hosts in each, of those that will be disturbed and are no canaries
	Canary  *CanaryPlan `json:"canary,omitempty"`  // where a new revision goes by way of canaries
	Window  *Opening    `json:"window,omitempty"`  // of a service with windows, when the hosts were observed
	// Groups are the values of the label that the service is spread over, by host.
	Groups map[string]string `json:"groups,omitempty"`
}

// Changed tells whether anything at all differs.
func (p Plan) Changed() bool {
	for _, h := range p.Hosts {
		if len(h.Changes) > 0 || h.Recover != nil {
			return true
		}
	}
	return false
}

// Unreachable lists the hosts that did not answer.
func (p Plan) Unreachable() []string {
	var out []string
	for _, h := range p.Hosts {
		if !h.Reachable {
			out = append(out, h.Host)
		}
	}
	return out
}

// Problems lists all problems of all hosts.
func (p Plan) Problems() []Problem {
	var out []Problem
	for _, h := range p.Hosts {
		out = append(out, h.Problems...)
	}
	return out
}

// Build makes the plan. It is deterministic: the same input gives the same plan.
func Build(in Input) Plan {
	if in.Undo != nil {
		return buildUndo(in)
	}
	p := Plan{Revision: in.Revision}
	diffs := make([]Difference, len(in.Hosts))
	p.Hosts = make([]HostPlan, 0, len(in.Hosts))
	opt := DiffOptions{Salt: in.Salt, Prune: in.Prune && !refusesPrune(in, &p), texts: newDiffTexts(in.Terse)}
	refused := refused(in)
	once := onceHooks(&in)
	for i := range in.Hosts {
		diffs[i] = planHost(&in.Hosts[i], in, opt)
		in.Hosts[i].elsewhere(&diffs[i], once)
		diffs[i].Problems = append(diffs[i].Problems, in.Hosts[i].refuse(diffs[i], refused)...)
		in.Hosts[i].together(&diffs[i], in.Skip)
		p.Hosts = append(p.Hosts, hostPlan(&in.Hosts[i], diffs[i]))
	}
	p.Services = servicePlans(in)
	waves := waves(p.Services)
	canaries := stage(in, diffs)
	for i := range in.Hosts {
		p.Visits = append(p.Visits, visits(&in.Hosts[i], diffs[i], waves, in.Skip, canaries, once)...)
	}
	orderVisits(&p, in, waves)
	canaries.share(&p)
	sizeBatches(&p)
	tellWindows(&p, in)
	return p
}

// refusesPrune tells that the revision wants nothing anywhere although hosts have
// managed services: an empty source is more likely a mistake than a wish.
func refusesPrune(in Input, p *Plan) bool {
	managed := false
	for _, h := range in.Hosts {
		if len(h.Desired.Instances) > 0 || len(h.Desired.Held) > 0 {
			return false
		}
		managed = managed || h.Observation != nil && len(h.Observation.Manifest.Entries) > 0
	}
	if !managed || in.EmptyOK || planted == "prunes everything" {
		return false
	}
	p.Warnings = append(p.Warnings, "the revision wants nothing on any host: nothing is pruned (say --prune-all to mean it)")
	return true
}

// planHost is the difference of one host without what must not be touched.
func planHost(h *HostInput, in Input, opt DiffOptions) Difference {
	if h.Observation == nil {
		d := Difference{Problems: h.Failed}
		if h.Skip == "" && h.Hold[""] != "" {
			d.Suspended = []SuspendedPlan{{Reason: h.Hold[""]}}
		}
		return d
	}
	d := Diff(h.Desired, *h.Observation, opt)
	d.Changes = WithoutIgnored(d.Changes, in.Ignore)
	d.Problems = append(slices.Clone(h.Failed), d.Problems...)
	failed := map[string]bool{}
	for _, p := range h.Failed {
		failed[p.Service] = true
	}
	skip := func(service string) bool {
		_, s := in.Skip[service]
		return s || h.Skip != "" || failed[service] || h.holds(service) != ""
	}
	d.Suspended = h.suspended(d, func(service string) bool {
		_, s := in.Skip[service]
		return s || h.Skip != ""
	})
	d.Changes = slices.DeleteFunc(d.Changes, func(c Change) bool { return skip(c.Service) })
	d.Removed = slices.DeleteFunc(d.Removed, skip)
	d.Problems = slices.DeleteFunc(d.Problems, func(p Problem) bool { return skip(p.Service) && !failed[p.Service] })
	return d
}

// suspended lists what is held on the host, with what differs of it.
func (h *HostInput) suspended(d Difference, skip func(string) bool) []SuspendedPlan {
	by := map[string]*SuspendedPlan{}
	note := func(service string, changes int) {
		why := h.holds(service)
		if why == "" || skip(service) {
			return
		}
		at := service
		if h.Hold[""] != "" {
			at = ""
		}
		if by[at] == nil {
			by[at] = &SuspendedPlan{Service: at, Reason: why}
		}
		by[at].Changes += changes
	}
	for i := range h.Desired.Instances {
		note(h.Desired.Instances[i].Service, 0)
	}
	for _, c := range d.Changes {
		note(c.Service, 1)
	}
	if h.Hold[""] != "" {
		note("", 0)
	}
	var out []SuspendedPlan
	for _, name := range sortedKeys(by) {
		out = append(out, *by[name])
	}
	return out
}

func hostPlan(h *HostInput, d Difference) HostPlan {
	hp := HostPlan{Host: h.Desired.Host.Name, Reachable: h.Observation != nil, Reason: h.Reason, Changes: d.Changes, Problems: d.Problems, Suspended: d.Suspended}
	if h.Skip != "" || h.Hold[""] != "" {
		hp.Reason = orElse(h.Skip, h.Hold[""])
	}
	if h.Observation != nil && h.Skip == "" && h.Hold[""] == "" {
		hp.Recover = h.Observation.Step
	}
	if hp.Changes == nil {
		hp.Changes = []Change{}
	}
	return hp
}

// waves is how many services each one comes after, at most: its place in the order.
func waves(services []ServicePlan) map[string]int {
	after := map[string][]string{}
	for _, s := range services {
		after[s.Service] = s.After
	}
	w := map[string]int{}
	var depth func(name string, seen int) int
	depth = func(name string, seen int) int {
		if d, ok := w[name]; ok || seen > len(services) {
			return d
		}
		d := 0
		for _, a := range after[name] {
			d = max(d, depth(a, seen+1)+1)
		}
		w[name] = d
		return d
	}
	for _, s := range services {
		depth(s.Service, 0)
	}
	return w
}

// visits makes one host's visits: at most one that disturbs nothing, and one that
// does.
func visits(h *HostInput, d Difference, waves map[string]int, skip map[string]string, canaries staging, once map[string]*onceHook) []Visit {
	if h.Observation == nil || h.Skip != "" || h.Hold[""] != "" {
		return nil
	}
	blocked := map[string]bool{}
	for _, p := range d.Problems {
		blocked[p.Service] = true
	}
	by := map[string][]Change{}
	for _, c := range d.Changes {
		if !blocked[c.Service] {
			by[c.Service] = append(by[c.Service], c)
		}
	}
	quiet := Visit{Host: h.Desired.Host.Name, Quiet: true}
	loud := Visit{Host: h.Desired.Host.Name}
	if s := h.Observation.Step; s != nil {
		loud.Recover, loud.Drained = true, s.Drained
		if planted == "recovery forgets drains" {
			loud.Drained = nil
		}
		for _, name := range s.Services {
			_, skipped := skip[name]
			skipped = skipped || h.holds(name) != ""
			switch {
			case !slices.ContainsFunc(h.Desired.Instances, func(i desired.Instance) bool { return i.Service == name }):
			case skipped || blocked[name]:
				loud.Proves = append(loud.Proves, name)
			default:
				loud.Services = append(loud.Services, name)
			}
		}
	}
	for _, name := range sortedKeys(by) {
		v, held := &quiet, canaries.holds(name) && h.brings(name)
		if worst(by[name]) > None || slices.Contains(loud.Services, name) || held {
			v = &loud
		}
		if held {
			v.Brings = append(v.Brings, name)
		}
		if !slices.Contains(v.Services, name) {
			v.Services = append(v.Services, name)
		}
		v.take(name, by[name], slices.Contains(d.Removed, name))
	}
	var out []Visit
	for _, v := range []Visit{quiet, loud} {
		if len(v.Services) == 0 && !v.Recover {
			continue
		}
		slices.SortStableFunc(v.Services, func(a, b string) int { return cmp.Or(waves[a]-waves[b], cmp.Compare(a, b)) })
		v.Actions = takersFirst(inOrder(v.Actions, v.Services), h.Observation.Units)
		v.Hooks = h.hooksOf(&v, once)
		v.watch(h)
		out = append(out, v)
	}
	return out
}

// inOrder sorts actions by their service's place in order, and then by what units are for
// each other.
func inOrder(actions []UnitAction, order []string) []UnitAction {
	slices.SortStableFunc(actions, func(a, b UnitAction) int {
		return cmp.Or(slices.Index(order, a.Service)-slices.Index(order, b.Service), a.turn()-b.turn())
	})
	return actions
}

// turn is what an action on a unit waits for, of the same service: slices and mounts are
// there before what uses them; a socket is before its service, while which runs systemd does
// not start it; what starts others comes last, and is stopped first, or it would start them anew.
func (a UnitAction) turn() int {
	kind := a.Unit[strings.LastIndexByte(a.Unit, '.')+1:]
	if a.Verb == hostdriver.VerbStop {
		switch kind {
		case "timer", "path", "socket", "target":
			return 0
		case "mount", "automount", "swap", "slice":
			return 2
		}
		return 1
	}
	switch kind {
	case "slice", "mount", "automount", "swap":
		return 0
	case "socket":
		return 1
	case "timer", "path", "target":
		return 3
	}
	return 2
}

// orderVisits sorts all visits into the order in which they may begin: recoveries,
// then quiet ones, then by wave, and then as the services say: who leads last, unhealthy
// hosts first, by a label's value; at last as the inventory has the hosts.
func orderVisits(p *Plan, in Input, waves map[string]int) {
	ranks := rankVisits(p, in, waves)
	order := make([]int, len(p.Visits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return ranks[a].compare(ranks[b]) })
	sorted := make([]Visit, len(order))
	for i, from := range order {
		sorted[i] = p.Visits[from]
	}
	after := map[string][]string{}
	for _, s := range p.Services {
		after[s.Service] = s.After
	}
	p.Visits = inTurn(sorted, after, func(i int) int { return ranks[order[i]].kind })
	for i := range p.Visits {
		p.Visits[i].ID = i
	}
}

// ShortRevision is a revision's name short enough for a line: seven digits of a
// commit and, of a checkout with changes, what tells them apart.
func ShortRevision(id string) string {
	commit, rest, _ := strings.Cut(id, "-")
	if len(commit) < 40 || strings.Trim(commit, "0123456789abcdef") != "" {
		return id
	}
	if rest != "" {
		rest = "-" + rest
	}
	return commit[:7] + rest
}
