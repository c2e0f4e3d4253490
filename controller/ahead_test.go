package controller

import (
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// The plan's look is taken only by what disturbs nothing, begins at once, and finds the host as
// it was left.
func TestThePlansLookIsTaken(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name  string
		quiet bool
		tries int
		age   time.Duration
		word  time.Time
		want  bool
	}{
		{"a first deployment", true, 0, time.Second, time.Time{}, true},
		{"what disturbs", false, 0, time.Second, time.Time{}, false},
		{"tried once more", true, 1, time.Second, time.Time{}, false},
		{"too old", true, 0, seenHolds + time.Second, time.Time{}, false},
		{"something was done since", true, 0, time.Second, now, false},
	} {
		h := &handled{HostInput: rollout.HostInput{Observation: &hostdriver.Observation{Host: "h1", At: now.Add(-tt.age)}}, word: tt.word}
		v := &rollout.Visit{Quiet: tt.quiet}
		v.Tries = tt.tries
		if o, got := h.stillAsSeen(v); got != tt.want || got && o.Host != "h1" {
			t.Errorf("%s: taken is %v, want %v", tt.name, got, tt.want)
		}
	}
	if _, got := (&handled{}).stillAsSeen(&rollout.Visit{Quiet: true}); got {
		t.Error("a look that there was none of is taken")
	}
}
