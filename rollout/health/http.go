package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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
)

const (
	// httpHeader caps an answer's headers.
	httpHeader = 64 << 10
	// httpBody caps what is searched of an answer's body.
	httpBody = 1 << 20
)

// httpCheck asks a path. Every look has a new connection, so that what answers is
// what listens now. Redirects are not followed: a status of 302 is 302. No proxy is
// used. With https to a loopback address the certificate is not verified, for SSH has
// proven whose loopback it is and certificates seldom name one; to any other host it
// is, by the controller's roots.
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
		return nil, fmt.Errorf("http: scheme %q is neither http nor https", clean(spec.Scheme))
	}
	if spec.Status < 200 || spec.Status > 599 {
		return nil, fmt.Errorf("http: status %d is none that an answer ends with: use 200 to 599", spec.Status)
	}
	target := address(spec.Host, spec.Port)
	u, err := url.Parse(spec.Scheme + "://" + target + spec.Path)
	if err != nil || !strings.HasPrefix(spec.Path, "/") || u.Host != target {
		return nil, fmt.Errorf("http: path %q does not parse: write /PATH", clean(spec.Path))
	}
	return &httpCheck{spec: spec, host: host, dialer: deps.Dialer, address: target, url: u, timeout: limit}, nil
}

// checkHeaders names a bad header without its value, which may be a token.
func checkHeaders(headers map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("header %q has a name that HTTP does not allow", clean(name))
		}
		if !httpguts.ValidHeaderFieldValue(headers[name]) {
			return fmt.Errorf("header %s has a value that HTTP does not allow", clean(name))
		}
	}
	return nil
}

func (c *httpCheck) Check(ctx context.Context) Result {
	return look(ctx, c.timeout, c.once)
}

func (c *httpCheck) once(ctx context.Context) Result {
	request, err := c.request(ctx)
	if err != nil {
		return Result{Reason: "cannot ask " + c.address + ": " + clean(err.Error())}
	}
	transport := &http.Transport{
		DialContext:            c.dial,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: httpHeader,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: loopback(c.url.Hostname())},
	}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request) // and so no redirect is followed
	if err != nil {
		return c.unanswered(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != c.spec.Status {
		return Result{Reason: fmt.Sprintf("status %d, want %d", answer.StatusCode, c.spec.Status) + redirected(answer.StatusCode)}
	}
	if c.spec.Body != "" {
		return c.body(ctx, answer)
	}
	return Result{OK: true, Reason: fmt.Sprintf("status %d", answer.StatusCode)}
}

func redirected(status int) string {
	if status >= 300 && status <= 399 {
		return " (redirects are not followed)"
	}
	return ""
}

func (c *httpCheck) request(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "evenkeel")
	for name, value := range c.spec.Headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

// dialError tells a connection that did not come about from one that broke.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func (c *httpCheck) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dialer.DialHost(ctx, c.host, network, address)
	if err != nil {
		return nil, dialError{err}
	}
	return conn, nil
}

func (c *httpCheck) unanswered(ctx context.Context, err error) Result {
	var dial dialError
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &dial):
		return notReached(ctx, c.address, c.timeout, dial.error)
	case late(ctx):
		return noAnswer(c.address, c.timeout)
	case errors.As(err, &certificate):
		return Result{Reason: "the certificate of " + c.address + " is not trusted: " + clean(certificate.Err.Error())}
	case errors.As(err, &plain):
		return Result{Reason: c.address + " does not speak TLS", Mend: "is the check's `scheme` right?"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Result{Reason: c.address + " closed the connection without an answer"}
	}
	return Result{Reason: "no good answer from " + c.address + ": " + clean(err.Error())}
}

// body looks for the part that the spec wants.
func (c *httpCheck) body(ctx context.Context, answer *http.Response) Result {
	body, err := io.ReadAll(io.LimitReader(answer.Body, httpBody))
	switch {
	case bytes.Contains(body, []byte(c.spec.Body)):
		return Result{OK: true, Reason: fmt.Sprintf("status %d, and the body has %q", answer.StatusCode, clean(c.spec.Body))}
	case late(ctx):
		return Result{Reason: fmt.Sprintf("status %d, and then the body did not end within %s", answer.StatusCode, c.timeout)}
	case err != nil:
		return Result{Reason: fmt.Sprintf("status %d, and then the body broke off after %d bytes", answer.StatusCode, len(body))}
	case len(body) == httpBody:
		return Result{Reason: fmt.Sprintf("status %d, and the first %d bytes of the body do not have %q", answer.StatusCode, httpBody, clean(c.spec.Body))}
	}
	return Result{Reason: fmt.Sprintf("status %d, but the body does not have %q", answer.StatusCode, clean(c.spec.Body))}
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
