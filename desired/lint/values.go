package lint

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// forever is the time span "infinity", and infinite the amount.
const (
	forever  = desired.Forever
	infinite = uint64(math.MaxUint64)
)

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
