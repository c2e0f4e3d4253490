package main

import (
	"net/http"
	"strings"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

// authorisation says by what a request was let in, or why it was not.
type authorisation string

const (
	byNothing  authorisation = "none"     // it showed no token
	byUnknown  authorisation = "unknown"  // it showed one that is not ours
	byCurrent  authorisation = "current"  // METRICS_AUTH_TOKEN
	byPrevious authorisation = "previous" // METRICS_AUTH_TOKEN_PREVIOUS
)

// tokens are what the process was started with; a change of them needs a
// restart, as it does for most services.
type tokens struct {
	current  service.Secret
	previous service.Secret // may be not set
}

// judge compares in constant time, and always with both tokens.
func (t tokens) judge(r *http.Request) authorisation {
	scheme, shown, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return byNothing
	}
	isCurrent, isPrevious := t.current.Matches(shown), t.previous.Matches(shown)
	switch {
	case isCurrent:
		return byCurrent
	case isPrevious:
		return byPrevious
	default:
		return byUnknown
	}
}

// good tells whether a request may pass.
func (a authorisation) good() bool { return a == byCurrent || a == byPrevious }
