package desired

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// The kinds of windows.
const (
	WindowAllow = "allow"
	WindowDeny  = "deny"
)

// Opening is what Windows say of a moment.
type Opening struct {
	Open bool `json:"open"`
	// Until is when that changes; zero where it does not within what was searched.
	Until time.Time `json:"until,omitzero"`
	// Why is, of what is closed, by which window.
	Why string `json:"why,omitempty"`
}

// maxWindowSteps bounds how many beginnings and ends of windows are searched.
const maxWindowSteps = 2000

// At tells whether the windows are open at a moment, until when, and why not. Windows
// that are not valid are left out.
func (ws Windows) At(now time.Time) Opening {
	set := ws.compile()
	now = now.Round(0) // the clock on the wall, not the monotonic one
	o := set.at(now)
	if o.Until = set.flips(now, o.Open); !o.Until.IsZero() {
		o.Until = o.Until.In(set[0].zone)
	}
	return o
}

func (ws Windows) compile() windowSet {
	var set windowSet
	for _, w := range ws {
		if c, _, _, _ := w.compile(); c != nil {
			set = append(set, c)
		}
	}
	return set
}

// String is the window in a line: deny "0 0 24 12 *" for 72h0m0s, Europe/Berlin (freeze).
func (w WindowSpec) String() string {
	s := fmt.Sprintf("%s window %q for %s, %s", w.Kind, w.Schedule, orDefault(w.Duration, 0), w.zoneName())
	if w.Reason != "" {
		s += " (" + w.Reason + ")"
	}
	return s
}

func (w WindowSpec) zoneName() string { return or(w.TimeZone, "UTC") }

// cronParser takes the five fields of crontab(5), and nothing else.
var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// compile makes the window ready, or says which of its keys is wrong and how.
func (w WindowSpec) compile() (c *window, key, message, mend string) {
	const fields = `write five fields: minute, hour, day of month, month, day of week, such as "0 22 * * 1-5"`
	if strings.Contains(w.Schedule, "TZ=") {
		return nil, "schedule", "the schedule has a time zone", "write it as timeZone"
	}
	schedule, err := cronParser.Parse(w.Schedule)
	if err != nil {
		return nil, "schedule", fmt.Sprintf("schedule %q is not cron's: %s", w.Schedule, err), fields
	}
	if d := orDefault(w.Duration, 0); d < time.Minute || d > maxWindow {
		return nil, "duration", fmt.Sprintf("a window of %s is not between 1m and %s", d, maxWindow), "write it as 4h, or 90m"
	}
	zone, err := time.LoadLocation(w.TimeZone)
	if err != nil || w.TimeZone == "Local" {
		return nil, "timeZone", fmt.Sprintf("there is no time zone %q", w.TimeZone), "write it as Europe/Berlin, or leave it out for UTC"
	}
	if schedule.Next(epoch).IsZero() {
		return nil, "schedule", fmt.Sprintf("schedule %q never comes: no year has such a day", w.Schedule), fields
	}
	return &window{WindowSpec: w, schedule: schedule, zone: zone}, "", "", ""
}

// maxWindow is the longest window.
const maxWindow = 366 * 24 * time.Hour

// epoch is a moment from which schedules are searched where none is given.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// window is one that was compiled.
type window struct {
	WindowSpec
	schedule cron.Schedule
	zone     *time.Location
}

// begins is the first beginning after t. Each time on the clock of the zone that the
// schedule names begins one window: a time that the clock skips, at the moment of the
// jump; one that comes twice, the first time.
func (w *window) begins(t time.Time) time.Time {
	wall := onClock(t.In(w.zone))
	if start, end := t.In(w.zone).ZoneBounds(); near(start, t) || near(end, t) {
		wall = wall.Add(-jumpMargin)
	}
	for {
		wall = w.schedule.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := moment(wall, w.zone); at.After(t) {
			return at
		}
	}
}

// jumpMargin is more than a clock is ever put forward or back.
const jumpMargin = 25 * time.Hour

func near(jump, t time.Time) bool {
	return !jump.IsZero() && jump.Sub(t).Abs() < jumpMargin
}

// onClock is what a clock shows at t, as if it were UTC: so it can be reckoned with
// as a clock is read, without jumps.
func onClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// moment is when the clock of a zone shows wall (as onClock gives it) for the first
// time or, where it never does, when it jumps over it.
func moment(wall time.Time, zone *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	start, end := t.ZoneBounds()
	switch shown := onClock(t); {
	case shown.After(wall):
		return start
	case shown.Before(wall):
		return end
	case start.IsZero():
		return t
	}
	_, now := t.Zone()
	_, before := start.Add(-time.Nanosecond).Zone()
	if first := t.Add(-time.Duration(before-now) * time.Second); before > now && onClock(first.In(zone)).Equal(wall) {
		return first
	}
	return t
}

// at tells whether t lies within a window, and when that may change at the soonest.
func (w *window) at(t time.Time) (within bool, next time.Time) {
	length := w.Duration.D()
	begin := w.begins(t.Add(-length))
	switch {
	case begin.IsZero():
		return false, begin
	case begin.After(t):
		return false, begin
	}
	return true, begin.Add(length)
}

// windowSet are windows that hold together.
type windowSet []*window

// at is the state at t, without Until.
func (s windowSet) at(t time.Time) Opening {
	allows, within := false, false
	for _, w := range s {
		switch in, _ := w.at(t); {
		case w.Kind == WindowDeny && in:
			return Opening{Why: "within " + w.String()}
		case w.Kind == WindowAllow:
			allows, within = true, within || in
		}
	}
	if allows && !within {
		return Opening{Why: "outside of every allow window"}
	}
	return Opening{Open: true}
}

// next is the first moment after t at which a window begins or ends, or may.
func (s windowSet) next(t time.Time) time.Time {
	var next time.Time
	for _, w := range s {
		if _, at := w.at(t); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// flips is when the set is no longer as it is at t, or zero where that was not found.
func (s windowSet) flips(t time.Time, open bool) time.Time {
	for range maxWindowSteps {
		if t = s.next(t); t.IsZero() || s.at(t).Open != open {
			return t
		}
	}
	return time.Time{}
}

// everOpens tells whether the set is open at some time; where that takes too long to
// find out, it says yes.
func (s windowSet) everOpens() bool { return everOpen(s) }

// openTogether tells whether two services' windows are both open at some time. Where either
// is never open, that is told of it alone.
func openTogether(a, b Windows) bool {
	x, y := a.compile(), b.compile()
	return everOpen(x, y) || !x.everOpens() || !y.everOpens()
}

// everOpen tells whether all sets are open at some time.
func everOpen(sets ...windowSet) bool {
	const years = 8 // every 29 February has its turn
	t, last := epoch, epoch.AddDate(years, 0, 0)
	for range 10 * maxWindowSteps {
		open := true
		var next time.Time
		for _, s := range sets {
			open = open && s.at(t).Open
			if at := s.next(t); !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		if open {
			return true
		}
		if t = next; t.IsZero() || t.After(last) {
			return false
		}
	}
	return true
}
