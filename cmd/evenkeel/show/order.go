package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout"
)

// order tells what goes out at once and what goes host by host, with each
// service's budget as the look found it.
func (v *planView) order() string {
	if len(v.Visits) == 0 {
		return ""
	}
	var rows [][2]string
	add := func(title, text string) { rows = append(rows, [2]string{title, text}) }
	var unfinished, quiet []string
	for _, w := range v.Visits {
		switch {
		case w.Recover:
			unfinished = append(unfinished, w.Host)
		case w.Quiet:
			quiet = append(quiet, w.Host)
		}
	}
	if len(unfinished) > 0 {
		add("first", Names(unfinished)+faint.of("  what was left unfinished is finished or undone"))
	}
	if len(quiet) > 0 {
		add("at once", Names(quiet)+faint.of("  nothing that runs is disturbed"))
	}
	for _, name := range v.disturbed() {
		v.serviceOrder(name, add)
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	var b strings.Builder
	b.WriteString(bold.of("Order") + "\n")
	for _, r := range rows {
		b.WriteString("  " + pad(r[0], width) + "  " + r[1] + "\n")
	}
	return b.String()
}

// disturbed are the services whose running instances are touched, in the order in
// which the first of each is.
func (v *planView) disturbed() []string {
	var names []string
	for _, w := range v.Visits {
		for _, s := range w.Disturbs {
			if !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
	}
	return names
}

func (v *planView) serviceOrder(name string, add func(title, text string)) {
	i := slices.IndexFunc(v.Services, func(s rollout.ServicePlan) bool { return s.Service == name })
	if i < 0 {
		return
	}
	sp := v.Services[i]
	var hosts []string
	drained, mayBegin := false, false
	for _, w := range v.Visits {
		if slices.Contains(w.Disturbs, name) {
			hosts = append(hosts, w.Host)
			drained = drained || slices.Contains(w.Drains, name)
			mayBegin = mayBegin || sp.Budget.Allows(w.Host)
		}
	}
	how := "reloaded in place"
	switch {
	case drained && sp.Drains:
		how = "each drained, restarted and proven healthy"
	case drained:
		how = "each restarted and proven healthy"
	}
	if len(sp.Batches) > 1 {
		how += fmt.Sprintf("; batches of %s", batches(sp.Batches))
	}
	if sp.Strategy.Spread != "" {
		how += "; never two of one " + Clean(sp.Strategy.Spread)
	}
	if len(sp.After) > 0 {
		how += "; after " + Clean(strings.Join(sp.After, ", "))
	}
	sep := " → "
	if sp.Budget.Allowed > 1 {
		sep = ", "
	}
	title := Clean(name)
	if c := sp.Canary; c != nil && !c.Promoted && len(c.Following) > 0 {
		add(title, canaries(*c, sep)+faint.of("  canary; the others "+promotion(sp.Strategy.Promote)))
		title, hosts = "", without(hosts, c.Hosts)
	}
	add(title, nameList(hosts, sep, 8)+faint.of("  "+how))
	if w := sp.Window; w != nil && !w.Open {
		add("", yellow.of(Clean(w.Words(name))+" → waits"))
	}
	if text := rollout.LeadWords(sp.Instances); text != "" {
		add("", faint.of("the leader last: "+Clean(text)+"; each is asked again before its turn"))
	}
	sum := Clean(sp.Budget.String())
	if mayBegin {
		add("", faint.of(sum))
	} else {
		add("", yellow.of(sum+" → waits until fewer are down"))
	}
}

// canaries names the hosts that prove a new revision: those to be visited, then those
// that are on it already.
func canaries(c rollout.CanaryPlan, sep string) string {
	var parts []string
	if len(c.Hosts) > 0 {
		parts = append(parts, nameList(c.Hosts, sep, 8))
	}
	if len(c.Current) > 0 {
		parts = append(parts, nameList(c.Current, ", ", 8)+" (on it already)")
	}
	return strings.Join(parts, "; ")
}

// promotion is when the others follow.
func promotion(p desired.Promote) string {
	if p.Auto {
		return "follow once it was healthy for " + Duration(p.After)
	}
	return "wait for its promotion"
}

func without(names, some []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(some, n) })
}

// batches writes sizes, with repeats counted: 1, 3 × 4.
func batches(sizes []int) string {
	var parts []string
	for i := 0; i < len(sizes); {
		n := 1
		for i+n < len(sizes) && sizes[i+n] == sizes[i] {
			n++
		}
		if n > 2 {
			parts = append(parts, fmt.Sprintf("%d × %d", n, sizes[i]))
		} else {
			n = 1
			parts = append(parts, fmt.Sprint(sizes[i]))
		}
		i += n
	}
	return strings.Join(parts, ", ")
}

// summary is the plan in one line:
//
//	5 hosts: 3 to change (2 restarts, 1 start), 1 unreachable, 1 as desired
func (v *planView) summary() string {
	var parts []string
	part := func(n int, text string, colour paint) {
		if n > 0 {
			parts = append(parts, colour.of(fmt.Sprintf("%d %s", n, text)))
		}
	}
	toChange, unfinished, held := 0, 0, 0
	for _, h := range v.changing {
		switch {
		case h.Recover != nil || slices.Contains(v.Cut, h.Host):
			unfinished++
		case len(v.visited[h.Host]) > 0:
			toChange++
		}
		if len(h.Problems) > 0 {
			held++
		}
	}
	part(toChange, "to change ("+v.actions()+")", bold)
	part(unfinished, "to be finished or undone", yellow)
	part(held, "held back by a problem", red)
	part(len(v.unreachable), "unreachable", red)
	part(len(v.suspended), "suspended", yellow)
	part(len(v.same), "as desired", green)
	if len(v.same) == len(v.asked) {
		parts = []string{green.of("all as desired")}
		if v.Undo != nil {
			parts = []string{"none goes back"}
		}
	}
	if n := len(v.Skipped); n > 0 {
		parts = append(parts, faint.of(fmt.Sprintf("%d more not asked for", n)))
	}
	if n := len(heldBack(v.Faults)); n > 0 {
		parts = append(parts, red.of(count(n, "service")+" left out for faults"))
	}
	return count(len(v.asked), "host") + ": " + strings.Join(parts, ", ")
}

// actions counts what happens to processes.
func (v *planView) actions() string {
	n := map[string]int{}
	for _, w := range v.Visits {
		for _, a := range w.Actions {
			n[string(a.Verb)]++
		}
	}
	var parts []string
	for _, verb := range []string{"restart", "reload", "start", "stop"} {
		if n[verb] > 0 {
			parts = append(parts, count(n[verb], verb))
		}
	}
	if len(parts) == 0 {
		return "no process is touched"
	}
	return strings.Join(parts, ", ")
}
