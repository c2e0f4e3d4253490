package main

import (
	"testing"
	"time"
)

const logText = `{"level":"info","message":"observed"}
some progress
{"level":"debug","host":"h1","command":"units","took":40.5,"outcome":"success","time":"2026-11-25T09:00:00.050Z","message":"command carried out"}
{"level":"debug","host":"h2","command":"units","took":59.5,"outcome":"success","time":"2026-11-25T09:00:00.120Z","message":"command carried out"}
{"level":"debug","host":"h1","command":"stage","took":20,"outcome":"success","time":"2026-11-25T09:00:00.150Z","message":"command carried out"}
{"level":"debug","host":"h1","command":"probe","took":10,"outcome":"success","time":"2026-11-25T09:00:00.1595Z","message":"command carried out"}
`

func TestParsePhases(t *testing.T) {
	p, err := parsePhases(logText)
	if err != nil {
		t.Fatal(err)
	}
	p.wall = 200 * time.Millisecond
	if p.steps() != 150*time.Millisecond || p.start() != 50*time.Millisecond {
		t.Errorf("steps took %s, the start %s", p.steps(), p.start())
	}
	if p.commands["units"] != 100*time.Millisecond || p.counts["units"] != 2 || p.commands["stage"] != 20*time.Millisecond {
		t.Errorf("read as %+v", p)
	}
	if got := p.engine(); got != 40*time.Millisecond {
		t.Errorf("all but restart and health took %s, want 40ms", got)
	}
	if got := p.rest(); got != 20*time.Millisecond {
		t.Errorf("what no command accounts for took %s, want 20ms", got)
	}
}

func TestParsePhasesRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no log":          "✔ h1 healthy\n",
		"another message": `{"command":"units","took":1,"message":"other"}`,
		"no command":      `{"took":1,"message":"command carried out"}`,
		"a negative time": `{"command":"units","took":-1,"message":"command carried out"}`,
	} {
		if p, err := parsePhases(text); err == nil {
			t.Errorf("%s passes: %+v", name, p)
		}
	}
}

func FuzzParsePhases(f *testing.F) {
	f.Add(logText)
	f.Add(`{"command":"a","took":1e308,"message":"command carried out"}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePhases(text)
		if err != nil {
			return
		}
		for name, d := range p.commands {
			if d < 0 || p.counts[name] < 1 {
				t.Errorf("%q: %s in %d", name, d, p.counts[name])
			}
		}
	})
}
