package api

import (
	"net/http"
	"strings"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/webhook"
)

// Access is what a request must bring along.
type Access string

// The accesses. Whoever may operate may read; whoever may read may scrape metrics where
// no token of their own was set for them.
const (
	Public  Access = "public"  // nothing; the answer tells nothing about the fleet
	Webhook Access = "webhook" // a signature over the body
	Metrics Access = "metrics" // the metrics' token
	Read    Access = "read"    // a token that may read, or the local socket
	Operate Access = "operate" // a token that may operate, or the local socket
)

// handler answers a request of somebody who may make it. An error becomes a Problem.
type handler func(a *API, w http.ResponseWriter, r *http.Request, who Principal) error

// Route is one line of the table.
type Route struct {
	Method string
	Path   string // a pattern of http.ServeMux
	Access Access
	Does   string // for the documentation
	handle handler
}

func (r Route) pattern() string { return r.Method + " " + r.Path }

const base = "/api/v1"

// Routes is the whole table.
func Routes() []Route {
	routes := []Route{
		{"GET", "/healthz", Public, "200 while the controller is alive", healthz},
		{"GET", "/readyz", Public, "200 once the fleet was looked at", readyz},
		{"GET", "/metrics", Metrics, "Prometheus' metrics", metricsPage},

		{"GET", base + "/status", Read, "what `status -o json` prints: revision, instances, hosts", status},
		{"GET", base + "/snapshot", Read, "everything that is known, at one moment", snapshot},
		{"GET", base + "/plan", Read, "the newest plan: what `plan -o json` prints", plan},
		{"GET", base + "/hosts", Read, "every host: reachable, watched, its conditions", hosts},
		{"GET", base + "/hosts/{host}/diff", Read, "looks at one host now: what `diff -o json` prints", diff},
		{"GET", base + "/instances/{host}/{service}", Read, "looks at one instance now: what `explain -o json` prints", explain},
		{"GET", base + "/rollouts", Read, "the history of rollouts, newest first; `?limit=`", rollouts},
		{"GET", base + "/rollouts/{id}", Read, "one rollout, whole; `current` is the one under way, or the last one", rolloutByID},
		{"GET", base + "/revisions", Read, "the history of revisions, newest first; `?limit=`", revisions},
		{"GET", base + "/events", Read, "events; `?after=`, `?limit=`; with `?follow=1` a stream (Server-Sent Events)", events},
	}
	for _, v := range operations {
		routes = append(routes, Route{"POST", base + v.path, Operate, v.does, operate(v)})
	}
	for _, name := range webhook.Senders() {
		routes = append(routes, Route{"POST", "/webhook/" + name, Webhook, "a push hook of " + senderWords[name] + ": fetch now", hook(name)})
	}
	return routes
}

var senderWords = map[string]string{"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea or Forgejo", "generic": "anything that can sign"}

// operation is one of an operator's words as a route.
type operation struct {
	path  string
	verb  controller.Verb
	takes string // the fields of the body that it has, beside reason
	needs string // those of them, and of reason, that must be there
	does  string
}

var operations = []operation{
	{"/reconcile", controller.VerbReconcile, "", "", "fetch and look now"},
	{"/rollout/pause", controller.VerbPause, "", "", "finish the host in hand, begin no other"},
	{"/rollout/resume", controller.VerbResume, "", "", "go on"},
	{"/rollout/promote", controller.VerbPromote, "", "", "accept the canaries"},
	{"/rollout/abort", controller.VerbAbort, "", "", "end the rollout; it is not tried again until git moves or somebody retries"},
	{"/rollout/undo", controller.VerbUndo, "", "", "back to the generation before, host by host"},
	{"/rollout/retry", controller.VerbRetry, "", "", "try a revision again that was reverted or aborted"},
	{"/suspend", controller.VerbSuspend, "host service until", "reason", "do not touch a host, a service or (with neither) the fleet"},
	{"/resume", controller.VerbUnsuspend, "host service", "", "touch it again"},
	{"/drain", controller.VerbDrain, "host until", "host", "take a host out of traffic"},
	{"/undrain", controller.VerbUndrain, "host", "host", "put it back"},
	{"/accept", controller.VerbAccept, "revision", "revision reason", "let in a revision that does not descend from the last one"},
}

func has(words, word string) bool { return strings.Contains(" "+words+" ", " "+word+" ") }
