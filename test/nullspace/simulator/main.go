// Command simulator keeps nullspace's world: a clock of ticks and the prices of
// its economy. The world is a function of the seed and the time alone, so that
// every simulator with one seed tells the same, and a restart loses nothing. It
// reads:
//
//	SIMULATOR_LISTEN    where it listens; else :PORT, else :7101
//	SIMULATOR_SEED      the world's seed, a whole number; 1
//	SIMULATOR_TICK      the length of a tick; 1s
//	SIMULATOR_GRACE     how long a stop may take; 10s; with 0, SIGTERM kills at once
//	NULLSPACE_INSTANCE  the name it answers with; the host's name by default
package main

import (
	"net/http"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func main() { service.Main("simulator", build) }

// State is what /state answers.
type State struct {
	World
	Instance string `json:"instance"`
}

func build(p *service.Process) (*service.Server, error) {
	instance := p.Env.Instance()
	seed := uint64(p.Env.Number("SIMULATOR_SEED", 1, 0))
	tick := p.Env.Duration("SIMULATOR_TICK", time.Second)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		service.WriteJSON(w, http.StatusOK, State{World: worldAt(seed, tick, time.Now()), Instance: instance})
	})
	server := &service.Server{
		Name:    "simulator",
		Listen:  p.Env.Listen("SIMULATOR_LISTEN", ":7101"),
		Grace:   p.Env.Duration("SIMULATOR_GRACE", 10*time.Second),
		Handler: mux,
		Health:  &service.Health{Instance: instance},
	}
	if tick < time.Millisecond {
		p.Env.Fault("SIMULATOR_TICK is %v: make it at least 1ms", tick)
	}
	return server, p.Env.Err()
}
