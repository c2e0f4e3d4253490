package desired

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones that the machine may not have

	"pgregory.net/rapid"
)

func allow(schedule string, d time.Duration, zone string) WindowSpec {
	return WindowSpec{Kind: WindowAllow, Schedule: schedule, Duration: lasting(d), TimeZone: zone}
}

func lasting(d time.Duration) *Duration {
	out := Duration(d)
	return &out
}

func deny(schedule string, d time.Duration, zone string) WindowSpec {
	w := allow(schedule, d, zone)
	w.Kind = WindowDeny
	return w
}

func TestWindows(t *testing.T) {
	const berlin = "Europe/Berlin"
	nights := allow("0 22 * * 1-5", 4*time.Hour, "")
	freeze := deny("0 0 24 12 *", 72*time.Hour, "")
	freeze.Reason = "Christmas"
	tests := []struct {
		name string
		ws   Windows
		at   string
		want string
	}{
		{"no windows", nil, "2026-03-02T12:00:00Z", "open"},
		{"before the night", Windows{nights}, "2026-03-02T21:59:59Z", "closed until Mon 2026-03-02 22:00 UTC: outside of every allow window"},
		{"it begins on the second", Windows{nights}, "2026-03-02T22:00:00Z", "open until Tue 2026-03-03 02:00 UTC"},
		{"past midnight it is still the same night", Windows{nights}, "2026-03-03T01:59:59Z", "open until Tue 2026-03-03 02:00 UTC"},
		{"it ends on the second", Windows{nights}, "2026-03-03T02:00:00Z", "closed until Tue 2026-03-03 22:00 UTC: outside of every allow window"},
		{"over the weekend", Windows{nights}, "2026-03-07T03:00:00Z", "closed until Mon 2026-03-09 22:00 UTC: outside of every allow window"},
		{"only deny: open outside of it", Windows{freeze}, "2026-12-23T23:59:59Z", "open until Thu 2026-12-24 00:00 UTC"},
		{"within deny", Windows{freeze}, "2026-12-25T12:00:00Z", `closed until Sun 2026-12-27 00:00 UTC: within deny window "0 0 24 12 *" for 72h0m0s, UTC (Christmas)`},
		{"deny wins over allow", Windows{nights, freeze}, "2026-12-24T23:00:00Z",
			`closed until Mon 2026-12-28 22:00 UTC: within deny window "0 0 24 12 *" for 72h0m0s, UTC (Christmas)`},
		{"deny begins within allow", Windows{nights, freeze}, "2026-12-23T23:00:00Z", "open until Thu 2026-12-24 00:00 UTC"},
		{"two allow windows that meet are one", Windows{nights, allow("0 2 * * *", 2*time.Hour, "")}, "2026-03-02T23:00:00Z", "open until Tue 2026-03-03 04:00 UTC"},
		{"windows of one schedule that overlap are one", Windows{allow("0 8-10 * * *", 90*time.Minute, "")}, "2026-03-02T08:30:00Z", "open until Mon 2026-03-02 11:30 UTC"},
		{"a zone's own evening", Windows{allow("0 22 * * *", time.Hour, berlin)}, "2026-03-02T20:59:59Z", "closed until Mon 2026-03-02 22:00 CET: outside of every allow window"},
		{"the same in summer is an hour earlier", Windows{allow("0 22 * * *", time.Hour, berlin)}, "2026-07-02T20:00:00Z", "open until Thu 2026-07-02 23:00 CEST"},

		// 29 March 2026: clocks in Berlin go from 02:00 CET to 03:00 CEST, at 01:00 UTC.
		{"a beginning that the clock skips is at its jump", Windows{deny("30 2 * * *", time.Hour, berlin)}, "2026-03-29T00:59:59Z", "open until Sun 2026-03-29 03:00 CEST"},
		{"and lasts as long as ever", Windows{deny("30 2 * * *", time.Hour, berlin)}, "2026-03-29T01:00:00Z",
			`closed until Sun 2026-03-29 04:00 CEST: within deny window "30 2 * * *" for 1h0m0s, Europe/Berlin`},
		{"the hours of a window are real ones", Windows{allow("0 1 * * *", 3*time.Hour, berlin)}, "2026-03-29T00:30:00Z", "open until Sun 2026-03-29 05:00 CEST"},
		// 25 October 2026: from 03:00 CEST back to 02:00 CET, at 01:00 UTC.
		{"a beginning that comes twice is the first", Windows{allow("30 2 * * *", 30*time.Minute, berlin)}, "2026-10-25T00:30:00Z", "open until Sun 2026-10-25 02:00 CET"},
		{"and not again", Windows{allow("30 2 * * *", 30*time.Minute, berlin)}, "2026-10-25T01:30:00Z", "closed until Mon 2026-10-26 02:30 CET: outside of every allow window"},
		{"a window over the hour that comes twice", Windows{allow("0 1 * * *", 3*time.Hour, berlin)}, "2026-10-25T01:59:59Z", "open until Sun 2026-10-25 03:00 CET"},
		{"half an hour on Lord Howe Island", Windows{deny("15 2 * * *", time.Hour, "Australia/Lord_Howe")}, "2026-10-03T15:30:00Z",
			`closed until Sun 2026-10-04 03:30 +11: within deny window "15 2 * * *" for 1h0m0s, Australia/Lord_Howe`},
		{"a day that Samoa never had", Windows{deny("0 12 30 12 *", time.Hour, "Pacific/Apia")}, "2011-12-30T10:30:00Z",
			`closed until Sat 2011-12-31 01:00 +14: within deny window "0 12 30 12 *" for 1h0m0s, Pacific/Apia`},

		{"always open: no end was found", Windows{allow("* * * * *", time.Minute, "")}, "2026-03-02T12:00:00Z", "open"},
		{"29 February", Windows{allow("0 0 29 2 *", 24*time.Hour, "")}, "2026-03-02T12:00:00Z", "closed until Tue 2028-02-29 00:00 UTC: outside of every allow window"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			o := tt.ws.At(now)
			got := map[bool]string{true: "open", false: "closed"}[o.Open]
			if !o.Until.IsZero() {
				got += " until " + o.Until.Format("Mon 2006-01-02 15:04 MST")
			}
			if o.Why != "" {
				got += ": " + o.Why
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Until never lies: the set is as it was up to it, and another way from it on.
func TestWindowsUntil(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ws Windows
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			ws = append(ws, WindowSpec{
				Kind:     rapid.SampledFrom([]string{WindowAllow, WindowDeny}).Draw(t, "kind"),
				Schedule: rapid.SampledFrom([]string{"0 22 * * *", "30 2 * * *", "15 */6 * * 1-5", "0 0 1 * *", "0 3 * * 0"}).Draw(t, "schedule"),
				Duration: lasting(time.Duration(rapid.IntRange(1, 40*60).Draw(t, "minutes")) * time.Minute),
				TimeZone: rapid.SampledFrom([]string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"}).Draw(t, "zone"),
			})
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(t, "at")) * time.Minute)
		o := ws.At(now)
		if o.Until.IsZero() {
			return
		}
		if !o.Until.After(now) {
			t.Fatalf("until %s is not after %s", o.Until, now)
		}
		if ws.At(o.Until).Open == o.Open {
			t.Fatalf("at %s it is still open=%v", o.Until, o.Open)
		}
		for range 20 {
			between := now.Add(time.Duration(rapid.Int64Range(0, int64(o.Until.Sub(now))-1).Draw(t, "between")))
			if ws.At(between).Open != o.Open {
				t.Fatalf("open=%v at %s, and not at %s before %s", o.Open, now, between, o.Until)
			}
		}
	})
}

func FuzzWindowSchedule(f *testing.F) {
	for _, s := range []string{"0 22 * * 1-5", "@daily", "* * * *", "0 0 30 2 *", "TZ=UTC * * * * *", "*/0 * * * *", "0 0 31 * *", "60 * * * *", strings.Repeat("1,", 999) + "1 * * * *"} {
		f.Add(s, "Europe/Berlin", int64(time.Hour))
	}
	f.Fuzz(func(t *testing.T, schedule, zone string, d int64) {
		w := allow(schedule, time.Duration(d), zone)
		c, key, message, _ := w.compile()
		if (c == nil) == (message == "") || (key == "") != (message == "") {
			t.Fatalf("neither right nor wrong: %q %q", key, message)
		}
		began := time.Now()
		_ = Windows{w}.At(epoch)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("took %s", took)
		}
	})
}

func BenchmarkWindows(b *testing.B) {
	ws := Windows{allow("0 22 * * 1-5", 4*time.Hour, "Europe/Berlin"), deny("0 0 24 12 *", 72*time.Hour, "")}
	for _, every := range []string{"nights", "minutes"} {
		if every == "minutes" {
			ws = Windows{allow("* * * * *", time.Minute, "Europe/Berlin")}
		}
		b.Run(fmt.Sprint(every), func(b *testing.B) {
			for b.Loop() {
				ws.At(epoch)
			}
		})
	}
}

// What changes on a host is one visit: services of one host whose windows are never open
// together are warned of, and no others.
func TestWindowsApart(t *testing.T) {
	windows := func(schedule, duration string) string {
		return "  windows: [{kind: allow, schedule: \"" + schedule + "\", duration: " + duration + "}]\n  files: [{path: /etc/%s, source: x}]\n"
	}
	for name, c := range map[string]struct{ a, b, want string }{
		"one after the other": {windows("0 2 * * *", "1h"), windows("0 3 * * *", "1h"),
			"services/web/service.yaml:6:12: warning: the windows of a and web are never open together, and both are on h1: a revision that changes both there is never rolled out: let the windows overlap, or change the two in revisions of their own"},
		"by a minute":         {windows("0 2 * * *", "61m"), windows("0 3 * * *", "1h"), ""},
		"once in four years":  {windows("0 2 29 2 *", "1h"), windows("0 2 * * *", "1h"), ""},
		"one without windows": {windows("0 2 * * *", "1h"), "  files: [{path: /etc/%s, source: x}]\n", ""},
	} {
		repo := plain.with(files{
			"services/a/service.yaml":   service("a", fmt.Sprintf(c.a, "a")),
			"services/a/x":              "x",
			"services/web/service.yaml": service("web", fmt.Sprintf(c.b, "web")),
			"services/web/x":            "x",
		})
		rev, err := load(t, repo, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range rev.Warnings {
			if f.Rule == "windows-apart" {
				got = Faults{f}.Error()
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
