package controller

import (
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// noRun is about a timer that runs, and what it starts does not, or not when it should.
func (p *patient) noRun(c *Cause) bool {
	u, name := p.state, p.unit.Name
	_, bare := hostdriver.SplitUnit(name)
	starts := p.unit.Text.Last("Timer", "Unit")
	if starts == "" {
		starts = strings.TrimSuffix(bare, ".timer") + ".service"
	}
	slack := p.timerSlack()
	late := func(due time.Time) bool { return !due.IsZero() && !p.at.IsZero() && p.at.Sub(due) > slack }
	clock := func(at time.Time) string { return at.UTC().Format(time.DateTime) + "Z" }
	calendar := len(p.unit.Text.Values("Timer", "OnCalendar")) > 0
	switch {
	case u.Sub == "running" && p.dueSince(u.TimerLast, slack):
		c.Cause = "what it starts has not ended since its run of " + clock(u.TimerLast) + ": a run that was due meanwhile is missed"
		c.Mend = "systemctl status " + starts + "; where it hangs, systemctl stop " + starts + ", and write TimeoutStartSec= (of a oneshot) or RuntimeMaxSec= into it"
	case u.Sub == "running":
		return false
	case late(u.TimerNext):
		c.Cause, c.Mend = "its run of "+clock(u.TimerNext)+" is overdue", "systemctl list-timers "+name+"; systemctl restart "+name
	case u.Sub == "elapsed" && calendar:
		c.Cause, c.Mend = "it has no next run: OnCalendar= names a time that is over", "systemd-analyze calendar, with what OnCalendar= says, tells when it would be; systemctl cat "+name
	case u.Sub == "elapsed" && (p.unit.Text.Last("Timer", "OnUnitActiveSec")+p.unit.Text.Last("Timer", "OnUnitInactiveSec") != ""):
		c.Cause, c.Mend = "it has no next run: OnUnitActiveSec= counts from a run of "+starts+", and there was none", "write OnActiveSec= or OnBootSec= beside it, for the first run; systemctl start "+starts+" begins it now"
	default:
		return false
	}
	return true
}

// timerSlack is how much later than its time a run may begin: by AccuracySec=, a minute where
// it is not said, and by RandomizedDelaySec=.
func (p *patient) timerSlack() time.Duration {
	const most = 366 * 24 * time.Hour
	slack := time.Minute
	if d, ok := desired.ParseSpan(p.unit.Text.Last("Timer", "AccuracySec")); ok {
		slack = max(slack, min(d, most))
	}
	if d, ok := desired.ParseSpan(p.unit.Text.Last("Timer", "RandomizedDelaySec")); ok {
		slack += min(d, most)
	}
	return slack
}

// dueSince tells whether another run was due for certain after the last one, in whichever time
// zone the host has.
func (p *patient) dueSince(last time.Time, slack time.Duration) bool {
	if last.IsZero() || p.at.IsZero() {
		return false
	}
	for _, event := range p.unit.Text.Values("Timer", "OnCalendar") {
		c, ok := desired.ParseCalendar(event)
		if !ok {
			continue
		}
		pause, repeats := c.LongestPauseAnywhere(last)
		if repeats && p.at.Sub(last) > pause+slack {
			return true
		}
	}
	return false
}
