package main

import (
	"context"
	"net/http"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func main() { service.Main("node", build) }

func build(p *service.Process) (*service.Server, error) {
	instance := p.Env.Instance()
	follower := &follower{
		url:    p.Env.URL("NODE_SIMULATOR_URL") + "/state",
		maxAge: p.Env.Duration("NODE_MAX_AGE", 30*time.Second),
		log:    p.Log,
	}
	poll := p.Env.Duration("NODE_POLL", time.Second)
	if poll < time.Millisecond {
		p.Env.Fault("NODE_POLL is %v: make it at least 1ms", poll)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /world", func(w http.ResponseWriter, _ *http.Request) { follower.answer(w, instance) })
	server := &service.Server{
		Name:    "node",
		Listen:  p.Env.Listen("NODE_LISTEN", ":7102"),
		Grace:   p.Env.Duration("NODE_GRACE", 10*time.Second),
		Handler: mux,
		Health:  &service.Health{Instance: instance, Check: follower.check},
		Tasks: []func(context.Context){func(ctx context.Context) {
			service.Every(ctx, poll, follower.ask)
		}},
	}
	return server, p.Env.Err()
}
