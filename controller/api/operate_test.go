package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestActions(t *testing.T) {
	commit := strings.Repeat("ab", 20)
	cases := []struct {
		path, body string
		code       int
		want       controller.Action
	}{
		{"/reconcile", "", 200, controller.Action{Verb: controller.VerbReconcile}},
		{"/reconcile", `{"reason": "now"}`, 200, controller.Action{Verb: controller.VerbReconcile, Reason: "now"}},
		{"/rollout/pause", `{"reason": "lunch"}`, 200, controller.Action{Verb: controller.VerbPause, Reason: "lunch"}},
		{"/rollout/undo", `{}`, 200, controller.Action{Verb: controller.VerbUndo}},
		{"/rollout/undo", `{"service": "gateway", "revision": "abababa", "reason": "slow"}`, 200, controller.Action{Verb: controller.VerbUndo, Service: "gateway", Revision: "abababa", Reason: "slow"}},
		{"/rollout/undo", `{"revision": "HEAD~1"}`, 422, controller.Action{}},
		{"/rollout/undo", `{"revision": "abab"}`, 422, controller.Action{}},
		{"/suspend", `{"host": "web-1", "reason": "disk"}`, 200, controller.Action{Verb: controller.VerbSuspend, Host: "web-1", Reason: "disk"}},
		{"/suspend", `{"service": "gateway", "reason": "disk"}`, 200, controller.Action{Verb: controller.VerbSuspend, Service: "gateway", Reason: "disk"}},
		{"/suspend", `{"reason": "freeze"}`, 200, controller.Action{Verb: controller.VerbSuspend, Reason: "freeze"}},
		{"/suspend", `{"host": "web-1", "service": "gateway", "reason": "x"}`, 200, controller.Action{Verb: controller.VerbSuspend, Host: "web-1", Service: "gateway", Reason: "x"}},
		{"/take-over", `{"reason": "restored"}`, 200, controller.Action{Verb: controller.VerbTakeOver, Reason: "restored"}},
		{"/take-over", ``, 422, controller.Action{}},
		{"/drain", `{"host": "web-1"}`, 200, controller.Action{Verb: controller.VerbDrain, Host: "web-1"}},
		{"/accept", `{"revision": "` + commit + `", "reason": "a rebase"}`, 200, controller.Action{Verb: controller.VerbAccept, Revision: commit, Reason: "a rebase"}},

		{"/suspend", `{"host": "web-1"}`, 422, controller.Action{}},
		{"/suspend", `{"host": "web-9", "reason": "x"}`, 404, controller.Action{}},
		{"/suspend", `{"host": "web-1", "reason": "x", "until": "2020-01-01T00:00:00Z"}`, 422, controller.Action{}},
		{"/suspend", `{"host": "web-1\u001b[31m", "reason": "x"}`, 422, controller.Action{}},
		{"/suspend", `{"host": "web-1", "reason": "two\nlines"}`, 422, controller.Action{}},
		{"/suspend", `{"host": "web-1", "reason": "` + strings.Repeat("x", 2000) + `"}`, 422, controller.Action{}},
		{"/suspend", `{"host": "web-1", "reason": "x", "by": "somebody else"}`, 400, controller.Action{}},
		{"/suspend", `{"host": "web-1", "reason": "x"} {}`, 400, controller.Action{}},
		{"/suspend", `[]`, 400, controller.Action{}},
		{"/suspend", `{"until": "tomorrow"}`, 400, controller.Action{}},
		{"/resume", `{"host": "web-1"}`, 409, controller.Action{}},
		{"/drain", `{}`, 422, controller.Action{}},
		{"/drain", `{"host": "web-1", "revision": "` + commit + `"}`, 422, controller.Action{}},
		{"/accept", `{"revision": "main", "reason": "x"}`, 422, controller.Action{}},
		{"/accept", `{"revision": "` + commit + `"}`, 422, controller.Action{}},
		{"/rollout/pause", `{"host": "web-1"}`, 422, controller.Action{}},
	}
	for _, c := range cases {
		f := newFixture(t)
		f.fake.Begin("r1")
		w := f.ask("POST", Base+c.path, f.writes, c.body)
		if w.Code != c.code {
			t.Errorf("%s %s: %d, want %d: %s", c.path, c.body, w.Code, c.code, w.Body)
			continue
		}
		if c.code != http.StatusOK {
			if p := problemIn(t, w); len(f.fake.Actions()) > 0 {
				t.Errorf("%s %s: refused (%s), and done: %v", c.path, c.body, p.Detail, f.fake.Actions())
			}
			continue
		}
		c.want.By = "token operator"
		if got := f.fake.Actions(); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s %s: %+v, want %+v", c.path, c.body, got, c.want)
		}
		var done ActionAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &done); err != nil || done.Done == "" {
			t.Errorf("%s: %v: %s", c.path, err, w.Body)
		}
	}
}

func TestActionsNeedJSON(t *testing.T) {
	f := newFixture(t)
	w := f.ask("POST", Base+"/suspend", f.writes, `{"reason": "x"}`, "Content-Type", "text/plain")
	if w.Code != http.StatusUnsupportedMediaType || len(f.fake.Actions()) > 0 {
		t.Errorf("%d, %v", w.Code, f.fake.Actions())
	}
}

func TestErrorsAreProblems(t *testing.T) {
	cases := []struct {
		err        error
		code       int
		kind, mend string
	}{
		{controller.ErrNothingToDo, 409, "nothing-to-do", ""},
		{fmt.Errorf("web-9: %w", controller.ErrUnknownObject), 404, "unknown-object", ""},
		{controller.ErrUnknownRollout, 404, "unknown-object", ""},
		{controller.ErrNotLooked, 503, "not-looked", "try again"},
		{context.DeadlineExceeded, 504, "timeout", "evenkeel status"},
		{&hostdriver.Error{Kind: hostdriver.Become, Host: "web-1", Op: "observe", Mend: "let deploy use sudo", Err: errors.New("a password is required")}, 500, "failed", "let deploy use sudo"},
		{errors.New("two\nlines \x1b[31mred"), 500, "failed", ""},
	}
	for _, c := range cases {
		f := newFixture(t)
		f.fake.Break(c.err)
		for _, ask := range [][2]string{{"POST", "/reconcile"}, {"GET", "/revisions"}, {"GET", "/hosts/web-1/diff"}, {"GET", "/instances/web-1/gateway"}, {"GET", "/events?follow=1"}} {
			w := f.ask(ask[0], Base+ask[1], f.writes, "")
			code, kind := c.code, c.kind
			if ask[0] == "POST" && code == 500 {
				code, kind = 409, "refused" // an operator is told
			}
			if w.Code != code {
				t.Errorf("%v at %v: %d %s", c.err, ask, w.Code, w.Body)
				continue
			}
			if p := problemIn(t, w); p.Kind() != kind || !strings.Contains(p.Mend, c.mend) || strings.ContainsAny(p.Detail, "\n\x1b") {
				t.Errorf("%v at %v: %+v", c.err, ask, p)
			}
		}
	}
}

func TestBeforeAnythingIsKnown(t *testing.T) {
	f := newFixture(t)
	f.fake.Blank()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, Base + "/status": 503, Base + "/snapshot": 503, Base + "/plan": 503, Base + "/hosts": 503,
		Base + "/rollouts/current": 503, Base + "/hosts/web-1/diff": 503, "/metrics": 401} {
		if w := f.ask("GET", path, f.reads, ""); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if w := f.ask("GET", "/metrics", metricsToken, ""); w.Code != 200 || !strings.Contains(w.Body.String(), "evenkeel_build_info") {
		t.Errorf("metrics: %d", w.Code)
	}
	f = newFixture(t)
	f.fake.Change(func(s *controller.Snapshot) { s.Plan, s.Secrets = nil, nil })
	for _, path := range []string{"/plan", "/secrets"} { // none is not the same as none known
		if w := f.ask("GET", Base+path, f.reads, ""); w.Code != 503 {
			t.Errorf("%s before the first look: %d", path, w.Code)
		}
	}
}

func TestHealth(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Alive = func() error { return errors.New("the loop holds its breath: SECRET") } })
	if w := f.ask("GET", "/healthz", "", ""); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "SECRET") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f.ask("GET", "/readyz", "", ""); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAPanicIsAnswered(t *testing.T) {
	f := newFixture(t)
	f.Alive = func() error { panic("a bug") }
	if w := f.ask("GET", "/healthz", "", ""); w.Code != http.StatusInternalServerError || problemIn(t, w).Mend == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzAction(f *testing.F) {
	for _, op := range operations {
		f.Add(op.path, `{"host": "web-1", "service": "gateway", "revision": "abc", "reason": "x", "until": "2030-01-01T00:00:00Z"}`)
	}
	x := newFixture(f)
	f.Fuzz(func(t *testing.T, path, body string) {
		x.t = t
		known := false
		for _, op := range operations {
			known = known || op.path == path
		}
		if !known {
			path = "/suspend"
		}
		w := x.ask("POST", Base+path, x.writes, body)
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		all := x.fake.Actions()
		for _, a := range all[max(0, len(all)-1):] {
			if a.By != "token operator" || strings.ContainsAny(a.Host+a.Service+a.Revision+a.Reason, "\x00\n\x1b") || len(a.Reason) > maxReason {
				t.Errorf("%+v", a)
			}
		}
	})
}
