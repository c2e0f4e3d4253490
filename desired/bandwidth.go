package desired

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteUnits are what a number of bytes may end in, longest first.
var byteUnits = []struct {
	name string
	size float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// ParseBandwidth reads bytes a second: "10MB", "1.5MiB", "500KiB", "125000". "" is 0, which
// is no bound.
func ParseBandwidth(text string) (int64, error) {
	text = strings.TrimSuffix(strings.TrimSpace(text), "/s")
	if text == "" {
		return 0, nil
	}
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(n) || n*u.size < 1024 || n*u.size > 1e12 {
			return 0, fmt.Errorf("%.40q is no number of bytes between 1KiB and 1000GB", text)
		}
		return int64(n * u.size), nil
	}
	panic("unreachable: the last unit is empty")
}
