package show

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// Explain shows one instance on one screen: how it stands and why, its units, its
// env files, its health and the balancers' word, what differs, and what mends it.
func Explain(e controller.Explanation, size DiffSize) string {
	x := &explainer{Explanation: e}
	x.head()
	x.units()
	x.envs()
	x.checks()
	x.traffic()
	x.differences(size)
	x.journal()
	x.causes()
	return x.b.String()
}

type explainer struct {
	controller.Explanation
	b strings.Builder
}

// line is one line: a title in its column and text.
func (x *explainer) line(title, text string) {
	x.b.WriteString(faint.of(pad(title, 10)) + "  " + text + "\n")
}

func (x *explainer) head() {
	s := x.Status
	x.b.WriteString(bold.of(Clean(s.Host)+"/"+Clean(s.Service)) + "  " + syncPaint(s.Sync).of(string(s.Sync)) + "  " + healthPaint(s.Health).of(string(s.Health)))
	if s.Stale {
		x.b.WriteString("  " + yellow.of("stale"))
	}
	x.b.WriteString("\n")
	if s.Reason != "" {
		x.line("because", Clean(s.Reason))
	}
	if x.Mend != "" {
		x.line("mend", Clean(x.Mend))
	}
	x.line("desired", Revision(x.Revision)+x.changed())
	h := x.Facts
	if h == nil {
		x.line("on host", red.of("unknown: it did not answer"))
		return
	}
	on := "nothing of evenkeel's yet"
	if h.Generation > 0 {
		on = fmt.Sprintf("%s, generation %d", Revision(h.Applied), h.Generation)
		if len(h.Kept) > 1 {
			on += fmt.Sprintf(" (%s kept)", count(len(h.Kept), "generation"))
		}
	}
	if h.Holder != "" {
		on += faint.of("  last changed by " + Clean(h.Holder))
	}
	x.line("on host", on)
	if h.Claim != "" {
		x.line("claim", "it belongs to controller "+Clean(h.Claim))
	}
	if h.Step != nil {
		x.line("in hand", yellow.of(fmt.Sprintf("a step at %s since %s, by %s", Clean(h.Step.Phase), h.Step.Since.UTC().Format(timeForm), Clean(h.Step.Holder))))
		for _, d := range h.Step.Drained {
			x.line("", yellow.of("drained: "+Clean(d.Service)+" by "+Clean(d.Adapter)+" "+Clean(d.Spec["backend"]+"/"+d.Spec["server"])))
		}
	}
}

const timeForm = "2006-01-02 15:04:05Z"

func (x *explainer) units() {
	for i, u := range x.Units {
		colour := green
		if u.Active != "active" {
			colour = red
		}
		if u.Want != "started" {
			colour = ""
		}
		state := colour.of(Clean(strings.TrimSpace(u.Active + " (" + u.Sub + ")")))
		if u.Result != "" && u.Result != "stopped" {
			state += ": " + Clean(u.Result)
		}
		if x.Facts != nil {
			state += unitTimes(u, x.Facts.Clock)
		}
		if u.PID > 0 {
			state += fmt.Sprintf(", PID %d", u.PID)
		}
		if u.Restarts > 0 {
			state += yellow.of(fmt.Sprintf(", restarted %d times by systemd", u.Restarts))
		}
		x.line(titleOnce(i, "units"), bold.of(Clean(u.Name))+"  "+state)
		x.line("", "  "+faint.of(unitRest(u)))
		if strings.HasSuffix(u.Name, ".timer") && x.Facts != nil {
			x.line("", "  "+timerRuns(u, x.Facts.Clock))
		}
		if u.Behind != "" {
			word := "behind: "
			if u.Stale {
				word = "stale: "
			}
			x.line("", "  "+yellow.of(word+Clean(u.Behind)))
		}
		if u.Replaced {
			x.line("", "  "+yellow.of("runs "+Clean(u.Exe)+", which was removed or replaced since it started"))
		}
		if len(u.Foreign) > 0 {
			x.line("", "  "+yellow.of("drop-ins that are not evenkeel's: "+Clean(strings.Join(u.Foreign, ", "))))
		}
	}
}

// unitTimes is since when a unit is as it is, by the host's clock.
func unitTimes(u controller.UnitFacts, now time.Time) (text string) {
	switch {
	case u.Active == "active" || u.Active == "reloading":
		if !u.Since.IsZero() {
			return " for " + since(u.Since, now)
		}
		return ""
	case (u.Active == "inactive" || u.Active == "failed") && !u.Ended.IsZero():
		text = ", down for " + since(u.Ended, now)
	}
	if !u.Since.IsZero() {
		text += ", last started at " + u.Since.UTC().Format(timeForm)
	}
	return text
}

// timerRuns is when a timer last started something, and when it will, by the host's clock.
func timerRuns(u controller.UnitFacts, now time.Time) string {
	text := "has not run yet"
	if !u.LastRun.IsZero() {
		text = "last run " + u.LastRun.UTC().Format(timeForm)
		if !now.IsZero() {
			text = "last run " + Duration(now.Sub(u.LastRun)) + " ago (" + u.LastRun.UTC().Format(timeForm) + ")"
		}
	}
	switch {
	case u.NextRun.IsZero():
		return text
	case now.IsZero() || u.NextRun.Before(now):
		return text + ", next " + u.NextRun.UTC().Format(timeForm)
	}
	return text + ", next in " + Duration(u.NextRun.Sub(now)) + " (" + u.NextRun.UTC().Format(timeForm) + ")"
}

// changed is who last changed the service in git, and how.
func (x *explainer) changed() string {
	c := x.Changed
	if c == nil {
		return ""
	}
	text := "  last changed by " + Clean(c.Author) + ", " + c.Committed.UTC().Format(timeForm)
	if c.ID != "" {
		text += ", " + Clean(c.ID)
	}
	return faint.of(Fit(text+": "+Clean(c.Subject), 110))
}

// journal is what the units and systemd said last.
func (x *explainer) journal() {
	if len(x.Journal) == 0 && !x.JournalLost {
		return
	}
	x.b.WriteString("\n" + bold.of("Journal") + "\n")
	for _, l := range x.Journal {
		first, _, more := strings.Cut(l.Message, "\n")
		text := Clean(first)
		if more {
			text += " …"
		}
		x.b.WriteString("  " + faint.of(l.At.UTC().Format(timeForm)) + "  " + Clean(l.Identifier) + ": " + priorityPaint(l.Priority).of(Fit(text, 160)) + "\n")
	}
	if x.JournalLost {
		x.b.WriteString("  " + yellow.of("the host keeps its journal in memory: a reboot takes what came before it") + "\n")
		x.b.WriteString("    " + mend("mkdir /var/log/journal && systemctl restart systemd-journald; or Storage=persistent in journald.conf") + "\n")
	}
}

func titleOnce(i int, title string) string {
	if i == 0 {
		return title
	}
	return ""
}

// since is how long ago something was by the host's own clock, and when.
func since(t, now time.Time) string {
	if now.IsZero() {
		return "since " + t.UTC().Format(timeForm)
	}
	return Duration(now.Sub(t)) + " (since " + t.UTC().Format(timeForm) + ")"
}

func unitRest(u controller.UnitFacts) string {
	var parts []string
	if u.Want != "" {
		parts = append(parts, "should be "+u.Want)
	}
	switch u.Enabled {
	case "":
	case "enabled":
		parts = append(parts, "starts at boot")
	case "disabled":
		parts = append(parts, "does not start at boot")
	default:
		parts = append(parts, "is "+Clean(u.Enabled))
	}
	switch {
	case u.Generation > 0:
		parts = append(parts, fmt.Sprintf("runs generation %d", u.Generation))
	case u.Active == "active":
		parts = append(parts, "was not started by evenkeel")
	}
	return strings.Join(parts, ", ")
}

func (x *explainer) envs() {
	for i, e := range x.Env {
		var keys []string
		for _, k := range e.Keys {
			word := Clean(k)
			if slices.Contains(e.Secret, k) {
				word += "*"
			}
			if slices.Contains(e.Differs, k) {
				word = yellow.of(word + " (differs)")
			}
			keys = append(keys, word)
		}
		text := bold.of(Clean(e.Path)) + "  " + strings.Join(keys, " ")
		if len(e.Secret) > 0 {
			text += faint.of("  (* secret)")
		}
		x.line(titleOnce(i, "env"), text)
	}
}

func (x *explainer) checks() {
	for i, c := range x.Checks {
		x.line(titleOnce(i, "health"), tick(c.OK)+" "+Clean(c.Check)+faint.of("  "+Clean(c.Reason)))
		if c.Mend != "" && !c.OK {
			x.line("", "  "+mend(c.Mend))
		}
	}
}

func (x *explainer) traffic() {
	for i, t := range x.Traffic {
		text := tick(t.OK) + " " + Clean(t.Balancer) + "  " + Clean(t.State)
		if t.Sessions > 0 {
			text += faint.of("  " + count(t.Sessions, "session"))
		}
		x.line(titleOnce(i, "balancer"), text)
		if t.Mend != "" && !t.OK {
			x.line("", "  "+mend(t.Mend))
		}
	}
}

func tick(ok bool) string {
	if ok {
		return green.of(markGood)
	}
	return red.of(markBad)
}

func (x *explainer) differences(size DiffSize) {
	if len(x.Changes)+len(x.Problems) == 0 {
		return
	}
	x.b.WriteString("\n" + bold.of("Differs") + "\n")
	v := &planView{PlanOptions: PlanOptions{Diff: size}}
	v.service(&x.b, rollout.HostPlan{Changes: x.Changes, Problems: x.ownProblems()}, x.Status.Service)
}

// ownProblems are the problems, those of the whole host among them.
func (x *explainer) ownProblems() []rollout.Problem {
	ps := slices.Clone(x.Problems)
	for i := range ps {
		ps[i].Service = x.Status.Service
	}
	return ps
}

func (x *explainer) causes() {
	if len(x.Causes) == 0 {
		return
	}
	x.b.WriteString("\n" + bold.of("Likely cause") + "\n")
	for _, c := range x.Causes {
		x.b.WriteString("  " + Clean(c.Subject) + ": " + Clean(c.Cause) + "\n")
		if c.Mend != "" {
			x.b.WriteString("    " + mend(c.Mend) + "\n")
		}
	}
}
