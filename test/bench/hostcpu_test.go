package main

import (
	"testing"
	"time"
)

const cpuStat = "usage_usec 6401305\nuser_usec 2289923\nsystem_usec 4111381\n"

func TestParseCPUStat(t *testing.T) {
	if got, err := parseCPUStat(cpuStat); err != nil || got != 6401305*time.Microsecond {
		t.Errorf("%s, %v", got, err)
	}
	for _, text := range []string{"", "user_usec 1\n", "usage_usec x\n", "usage_usec -1\n", "usage_usec 9223372036854775807\n"} {
		if got, err := parseCPUStat(text); err == nil {
			t.Errorf("%q reads as %s", text, got)
		}
	}
}

func FuzzParseCPUStat(f *testing.F) {
	f.Add(cpuStat)
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseCPUStat(text); err == nil && got < 0 {
			t.Errorf("%q reads as %s", text, got)
		}
	})
}

func TestParseBusy(t *testing.T) {
	const stat = "cpu  100 20 30 1000 200 5 6 700 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
	if got, err := parseBusy(stat); err != nil || got != 1610*time.Millisecond {
		t.Errorf("%s, %v", got, err)
	}
	for _, text := range []string{"", "cpu 1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 3 4 5 6 x 8\n", "cpu -1 2 3 4 5 6 7 8\n"} {
		if got, err := parseBusy(text); err == nil {
			t.Errorf("%q reads as %s", text, got)
		}
	}
}

func FuzzParseBusy(f *testing.F) {
	f.Add("cpu  100 20 30 1000 200 5 6 700 0 0\n")
	f.Add("cpu 281474976710655 281474976710655 0 0 0 0 0 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseBusy(text); err == nil && got < 0 {
			t.Errorf("%q reads as %s", text, got)
		}
	})
}
