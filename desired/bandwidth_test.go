package desired

import "testing"

func TestParseBandwidth(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "10MB": 10_000_000, "1.5MiB": 3 << 19, "500KiB/s": 500 << 10, "125000": 125_000, "20 kB": 20_000, "64000B": 64_000} {
		if got, err := ParseBandwidth(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"fast", "-1MB", "0", "1", "10Mbit", "NaN", "1e30", "MB"} {
		if got, err := ParseBandwidth(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
