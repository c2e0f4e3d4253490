package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// Outcome shows how an apply ended: a line for each visit, what is left drained,
// and in the last line what was not done, or that all is as it should be.
func Outcome(o controller.Outcome) string {
	var b strings.Builder
	if rows := visitRows(o.Visits); len(rows) > 0 {
		b.WriteString(columns([]string{"host", "services", "result", "took", "reason"}, rows))
		b.WriteString("\n")
	}
	b.WriteString(mends(o.NotDone))
	for _, l := range o.LeftDrained {
		b.WriteString(red.of(markBad+" "+Clean(l.Host)+" "+Clean(l.Service)+" is left drained at "+Clean(l.Where)) + ": the next evenkeel apply brings it back\n")
	}
	for _, w := range o.WindowsIgnored {
		b.WriteString(yellow.of(markWarn+" ignored: "+Clean(w)) + "\n")
	}
	colour := red
	switch o.Result {
	case controller.Converged:
		colour = green
	case controller.Stopped, controller.Unreachable:
		colour = yellow
	}
	b.WriteString(colour.of(Clean(o.Words())) + "\n")
	return b.String()
}

func visitRows(visits []rollout.Visit) [][]string {
	var rows [][]string
	for _, v := range visits {
		if v.Phase == rollout.PhasePending {
			continue // the last line names it
		}
		result, colour := string(v.Result), red
		switch {
		case v.Result == rollout.ResultDone:
			colour = green
		case v.Refused && v.Result != rollout.ResultReverted:
			result = string(controller.Blocked)
		case v.Result == "":
			result, colour = "in hand: "+string(v.Phase), red
		case v.Result == rollout.ResultStopped:
			colour = yellow
		}
		took := ""
		if v.Phase == rollout.PhaseEnded {
			took = Duration(v.Since - v.Began)
		}
		reason := v.Reason
		if v.Result == rollout.ResultDone {
			reason = visitWords(v)
		}
		rows = append(rows, []string{Clean(v.Host), Clean(strings.Join(v.Services, ", ")), colour.of(result), took, Clean(reason)})
	}
	return rows
}

var verbsDone = map[hostdriver.UnitVerb]string{hostdriver.VerbStart: "started", hostdriver.VerbStop: "stopped", hostdriver.VerbRestart: "restarted", hostdriver.VerbReload: "reloaded"}

// visitWords is what a visit did, in short.
func visitWords(v rollout.Visit) string {
	var parts []string
	if v.Recover {
		parts = append(parts, "finished what was left")
	}
	if v.Written {
		parts = append(parts, "written")
	}
	for _, a := range v.Actions {
		parts = append(parts, verbsDone[a.Verb]+" "+a.Unit)
	}
	return strings.Join(parts, ", ")
}

// mends lists what a person can do, each once, with for whom.
func mends(notDone []controller.NotDone) string {
	var order []string
	who := map[string][]string{}
	for _, n := range notDone {
		if n.Mend == "" {
			continue
		}
		name := n.Host
		if name == "" {
			name = strings.Join(n.Services, ", ")
		}
		if who[n.Mend] == nil {
			order = append(order, n.Mend)
		}
		if !slices.Contains(who[n.Mend], name) {
			who[n.Mend] = append(who[n.Mend], name)
		}
	}
	var b strings.Builder
	for i, m := range order {
		if i == mostMends {
			b.WriteString(faint.of(fmt.Sprintf("… %d more, with -o json", len(order)-i)) + "\n")
			break
		}
		b.WriteString(Names(who[m]) + "\n  " + mend(m) + "\n")
	}
	return b.String()
}

// mostMends is how many different mends are listed.
const mostMends = 8
