package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

const (
	// prometheusLimit is how long a query may take where its spec does not say.
	prometheusLimit = 10 * time.Second
	// prometheusReply caps an answer.
	prometheusReply = 1 << 20
)

// prometheus asks an instant query by Prometheus' HTTP API
// (prometheus.io/docs/prometheus/latest/querying/api), which Thanos, Mimir and
// VictoriaMetrics speak as well. Its answer is held against max and min; without them
// the query is read as an alert's: any result closes the gate. An answer with warnings
// may be a part of the truth only, and so is none.
//
// Redirects are not followed and no proxy is used, so that the token goes nowhere else.
type prometheus struct {
	spec  desired.PrometheusGate
	url   *url.URL
	where string
	limit time.Duration
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

func newPrometheus(spec desired.PrometheusGate, deps Deps) (*prometheus, error) {
	p := &prometheus{spec: spec, where: describePrometheus(spec), dial: deps.Dial}
	var err error
	p.limit, err = limit(spec.Timeout, prometheusLimit)
	if err == nil && strings.TrimSpace(spec.Query) == "" {
		err = errors.New("query is empty")
	}
	if err == nil && spec.Max != nil && spec.Min != nil && *spec.Min > *spec.Max {
		err = fmt.Errorf("min %s is above max %s", *spec.Min, *spec.Max)
	}
	if err == nil {
		p.url, err = queryURL(spec, p.limit)
	}
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	return p, nil
}

// queryURL never shows the URL it refuses, for that may hold a password.
func queryURL(spec desired.PrometheusGate, limit time.Duration) (*url.URL, error) {
	const form = "write http://HOST:PORT or https://HOST:PORT/PREFIX"
	u, err := url.Parse(spec.URL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return nil, errors.New("the url is not where a Prometheus could be: " + form)
	case u.User != nil:
		return nil, errors.New("the url holds a password: write a token into a file, and name that as tokenFile")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the url has a query: " + form)
	case spec.TokenFile != "" && u.Scheme != "https" && !loopback(u.Hostname()):
		return nil, errors.New("a token would travel in the clear: use https")
	}
	u = u.JoinPath("api", "v1", "query")
	u.RawQuery = url.Values{"query": {spec.Query}, "timeout": {fmt.Sprintf("%dms", limit.Milliseconds())}}.Encode()
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// describePrometheus is the address without user and password.
func describePrometheus(spec desired.PrometheusGate) string {
	u, err := url.Parse(spec.URL)
	if err != nil {
		return "prometheus"
	}
	return "prometheus " + peer.Line(u.Scheme+"://"+u.Host+u.Path)
}

func (p *prometheus) Ask(ctx context.Context) (Answer, error) {
	limited, cancel := context.WithTimeoutCause(ctx, p.limit, errOwnLimit)
	defer cancel()
	answer, err := p.ask(limited)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = fmt.Errorf("the question was ended before it was answered: %w", context.Cause(ctx))
	case errors.Is(context.Cause(limited), errOwnLimit):
		err = mend("give the gate a longer `timeout`, or the query less to do", "no answer within %s", p.limit)
	}
	if err != nil {
		e := &Error{Gate: p.where, Err: err}
		var m *mended
		if errors.As(err, &m) {
			e.Mend = m.mend
		}
		return Answer{}, e
	}
	answer.Reason = p.where + ": " + answer.Reason
	return answer, nil
}

var errOwnLimit = errors.New("took too long")

func (p *prometheus) ask(ctx context.Context) (Answer, error) {
	header := http.Header{"Accept": {"application/json"}}
	if p.spec.TokenFile != "" {
		token, err := readToken(p.spec.TokenFile)
		if err != nil {
			return Answer{}, err
		}
		header.Set("Authorization", "Bearer "+token)
	}
	reply, err := peer.Ask(ctx, peer.Question{Dial: p.dial, Method: http.MethodGet, URL: p.url, Header: header, MaxBody: prometheusReply + 1})
	if err != nil {
		return Answer{}, unanswered(err)
	}
	samples, err := parseReply(reply)
	if err != nil {
		return Answer{}, err
	}
	return judge(samples, p.spec.Min, p.spec.Max)
}

// unanswered puts into words why there was no answer.
func unanswered(err error) error {
	var dial *peer.DialError
	var certificate *tls.CertificateVerificationError
	const running = "is it running there, and does a firewall stand between?"
	switch {
	case errors.As(err, &dial):
		_, words := peer.WhyNot(dial.Err)
		return mend(running, "%s", words)
	case errors.As(err, &certificate):
		return mend("have the controller's machine trust the authority that signed it",
			"its certificate is not trusted: %s", peer.Line(certificate.Err.Error()))
	case errors.Is(err, peer.ErrNotTLS), errors.Is(err, peer.ErrNotHTTP):
		return mend("are the url's scheme and port right?", "%w", err)
	}
	return fmt.Errorf("no good answer: %s", peer.Line(err.Error()))
}

// mended is a detail on its way up that knows its mend.
type mended struct {
	err  error
	mend string
}

func (m *mended) Error() string { return m.err.Error() }
func (m *mended) Unwrap() error { return m.err }

func mend(text, format string, args ...any) error {
	return &mended{err: fmt.Errorf(format, args...), mend: text}
}
