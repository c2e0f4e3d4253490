package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// httpBody caps what is searched of an answer's body.
const httpBody = 1 << 20

// httpCheck asks a path. Every look has a new connection, so that what answers is
// what listens now. Redirects are not followed: a status of 302 is 302. No proxy is
// used. With https to a loopback address the certificate is not verified, for SSH has
// proven whose loopback it is and certificates seldom name one; to any other host it
// is, by the controller's roots.
//
// The host is best given as an address: sshd looks a name up while everything else on
// its connection waits.
type httpCheck struct {
	spec    desired.HTTPHealth
	host    inventory.Host
	dialer  hostdriver.Dialer
	address string
	url     *url.URL
	timeout time.Duration
}

func newHTTP(spec desired.HTTPHealth, host inventory.Host, deps Deps) (*httpCheck, error) {
	limit, err := timeout(spec.Timeout)
	if err == nil {
		err = checkAddress(spec.Host, spec.Port)
	}
	if err == nil {
		err = checkHeaders(spec.Headers)
	}
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	if deps.Dialer == nil {
		return nil, errors.New("http: there is no SSH connection to hosts here")
	}
	if spec.Path == "" {
		spec.Path = "/"
	}
	if spec.Scheme == "" {
		spec.Scheme = "http"
	}
	if spec.Status == 0 {
		spec.Status = http.StatusOK
	}
	if spec.Scheme != "http" && spec.Scheme != "https" {
		return nil, fmt.Errorf("http: scheme %q is neither http nor https", peer.Line(spec.Scheme))
	}
	if spec.Status < 200 || spec.Status > 599 {
		return nil, fmt.Errorf("http: status %d is none that an answer ends with: use 200 to 599", spec.Status)
	}
	target := address(spec.Host, spec.Port)
	u, err := url.Parse(spec.Scheme + "://" + target + spec.Path)
	if err != nil || !strings.HasPrefix(spec.Path, "/") || u.Host != target {
		return nil, fmt.Errorf("http: path %q does not parse: write /PATH", peer.Line(spec.Path))
	}
	return &httpCheck{spec: spec, host: host, dialer: deps.Dialer, address: target, url: u, timeout: limit}, nil
}

// checkHeaders names a bad header without its value, which may be a token.
func checkHeaders(headers map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("header %q has a name that HTTP does not allow", peer.Line(name))
		}
		if !httpguts.ValidHeaderFieldValue(headers[name]) {
			return fmt.Errorf("header %s has a value that HTTP does not allow", peer.Line(name))
		}
	}
	return nil
}

func (c *httpCheck) Check(ctx context.Context) Result {
	return look(ctx, c.timeout, c.once)
}

func (c *httpCheck) once(ctx context.Context) Result {
	q := peer.Question{Dial: c.dial, Method: http.MethodGet, URL: c.url, Header: http.Header{}, Unverified: loopback(c.url.Hostname())}
	if c.spec.Body != "" {
		q.MaxBody = httpBody
	}
	for name, value := range c.spec.Headers {
		if strings.EqualFold(name, "Host") {
			q.Host = value
			continue
		}
		q.Header.Set(name, value)
	}
	answer, err := peer.Ask(ctx, q)
	switch {
	case err != nil:
		return c.unanswered(ctx, err)
	case answer.Status != c.spec.Status:
		return Result{Reason: fmt.Sprintf("status %d, want %d", answer.Status, c.spec.Status) + redirected(answer.Status)}
	case c.spec.Body != "":
		return c.body(ctx, answer)
	}
	return Result{OK: true, Reason: fmt.Sprintf("status %d", answer.Status)}
}

func redirected(status int) string {
	if status >= 300 && status <= 399 {
		return " (redirects are not followed)"
	}
	return ""
}

func (c *httpCheck) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dialer.DialHost(ctx, c.host, network, address)
}

func (c *httpCheck) unanswered(ctx context.Context, err error) Result {
	var dial *peer.DialError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dial):
		return notReached(ctx, c.address, c.timeout, dial.Err)
	case late(ctx):
		return noAnswer(c.address, c.timeout)
	case errors.As(err, &certificate):
		return Result{Reason: "the certificate of " + c.address + " is not trusted: " + peer.Line(certificate.Err.Error())}
	case errors.Is(err, peer.ErrNotTLS), errors.Is(err, peer.ErrNotHTTP):
		return Result{Reason: c.address + ": " + err.Error(), Mend: "are the check's `port` and `scheme` right?"}
	}
	return Result{Reason: "no good answer from " + c.address + ": " + peer.Line(err.Error())}
}

// body looks for the part that the spec wants.
func (c *httpCheck) body(ctx context.Context, answer peer.Answer) Result {
	got, want := fmt.Sprintf("status %d", answer.Status), peer.Line(c.spec.Body)
	switch {
	case bytes.Contains(answer.Body, []byte(c.spec.Body)):
		return Result{OK: true, Reason: fmt.Sprintf("%s, and the body has %q", got, want)}
	case late(ctx):
		return Result{Reason: fmt.Sprintf("%s, and then the body did not end within %s", got, c.timeout)}
	case answer.Broken != nil:
		return Result{Reason: fmt.Sprintf("%s, and then the body broke off after %d bytes", got, len(answer.Body))}
	case len(answer.Body) == httpBody:
		return Result{Reason: fmt.Sprintf("%s, and the first %d bytes of the body do not have %q", got, httpBody, want)}
	}
	return Result{Reason: fmt.Sprintf("%s, but the body does not have %q", got, want)}
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
