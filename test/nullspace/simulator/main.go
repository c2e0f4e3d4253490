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
