package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/evenkeel/evenkeel/controller"
)

// lookTimeout bounds what looks at a host for one request.
const lookTimeout = 60 * time.Second

func healthz(a *API, w http.ResponseWriter, _ *http.Request, _ Principal) error {
	if a.Alive != nil {
		if err := a.Alive(); err != nil {
			a.Log.Error().Err(err).Msg("the controller is not alive")
			return problem(http.StatusServiceUnavailable, "not-alive", "the controller is stuck", "its log says why")
		}
	}
	return answer(w, map[string]string{"status": "ok"})
}

// readyz is ready once the fleet was looked at: from then on what is shown is so. Where
// nothing is changed it says so, but not why, for it tells everybody.
func readyz(a *API, w http.ResponseWriter, _ *http.Request, _ Principal) error {
	s := a.Controller.Snapshot()
	if s == nil || s.Plan == nil {
		return problem(http.StatusServiceUnavailable, "not-ready", "the fleet was not looked at yet", "the controller's log tells what it waits for")
	}
	ready := map[string]string{"status": "ready"}
	if s.Conditions.Get(controller.Reconciled).Reason == controller.FrozenReason {
		ready["changes"] = "none; evenkeel status says why"
	}
	return answer(w, ready)
}

func status(a *API, w http.ResponseWriter, _ *http.Request, _ Principal) error {
	s, err := a.snapshot()
	if err != nil {
		return err
	}
	return answer(w, s.Report)
}

func snapshot(a *API, w http.ResponseWriter, _ *http.Request, _ Principal) error {
	s, err := a.snapshot()
	if err != nil {
		return err
	}
	return answer(w, s)
}

func plan(a *API, w http.ResponseWriter, _ *http.Request, _ Principal) error {
	s, err := a.snapshot()
	switch {
	case err != nil:
		return err
	case s.Plan == nil:
		return controller.ErrNotLooked
	}
	return answer(w, s.Plan)
}

// Host is one host as /api/v1/hosts lists it.
type Host struct {
	controller.HostStatus
	Observed   controller.Glance     `json:"observed"`
	Conditions controller.Conditions `json:"conditions"`
}

// Hosts is the answer of /api/v1/hosts.
type Hosts struct {
	Hosts []Host `json:"hosts"`
}

func hosts(a *API, w http.ResponseWriter, _ *http.Request, _ Principal) error {
	s, err := a.snapshot()
	if err != nil {
		return err
	}
	out := Hosts{Hosts: []Host{}}
	for _, h := range s.Hosts {
		cs := s.HostConditions[h.Name]
		if cs == nil {
			cs = controller.Conditions{}
		}
		out.Hosts = append(out.Hosts, Host{HostStatus: h, Observed: s.Observed[h.Name], Conditions: cs})
	}
	return answer(w, out)
}

// Secrets is the answer of /api/v1/secrets.
type Secrets struct {
	Secrets []controller.SecretStatus `json:"secrets"`
}

func secretsOf(a *API, w http.ResponseWriter, _ *http.Request, _ Principal) error {
	s, err := a.snapshot()
	switch {
	case err != nil:
		return err
	case s.Plan == nil && len(s.Secrets) == 0: // what the fleet declares is not known yet
		return controller.ErrNotLooked
	}
	return answer(w, Secrets{listed(s.Secrets)})
}

func diff(a *API, w http.ResponseWriter, r *http.Request, _ Principal) error {
	ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
	defer cancel()
	p, err := a.Controller.Diff(ctx, r.PathValue("host"))
	if err != nil {
		return err
	}
	return answer(w, p)
}

func explain(a *API, w http.ResponseWriter, r *http.Request, _ Principal) error {
	ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
	defer cancel()
	e, err := a.Controller.Explain(ctx, r.PathValue("host"), r.PathValue("service"))
	if err != nil {
		return err
	}
	return answer(w, e)
}

// Rollouts is the answer of /api/v1/rollouts, and Revisions that of /api/v1/revisions.
type (
	Rollouts struct {
		Rollouts []controller.RolloutEntry `json:"rollouts"`
	}
	Revisions struct {
		Revisions []controller.RevisionEntry `json:"revisions"`
	}
)

func rollouts(a *API, w http.ResponseWriter, r *http.Request, _ Principal) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	list, err := a.Controller.Rollouts(r.Context(), limit)
	if err != nil {
		return err
	}
	return answer(w, Rollouts{listed(list)})
}

func revisions(a *API, w http.ResponseWriter, r *http.Request, _ Principal) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	list, err := a.Controller.Revisions(r.Context(), limit)
	if err != nil {
		return err
	}
	return answer(w, Revisions{listed(list)})
}

// CurrentRollout stands, as a rollout's ID, for the one under way or the last one.
const CurrentRollout = "current"

func rolloutByID(a *API, w http.ResponseWriter, r *http.Request, _ Principal) error {
	id := r.PathValue("id")
	if id == CurrentRollout {
		s, err := a.snapshot()
		switch {
		case err != nil:
			return err
		case s.Rollout == nil:
			return problem(http.StatusNotFound, "unknown-object", "there was no rollout yet", "")
		}
		return answer(w, s.Rollout)
	}
	st, err := a.Controller.RolloutByID(r.Context(), id)
	if err != nil {
		return err
	}
	return answer(w, st)
}

// What a list holds where nobody says how much, and at most.
const (
	defaultLimit = 50
	maxLimit     = 1000
)

func limitOf(r *http.Request) (int, error) {
	n, err := number(r, "limit", defaultLimit)
	switch {
	case err != nil:
		return 0, err
	case n < 1 || n > maxLimit:
		return 0, badQuery("limit", "use 1 to "+strconv.Itoa(maxLimit))
	}
	return int(n), nil
}

// number is a query parameter that is a number.
func number(r *http.Request, name string, fallback uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badQuery(name, "use a number")
	}
	return n, nil
}

func badQuery(name, mend string) *Problem {
	return problem(http.StatusBadRequest, "bad-request", "parameter "+name+" cannot be used", mend)
}

// listed is a list that is never null in JSON.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
