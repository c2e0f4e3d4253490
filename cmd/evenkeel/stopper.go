package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/rollout"
)

// errStoppedAtOnce is why an apply that was stopped twice ends.
var errStoppedAtOnce = errors.New("stopped at once by the operator")

// stopper turns Ctrl-C, SIGTERM and SIGHUP into an apply's end: before anything is
// begun, at once; while a pass runs, the first one lets the hosts in hand be finished
// and only the second one stops at once. A third one kills, as ever. Meanwhile a
// reader of our output that goes away does not end the apply.
type stopper struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	signals chan os.Signal
	pipe    chan os.Signal // takes SIGPIPE, so that writes fail instead of killing
	ended   chan struct{}

	mu    sync.Mutex
	words chan rollout.Event // to the pass that runs; nil: none does
	asked bool               // the first signal of a pass came
	say   func(string)
	last  rollout.State
}

var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

func newStopper(parent context.Context) *stopper {
	s := &stopper{signals: make(chan os.Signal, 4), pipe: make(chan os.Signal, 1), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(parent)
	signal.Notify(s.signals, stopSignals...)
	signal.Notify(s.pipe, syscall.SIGPIPE)
	go func() {
		defer close(s.ended)
		for range s.signals {
			s.signal()
		}
	}()
	return s
}

// close gives the signals back.
func (s *stopper) close() {
	signal.Stop(s.signals)
	signal.Stop(s.pipe)
	close(s.signals)
	<-s.ended
	s.cancel(nil)
}

func (s *stopper) signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.words == nil:
		s.cancel(context.Canceled)
	case !s.asked:
		s.asked = true
		s.send(rollout.Event{Kind: rollout.EventStop, Reason: "stopped by the operator"})
		s.say(show.Yellow(finishing(s.last)))
	default:
		s.cancel(errStoppedAtOnce)
		signal.Reset(stopSignals...)
		s.say(show.Red("stopping at once"))
	}
}

// finishing says what is still done after the first signal.
func finishing(st rollout.State) string {
	var hosts []string
	for _, v := range st.Visits {
		if v.Active() {
			hosts = append(hosts, v.Host)
		}
	}
	if len(hosts) == 0 {
		return "stopping (Ctrl-C again stops at once)"
	}
	return "finishing " + show.Names(hosts) + ", then stopping (Ctrl-C again stops at once)"
}

// arm begins a pass: say is where lines go meanwhile. The channel brings the pass the
// operator's words.
func (s *stopper) arm(say func(string)) <-chan rollout.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words, s.say = make(chan rollout.Event, 4), say
	return s.words
}

// tell brings the pass a word of the operator's, unless others wait to be heard.
func (s *stopper) tell(e rollout.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(e)
}

func (s *stopper) send(e rollout.Event) {
	select {
	case s.words <- e:
	default:
	}
}

func (s *stopper) disarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = nil
}

// saw takes the rollout's newest state.
func (s *stopper) saw(st rollout.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = st
}

// stopping tells whether the operator has asked for the end.
func (s *stopper) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked || s.ctx.Err() != nil
}

// readLine reads one line of at most a few bytes.
func readLine(r io.Reader) (string, error) {
	return bufio.NewReader(io.LimitReader(r, 1024)).ReadString('\n')
}
