package api

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// place is a path that a route answers on.
func place(r Route) string {
	return strings.NewReplacer("{host}", "web-1", "{service}", "gateway", "{id}", "current").Replace(r.Path)
}

// bodyFor is a body that the route takes.
func bodyFor(r Route) string {
	switch strings.TrimPrefix(r.Path, Base) {
	case "/suspend":
		return `{"host": "web-1", "reason": "maintenance"}`
	case "/resume", "/drain", "/undrain":
		return `{"host": "web-1"}`
	case "/take-over":
		return `{"reason": "restored"}`
	case "/accept":
		return `{"revision": "` + strings.Repeat("ab", 20) + `", "reason": "a rebase"}`
	}
	return ""
}

// TestEveryRouteRefusesLowerAccess walks the table: each route lets in who has its
// access, and refuses everybody who has less.
func TestEveryRouteRefusesLowerAccess(t *testing.T) {
	for _, r := range Routes() {
		t.Run(r.pattern(), func(t *testing.T) {
			f := newFixture(t)
			f.fake.Begin("r1")
			const unauthorized, forbidden, in = http.StatusUnauthorized, http.StatusForbidden, 0
			who := []struct {
				name, token string
				want        map[Access]int
			}{
				{"nobody", "", map[Access]int{Public: in, Webhook: unauthorized, Metrics: unauthorized, Read: unauthorized, Operate: unauthorized, Logs: unauthorized}},
				{"a made up token", "ek_" + strings.Repeat("A", 43), map[Access]int{Public: in, Webhook: unauthorized, Metrics: unauthorized, Read: unauthorized, Operate: unauthorized, Logs: unauthorized}},
				{"the webhook's secret", webhookSecret, map[Access]int{Public: in, Webhook: unauthorized, Metrics: unauthorized, Read: unauthorized, Operate: unauthorized, Logs: unauthorized}},
				{"the metrics' token", metricsToken, map[Access]int{Public: in, Webhook: unauthorized, Metrics: in, Read: unauthorized, Operate: unauthorized, Logs: unauthorized}},
				{"a reader", f.reads, map[Access]int{Public: in, Webhook: unauthorized, Metrics: unauthorized, Read: in, Operate: forbidden, Logs: forbidden}},
				{"a reader of logs", f.token("logs", ScopeLogs), map[Access]int{Public: in, Webhook: unauthorized, Metrics: unauthorized, Read: forbidden, Logs: in, Operate: forbidden}},
				{"an operator", f.writes, map[Access]int{Public: in, Webhook: unauthorized, Metrics: unauthorized, Read: in, Operate: in, Logs: in}},
			}
			for _, w := range who {
				got := f.ask(r.Method, place(r), w.token, bodyFor(r))
				want, ok := w.want[r.Access]
				switch {
				case !ok:
					t.Fatalf("access %q is not in the test", r.Access)
				case want == in && (got.Code == unauthorized || got.Code == forbidden):
					t.Errorf("%s: %d %s", w.name, got.Code, got.Body)
				case want != in && got.Code != want:
					t.Errorf("%s: %d, want %d: %s", w.name, got.Code, want, got.Body)
				case want != in:
					if p := problemIn(t, got); p.Mend == "" {
						t.Errorf("%s: no mend in %+v", w.name, p)
					}
				}
				if want != in && len(f.fake.Actions()) > 0 {
					t.Errorf("%s: something was done: %v", w.name, f.fake.Actions())
				}
			}
		})
	}
}

func TestUnlistedRoutes(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/", "/api", "/api/v1", "/api/v1/", "/api/v1/values", "/api/v1/status/", "/api/v1//status", "/api/v1/../v1/status", "/metrics/",
		"/debug/pprof/", "/webhook", "/webhook/bitbucket", "/healthz/x", "/api/v1/hosts/..%2f..%2fstatus/diff", "/api/v1/instances/web-1", "/.git/config"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PROPFIND"} {
			if w := f.ask(method, path, "", ""); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
			if w := f.ask(method, path, f.writes, ""); w.Code != http.StatusNotFound {
				t.Errorf("%s %s with a token: %d", method, path, w.Code)
			}
		}
	}
	for _, path := range []string{"/api/v1/status", "/healthz", "/webhook/github"} {
		if w := f.ask("DELETE", path, "", ""); w.Code != http.StatusUnauthorized {
			t.Errorf("DELETE %s: %d", path, w.Code)
		}
		if w := f.ask("DELETE", path, f.reads, ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("DELETE %s with a token: %d", path, w.Code)
		}
	}
}

func TestTokensThatDoNotHold(t *testing.T) {
	f := newFixture(t)
	expired, entry, err := NewToken("old", []Scope{ScopeRead}, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := AddToken(f.path("tokens.yaml"), entry); err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{
		"expired": "Bearer " + expired, "cut": "Bearer " + f.reads[:40], "longer": "Bearer " + f.reads + "x", "huge": "Bearer " + strings.Repeat("x", 9000),
		"the hash": "Bearer " + entry.Hash, "no scheme": f.reads, "basic": "Basic " + f.reads, "empty": "Bearer ",
	} {
		if w := f.ask("GET", "/api/v1/status", "", "", "Authorization", header); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := f.ask("GET", "/api/v1/status?token="+f.reads, "", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("in the query: %d", w.Code)
	}
	if w := f.ask("GET", "/api/v1/status", f.reads, ""); w.Code != http.StatusOK {
		t.Errorf("a good one: %d", w.Code)
	}
}

func TestRevocationActsAtOnce(t *testing.T) {
	f := newFixture(t)
	ask := func() int { return f.ask("GET", "/api/v1/status", f.reads, "").Code }
	if got := ask(); got != http.StatusOK {
		t.Fatal(got)
	}
	if err := RemoveToken(f.path("tokens.yaml"), "reader"); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != http.StatusUnauthorized {
		t.Errorf("revoked: %d", got)
	}
	f.reads = f.token("reader", ScopeRead)
	if got := ask(); got != http.StatusOK {
		t.Errorf("a new one: %d", got)
	}
	f.write("tokens.yaml", "- {name: x, hsh: y}\n")
	if w := f.ask("GET", "/api/v1/status", f.reads, ""); w.Code != http.StatusServiceUnavailable || problemIn(t, w).Kind() != "no-tokens" {
		t.Errorf("a file with a fault lets nobody in: %d %s", w.Code, w.Body)
	}
}

func TestFailuresAreLimitedByAddress(t *testing.T) {
	f := newFixture(t)
	from := func(address, token string) int {
		r := httptest.NewRequest("GET", "/api/v1/status", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return w.Code
	}
	limited := 0
	for range 200 {
		if from("192.0.2.7:1000", "wrong") == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 150 {
		t.Errorf("only %d of 200 failures were limited", limited)
	}
	if got := from("192.0.2.7:1000", f.reads); got != http.StatusOK {
		t.Errorf("a good token from there: %d", got)
	}
	if got := from("192.0.2.8:1000", "wrong"); got != http.StatusUnauthorized {
		t.Errorf("another address: %d", got)
	}
	for i := range 200 {
		got := from("[2001:db8::"+string(rune('a'+i%6))+"]:1000", "wrong")
		if i == 199 && got != http.StatusTooManyRequests {
			t.Errorf("addresses of one /64: %d", got)
		}
	}
}

func TestFailuresAreBounded(t *testing.T) {
	l := newFailures()
	now := time.Now()
	for i := range 3 * maxAddresses {
		l.failed(httptestAddr(i), now)
	}
	if len(l.by) > maxAddresses {
		t.Errorf("%d addresses are kept", len(l.by))
	}
	l.failed("203.0.113.1:1", now.Add(time.Hour))
	if len(l.by) > 1 {
		t.Errorf("%d addresses are kept after an hour of quiet", len(l.by))
	}
}

func httptestAddr(i int) string {
	return strings.Join([]string{"10", strconv.Itoa(i >> 16 & 255), strconv.Itoa(i >> 8 & 255), strconv.Itoa(i & 255)}, ".") + ":1"
}

func TestSecurityHeaders(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/healthz", "/api/v1/status", "/nowhere", "/metrics"} {
		h := f.ask("GET", path, f.reads, "", "Origin", "https://evil.example.com").Header()
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			"Access-Control-Allow-Origin": ""} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}
