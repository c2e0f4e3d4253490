package main

import "testing"

func TestParseMemAvailable(t *testing.T) {
	got, err := parseMemAvailable("MemTotal:       24684072 kB\nMemFree:        22972516 kB\nMemAvailable:   23777804 kB\n")
	if err != nil || got != 23777804<<10 {
		t.Errorf("%d, %v", got, err)
	}
	for _, text := range []string{"", "MemTotal: 1 kB\n", "MemAvailable: x kB\n", "MemAvailable: -1 kB\n"} {
		if got, err := parseMemAvailable(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestTouchFree(t *testing.T) {
	if err := touchFree(1 << 20); err != nil {
		t.Error(err)
	}
}
