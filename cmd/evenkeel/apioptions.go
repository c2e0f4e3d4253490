package main

import (
	"github.com/evenkeel/evenkeel/controller/api"
)

// apiOptions are what the settings say of a controller's API.
func (a *app) apiOptions(c api.Controller) api.Options {
	s, b := a.settings, thisBuild()
	o := api.Options{Controller: c, Log: a.log, Listen: s.API.Listen, Certificate: s.API.TLS.Cert, Key: s.API.TLS.Key, Plaintext: s.API.Plaintext,
		Socket: s.API.Socket, SocketGroup: s.API.SocketGroup, Tokens: s.API.Tokens, MetricsToken: s.Metrics.Token, WebhookSecrets: s.Webhook.Secret, WebhookWindow: s.Webhook.Window,
		Build: api.Build{Version: b.Version, Commit: b.Commit}}
	if alive, ok := c.(interface{ Alive() error }); ok {
		o.Alive = alive.Alive
	}
	return o
}
