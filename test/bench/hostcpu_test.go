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
