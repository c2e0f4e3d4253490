package gitrepo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/evenkeel/evenkeel/desired/secrets"
)

// httpRemote speaks git's smart protocol over HTTP.
type httpRemote struct {
	repo   *Repo
	client *http.Client
	base   string // without a slash at its end; where a redirect led
	user   string
	token  secrets.Secret
	adv    advertised
}

const (
	service       = "git-upload-pack"
	maxToken      = 64 << 10
	maxRedirects  = 5
	maxErrorBody  = 4 << 10
	headerTimeout = 60 * time.Second
)

func (r *Repo) dialHTTP() (remote, error) {
	h := &httpRemote{repo: r, base: strings.TrimSuffix(r.place.url.String(), "/")}
	if u := r.place.url.User; u != nil {
		h.user = u.Username()
		bare := *r.place.url
		bare.User = nil
		h.base = strings.TrimSuffix(bare.String(), "/")
	}
	o := r.options.HTTP
	if o.Username != "" {
		h.user = o.Username
	}
	if o.TokenFile != "" {
		var err error
		if h.token, err = readToken(o.TokenFile); err != nil {
			return nil, unauthorized(err, "write the token into the file, and let nobody else read it: chmod 600")
		}
		if r.place.scheme == "http" && !isLoopback(r.place.url.Hostname()) {
			return nil, unauthorized(errors.New("a token is not sent over http, where everybody on the way can read it"), "use https")
		}
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: headerTimeout, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 1 << 20}
	if o.CAFile != "" {
		pool, err := readCAs(o.CAFile)
		if err != nil {
			return nil, unauthorized(err, "see git.ca")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	h.client = &http.Client{Transport: t, CheckRedirect: checkRedirect}
	return h, nil
}

// readToken reads a token, without the line's end.
func readToken(path string) (secrets.Secret, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator's
	if err != nil {
		return secrets.Secret{}, fmt.Errorf("cannot read the token: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o007 != 0 {
		return secrets.Secret{}, fmt.Errorf("%s is no file, or everybody may read it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	token := bytes.TrimSpace(b)
	if err != nil || len(token) == 0 || bytes.ContainsFunc(token, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return secrets.Secret{}, fmt.Errorf("%s holds no token", path)
	}
	return secrets.New(token), nil
}

func readCAs(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path) // #nosec G304 -- the operator's
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// checkRedirect follows only to the same server, and never from https to http: a token
// goes nowhere else.
func checkRedirect(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	switch {
	case req.Method != http.MethodGet || len(via) > maxRedirects:
		return errors.New("it redirects without end")
	case req.URL.Host != from.Host || (req.URL.Scheme != from.Scheme && req.URL.Scheme != "https"):
		return fmt.Errorf("it redirects to %s: if that is meant, name it in git.url", req.URL.Redacted())
	}
	return nil
}

func (h *httpRemote) tip(ctx context.Context, ref string) (plumbing.Hash, error) {
	res, err := h.do(ctx, http.MethodGet, h.base+"/info/refs?service="+service, nil, "advertisement")
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer res.Body.Close()
	at := *res.Request.URL
	at.RawQuery, at.Path = "", strings.TrimSuffix(at.Path, "/info/refs")
	h.base = strings.TrimSuffix(at.String(), "/")
	if h.adv, err = readAdvertised(ctx, res.Body, h.repo.limits.Refs); err != nil {
		return plumbing.ZeroHash, err
	}
	return h.adv.tip(ref)
}

func (h *httpRemote) transfer(ctx context.Context, want plumbing.Hash, have []plumbing.Hash, into *objects) error {
	req, text, err := h.adv.request(want, have)
	if err != nil {
		return err
	}
	res, err := h.do(ctx, http.MethodPost, h.base+"/"+service, text, "result")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return answer(ctx, req, res.Body, into, h.repo.limits)
}

// do sends one request and makes sure that the answer is git's.
func (h *httpRemote) do(ctx context.Context, method, at string, body []byte, kind string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "evenkeel") // some servers know git by it: they get the smart protocol by the query, too
	req.Header.Set("Accept", "application/x-"+service+"-"+kind)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-"+service+"-request")
	}
	switch {
	case h.token.IsZero():
	case h.repo.options.HTTP.Bearer:
		req.Header.Set("Authorization", "Bearer "+string(h.token.Reveal()))
	default:
		user := h.user
		if user == "" {
			user = "git"
		}
		req.SetBasicAuth(user, string(h.token.Reveal()))
	}
	res, err := h.client.Do(req)
	if err != nil {
		return nil, httpFault(err)
	}
	if err := h.status(res); err != nil {
		res.Body.Close()
		return nil, err
	}
	if t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); t != "application/x-"+service+"-"+kind {
		res.Body.Close()
		return nil, unauthorized(fmt.Errorf("the server answers with %s: it does not speak git's smart protocol there", quote(t)),
			"see that git.url is the address to clone from")
	}
	return res, nil
}

// httpFault tells a server that cannot be reached from one that is not the right one.
func httpFault(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL is in the Op already
	}
	var ca x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &ca), errors.As(err, &name), errors.As(err, &invalid):
		return unauthorized(err, "name the certificate of its authority with git.ca, or mend the server's certificate")
	case strings.HasPrefix(err.Error(), "it redirects"):
		return unauthorized(err, "")
	}
	return unreachable(err, "")
}

// status understands what is no answer.
func (h *httpRemote) status(res *http.Response) error {
	login := "name a token that may read the repository with git.tokenFile"
	if !h.token.IsZero() {
		login = "see that the token in git.tokenFile is valid and may read the repository"
	}
	switch code := res.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusUnauthorized:
		return unauthorized(errors.New("the server asks for a login"), login)
	case code == http.StatusForbidden:
		return unauthorized(errors.New("the server does not allow it"), login)
	case code == http.StatusNotFound:
		return unauthorized(errors.New("the server has no such repository, or does not show it to us"), "see git.url; "+login)
	case code == http.StatusTooManyRequests || code >= 500:
		return unreachable(fmt.Errorf("the server answers %d %s", code, http.StatusText(code)), "")
	}
	said, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	return unauthorized(fmt.Errorf("the server answers %d: %s", res.StatusCode, oneLine(string(said), 200)), "see git.url")
}

func (h *httpRemote) close() { h.client.CloseIdleConnections() }
