package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	service.Client.Transport = &http.Transport{DisableKeepAlives: true}
	goleak.VerifyTestMain(m)
}

// simulator answers until it is told to fail.
func simulator(t *testing.T) (url string, failing *atomic.Bool) {
	t.Helper()
	failing = new(atomic.Bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failing.Load() || r.URL.Path != "/state" {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		service.WriteJSON(w, http.StatusOK, map[string]int{"tick": 7})
	}))
	t.Cleanup(server.Close)
	return server.URL, failing
}

func node(t *testing.T, env map[string]string) *service.Server {
	t.Helper()
	server, err := build(service.NewProcess("node", service.MapEnv(env), io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	server.Health.Set(service.Ready)
	return server
}

func ask(handler http.Handler, path string) (int, string) {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
	return answer.Code, answer.Body.String()
}

func TestNodeIsWellOnceItKnowsTheWorldAndUntilThatIsOld(t *testing.T) {
	url, failing := simulator(t)
	failing.Store(true)
	server := node(t, map[string]string{
		"NODE_SIMULATOR_URL": url, "NODE_POLL": "5ms", "NODE_MAX_AGE": "100ms", "NULLSPACE_INSTANCE": "core-1",
	})
	go server.Tasks[0](t.Context())
	time.Sleep(20 * time.Millisecond)
	if code, body := ask(server.Health, "/healthz"); code != 503 || !strings.Contains(body, "has not answered yet") {
		t.Errorf("before the first answer: %d %s", code, body)
	}
	if code, _ := ask(server.Handler, "/world"); code != 503 {
		t.Errorf("world before the first answer: %d", code)
	}
	failing.Store(false)
	becomes(t, server, 200)
	code, body := ask(server.Handler, "/world")
	var answer Answer
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 200 {
		t.Fatalf("world: %d %s %v", code, body, err)
	}
	if answer.Instance != "core-1" || string(answer.State) != `{"tick":7}` || answer.AgeSeconds > 60 {
		t.Errorf("world is %s", body)
	}
	failing.Store(true)
	becomes(t, server, 503)
	if code, _ := ask(server.Handler, "/world"); code != 200 {
		t.Errorf("what is known is no longer told: %d", code)
	}
}

func TestNodeNeedsASimulator(t *testing.T) {
	for _, url := range []string{"", "core-1:7101", "ftp://core-1", "http://user:word@core-1"} {
		_, err := build(service.NewProcess("node", service.MapEnv(map[string]string{"NODE_SIMULATOR_URL": url}), io.Discard))
		if err == nil || !strings.Contains(err.Error(), "NODE_SIMULATOR_URL") || strings.Contains(err.Error(), "word@") {
			t.Errorf("with %q: %v", url, err)
		}
	}
}

func becomes(t *testing.T, server *service.Server, want int) {
	t.Helper()
	code := 0
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if code, _ = ask(server.Health, "/healthz"); code == want {
			return
		}
	}
	t.Fatalf("healthz stays %d, want %d", code, want)
}
