package lint

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// forever is the time span "infinity", and infinite the amount.
const (
	forever  = time.Duration(math.MaxInt64)
	infinite = uint64(math.MaxUint64)
)

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

// parseSpan reads a time span; a number alone is in seconds. 0 of a timeout is left as it
// is, although it means forever there.
func parseSpan(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "infinity" {
		return forever, true
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
	if total >= float64(forever) {
		return forever, true
	}
	return time.Duration(total), true
}

var (
	memoryKeys = []string{"MemoryMax", "MemoryHigh", "MemoryLow", "MemoryMin", "MemorySwapMax", "MemoryZSwapMax", "MemoryLimit"}
	percent    = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?%$`)
	sizeForm   = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)[ \t]*([KMGTPE]?)B?$`)
)

// parseMemory reads an amount in bytes (systemd.resource-control(5)); a percentage, whose
// amount only the host knows, is infinite.
func parseMemory(s string) (uint64, bool) {
	if s == "infinity" || percent.MatchString(s) {
		return infinite, true
	}
	m := sizeForm.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(s, "B") && m[2] != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	if m[2] != "" {
		n *= math.Pow(1024, float64(strings.Index("KMGTPE", m[2])+1))
	}
	return uint64(min(n, 1<<62)), true
}

func parseTasks(s string) (uint64, bool) {
	if s == "infinity" || percent.MatchString(s) {
		return infinite, true
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// parseLimit reads a resource limit (systemd.exec(5), "Process Properties"): the soft one
// of SOFT:HARD.
func parseLimit(s string) (uint64, bool) {
	soft, hard, both := strings.Cut(s, ":")
	n, ok := parseTasks(soft)
	if !ok || percent.MatchString(soft) {
		return 0, false
	}
	if both {
		h, ok := parseTasks(hard)
		if !ok || h < n {
			return 0, false
		}
	}
	return n, true
}
