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
	Logs    Access = "logs"    // a token that may read logs or operate, or the local socket
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

// Base is what the paths of the API begin with.
const Base = "/api/v1"

// Routes is the whole table.
func Routes() []Route {
	routes := []Route{
		{"GET", "/healthz", Public, "200 while the controller is alive", healthz},
		{"GET", "/readyz", Public, "200 once the fleet was looked at; says so where nothing is changed", readyz},
		{"GET", "/metrics", Metrics, "Prometheus' metrics", metricsPage},

		{"GET", Base + "/status", Read, "what `status -o json` prints: revision, instances, hosts", status},
		{"GET", Base + "/snapshot", Read, "everything that is known, at one moment", snapshot},
		{"GET", Base + "/plan", Read, "the newest plan: what `plan -o json` prints", plan},
		{"GET", Base + "/hosts", Read, "every host: reachable, watched, its conditions", hosts},
		{"GET", Base + "/hosts/{host}/diff", Read, "looks at one host now: what `diff -o json` prints", diff},
		{"GET", Base + "/instances/{host}/{service}", Read, "looks at one instance now: what `explain -o json` prints", explain},
		{"GET", Base + "/secrets", Read, "secrets that rotate: age, what instances hold, how far a rotation is: what `secret status -o json` prints", secretsOf},
		{"GET", Base + "/rollouts", Read, "the history of rollouts, newest first; `?limit=`", rollouts},
		{"GET", Base + "/rollouts/{id}", Read, "one rollout of the history, whole; `current` is the one under way, or the last one", rolloutByID},
		{"GET", Base + "/revisions", Read, "the history of revisions, newest first; `?limit=`", revisions},
		{"GET", Base + "/events", Read, "events; `?after=`, `?limit=`; with `?follow=1` a stream (Server-Sent Events)", events},
		{"GET", Base + "/services/{service}/logs", Logs, "a service's journals of all hosts, merged by time, as a stream (Server-Sent Events); `?host=`, `?priority=`, `?grep=`, `?since=`, `?until=`, `?lines=`, `?follow=1`", logs},
		{"GET", Base + "/store/backup", Operate, "a copy of the store's file, as it is at one moment", backup},
	}
	for _, v := range operations {
		routes = append(routes, Route{"POST", Base + v.path, Operate, v.does, operate(v)})
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
	{"/rollout/undo", controller.VerbUndo, "host service revision", "", "back to the generation before, or to that of a revision, host by host"},
	{"/rollout/retry", controller.VerbRetry, "", "", "try a revision again that was reverted or aborted"},
	{"/suspend", controller.VerbSuspend, "host service until", "reason", "do not touch a host, a service, a service on a host or (with neither) the fleet"},
	{"/resume", controller.VerbUnsuspend, "host service", "", "touch it again"},
	{"/drain", controller.VerbDrain, "host until", "host", "take a host out of traffic"},
	{"/undrain", controller.VerbUndrain, "host", "host", "put it back"},
	{"/take-over", controller.VerbTakeOver, "", "reason", "go on after an old store was restored: what is found on the hosts counts"},
	{"/accept", controller.VerbAccept, "revision", "revision reason", "let in a revision that does not descend from the last one"},
}

// PathOf is the path to which an operator's word is posted.
func PathOf(v controller.Verb) (path string, ok bool) {
	for _, op := range operations {
		if op.verb == v {
			return Base + op.path, true
		}
	}
	return "", false
}

func has(words, word string) bool { return strings.Contains(" "+words+" ", " "+word+" ") }
