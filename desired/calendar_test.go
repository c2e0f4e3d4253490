package desired

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestCalendar(t *testing.T) {
	const day = 24 * time.Hour
	around := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"daily": day, "hourly": time.Hour, "minutely": time.Minute, "weekly": 7 * day, "monthly": 31 * day, "quarterly": 92 * day, "yearly": 366 * day,
		"*:0/5": 5 * time.Minute, "*:*:*": time.Second, "Mon..Fri 9..17:00": 64 * time.Hour, "Mon": 7 * day, "Sat,Sun 10:00": 6 * day, "*-*~1": 31 * day, "*-*~3/1": 29 * day,
		"*-*-* 02,14:30": 12 * time.Hour, "daily Europe/Berlin": day, "hourly UTC": time.Hour, "*-02~03": 366 * day, "*:*:0/0.5": time.Second, "Monday 10:00": 7 * day,
		"2026-01-01": -1, "@5": -1, "dayly": -2, "12": -2, "25:00": -2, "12-32": -2, "*-*-* 12:00 xx": -2, "5..3:00": -2, "1/0:00": -2, "*-*~1/3": -2, "20..22/5:00": day, "": -2, "*/5": -2, "weekly 10:00": -2,
		"Sat..Mon 10:00": -2, "mon,  tue 10:00": -2, "10:00:60": -2, "once a day": -2, "DAILY": day, "99-1-1": -1,
		"*:*:44..44": -2, "*:*:43..44": 59 * time.Second, "*:*:3.2..3.9": -2, "*:*:50..50/20": time.Minute, "*:44..44:0": time.Hour, "*:*:5..5.5/1,9": 56 * time.Second,
	} {
		c, ok := ParseCalendar(text)
		got := time.Duration(-2)
		if ok {
			if got, ok = c.LongestPause(around); !ok {
				got = -1
			}
		}
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// What systemd of this machine takes is taken, and nothing else; and in the years that are looked
// at no run of it comes later than the longest pause after the one before.
func TestCalendarAgainstSystemd(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is missing: apt-get install systemd")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	run := regexp.MustCompile(`(?m)(?:Next elapse|Iter(?:ation|\.) #\d+): (?:\w+ )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC`)
	taken := 0
	for range 100 {
		text := randomCalendar(random)
		c := exec.Command("systemd-analyze", "calendar", "--iterations=12", "--base-time=2026-03-01 12:00:00 UTC", "--", text)
		c.Env = []string{"TZ=UTC", "LC_ALL=C", "PATH=/usr/bin:/bin"}
		out, err := c.CombinedOutput()
		cal, ok := ParseCalendar(text)
		if strings.Contains(text, "~") && strings.Contains(text, ",") && err != nil {
			continue // its bounds for lists of days from the end differ by their order
		}
		// An event of which it finds no next time was read all the same.
		if takes := err == nil || strings.Contains(string(out), "Failed to determine next elapse"); ok != takes {
			t.Errorf("%q: systemd takes it: %v, and here: %v\n%s", text, takes, ok, out)
			continue
		}
		if !ok {
			continue
		}
		taken++
		var before time.Time
		for _, m := range run.FindAllStringSubmatch(string(out), -1) {
			at, err := time.Parse(time.DateTime, m[1])
			if err != nil {
				t.Fatal(err)
			}
			if !before.IsZero() && at.Year() < 2031 {
				pause, repeats := cal.LongestPauseAnywhere(before)
				if strings.Contains(text, "/Berlin") && pause < 12*time.Hour {
					pause += time.Hour // an hour may be there twice, and the event in one of them
				}
				if !repeats || at.Sub(before) > pause {
					t.Errorf("%q: runs at %s and %s, and the longest pause is %s, %v", text, before, at, pause, repeats)
				}
			}
			before = at
		}
	}
	if taken < 30 {
		t.Errorf("only %d were taken", taken)
	}
}

// randomCalendar is mostly an event.
func randomCalendar(r *rand.Rand) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	field := func(least, most int) string {
		n := least + r.IntN(most-least+1)
		switch r.IntN(7) {
		case 0, 1, 2:
			return "*"
		case 3:
			return fmt.Sprintf("%d/%d", n, 1+r.IntN(most/2))
		case 4:
			return fmt.Sprintf("%d..%d", n, least+r.IntN(most-least+2))
		case 5:
			return fmt.Sprintf("%d,%02d", n, least+r.IntN(most-least+1))
		}
		return fmt.Sprintf("%02d", n)
	}
	var parts []string
	if r.IntN(3) == 0 {
		parts = append(parts, pick("Mon", "tue,thu", "Mon..Fri", "Sat-Sun", "Friday,Sunday", "Mon,Wed..Fri"))
	}
	if r.IntN(2) == 0 {
		parts = append(parts, pick("*-", "", "2026-", "2026/2-")+field(1, 12)+pick("-", "-", "~")+field(1, 31))
	}
	if r.IntN(4) > 0 || len(parts) == 0 {
		parts = append(parts, field(0, 23)+":"+field(0, 59)+pick("", ":"+field(0, 59)))
	}
	if r.IntN(6) == 0 {
		parts = append(parts, pick("UTC", "xx", "Europe/Berlin", "12"))
	}
	if r.IntN(12) == 0 {
		return pick("daily", "hourly", "weekly", "monthly", "quarterly", "yearly", "Hourly", "fortnightly")
	}
	return strings.Join(parts, " ")
}

// In spring a day may leave out what runs in the hour that falls away, and in autumn it has an
// hour more.
func TestCalendarWhereClocksChange(t *testing.T) {
	march := time.Date(2026, 3, 28, 1, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"02:30": 49 * time.Hour, "daily": 49 * time.Hour, "05:00": 25 * time.Hour, "02,14:30": 13 * time.Hour, "hourly": time.Hour,
	} {
		c, _ := ParseCalendar(text)
		if got, ok := c.LongestPauseAnywhere(march); got != want || !ok {
			t.Errorf("%q in spring: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]time.Duration{"02:30": 25 * time.Hour, "hourly": time.Hour} {
		c, _ := ParseCalendar(text)
		if got, _ := c.LongestPauseAnywhere(march.AddDate(0, -2, 0)); got != want {
			t.Errorf("%q in January: %v, want %v", text, got, want)
		}
	}
}

func FuzzCalendar(f *testing.F) {
	for _, text := range []string{"daily", "Mon..Fri *-*~1/2 9..17/2:0/5:59.5 Europe/Berlin", "@1", "2026-02-29", "mon,"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := ParseCalendar(text)
		if !ok {
			return
		}
		if pause, ok := c.LongestPause(time.Unix(0, 0)); ok && pause <= 0 {
			t.Errorf("%q pauses for %s", text, pause)
		}
	})
}
