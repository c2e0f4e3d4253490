package desired

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Calendar is a calendar event of OnCalendar= (systemd.time(7)), without its time zone and
// without fractions of a second.
type Calendar struct {
	weekdays             [7]bool // from Sunday on; none: all
	year, month, day     calendarField
	hour, minute, second calendarField
	fromEnd              bool // days are counted from the month's end
}

// calendarField are the values that a part of the event takes; nil: any.
type calendarField []calendarStep

// calendarStep is from, then every few up to to; a step of 0 is from alone, and to -1 has no end.
type calendarStep struct{ from, to, step int }

// calendarNames are the events that have one.
var calendarNames = map[string]string{
	"minutely": "*-*-* *:*:00", "hourly": "*-*-* *:00:00", "daily": "*-*-* 00:00:00", "weekly": "Mon *-*-* 00:00:00", "monthly": "*-*-01 00:00:00",
	"quarterly": "*-01,04,07,10-01 00:00:00", "semiannually": "*-01,07-01 00:00:00", "semi-annually": "*-01,07-01 00:00:00", "biannually": "*-01,07-01 00:00:00",
	"bi-annually": "*-01,07-01 00:00:00", "yearly": "*-01-01 00:00:00", "annually": "*-01-01 00:00:00", "anually": "*-01-01 00:00:00",
}

var weekdayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// ParseCalendar reads an event as systemd does (calendarspec.c); false where it refuses it. A
// last word that may be a time zone counts as one, for which there are only the host knows.
func ParseCalendar(s string) (Calendar, bool) {
	var c Calendar
	if at := strings.LastIndexByte(s, ' '); at >= 0 && zoneLike(s[at+1:]) {
		s = s[:at]
	}
	if long, ok := calendarNames[strings.ToLower(s)]; ok {
		s = long
	}
	if s == "" {
		return c, false
	}
	if at, ok := strings.CutPrefix(s, "@"); ok {
		n, err := strconv.ParseInt(at, 10, 40)
		return calendarAt(time.Unix(n, 0).UTC()), err == nil && n >= 0
	}
	date, clock, both := strings.Cut(s, " ")
	if c.takeWeekdays(date) {
		if !both {
			return c.at("")
		}
		date, clock, both = strings.Cut(strings.TrimLeft(clock, " "), " ")
	}
	if strings.Contains(date, ":") {
		return c.atIf(!both, date)
	}
	return c.atIf(c.takeDate(date), strings.TrimLeft(clock, " "))
}

// zoneLike tells a word that may be a time zone: it begins with a capital letter, and is no day.
func zoneLike(word string) bool {
	if word == "" || word[0] < 'A' || word[0] > 'Z' {
		return false
	}
	for _, r := range word {
		if !strings.ContainsRune(lowerDigits+upperLetters+"/_+-", r) {
			return false
		}
	}
	first, _, _ := strings.Cut(word, "-")
	_, day := weekday(first)
	return !day
}

func calendarAt(t time.Time) Calendar {
	one := func(n int) calendarField { return calendarField{{from: n, to: n}} }
	return Calendar{year: one(t.Year()), month: one(int(t.Month())), day: one(t.Day()), hour: one(t.Hour()), minute: one(t.Minute()), second: one(t.Second())}
}

func (c Calendar) atIf(ok bool, clock string) (Calendar, bool) {
	if !ok {
		return c, false
	}
	return c.at(clock)
}

// at takes the time of day; without one it is midnight.
func (c Calendar) at(clock string) (Calendar, bool) {
	if clock == "" {
		clock = "0:0:0"
	}
	parts := strings.Split(clock, ":")
	if len(parts) == 2 {
		parts = append(parts, "0")
	}
	if len(parts) != 3 {
		return c, false
	}
	ok := true
	take := func(to *calendarField, part string, most int) {
		f, good := parseField(part, 0, most, false)
		*to, ok = f, ok && good
	}
	take(&c.hour, parts[0], 23)
	take(&c.minute, parts[1], 59)
	take(&c.second, withoutFractions(parts[2]), 59)
	return c, ok && rangesOfSeconds(parts[2])
}

// withoutFractions is a field of seconds in whole ones: what is repeated more often than each
// second counts as each.
func withoutFractions(part string) string {
	var out []string
	for item := range strings.SplitSeq(part, ",") {
		base, step, repeated := strings.Cut(item, "/")
		from, to, ranged := strings.Cut(base, "..")
		item = whole(from)
		if ranged {
			item += ".." + whole(to)
		}
		if repeated {
			if step = whole(step); step == "0" && item != "" {
				step = "1"
			}
			item += "/" + step
		}
		out = append(out, item)
	}
	return strings.Join(out, ",")
}

// rangesOfSeconds refuses what is shorter than a second and has no step, as systemd does: its
// step would be one second.
func rangesOfSeconds(part string) bool {
	for item := range strings.SplitSeq(part, ",") {
		from, to, ranged := strings.Cut(item, "..")
		if !ranged || strings.Contains(to, "/") {
			continue
		}
		first, err := strconv.ParseFloat(from, 64)
		last, err2 := strconv.ParseFloat(to, 64)
		if err != nil || err2 != nil || math.Round((last-first)*1e6) < 1e6 {
			return false
		}
	}
	return true
}

func whole(n string) string {
	before, fraction, ok := strings.Cut(n, ".")
	if !ok || strings.Trim(fraction, "0123456789") != "" || fraction == "" || len(fraction) > 6 {
		return n
	}
	return before
}

// takeWeekdays reads days of the week; false where it is none of them at all.
func (c *Calendar) takeWeekdays(s string) bool {
	var days [7]bool
	for item := range strings.SplitSeq(strings.TrimSuffix(s, ","), ",") {
		from, to, ranged := strings.Cut(item, "..")
		if !ranged {
			from, to, ranged = strings.Cut(item, "-")
		}
		first, ok := weekday(from)
		last := first
		if ok && ranged {
			last, ok = weekday(to)
		}
		if !ok || last < first {
			return false
		}
		for d := first; d <= last; d++ {
			days[d%7] = true
		}
	}
	c.weekdays = days
	return true
}

// weekday numbers a day from Monday, 1, to Sunday, 7.
func weekday(s string) (int, bool) {
	s = strings.ToLower(s)
	n := slices.IndexFunc(weekdayNames, func(name string) bool { return s == name || s == name[:3] })
	if n == 0 {
		n = 7
	}
	return n, n > 0
}

func (c *Calendar) takeDate(s string) bool {
	year, rest := "*", s
	if strings.Count(s, "-")+strings.Count(s, "~") == 2 {
		var sep bool
		if year, rest, sep = strings.Cut(s, "-"); !sep {
			return false
		}
	}
	month, day, ok := strings.Cut(rest, "-")
	if !ok {
		month, day, c.fromEnd = strings.Cut(rest, "~")
		ok = c.fromEnd
	}
	y, yearOK := parseField(year, 0, 2199, false)
	for i := range y {
		y[i].from, y[i].to = fullYear(y[i].from), fullYear(y[i].to)
		yearOK = yearOK && y[i].from >= 1970
	}
	m, monthOK := parseField(month, 1, 12, false)
	most := 31
	if c.fromEnd {
		most = 28
	}
	d, dayOK := parseField(day, 1, most, c.fromEnd)
	c.year, c.month, c.day = y, m, d
	return ok && yearOK && monthOK && dayOK
}

func fullYear(y int) int {
	switch {
	case y >= 0 && y < 70:
		return y + 2000
	case y >= 70 && y < 100:
		return y + 1900
	}
	return y
}

// parseField reads the values of a part; fromEnd tells that they are counted from a month's end.
func parseField(s string, least, most int, fromEnd bool) (calendarField, bool) {
	if s == "*" {
		return nil, true
	}
	var out calendarField
	for item := range strings.SplitSeq(s, ",") {
		base, step, repeated := strings.Cut(item, "/")
		from, to, ranged := strings.Cut(base, "..")
		n, ok := number(from)
		st := calendarStep{from: n, to: n}
		if ranged {
			st.step = 1
			if n, ok2 := number(to); ok2 {
				st.to = n
			} else {
				ok = false
			}
		}
		if repeated {
			n, ok2 := number(step)
			st.step, ok = n, ok && ok2 && n > 0
			if !ranged {
				st.to = -1
			}
		}
		if !ok || st.from < least || st.from > most || st.to > most || st.to >= 0 && st.to < st.from || st.to < 0 && !fromEnd && st.from+st.step > most {
			return nil, false
		}
		if fromEnd && st.to < 0 { // it is repeated towards the end
			st.from, st.to = least+(st.from-least)%st.step, st.from
			if st.from == st.to {
				return nil, false
			}
		}
		out = append(out, st)
	}
	return out, true
}

func number(s string) (int, bool) {
	if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

func (f calendarField) has(n int) bool {
	return f == nil || slices.ContainsFunc(f, func(s calendarStep) bool {
		if n < s.from || s.to >= 0 && n > s.to {
			return false
		}
		return n == s.from || s.step > 0 && (n-s.from)%s.step == 0
	})
}

func (c Calendar) onDay(t time.Time) bool {
	day := t.Day()
	if c.fromEnd {
		day = time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day() - day + 1
	}
	return c.year.has(t.Year()) && c.month.has(int(t.Month())) && c.day.has(day) && (c.weekdays == [7]bool{} || c.weekdays[t.Weekday()])
}

// LongestPause is the longest time between two runs in the years around a day; false where
// there are not even two.
func (c Calendar) LongestPause(around time.Time) (time.Duration, bool) {
	var longest time.Duration
	first, last := -1, -1 // seconds of a day
	for s := range 24 * 60 * 60 {
		if !c.second.has(s%60) || !c.minute.has(s/60%60) || !c.hour.has(s/3600) {
			continue
		}
		if first < 0 {
			first = s
		} else {
			longest = max(longest, time.Duration(s-last)*time.Second)
		}
		last = s
	}
	if first < 0 {
		return 0, false
	}
	const days = 5 * 366
	before := -1
	start := around.AddDate(0, 0, -days)
	for d := range 2 * days {
		if !c.onDay(start.AddDate(0, 0, d)) {
			continue
		}
		if before >= 0 {
			longest = max(longest, time.Duration(d-before)*24*time.Hour+time.Duration(first-last)*time.Second)
		}
		before = d
	}
	return longest, longest > 0 && before >= 0
}

// LongestPauseAnywhere is the longest time between a run and the next one, in whichever time zone,
// of what runs once or twice a day or less often: a day may have 25 hours, and where clocks are
// put forward, what runs in the hour that falls away is left out on that day. What runs more
// often may pause for an hour more when clocks are put back, which is not counted.
func (c Calendar) LongestPauseAnywhere(last time.Time) (time.Duration, bool) {
	pause, repeats := c.LongestPause(last)
	if pause < 12*time.Hour {
		return pause, repeats
	}
	if !slices.ContainsFunc(hoursAllYear, c.hour.has) && inSpring(last, pause) {
		pause *= 2
	}
	return pause + time.Hour, repeats
}

// hoursAllYear are those that no clock leaves out.
var hoursAllYear = []int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}

// inSpring tells whether clocks may be put forward, on either half of the earth, between a time and
// the day after the pause that follows it.
func inSpring(from time.Time, pause time.Duration) bool {
	months := []time.Month{time.March, time.April, time.September, time.October}
	for day := from.UTC(); day.Before(from.Add(pause + 24*time.Hour)); day = day.AddDate(0, 0, 1) {
		if slices.Contains(months, day.Month()) {
			return true
		}
	}
	return false
}
