package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// Window is a window of every day and hour: from minute At of the hour on, again after
// Every minutes, For minutes long.
type Window struct {
	Deny  bool `json:"deny,omitempty"`
	Every int  `json:"every"` // a divisor of 60
	At    int  `json:"at"`
	For   int  `json:"for"`
}

func (w Window) desired() desired.WindowSpec {
	length := desired.Duration(time.Duration(w.For) * time.Minute)
	spec := desired.WindowSpec{Kind: desired.WindowAllow, Schedule: fmt.Sprintf("%d-59/%d * * * *", w.At, w.Every), Duration: &length}
	if w.Deny {
		spec.Kind = desired.WindowDeny
	}
	return spec
}

// at tells whether t is within the window, reckoned apart from the engine.
func (w Window) at(t time.Time) bool {
	every := int64(w.Every) * 60
	return ((t.Unix()-int64(w.At)*60)%every+every)%every < int64(w.For)*60
}

// open tells whether windows let something begin: within no deny window, and within an
// allow window where there is any.
func open(ws []Window, t time.Time) bool {
	allows, within := false, false
	for _, w := range ws {
		if w.Deny && w.at(t) {
			return false
		}
		allows, within = allows || !w.Deny, within || !w.Deny && w.at(t)
	}
	return within || !allows
}

// everOpen tells whether the windows of services are ever open at once: what disturbs them
// all could never begin else.
func everOpen(services []Service) bool {
	for minute := range 60 {
		t := time.Unix(int64(minute)*60, 0)
		if !slices.ContainsFunc(services, func(s Service) bool { return !open(s.Strategy.Windows, t) }) {
			return true
		}
	}
	return false
}

func (w Window) validate() error {
	if w.Every < 1 || w.Every > 60 || 60%w.Every != 0 || w.At < 0 || w.At >= w.Every || w.For < 1 || w.For > 60 {
		return fmt.Errorf("there is no window every %d minutes at %d for %d", w.Every, w.At, w.For)
	}
	return nil
}
