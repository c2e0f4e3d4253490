package main

import (
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func main() { service.Main("gateway", build) }

func build(p *service.Process) (*service.Server, error) {
	settings := &settingsFile{path: p.Env.String("GATEWAY_CONFIG", ""), level: p.Level, log: p.Log}
	g := &gateway{
		instance:    p.Env.Instance(),
		started:     time.Now().UTC(),
		answerDelay: p.Env.Duration("GATEWAY_ANSWER_DELAY", 0),
		tokens: tokens{
			current:  p.Env.Secret("METRICS_AUTH_TOKEN", 1),
			previous: p.Env.OptionalSecret("METRICS_AUTH_TOKEN_PREVIOUS"),
		},
		nodes:    p.Env.URLs("GATEWAY_NODES"),
		settings: settings,
		metrics:  newMetrics(),
		log:      p.Log,
	}
	g.sockets = &sockets{
		instance: g.instance,
		ping:     p.Env.Duration("GATEWAY_WS_PING", 30*time.Second),
		metrics:  g.metrics,
		log:      p.Log,
	}
	server := &service.Server{
		Name:         "gateway",
		Listen:       p.Env.Listen("GATEWAY_LISTEN", ":8080"),
		StartupDelay: p.Env.Duration("GATEWAY_STARTUP_DELAY", 0),
		Grace:        p.Env.Duration("GATEWAY_GRACE", 20*time.Second),
		Handler:      g.routes(),
		Health:       &service.Health{Instance: g.instance},
		Drain:        g.sockets.drain,
		Reload:       settings.load,
		Log:          p.Log,
	}
	if err := p.Env.Err(); err != nil {
		return nil, err
	}
	if err := settings.load(); err != nil {
		return nil, err
	}
	p.Log.Info("starting", "previousToken", g.tokens.previous.Set(), "nodes", len(g.nodes))
	return server, nil
}
