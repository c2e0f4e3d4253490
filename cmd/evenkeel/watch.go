package main

import (
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/progress"
	"github.com/evenkeel/evenkeel/rollout"
)

// watching shows a pass while it runs: as a table in place on a terminal, else as
// lines. All of it goes to stderr.
type watching interface {
	report(rollout.State)
	say(line string) // rendered
	end()
}

func (a *app) watch() watching {
	a.say("")
	if !a.live {
		return &plainWatch{app: a}
	}
	w := &liveWatch{app: a, table: progress.NewLive(a.stderr, a.stderrColour, progress.Size{}), restore: quietInput()}
	a.logTo.to(w.table)
	return w
}

// plainWatch writes a line for each phase that a host enters.
type plainWatch struct {
	*app
	mu    sync.Mutex
	lines progress.Lines
}

func (w *plainWatch) report(st rollout.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines.Of(st) {
		w.app.say(time.Now().Format(time.TimeOnly) + " " + l)
	}
}

func (w *plainWatch) say(line string) { w.app.say(time.Now().Format(time.TimeOnly) + " " + line) }
func (w *plainWatch) end()            {}

// liveWatch keeps a table in place.
type liveWatch struct {
	*app
	table   *progress.Live
	restore func()
}

func (w *liveWatch) report(st rollout.State) { w.table.Report(st) }
func (w *liveWatch) say(line string)         { w.table.Say(w.styled(w.stderrColour, line)) }

func (w *liveWatch) end() {
	w.table.Stop()
	w.restore()
	w.logTo.to(w.stderr)
}
