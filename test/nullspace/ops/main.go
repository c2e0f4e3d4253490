package main

import (
	"context"
	"net/http"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func main() { service.Main("ops", build) }

func build(p *service.Process) (*service.Server, error) {
	instance := p.Env.Instance()
	rounds := &rounds{
		targets:  p.Env.Targets("OPS_TARGETS"),
		gateways: p.Env.Targets("OPS_METRICS"),
		token:    p.Env.Secret("METRICS_AUTH_TOKEN", 1),
		log:      p.Log,
	}
	poll := p.Env.Duration("OPS_POLL", 5*time.Second)
	if poll < time.Millisecond {
		p.Env.Fault("OPS_POLL is %v: make it at least 1ms", poll)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { showPage(w, instance, rounds.report()) })
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) {
		service.WriteJSON(w, http.StatusOK, rounds.report())
	})
	server := &service.Server{
		Name:    "ops",
		Listen:  p.Env.Listen("OPS_LISTEN", ":8090"),
		Grace:   p.Env.Duration("OPS_GRACE", 10*time.Second),
		Handler: mux,
		Health:  &service.Health{Instance: instance},
		Tasks: []func(context.Context){func(ctx context.Context) {
			service.Every(ctx, poll, rounds.ask)
		}},
	}
	return server, p.Env.Err()
}
