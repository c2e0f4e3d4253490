package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/rollout"
)

// Options say which controller, and who asks.
type Options struct {
	URL       string // https://HOST[:PORT][/PREFIX], http:// on loopback, unix:///PATH
	TokenFile string // its first line is the token; "" on a local socket that trusts this user
	CA        string // a file of PEM certificates to trust instead of the system's
}

const (
	answerWithin = 100 * time.Second // more than the controller takes at most
	maxAnswer    = 256 << 20
	maxToken     = 4096
)

// Client asks one controller. Its methods may be called from any goroutine.
type Client struct {
	base  string // what paths are appended to
	where string // for errors
	token string
	http  *http.Client
}

// Error is a failure to reach the controller, with what a person can do about it. What
// the controller itself answers is an *api.Problem.
type Error struct {
	Err  error
	mend string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Mend is what a person can do about it.
func (e *Error) Mend() string { return e.mend }

func failure(mend, format string, args ...any) error {
	return &Error{Err: fmt.Errorf(format, args...), mend: mend}
}

// New makes a Client. Nothing is asked yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, failure("such as https://evenkeel.example.com or unix:///run/evenkeel/evenkeel.sock", "cannot use the server's URL %q", o.URL)
	}
	t := &http.Transport{TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: answerWithin, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2}
	c := &Client{where: o.URL, http: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || u.Path == "" {
			return nil, failure("such as unix:///run/evenkeel/evenkeel.sock, with three slashes", "cannot use the server's URL %q", o.URL)
		}
		c.base = "http://local"
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Path)
		}
	case "http", "https":
		if u.Scheme == "http" && !loopback(u.Hostname()) {
			return nil, failure("use https://, or the local socket", "cannot use the server's URL %q: over http a token would be readable on the way", o.URL)
		}
		c.base = strings.TrimSuffix(u.Scheme+"://"+u.Host+u.Path, "/")
		t.DialContext = dialer.DialContext
		if t.TLSClientConfig, err = trust(o.CA); err != nil {
			return nil, err
		}
	default:
		return nil, failure("such as https://evenkeel.example.com or unix:///run/evenkeel/evenkeel.sock", "cannot use the server's URL %q", o.URL)
	}
	if c.token, err = readToken(o.TokenFile); err != nil {
		return nil, err
	}
	return c, nil
}

// Close gives the connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func trust(file string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return config, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, failure("server.ca names a file of PEM certificates", "cannot read the server's CA: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, failure("it must be of PEM certificates", "there is no certificate in %s", file)
	}
	return config, nil
}

// readToken is the first line of a file.
func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", failure("server.tokenFile (--token-file) names the file that holds the token", "cannot read the token: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", failure("", "cannot read the token: %w", err)
	}
	token, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", failure("evenkeel token create makes one", "there is no token in %s", file)
	}
	return token, nil
}

// Report is the state of the fleet.
func (c *Client) Report(ctx context.Context) (controller.Report, error) {
	return get[controller.Report](ctx, c, "/status")
}

// Snapshot is everything that the controller knows.
func (c *Client) Snapshot(ctx context.Context) (controller.Snapshot, error) {
	return get[controller.Snapshot](ctx, c, "/snapshot")
}

// Plan is the newest one.
func (c *Client) Plan(ctx context.Context) (rollout.Plan, error) {
	return get[rollout.Plan](ctx, c, "/plan")
}

// Secrets are those that rotate.
func (c *Client) Secrets(ctx context.Context) ([]controller.SecretStatus, error) {
	v, err := get[api.Secrets](ctx, c, "/secrets")
	return v.Secrets, err
}

// Diff looks at one host now.
func (c *Client) Diff(ctx context.Context, host string) (rollout.Plan, error) {
	return get[rollout.Plan](ctx, c, "/hosts/"+url.PathEscape(host)+"/diff")
}

// Explain looks at one instance now.
func (c *Client) Explain(ctx context.Context, host, service string) (controller.Explanation, error) {
	return get[controller.Explanation](ctx, c, "/instances/"+url.PathEscape(host)+"/"+url.PathEscape(service))
}

// Rollout is one rollout; api.CurrentRollout stands for the one under way, or the last.
func (c *Client) Rollout(ctx context.Context, id string) (controller.RolloutStatus, error) {
	return get[controller.RolloutStatus](ctx, c, "/rollouts/"+url.PathEscape(id))
}

// Rollouts is the history, newest first.
func (c *Client) Rollouts(ctx context.Context, limit int) ([]controller.RolloutEntry, error) {
	v, err := get[api.Rollouts](ctx, c, "/rollouts?limit="+strconv.Itoa(limit))
	return v.Rollouts, err
}

// Revisions is the history, newest first.
func (c *Client) Revisions(ctx context.Context, limit int) ([]controller.RevisionEntry, error) {
	v, err := get[api.Revisions](ctx, c, "/revisions?limit="+strconv.Itoa(limit))
	return v.Revisions, err
}

// Events are the newest of those after a number, oldest first.
func (c *Client) Events(ctx context.Context, after uint64, limit int) ([]controller.Event, error) {
	v, err := get[api.Events](ctx, c, fmt.Sprintf("/events?after=%d&limit=%d", after, limit))
	return v.Events, err
}

// Act asks for an operator's action, and says what was done.
func (c *Client) Act(ctx context.Context, verb controller.Verb, req api.ActionRequest) (string, error) {
	path, ok := api.PathOf(verb)
	if !ok {
		return "", fmt.Errorf("the API has no action %q", verb)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return "", err
	}
	v, err := ask[api.ActionAnswer](ctx, c, http.MethodPost, path, body)
	return v.Done, err
}

// Backup writes a copy of the controller's store to w, and returns its length. Without
// an error it has come whole.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(answerWithin, cancel)
	defer quiet.Stop()
	res, err := c.do(ctx, http.MethodGet, api.Base+"/store/backup", nil, nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != api.BackupType {
		return 0, failure("does server.url (--server) name an evenkeel controller of this version?", "the controller at %s sends no copy of its store", c.where)
	}
	n, err := io.Copy(w, &noted{r: res.Body, each: func() { quiet.Reset(silence) }})
	var written *os.PathError
	switch {
	case err == nil:
		return n, nil
	case errors.As(err, &written):
		return n, err
	}
	return n, failure("try again; the controller's log tells more", "the copy of the store broke off after %d bytes: %w", n, err)
}

// noted calls each for each reading.
type noted struct {
	r    io.Reader
	each func()
}

func (n *noted) Read(p []byte) (int, error) {
	n.each()
	return n.r.Read(p)
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	return ask[T](ctx, c, http.MethodGet, api.Base+path, nil)
}

// ask makes one request and decodes the answer.
func ask[T any](ctx context.Context, c *Client, method, path string, body []byte) (T, error) {
	var v T
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	res, err := c.do(ctx, method, path, body, nil)
	if err != nil {
		return v, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&v); err != nil {
		return v, failure("is "+c.where+" an evenkeel controller of this version?", "cannot understand the controller's answer to %s: %w", path, err)
	}
	return v, nil
}

// do makes a request. An answer that is no success is an error.
func (c *Client) do(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	return nil, c.refused(res)
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL, which stands there already
	}
	mend := "is it running there? systemctl status evenkeel"
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		mend = "server.ca (--server-ca) names the CA to trust"
	case errors.Is(err, os.ErrPermission):
		mend = "the local socket is for root, for the controller's own user and for its group; others use https and a token"
	case errors.Is(err, os.ErrNotExist):
		mend = "no controller runs here, or its socket is elsewhere (api.socket)"
	}
	return failure(mend, "cannot reach the controller at %s: %w", c.where, err)
}

// refused is the error that an answer tells of.
func (c *Client) refused(res *http.Response) error {
	var p api.Problem
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != api.ProblemType || json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&p) != nil || p.Detail == "" {
		return failure("does server.url (--server) name an evenkeel controller?", "the controller at %s answers %s", c.where, res.Status)
	}
	p.Status = res.StatusCode
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	if p.Status == http.StatusUnauthorized && c.token == "" {
		p.Mend = "name the file that holds your token with --token-file or EVENKEEL_SERVER_TOKENFILE"
	}
	return &p
}
