package api

import (
	"net/http"

	"github.com/evenkeel/evenkeel/controller/api/webhook"
)

// HookAnswer says what came of a hook.
type HookAnswer struct {
	Fetching bool   `json:"fetching"`
	Reason   string `json:"reason,omitempty"` // why not
}

// hook is the handler of one sender's hooks: the body is read whole, within its bound,
// and its signature checked before anything of it is understood.
func hook(name string) handler {
	sender, _ := webhook.Named(name)
	return func(a *API, w http.ResponseWriter, r *http.Request, _ Principal) error {
		secrets, err := a.secrets.get(a.now())
		switch {
		case err != nil:
			a.Log.Error().Err(err).Msg("the webhook's secrets cannot be read: no hook is taken")
			return problem(http.StatusServiceUnavailable, "no-secrets", "the controller cannot read the webhook's secrets", "its log says why")
		case len(secrets) == 0:
			return problem(http.StatusUnauthorized, "unauthorized", "this controller takes no hooks", "set webhook.secret in its configuration")
		}
		body, err := readBody(w, r, webhook.MaxBody)
		if err != nil {
			a.meter.hook(name, "refused")
			return err
		}
		key, err := sender.Verify(r.Header, body, secrets, a.now())
		if err != nil {
			a.meter.hook(name, "refused")
			return a.unsigned(r, err)
		}
		if !a.seen.Take(key, a.now()) {
			a.meter.hook(name, "replayed")
			return problem(http.StatusConflict, "replayed", "this delivery was taken already", "the controller polls, too: nothing is lost")
		}
		push, err := sender.Parse(r.Header, body)
		if err != nil {
			a.meter.hook(name, "unreadable")
			return problem(http.StatusBadRequest, "bad-request", err.Error(), "is the hook of a kind that docs/controller.md tells of?")
		}
		return a.pushed(w, name, push)
	}
}

// pushed asks for a fetch, where the push may concern what is deployed from here.
func (a *API) pushed(w http.ResponseWriter, sender string, push webhook.Push) error {
	url, branch := "", ""
	if s := a.Controller.Snapshot(); s != nil {
		url, branch = s.Source.URL, s.Source.Branch
	}
	if url == "" {
		push.Repository = "" // what is fetched is not known yet: it may be this one
	}
	ours, why := push.Concerns(url, branch)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	if !ours {
		a.meter.hook(sender, "ignored")
		a.Log.Info().Str("sender", sender).Str("why", why).Msg("a hook was ignored")
		return answer(w, HookAnswer{Reason: why})
	}
	a.meter.hook(sender, "taken")
	a.poke.Ask()
	return answer(w, HookAnswer{Fetching: true})
}

// unsigned refuses a hook. A stranger learns no more than that.
func (a *API) unsigned(r *http.Request, err error) error {
	p := a.failed(r, "a hook")
	if p.Status == http.StatusUnauthorized {
		p.Detail, p.Mend = err.Error(), "is the secret at the sender one of webhook.secret's?"
	}
	return p
}
