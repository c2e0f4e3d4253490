package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"strings"

	"github.com/evenkeel/evenkeel/controller/api/webhook"
)

// Principal is who asks.
type Principal struct {
	// Name is told where an action is recorded: "token ci", "root (local socket)". It is
	// "" where nobody had to say who they are.
	Name   string
	token  string // "" where it is not by a token
	scopes Token
	local  bool
}

// peerKey is the context's key of who is at the other end of a unix socket.
type peerKey struct{}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer a.recovered(w, r)
	secured(w.Header(), r.TLS != nil)
	route := a.routeOf(r)
	rec, done := a.meter.request(w, r, route)
	defer done()
	if route == nil {
		a.unlisted(rec, r)
		return
	}
	deadlines(rec, r)
	a.mux.ServeHTTP(rec, r)
}

// routeOf is the route that the request is for; nil where there is none. A path that is
// not in its plain form is for none.
func (a *API) routeOf(r *http.Request) *Route {
	if p := r.URL.Path; p == "" || p[0] != '/' || path.Clean(p) != p {
		return nil
	}
	_, pattern := a.mux.Handler(r)
	return a.routes[pattern]
}

// unlisted answers what is not in the table. Only who may read learns that it is not.
func (a *API) unlisted(w http.ResponseWriter, r *http.Request) {
	if _, err := a.principal(r, ScopeRead); err != nil {
		a.refuse(w, r, err)
		return
	}
	for _, route := range a.routes {
		if route.Path == r.URL.Path {
			w.Header().Set("Allow", route.Method)
			problem(http.StatusMethodNotAllowed, "method-not-allowed", r.Method+" is not for "+r.URL.Path, "use "+route.Method).write(w)
			return
		}
	}
	problem(http.StatusNotFound, "no-such-route", "there is no "+r.URL.Path, "docs/api.md lists what there is").write(w)
}

// guarded is the route's handler behind its access.
func (a *API) guarded(route *Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := a.admit(route.Access, r)
		if err == nil {
			err = route.handle(a, w, r, who)
		}
		if err != nil {
			a.refuse(w, r, err)
		}
	})
}

// admit lets a request in, or tells why not. A webhook's own handler checks its
// signature, for that takes its body.
func (a *API) admit(access Access, r *http.Request) (Principal, error) {
	switch access {
	case Public, Webhook:
		return Principal{}, nil
	case Metrics:
		return a.scraper(r)
	case Read:
		return a.principal(r, ScopeRead)
	case Logs:
		return a.principal(r, ScopeLogs)
	case Operate:
		return a.principal(r, ScopeOperate)
	}
	return Principal{}, problem(http.StatusForbidden, "forbidden", "nobody may do that", "")
}

var errNoToken = errors.New("a token is needed")

// bearer is the token that the request brings.
func bearer(r *http.Request) (string, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", errNoToken
	}
	return strings.TrimSpace(token), nil
}

// principal is who asks, where they may do what scope says.
func (a *API) principal(r *http.Request, scope Scope) (Principal, error) {
	if who, ok := r.Context().Value(peerKey{}).(Principal); ok && who.local {
		return who, nil
	}
	token, err := bearer(r)
	if err != nil {
		return Principal{}, unauthorized("this needs a token: Authorization: Bearer TOKEN")
	}
	tokens, err := a.tokens.get(a.now())
	if err != nil {
		a.Log.Error().Err(err).Msg("the tokens file cannot be used: no token is valid")
		return Principal{}, problem(http.StatusServiceUnavailable, "no-tokens", "the controller cannot read its tokens file", "its log says why; the local socket needs no token")
	}
	entry, ok := find(tokens, token)
	if !ok || !entry.live(a.now()) {
		return Principal{}, a.failed(r, "a token that is unknown, revoked or expired")
	}
	if !entry.may(scope) {
		return Principal{}, problem(http.StatusForbidden, "forbidden", fmt.Sprintf("token %s may not %s", entry.Name, scope.does()), "use a token with scope "+string(scope))
	}
	return Principal{Name: "token " + entry.Name, token: token, scopes: entry}, nil
}

// holds tells whether who was let in still would be.
func (a *API) holds(who Principal, scope Scope) bool {
	if who.local {
		return true
	}
	tokens, err := a.tokens.get(a.now())
	if err != nil {
		return false
	}
	entry, ok := find(tokens, who.token)
	return ok && entry.live(a.now()) && entry.may(scope)
}

// scraper lets in who may scrape the metrics.
func (a *API) scraper(r *http.Request) (Principal, error) {
	if a.MetricsToken == "" {
		return a.principal(r, ScopeRead)
	}
	if who, ok := r.Context().Value(peerKey{}).(Principal); ok && who.local {
		return who, nil
	}
	token, err := bearer(r)
	if err != nil {
		return Principal{}, unauthorized("this needs the metrics' token: Authorization: Bearer TOKEN")
	}
	secrets, err := a.metrics.get(a.now())
	if err != nil || len(secrets) == 0 {
		a.Log.Error().Err(err).Str("file", a.MetricsToken).Msg("the metrics' token cannot be read: nobody can scrape")
		return Principal{}, problem(http.StatusServiceUnavailable, "no-tokens", "the controller cannot read the metrics' token", "its log says why")
	}
	if !webhook.Same(token, secrets) {
		return Principal{}, a.failed(r, "a wrong metrics token")
	}
	return Principal{Name: "metrics"}, nil
}

func unauthorized(detail string) *Problem {
	return problem(http.StatusUnauthorized, "unauthorized", detail, "evenkeel token create makes one")
}

// failed is the answer to what was brought and is not genuine.
func (a *API) failed(r *http.Request, what string) *Problem {
	a.meter.failed()
	if a.limit.failed(r.RemoteAddr, a.now()) {
		p := problem(http.StatusTooManyRequests, "too-many-failures", "too many failed attempts from this address", "wait, and bring what is valid")
		p.RetryAfter = failureEvery
		return p
	}
	a.Log.Warn().Str("remote", r.RemoteAddr).Str("route", r.Pattern).Msg("refused " + what)
	return unauthorized("refused: " + what)
}

// refuse answers with an error.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errGone) || errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		a.Log.Warn().Err(err).Str("route", r.Pattern).Int("status", p.Status).Msg("a request failed")
	}
	p.write(w)
}

// recovered answers a request whose handler panicked.
func (a *API) recovered(w http.ResponseWriter, r *http.Request) {
	bug := recover()
	switch bug {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(bug)
	}
	a.Log.Error().Str("route", r.Pattern).Str("panic", oneLine(fmt.Sprint(bug))).Bytes("stack", debug.Stack()).Msg("a request met a fault of evenkeel itself")
	problem(http.StatusInternalServerError, "failed", "a fault of evenkeel itself", "please report it, with the controller's log").write(w)
}

// secured sets what keeps a browser from doing anything with an answer. There is no
// CORS: no other site may read one.
func secured(h http.Header, tls bool) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if tls {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
