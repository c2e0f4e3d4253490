package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

// follower keeps the last thing that the simulator said. It is safe for
// concurrent use.
type follower struct {
	url    string
	maxAge time.Duration
	log    *slog.Logger

	mu      sync.Mutex
	state   json.RawMessage // nil until the first answer
	heard   time.Time
	failing bool // so that a failure is logged once, not once a second
}

// ask asks the simulator once. A failure keeps what is known.
func (f *follower) ask(ctx context.Context) {
	var state json.RawMessage
	err := service.GetJSON(ctx, f.url, &state)
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if !f.failing {
			f.log.Warn("simulator does not answer", "error", err)
		}
		f.failing = true
		return
	}
	if f.failing || f.state == nil {
		f.log.Info("simulator answers", "url", f.url)
	}
	f.state, f.heard, f.failing = state, time.Now(), false
}

// check says whether what is known is fresh enough to serve.
func (f *follower) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == nil {
		return errors.New("the simulator has not answered yet")
	}
	if age := time.Since(f.heard); age > f.maxAge {
		return fmt.Errorf("the simulator has not answered for %v", age.Round(time.Second))
	}
	return nil
}

// Answer is what /world answers.
type Answer struct {
	Instance   string          `json:"instance"`
	AgeSeconds float64         `json:"ageSeconds"` // of the state
	State      json.RawMessage `json:"state"`      // the simulator's own words
}

func (f *follower) answer(w http.ResponseWriter, instance string) {
	f.mu.Lock()
	answer := Answer{Instance: instance, AgeSeconds: time.Since(f.heard).Seconds(), State: f.state}
	f.mu.Unlock()
	if answer.State == nil {
		service.WriteProblem(w, http.StatusServiceUnavailable, "the simulator has not answered yet")
		return
	}
	service.WriteJSON(w, http.StatusOK, answer)
}
