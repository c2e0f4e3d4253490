package desired

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Forever is the time span "infinity".
const Forever = time.Duration(math.MaxInt64)

// spanUnits are those of systemd.time(7), "Parsing Time Spans".
var spanUnits = map[string]time.Duration{
	"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"us": time.Microsecond, "usec": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	"M": 2629800 * time.Second, "month": 2629800 * time.Second, "months": 2629800 * time.Second,
	"y": 31557600 * time.Second, "year": 31557600 * time.Second, "years": 31557600 * time.Second,
}

var spanPart = regexp.MustCompile(`^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)[ \t]*([a-zA-Zµμ]*)[ \t]*`)

// ParseSpan reads a time span; a number alone is in seconds. 0 of a timeout is left as it
// is, although it means forever there.
func ParseSpan(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "infinity" {
		return Forever, true
	}
	if s == "" {
		return 0, false
	}
	total := 0.0
	for s != "" {
		m := spanPart.FindStringSubmatch(s)
		if m == nil {
			return 0, false
		}
		unit, ok := spanUnits[m[2]]
		n, err := strconv.ParseFloat(m[1], 64)
		if !ok || err != nil {
			return 0, false
		}
		total += n * float64(unit)
		s = s[len(m[0]):]
	}
	if total >= float64(Forever) {
		return Forever, true
	}
	return time.Duration(total), true
}
