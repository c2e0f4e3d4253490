package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/controller/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	webhookSecret = "a webhook's secret, long enough"
	metricsToken  = "the-metrics-token-long-enough"
)

// fixture is an API over a fake controller, with its files and a token of each scope.
type fixture struct {
	*API
	t             testing.TB
	fake          *apitest.Fake
	dir           string
	skew          atomic.Int64
	reads, writes string // tokens
}

func newFixture(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, fake: apitest.New(), dir: t.TempDir()}
	o := Options{Controller: f.fake, Log: zerolog.Nop(), Tokens: f.path("tokens.yaml"), MetricsToken: f.path("metrics.token"), WebhookSecrets: f.path("webhook.secret"),
		WebhookWindow: 50 * time.Millisecond, Build: Build{"1.2.3", "4f1c2d9"}}
	for _, c := range change {
		c(&o)
	}
	f.write("metrics.token", metricsToken+"\n")
	f.write("webhook.secret", webhookSecret+"\n")
	f.reads, f.writes = f.token("reader", ScopeRead), f.token("operator", ScopeOperate)
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	f.API = a
	return f
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fixture) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// token adds a token to the file.
func (f *fixture) token(name string, scopes ...Scope) string {
	f.t.Helper()
	token, entry, err := NewToken(name, scopes, time.Now().Add(time.Hour))
	if err == nil {
		err = AddToken(f.path("tokens.yaml"), entry)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// ask makes one request.
func (f *fixture) ask(method, path, token, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// server serves the API on loopback until the test's end.
func (f *fixture) server() *httptest.Server {
	s := httptest.NewServer(f.API)
	f.t.Cleanup(func() {
		f.Close()
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

func problemIn(t *testing.T, w *httptest.ResponseRecorder) *Problem {
	t.Helper()
	var p Problem
	if got := w.Header().Get("Content-Type"); got != ProblemType {
		t.Fatalf("content type %q: %s", got, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Title == "" || p.Detail == "" || !strings.HasPrefix(p.Type, typePrefix) {
		t.Fatalf("no whole problem: %v: %s", err, w.Body)
	}
	return &p
}

// get makes a request over the wire.
func get(ctx context.Context, t testing.TB, url, token string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// endless is a body without end.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	if e.read > 64<<20 {
		return 0, fmt.Errorf("somebody read %d bytes: %w", e.read, io.ErrUnexpectedEOF)
	}
	return len(p), nil
}
