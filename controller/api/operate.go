package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

const (
	maxAction     = 64 << 10         // bytes of an action's body
	maxReason     = 1024             // of its reason
	actionTimeout = 60 * time.Second // how long one may take
)

// ActionRequest is the body of an operator's word. Which fields it has depends on the
// route; a field that is not of the route is refused.
type ActionRequest struct {
	Host     string    `json:"host,omitempty"`
	Service  string    `json:"service,omitempty"`
	Revision string    `json:"revision,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Until    time.Time `json:"until,omitzero"`
}

// ActionAnswer says what was done.
type ActionAnswer struct {
	Done string `json:"done"`
}

// operate is the handler of one operation.
func operate(op operation) handler {
	return func(a *API, w http.ResponseWriter, r *http.Request, who Principal) error {
		req, err := readAction(w, r)
		if err != nil {
			return err
		}
		if err := op.check(req, a.now()); err != nil {
			return err
		}
		// Whoever asked may hang up: what was begun is carried through.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actionTimeout)
		defer cancel()
		done, err := a.Controller.Do(ctx, controller.Action{Verb: op.verb, Host: req.Host, Service: req.Service, Revision: req.Revision,
			Reason: strings.TrimSpace(req.Reason), Until: req.Until, By: who.Name})
		if err != nil {
			return refusedAction(err)
		}
		return answer(w, ActionAnswer{Done: oneLine(done)})
	}
}

// refusedAction is the answer to an action that was not done. What the controller says
// without saying what kind it is, it says to the operator: it is no fault of the API.
func refusedAction(err error) error {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		return problem(http.StatusConflict, "refused", p.Detail, p.Mend)
	}
	return p
}

// readAction decodes the body, which may be empty.
func readAction(w http.ResponseWriter, r *http.Request) (ActionRequest, error) {
	var req ActionRequest
	body, err := readBody(w, r, maxAction)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return req, err
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return req, problem(http.StatusUnsupportedMediaType, "bad-request", "the body is not application/json", "send Content-Type: application/json")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		return req, badBody(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return req, badBody(errors.New("there is something after the JSON object"))
	}
	return req, nil
}

func badBody(err error) *Problem {
	return problem(http.StatusBadRequest, "bad-request", "the body cannot be read: "+err.Error(), `send JSON such as {"reason": "maintenance"}`)
}

// readBody reads a body of at most limit bytes. A larger one is refused before it is
// read where its length is told, and else as soon as it is too long.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, tooLargeProblem(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, tooLargeProblem(limit)
		}
		return nil, badBody(errors.New("it ended early"))
	}
	arrived(w)
	return body, nil
}

// check refuses what the operation has no use for, and what it lacks.
func (op operation) check(req ActionRequest, now time.Time) error {
	given := []struct{ name, value string }{{"host", req.Host}, {"service", req.Service}, {"revision", req.Revision}, {"reason", strings.TrimSpace(req.Reason)}, {"until", ""}}
	if !req.Until.IsZero() {
		given[4].value = req.Until.String()
	}
	for _, g := range given {
		switch {
		case g.value != "" && g.name != "reason" && !has(op.takes, g.name):
			return badAction(g.name, "is not for this", "leave it out")
		case g.value == "" && has(op.needs, g.name):
			return badAction(g.name, "is missing", "say "+g.name)
		}
	}
	switch {
	case !word(req.Host):
		return badAction("host", "is no name of a host: "+fault.Quote(req.Host), "evenkeel status lists them")
	case !word(req.Service):
		return badAction("service", "is no name of a service: "+fault.Quote(req.Service), "evenkeel status lists them")
	case req.Revision != "" && op.verb == controller.VerbUndo:
		if n := len(req.Revision); n < 7 || n > 64 || strings.Trim(req.Revision, "0123456789abcdef") != "" {
			return badAction("revision", "is no commit: "+fault.Quote(req.Revision), "use its name, or at least the first 7 hex digits of it")
		}
	case req.Revision != "" && !isCommit(req.Revision):
		return badAction("revision", "is no commit: "+fault.Quote(req.Revision), "use its whole name, of 40 or 64 hex digits")
	case len(req.Reason) > maxReason || strings.ContainsFunc(req.Reason, unicode.IsControl):
		return badAction("reason", "is too long or has more than one line", "use at most "+strconv.Itoa(maxReason)+" characters")
	case !req.Until.IsZero() && !req.Until.After(now):
		return badAction("until", "is in the past", "use a time to come")
	}
	return nil
}

func badAction(field, what, mend string) *Problem {
	return problem(http.StatusUnprocessableEntity, "bad-action", field+" "+what, mend)
}

// word tells whether text may be a name: short, and with nothing that is not shown.
func word(text string) bool {
	return len(text) <= 253 && utf8.ValidString(text) && !slices.ContainsFunc([]rune(text), func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) })
}

func isCommit(text string) bool {
	return (len(text) == 40 || len(text) == 64) && strings.Trim(text, "0123456789abcdef") == ""
}
