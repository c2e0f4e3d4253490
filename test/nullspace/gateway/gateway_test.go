package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
	"go.uber.org/goleak"
)

const (
	token    = "metrics-token-of-this-test"
	previous = "previous-metrics-token-of-this-test"
)

func TestMain(m *testing.M) {
	service.Client.Transport = &http.Transport{DisableKeepAlives: true}
	goleak.VerifyTestMain(m)
}

// running is a gateway on a free loopback port.
type running struct {
	t      *testing.T
	addr   string
	server *service.Server
	cancel context.CancelFunc
	done   chan error
}

// run builds the gateway from env, as main does, and serves it.
func run(t *testing.T, env map[string]string) *running {
	t.Helper()
	values := map[string]string{"METRICS_AUTH_TOKEN": token, "NULLSPACE_INSTANCE": "web-1", "GATEWAY_GRACE": "10s"}
	for key, value := range env {
		values[key] = value
	}
	process := service.NewProcess("gateway", service.MapEnv(values), io.Discard)
	server, err := build(process)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, addr: listener.Addr().String(), server: server, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- server.Serve(ctx, listener) }()
	t.Cleanup(r.stop)
	return r
}

// stop may be called again.
func (r *running) stop() {
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("serve: %v", err)
		}
		r.done <- nil
	case <-time.After(30 * time.Second):
		r.t.Error("the gateway did not stop")
	}
}

// get returns the status and body; bearer may be empty.
func (r *running) get(path, bearer string) (int, string) {
	r.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+r.addr+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := service.Client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestPrivateRoutesTakeTheTokenAndThePreviousOne(t *testing.T) {
	cases := []struct {
		story    string
		previous string
		bearer   string
		code     int
		by       authorisation
	}{
		{"no token", "", "", 401, byNothing},
		{"the token", "", token, 200, byCurrent},
		{"a wrong token", "", "guess", 401, byUnknown},
		{"the previous one after its end", "", previous, 401, byUnknown},
		{"the previous one in the overlap", previous, previous, 200, byPrevious},
		{"the new one in the overlap", previous, token, 200, byCurrent},
	}
	for _, c := range cases {
		t.Run(c.story, func(t *testing.T) {
			r := run(t, map[string]string{"METRICS_AUTH_TOKEN_PREVIOUS": c.previous})
			for _, path := range []string{"/api/whoami", "/metrics"} {
				if code, body := r.get(path, c.bearer); code != c.code {
					t.Errorf("%s answered %d %s, want %d", path, code, body, c.code)
				}
			}
			code, body := r.get("/", c.bearer)
			var self Self
			if err := json.Unmarshal([]byte(body), &self); err != nil || code != 200 {
				t.Fatalf("/ answered %d %s: %v", code, body, err)
			}
			if self.Authorised != c.by || self.Instance != "web-1" || self.Version != service.Version {
				t.Errorf("/ says %+v, want authorised %s", self, c.by)
			}
			if strings.Contains(body, token) || strings.Contains(body, previous) {
				t.Errorf("/ shows a token: %s", body)
			}
		})
	}
}

func TestAnEmptyBearerNeverPasses(t *testing.T) {
	request := httptest.NewRequest(http.MethodGet, "/api/whoami", nil)
	known := tokens{current: service.NewSecret(token)}
	for header, want := range map[string]authorisation{
		"Bearer ": byUnknown, "Bearer": byNothing, "": byNothing, "Basic " + token: byNothing, "bearer " + token: byCurrent,
	} {
		request.Header.Set("Authorization", header)
		if got := known.judge(request); got != want {
			t.Errorf("%q is judged %s, want %s", header, got, want)
		}
	}
}

func TestAnUnknownPrivateRouteDoesNotTellWithoutAToken(t *testing.T) {
	r := run(t, nil)
	if code, _ := r.get("/api/nothing", ""); code != 401 {
		t.Errorf("without a token: %d", code)
	}
	if code, _ := r.get("/api/nothing", token); code != 404 {
		t.Errorf("with the token: %d", code)
	}
}

func TestMetricsCount(t *testing.T) {
	r := run(t, nil)
	r.get("/", "")
	r.get("/api/whoami", token)
	r.get("/api/whoami", "guess")
	_, text := r.get("/metrics", token)
	for _, want := range []string{
		`gateway_build_info{version="dev"} 1`,
		"gateway_open_websockets 0\n",
		`gateway_requests_total{code="200"} 2`,
		`gateway_requests_total{code="401"} 1`,
		`gateway_authorisations_total{by="current"} 2`,
		`gateway_authorisations_total{by="previous"} 0`,
		`gateway_authorisations_total{by="unknown"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %q:\n%s", want, text)
		}
	}
}

func TestMissingTokenIsNamed(t *testing.T) {
	process := service.NewProcess("gateway", service.MapEnv(map[string]string{"METRICS_AUTH_TOKEN": ""}), io.Discard)
	_, err := build(process)
	if err == nil || !strings.Contains(err.Error(), "METRICS_AUTH_TOKEN is not set") {
		t.Errorf("error is %v", err)
	}
}

func TestAnswerDelayHoldsAnswersButNotProbes(t *testing.T) {
	r := run(t, map[string]string{"GATEWAY_ANSWER_DELAY": "150ms"})
	begun := time.Now()
	if r.get("/", ""); time.Since(begun) < 150*time.Millisecond {
		t.Errorf("answered after %v", time.Since(begun))
	}
	begun = time.Now()
	if r.get("/healthz", ""); time.Since(begun) > 140*time.Millisecond {
		t.Errorf("probe answered after %v", time.Since(begun))
	}
}

func TestWorldGoesOnToANodeThatAnswers(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/world" {
			http.NotFound(w, r)
			return
		}
		service.WriteJSON(w, http.StatusOK, map[string]int{"tick": 7})
	}))
	defer node.Close()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	r := run(t, map[string]string{"GATEWAY_NODES": dead.URL + "," + node.URL})
	for range 4 {
		if code, body := r.get("/api/world", token); code != 200 || !strings.Contains(body, `"tick":7`) {
			t.Errorf("world answered %d %s", code, body)
		}
	}
	lonely := run(t, map[string]string{"GATEWAY_NODES": dead.URL})
	if code, _ := lonely.get("/api/world", token); code != http.StatusBadGateway {
		t.Errorf("with every node down: %d", code)
	}
	alone := run(t, nil)
	if code, _ := alone.get("/api/world", token); code != http.StatusServiceUnavailable {
		t.Errorf("with no node: %d", code)
	}
}

func TestReloadShowsWhatIsInForce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.json")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"messageOfTheDay": "calm", "logLevel": "warn"}`)
	r := run(t, map[string]string{"GATEWAY_CONFIG": path})
	loaded := func() (l Loaded) {
		t.Helper()
		_, body := r.get("/config", "")
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return l
	}
	first := loaded()
	if first.MessageOfTheDay != "calm" || first.LogLevel != slog.LevelWarn || first.Reloads != 0 || len(first.SHA256) != 64 {
		t.Errorf("at first: %+v", first)
	}
	write(`{"messageOfTheDay": "storm"}`)
	if got := loaded(); got != first {
		t.Errorf("before the reload: %+v", got)
	}
	if err := r.server.Reload(); err != nil {
		t.Fatal(err)
	}
	second := loaded()
	if second.MessageOfTheDay != "storm" || second.LogLevel != slog.LevelInfo || second.Reloads != 1 || second.SHA256 == first.SHA256 {
		t.Errorf("after the reload: %+v", second)
	}
	write(`{"messageOfTheDay": 7}`)
	if err := r.server.Reload(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a bad file gives %v", err)
	}
	third := loaded()
	if third.MessageOfTheDay != "storm" || third.SHA256 != second.SHA256 || third.LastError == "" {
		t.Errorf("after a bad file: %+v", third)
	}
}

func TestABadSettingsFileKeepsItFromStarting(t *testing.T) {
	env := map[string]string{"METRICS_AUTH_TOKEN": token, "GATEWAY_CONFIG": filepath.Join(t.TempDir(), "absent.json")}
	_, err := build(service.NewProcess("gateway", service.MapEnv(env), io.Discard))
	if err == nil || !strings.Contains(err.Error(), "cannot load "+env["GATEWAY_CONFIG"]) {
		t.Errorf("error is %v", err)
	}
}

func FuzzDecodeSettings(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"messageOfTheDay":"x","logLevel":"debug"}`, `{"logLevel":"INFO+2"}`, `{"unknown":1}`, `{} {}`, `null`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		settings, err := decodeSettings(content)
		if err != nil {
			return
		}
		encoded, err := json.Marshal(settings)
		if err != nil {
			t.Fatalf("%q decodes to what cannot be encoded: %v", content, err)
		}
		again, err := decodeSettings(encoded)
		if err != nil || again != settings {
			t.Fatalf("%q does not survive a round trip: %+v, %+v, %v", content, settings, again, err)
		}
	})
}
