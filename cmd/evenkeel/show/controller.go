package show

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// Controller shows what a controller knows beside the report, a line each: the source,
// the rollout, what is suspended or drained, and what drifts.
func Controller(s controller.Snapshot, now time.Time) string {
	var b strings.Builder
	line := func(colour paint, mark, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if mark != "" {
			text = mark + " " + text
		}
		b.WriteString(colour.of(text) + "\n")
	}
	src := s.Source
	line(faint, "", "controller %s, as of %s ago; %s %s fetched %s", Clean(s.Controller), Duration(now.Sub(s.At)), Clean(src.URL), Clean(src.Branch), ago(src.Fetched, now))
	if src.Error != "" {
		line(red, markBad, "git: %s: %s stays in force", Clean(src.Error), orDash(Revision(src.Revision)))
		if src.Mend != "" {
			b.WriteString("  " + mend(src.Mend) + "\n")
		}
	}
	if c := s.Conditions.Get(controller.Reconciled); c.Reason == controller.FrozenReason {
		line(red, markBad, "nothing is changed: %s", Clean(c.Message))
	}
	if r := s.Rollout; r != nil && r.Ended.IsZero() {
		line(cyan, markWarn, "rollout %s %s is under way for %s (%s): %s", Clean(r.State.ID), whither(r.State), Duration(now.Sub(r.Began)), Clean(r.Why), visitSum(r.State))
	} else if r != nil && r.Outcome != nil && r.Outcome.Result != controller.Converged {
		line(red, markBad, "the last rollout, %s, %s ago: %s", Clean(r.State.ID), Duration(now.Sub(r.Ended)), Clean(r.Outcome.Words()))
	}
	for _, p := range s.Suspensions {
		line(yellow, markWarn, "%s is suspended %s: %s", suspendedWhat(p), byUntil(p.By, p.Until), orDash(Clean(p.Reason)))
	}
	for _, d := range s.Drains {
		line(yellow, markWarn, "host %s is drained by hand %s: %s", Clean(d.Host), byUntil(d.By, d.Until), orDash(Clean(d.Reason)))
	}
	if n, first := blind(s); n > 0 {
		line(yellow, markWarn, "%s polled, not watched: %s", isAre(n, "host"), Clean(first))
	}
	b.WriteString(driftLines(s.Drift))
	return b.String()
}

// blind is how many hosts answer and cannot be watched, and why the first of them cannot.
func blind(s controller.Snapshot) (n int, why string) {
	for _, h := range s.Hosts {
		if c := s.HostConditions[h.Name].Get(controller.Watched); c.Reason == controller.BlindReason {
			if n++; n == 1 {
				why = c.Message
			}
		}
	}
	return n, why
}

func isAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}

func suspendedWhat(p controller.Suspension) string {
	switch {
	case p.Host != "":
		return "host " + Clean(p.Host)
	case p.Service != "":
		return "service " + Clean(p.Service)
	}
	return "the whole fleet"
}

func byUntil(by string, until time.Time) string {
	text := "by " + Clean(by)
	if !until.IsZero() {
		text += " until " + When(until)
	}
	return text
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return Duration(now.Sub(t)) + " ago"
}

// visitSum is how far a rollout is.
func visitSum(st rollout.State) string {
	done, active := 0, 0
	for _, v := range st.Visits {
		switch {
		case v.Active():
			active++
		case v.Result == rollout.ResultDone:
			done++
		}
	}
	return fmt.Sprintf("%d of %d done, %d in hand", done, len(st.Visits), active)
}

// mostDrift is how many differences are listed.
const mostDrift = 8

func driftLines(drift []controller.Drift) string {
	var b strings.Builder
	for i, d := range drift {
		if i == mostDrift {
			b.WriteString(faint.of(fmt.Sprintf("… %d more differences, with evenkeel plan", len(drift)-i)) + "\n")
			break
		}
		reason := Clean(strings.TrimPrefix(d.Reason, "drift: "))
		if len(d.Keys) > 0 {
			reason += ": " + Clean(strings.Join(d.Keys, ", "))
		}
		b.WriteString(yellow.of(fmt.Sprintf("%s %s/%s %s: %s drift since %s", markWarn, Clean(d.Host), Clean(d.Service), Clean(d.Subject), Clean(string(d.Class)), When(d.Since))) + ": " + reason + "\n")
	}
	return b.String()
}

// whither is to, or back from, which revision a rollout leads.
func whither(st rollout.State) string {
	if slices.ContainsFunc(st.Visits, func(v rollout.Visit) bool { return v.Undo != nil }) {
		return "back from " + Revision(st.Revision)
	}
	return "to " + Revision(st.Revision)
}

// RolloutHead is which rollout it is, in one line.
func RolloutHead(r controller.RolloutStatus, now time.Time) string {
	end := "under way for " + Duration(now.Sub(r.Began))
	if !r.Ended.IsZero() {
		end = "took " + Duration(r.Ended.Sub(r.Began)) + ", ended " + ago(r.Ended, now)
	}
	if why := Clean(r.Why); why != "revision "+Revision(r.State.Revision) {
		end = why + "; " + end
	}
	return fmt.Sprintf("%s  %s", bold.of("rollout "+Clean(r.State.ID))+" "+whither(r.State), faint.of(end))
}
