package drain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// httpLimit bounds one request. The status is the answer; a body is not read.
const httpLimit = 10 * time.Second

// httpDrain drains through endpoints of the service or of its balancer: one to
// drain, one to undrain, and maybe one that says when the sessions are gone. What
// the first two answer is the confirmation; nothing tells whether the instance is
// in rotation.
//
// A URL without a host is asked on the instance's host, at 127.0.0.1, through SSH;
// https is then taken without verifying the certificate, for SSH has proven whose
// loopback it is. Any other URL is asked from the controller, and verified. Each
// request has a connection of its own; redirects are answers like any other and
// never followed; no proxy is used.
type httpDrain struct {
	spec  desired.HTTPDrain
	host  inventory.Host
	deps  Deps
	where string
}

func newHTTP(spec desired.HTTPDrain, host inventory.Host, deps Deps) (*httpDrain, error) {
	h := &httpDrain{spec: spec, host: host, deps: deps, where: "http " + describeURL(spec.Drain.URL)}
	calls := []struct {
		name string
		call *desired.HTTPCall
	}{{"drain", &spec.Drain}, {"undrain", &spec.Undrain}, {"drained", spec.Drained}}
	for _, c := range calls {
		if c.call == nil {
			continue
		}
		if err := checkCall(*c.call, deps); err != nil {
			return nil, fmt.Errorf("http %s: %w", c.name, err)
		}
	}
	return h, nil
}

func checkCall(call desired.HTTPCall, deps Deps) error {
	u, local, err := parseURL(call.URL)
	if err != nil {
		return err
	}
	if local && deps.Dialer == nil {
		return fmt.Errorf("%s cannot be reached: there is no SSH connection to hosts here", describeURL(call.URL))
	}
	if call.Status != 0 && (call.Status < 200 || call.Status > 599) {
		return fmt.Errorf("status %d is none that an answer ends with: use 200 to 599", call.Status)
	}
	if _, err := http.NewRequest(call.Method, u.String(), nil); err != nil {
		return fmt.Errorf("method %q is none that HTTP allows", peer.Line(call.Method))
	}
	return nil
}

// parseURL reads the URL of a call. local tells that it has no host, and so means
// the instance's own.
func parseURL(text string) (u *url.URL, local bool, err error) {
	full := text
	if strings.HasPrefix(text, ":") || strings.HasPrefix(text, "/") {
		full = "http://" + text
	}
	u, err = url.Parse(full)
	switch {
	case err != nil: // its text repeats the URL, password and all
		return nil, false, errors.New("the url does not parse: write http://HOST:PORT/PATH, or :PORT/PATH for the host itself")
	case u.Scheme != "http" && u.Scheme != "https", u.Opaque != "":
		return nil, false, fmt.Errorf("the url %s is neither http nor https: write http://HOST:PORT/PATH, or :PORT/PATH for the host itself", describeURL(text))
	case u.User != nil:
		return nil, false, errors.New("the url holds a user or password, which would end up in the record on the host: use a command that reads it from a file")
	case u.Port() != "" && !isPort(u.Port()):
		return nil, false, fmt.Errorf("the url %s has no port between 1 and 65535", describeURL(text))
	}
	u.Fragment = ""
	if u.Hostname() == "" {
		local = true
		u.Host = net.JoinHostPort("127.0.0.1", portOf(u))
	}
	return u, local, nil
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// describeURL is a URL without user, password, query and fragment.
func describeURL(text string) string {
	text, _, _ = strings.Cut(text, "?")
	text, _, _ = strings.Cut(text, "#")
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		authority, path, slash := strings.Cut(rest, "/")
		authority = authority[strings.LastIndex(authority, "@")+1:]
		text = scheme + "://" + authority
		if slash {
			text += "/" + path
		}
	}
	return peer.Line(text)
}

// Status asks the endpoint `drained`. Without one it only sees whether anything
// listens where the drain would be asked for.
func (h *httpDrain) Status(ctx context.Context) (Status, error) {
	status := Status{Sessions: SessionsUnknown, Up: true}
	if h.spec.Drained == nil {
		if err := h.knock(ctx); err != nil {
			return Status{}, fail(opStatus, h.host, h.where, err)
		}
		status.State = "listening"
		return status, nil
	}
	got, err := h.call(ctx, *h.spec.Drained, http.MethodGet)
	if err != nil {
		return Status{}, fail(opStatus, h.host, "http "+describeURL(h.spec.Drained.URL), err)
	}
	status.State, status.Sessions = fmt.Sprintf("status %d", got), 1
	if expected(*h.spec.Drained, got) {
		status.Sessions = 0
	}
	return status, nil
}

func (h *httpDrain) Drain(ctx context.Context) (ours bool, err error) {
	return true, h.do(ctx, opDrain, h.spec.Drain)
}

func (h *httpDrain) Undrain(ctx context.Context) error {
	return h.do(ctx, opUndrain, h.spec.Undrain)
}

func (h *httpDrain) do(ctx context.Context, op string, call desired.HTTPCall) error {
	got, err := h.call(ctx, call, http.MethodPost)
	if err == nil && !expected(call, got) {
		err = fmt.Errorf("status %d, want %s", got, wanted(call))
	}
	return fail(op, h.host, "http "+describeURL(call.URL), err)
}

func expected(call desired.HTTPCall, got int) bool {
	if call.Status != 0 {
		return got == call.Status
	}
	return got >= 200 && got <= 299
}

func wanted(call desired.HTTPCall) string {
	if call.Status != 0 {
		return fmt.Sprint(call.Status)
	}
	return "200 to 299"
}

// call makes one request and returns its status.
func (h *httpDrain) call(ctx context.Context, call desired.HTTPCall, method string) (int, error) {
	u, local, err := parseURL(call.URL)
	if err != nil {
		return 0, err
	}
	if call.Method != "" {
		method = call.Method
	}
	ctx, cancel := context.WithTimeoutCause(ctx, httpLimit, errOwnLimit)
	defer cancel()
	answer, err := peer.Ask(ctx, peer.Question{Dial: h.dialer(local), Method: method, URL: u, Unverified: local})
	var dial *peer.DialError
	switch {
	case errors.As(err, &dial):
		err = notReached(dial.Err)
	case errors.Is(err, peer.ErrNotHTTP), errors.Is(err, peer.ErrNotTLS):
		err = mend("are the url's scheme and port right?", "%w", err)
	}
	return answer.Status, inTime(ctx, err, httpLimit)
}

func (h *httpDrain) dialer(local bool) func(context.Context, string, string) (net.Conn, error) {
	if !local {
		return h.deps.Dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return h.deps.Dialer.DialHost(ctx, h.host, network, address)
	}
}

func (h *httpDrain) knock(ctx context.Context) error {
	u, local, err := parseURL(h.spec.Drain.URL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, httpLimit, errOwnLimit)
	defer cancel()
	conn, err := h.dialer(local)(ctx, "tcp", net.JoinHostPort(u.Hostname(), portOf(u)))
	if err != nil {
		return inTime(ctx, notReached(err), httpLimit)
	}
	return conn.Close()
}
