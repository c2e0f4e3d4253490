package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout/drain"
)

// Problem is an error as it is answered: RFC 9457, with what a person can do about it.
type Problem struct {
	Type   string `json:"type"` // urn:evenkeel:problem:KIND
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`
	// RetryAfter is when it is worth trying again, as the header of that name says.
	RetryAfter time.Duration `json:"-"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

const typePrefix = "urn:evenkeel:problem:"

// Kind is the last part of the problem's type, such as unauthorized.
func (p *Problem) Kind() string { return strings.TrimPrefix(p.Type, typePrefix) }

func (p *Problem) Error() string { return p.Detail }

func problem(status int, kind, detail, mend string) *Problem {
	return &Problem{Type: typePrefix + kind, Title: http.StatusText(status), Status: status, Detail: oneLine(detail), Mend: oneLine(mend)}
}

// maxDetail bounds what an error may say.
const maxDetail = 2048

// oneLine makes one line of an error's text, for a host may have had a say in it.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return strings.TrimSpace(text)
}

// problemOf turns an error into how it is answered.
func problemOf(err error) *Problem {
	var p *Problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return tooLargeProblem(tooLarge.Limit)
	case errors.Is(err, controller.ErrNothingToDo):
		return problem(http.StatusConflict, "nothing-to-do", err.Error(), mendOf(err))
	case errors.Is(err, controller.ErrUnknownObject), errors.Is(err, controller.ErrUnknownRollout):
		return problem(http.StatusNotFound, "unknown-object", err.Error(), mendOf(err))
	case errors.Is(err, controller.ErrNoBackup):
		return problem(http.StatusConflict, "refused", err.Error(), orElse(mendOf(err), "docs/controller.md tells what there is of a store"))
	case errors.Is(err, controller.ErrTooManyLogs):
		p = problem(http.StatusServiceUnavailable, "too-many-streams", err.Error(), mendOf(err))
		p.RetryAfter = 5 * time.Second
		return p
	case errors.Is(err, controller.ErrNotLooked):
		p = problem(http.StatusServiceUnavailable, "not-looked", err.Error(), orElse(mendOf(err), "try again in a moment; the controller's log tells what it waits for"))
		p.RetryAfter = 2 * time.Second
		return p
	case errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusGatewayTimeout, "timeout", err.Error(), orElse(mendOf(err), "evenkeel status tells whether it was done all the same"))
	}
	return problem(http.StatusInternalServerError, "failed", err.Error(), mendOf(err))
}

// mendOf is what a person can do about an error, or "".
func mendOf(err error) string {
	var m interface{ Mend() string }
	if errors.As(err, &m) {
		return m.Mend()
	}
	return orElse(hostdriver.MendOf(err), drain.MendOf(err))
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func tooLargeProblem(limit int64) *Problem {
	return problem(http.StatusRequestEntityTooLarge, "too-large", "the body is larger than "+strconv.FormatInt(limit, 10)+" bytes", "send less")
}

// write answers with the problem.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", ProblemType)
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(max(1, p.RetryAfter.Round(time.Second)/time.Second))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="evenkeel"`)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(append(b, '\n'))
	if err != nil {
		return errGone
	}
	return nil
}

// errGone ends a request whose client is no longer there: nothing can be told any more.
var errGone = errors.New("the client is gone")
