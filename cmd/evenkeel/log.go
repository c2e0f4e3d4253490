package main

import (
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// logSink is where the log goes at the moment: stderr, or above the live table.
type logSink struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *logSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (s *logSink) to(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = w
}

// openLog makes the log that the settings ask for. Nothing secret is ever logged.
func (a *app) openLog() {
	level, err := zerolog.ParseLevel(orElse(a.settings.Log.Level, a.level))
	if err != nil {
		level = zerolog.WarnLevel // check has refused it already
	}
	a.logTo = &logSink{w: a.stderr}
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	var w io.Writer = a.logTo
	if a.settings.Log.Format != "json" {
		w = zerolog.ConsoleWriter{Out: a.logTo, NoColor: !a.stderrColour, TimeFormat: time.TimeOnly}
	}
	a.log = zerolog.New(w).Level(level).With().Timestamp().Logger()
}
