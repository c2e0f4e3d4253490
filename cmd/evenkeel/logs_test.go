package main

import (
	"testing"
	"time"
)

func TestLogTime(t *testing.T) {
	zone := time.FixedZone("X", 2*3600)
	now := time.Date(2026, 5, 3, 13, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"": {}, "now": now, "15m": now.Add(-15 * time.Minute), "-1h30m": now.Add(-90 * time.Minute), "3d": now.AddDate(0, 0, -3),
		"today": time.Date(2026, 5, 3, 0, 0, 0, 0, zone), "yesterday": time.Date(2026, 5, 2, 0, 0, 0, 0, zone), "2026-05-01": time.Date(2026, 5, 1, 0, 0, 0, 0, zone),
		"2026-05-01 13:00": time.Date(2026, 5, 1, 13, 0, 0, 0, zone), "2026-05-01T13:00:00Z": time.Date(2026, 5, 1, 13, 0, 0, 0, time.UTC),
	} {
		if got, err := logTime("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "15", "2026-13-01", "99999999999d", "1h ago"} {
		if got, err := logTime("since", text, now); err == nil || mendOf(err) == "" {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestLogQuery(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		o     logFlags
		given bool
		lines int // -1: refused
	}{
		"nothing said":       {logFlags{}, false, 100},
		"all since":          {logFlags{since: "1h"}, false, 0},
		"some since":         {logFlags{since: "1h", lines: 5}, true, 5},
		"none":               {logFlags{}, true, -1},
		"backwards":          {logFlags{since: "1h", until: "2h"}, false, -1},
		"until a follow":     {logFlags{follow: true, until: "1h"}, false, -1},
		"no such priority":   {logFlags{priority: "loud"}, false, -1},
		"a range":            {logFlags{priority: "err..notice"}, false, 100},
		"pattern with lines": {logFlags{grep: "a\nb"}, false, -1},
	} {
		q, err := c.o.query("gw", c.given, now)
		if (err != nil) != (c.lines < 0) || err == nil && q.Lines != c.lines {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
	}
}
