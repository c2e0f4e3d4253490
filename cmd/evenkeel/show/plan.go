package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout"
)

// PlanOptions are what a plan is shown with.
type PlanOptions struct {
	Diff DiffSize
	// Mends say, by unreachable host, what a person can do about it.
	Mends map[string]string
	// Addresses are the hosts', for telling equal hosts.
	Addresses map[string]string
	// Skipped are hosts that were looked at for the budgets only.
	Skipped map[string]bool
	// Cut are hosts on which a switch was cut in the middle, which apply takes back
	// before anything else.
	Cut []string
	// Faults are what is wrong in the fleet repo and leaves services out.
	Faults []desired.Fault
	// HostsOnly leaves out the order and its budgets.
	HostsOnly bool
}

// Plan shows what differs, host by host and service by service, equal hosts
// together; then in which order it would be carried out; what stands in the way;
// and in the last line the sum of it all.
func Plan(p rollout.Plan, o PlanOptions) string {
	v := newPlanView(p, o)
	sections := []string{v.changes(), v.inTheWay()}
	if !o.HostsOnly {
		sections = []string{v.changes(), v.order(), v.inTheWay()}
	}
	var b strings.Builder
	for _, s := range sections {
		if s != "" {
			b.WriteString(s + "\n")
		}
	}
	b.WriteString(v.summary() + "\n")
	return b.String()
}

// planView sorts a plan's hosts by what is to be said of them.
type planView struct {
	rollout.Plan
	PlanOptions
	asked       []rollout.HostPlan
	changing    []rollout.HostPlan // with changes, problems, or a step to finish
	unreachable []rollout.HostPlan
	suspended   []rollout.HostPlan // as a whole, or with something left undone and nothing to do
	same        []rollout.HostPlan
	visited     map[string][]rollout.Visit // by host
}

func newPlanView(p rollout.Plan, o PlanOptions) *planView {
	v := &planView{Plan: p, PlanOptions: o, visited: map[string][]rollout.Visit{}}
	for _, h := range p.Hosts {
		if o.Skipped[h.Host] {
			continue
		}
		v.asked = append(v.asked, h)
		switch {
		case h.SuspendedWhy() != "":
			v.suspended = append(v.suspended, h)
		case !h.Reachable:
			v.unreachable = append(v.unreachable, h)
		case len(h.Changes) > 0 || len(h.Problems) > 0 || h.Recover != nil || slices.Contains(o.Cut, h.Host):
			v.changing = append(v.changing, h)
		case slices.ContainsFunc(h.Suspended, func(s rollout.SuspendedPlan) bool { return s.Changes > 0 }):
			v.suspended = append(v.suspended, h)
		default:
			v.same = append(v.same, h)
		}
	}
	for _, w := range p.Visits {
		v.visited[w.Host] = append(v.visited[w.Host], w)
	}
	return v
}

// changes is a block for each group of hosts.
func (v *planView) changes() string {
	var b strings.Builder
	for _, g := range groupHosts(v.changing, v.Addresses) {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		title := bold.of(Names(g.names()))
		if len(g.plans) > 2 {
			title += faint.of(fmt.Sprintf("  (%s, alike)", count(len(g.plans), "host")))
		}
		if g.named {
			title += faint.of("  " + hostMark + " is each host's own name")
		}
		b.WriteString(title + "\n")
		v.host(&b, g.of())
	}
	return b.String()
}

func (v *planView) host(b *strings.Builder, h rollout.HostPlan) {
	if slices.Contains(v.Cut, h.Host) {
		b.WriteString("  " + yellow.of(markWarn+" a switch was cut in the middle here: it is taken back first, and then planned again") + "\n")
	}
	if r := h.Recover; r != nil {
		fmt.Fprintf(b, "  %s\n", yellow.of(fmt.Sprintf("%s unfinished: %s left a step of %s at %s, on %s", markWarn, Clean(r.Holder),
			Clean(strings.Join(r.Services, ", ")), Clean(r.Phase), r.Since.UTC().Format("2006-01-02 15:04:05Z"))))
	}
	for _, p := range h.Problems {
		if p.Service == "" {
			problem(b, "  ", p)
		}
	}
	for _, name := range servicesOf(h) {
		v.service(b, h, name)
	}
}

// servicesOf are the services that a host's plan speaks of, in its order.
func servicesOf(h rollout.HostPlan) []string {
	var names []string
	for _, c := range h.Changes {
		if !slices.Contains(names, c.Service) {
			names = append(names, c.Service)
		}
	}
	for _, p := range h.Problems {
		if p.Service != "" && !slices.Contains(names, p.Service) {
			names = append(names, p.Service)
		}
	}
	return names
}

func (v *planView) service(b *strings.Builder, h rollout.HostPlan, name string) {
	var cs []rollout.Change
	for _, c := range h.Changes {
		if c.Service == name {
			cs = append(cs, c)
		}
	}
	held := slices.ContainsFunc(h.Problems, func(p rollout.Problem) bool { return p.Service == name })
	title := "  " + Clean(name)
	if held && len(cs) > 0 {
		title += red.of("  held back: nothing of it is changed here until what stands below is mended")
	}
	b.WriteString(title + "\n")
	for _, p := range h.Problems {
		if p.Service == name {
			problem(b, "    ", p)
		}
	}
	width := 0
	for _, c := range cs {
		width = max(width, min(len(c.Subject), 44))
	}
	process := false
	for _, c := range cs {
		process = process || c.Kind == rollout.KindProcess
		b.WriteString(changeLine(c, width) + "\n" + secretLines(c.Secrets, "        "))
		b.WriteString(diff(c.Diff, "        ", v.Diff))
	}
	if !process && !held && len(cs) > 0 {
		b.WriteString("    " + faint.of("= nothing is restarted: what runs has all that it should have read") + "\n")
	}
}

func problem(b *strings.Builder, indent string, p rollout.Problem) {
	text := Clean(p.Reason)
	if p.Subject != "" {
		text = Clean(p.Subject) + ": " + text
	}
	b.WriteString(indent + red.of(markBad+" "+text) + "\n")
	if p.Mend != "" {
		b.WriteString(indent + "  " + mend(p.Mend) + "\n")
	}
}

func mend(text string) string { return faint.of("mend: ") + Clean(text) }

// changeLine is one change: its mark, what is done to what, and why.
func changeLine(c rollout.Change, width int) string {
	sign, word, colour := marks(c)
	reason := Clean(c.Reason)
	if len(c.Keys) > 0 && c.Kind != rollout.KindProcess && (c.Action != rollout.ActionCreate || c.Diff == "") {
		reason += ": " + Clean(strings.Join(c.Keys, ", "))
	}
	if from, to := fromTo(c); from != "" && to != "" {
		reason += fmt.Sprintf(": %s → %s", Clean(from), Clean(to))
	} else if to != "" && c.Kind != rollout.KindFile && c.Kind != rollout.KindUnit {
		reason += ": " + Clean(to)
	}
	if c.Stale {
		reason = yellow.of(reason)
	} else {
		reason = faint.of(reason)
	}
	return "    " + colour.of(sign+" "+pad(word, 8)) + pad(Clean(c.Subject), width) + "  " + reason
}

// secretLines are which secrets differ, told by fingerprints.
func secretLines(list []rollout.SecretChange, indent string) string {
	var b strings.Builder
	for _, c := range list {
		from, to := shortPrints(c.From, c.To)
		switch {
		case from == "":
			to = "added, " + to
		case to == "":
			to = "removed, " + from
		default:
			to = "changed, " + from + " → " + to
		}
		b.WriteString(indent + yellow.of(Clean(c.Key)+": "+to) + "\n")
	}
	return b.String()
}

// shortPrints shortens fingerprints while they can be told apart.
func shortPrints(a, b string) (string, string) {
	const least = 4
	if len(a) <= least || len(b) <= least || a[:least] != b[:least] {
		cut := func(s string) string {
			if len(s) <= least {
				return Clean(s)
			}
			return Clean(s[:least]) + "…"
		}
		return cut(a), cut(b)
	}
	return Clean(a), Clean(b)
}

// marks are how an action is shown.
func marks(c rollout.Change) (sign, word string, colour paint) {
	switch c.Action {
	case rollout.ActionCreate:
		return "+", "create", green
	case rollout.ActionEnable:
		return "+", "enable", green
	case rollout.ActionRun:
		return "▸", "run", green
	case rollout.ActionStart:
		return "+", "start", green
	case rollout.ActionUpdate:
		return "~", "change", yellow
	case rollout.ActionReload:
		return "~", "reload", yellow
	case rollout.ActionRestart:
		return "↻", "restart", magenta
	case rollout.ActionDisable:
		return "-", "disable", red
	case rollout.ActionStop:
		return "-", "stop", red
	case rollout.ActionDelete:
		return "-", "delete", red
	}
	return "?", Clean(string(c.Action)), ""
}

// inTheWay is what keeps the plan from being the whole of it: hosts that do not
// answer, and faults of the repo.
func (v *planView) inTheWay() string {
	var b strings.Builder
	for _, g := range groupHosts(v.unreachable, v.Addresses) {
		h := g.of()
		b.WriteString(red.of(markBad+" "+Names(g.names())) + ": " + Clean(h.Reason) + "\n")
		var mends []string
		for _, h := range g.plans {
			if m := v.Mends[h.Host]; m != "" && !slices.Contains(mends, m) {
				mends = append(mends, m)
			}
		}
		for _, m := range mends[:min(3, len(mends))] {
			b.WriteString("  " + mend(m) + "\n")
		}
	}
	v.suspensions(&b)
	for _, f := range v.Faults {
		what := "the fleet repo"
		if f.Service != "" {
			what = "service " + f.Service + " is left out"
		}
		b.WriteString(red.of(markBad+" "+Clean(what)) + ": " + Clean(f.Pos.String()) + ": " + Clean(f.Message) + "\n")
		if f.Mend != "" {
			b.WriteString("  " + mend(f.Mend) + "\n")
		}
	}
	for _, w := range v.WindowsIgnored {
		b.WriteString(yellow.of(markWarn+" ignored: "+Clean(w)) + "\n")
	}
	for _, w := range v.Warnings {
		b.WriteString(yellow.of(markWarn+" "+Clean(w)) + "\n")
	}
	return b.String()
}
