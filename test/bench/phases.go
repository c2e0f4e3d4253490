package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// phases is where one apply's time went, by the engine's own log.
type phases struct {
	wall     time.Duration
	commands map[string]time.Duration // command to the sum over all hosts
	counts   map[string]int
	// began and ended are the first command's and the last one's.
	began, ended time.Time
}

// steps is from the first host's first step to the last host's last one.
func (p *phases) steps() time.Duration { return p.ended.Sub(p.began) }

// start is all that is done once: the program's start, the first look, the takeover.
func (p *phases) start() time.Duration { return p.wall - p.steps() }

// engine is what the steps took beside what had to be: drains, restarts and health checks.
func (p *phases) engine() time.Duration {
	d := p.steps()
	for _, name := range []string{"drain", "wait", "units", "probe", "undrain"} {
		d -= p.commands[name]
	}
	return d
}

// rest is what no command accounts for in the steps: the budget's looks, the pauses
// between commands. It is meaningful where one host follows the other.
func (p *phases) rest() time.Duration {
	d := p.steps()
	for _, took := range p.commands {
		d -= took
	}
	return d
}

// carriedOut is the message of the lines that matter; took is in milliseconds, as zerolog
// writes durations.
const carriedOut = "command carried out"

// parsePhases reads the log of an apply with --log-level debug --log-format json. Lines
// that are not JSON are other output.
func parsePhases(log string) (phases, error) {
	p := phases{commands: map[string]time.Duration{}, counts: map[string]int{}}
	for line := range strings.Lines(log) {
		var entry struct {
			Message string
			Command string
			Took    float64
			Time    time.Time
		}
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &entry) != nil || entry.Message != carriedOut {
			continue
		}
		if entry.Command == "" || entry.Took < 0 || entry.Took > 1e9 {
			return p, fmt.Errorf("evenkeel's log: %.200s", line)
		}
		took := time.Duration(entry.Took * float64(time.Millisecond))
		if at := entry.Time.Add(-took); p.began.IsZero() || at.Before(p.began) {
			p.began = at
		}
		if entry.Time.After(p.ended) {
			p.ended = entry.Time
		}
		p.commands[entry.Command] += took
		p.counts[entry.Command]++
	}
	if len(p.commands) == 0 {
		return p, fmt.Errorf("evenkeel's log has no line %q", carriedOut)
	}
	return p, nil
}
