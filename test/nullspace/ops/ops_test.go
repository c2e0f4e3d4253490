package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
	"go.uber.org/goleak"
)

const token = "metrics-token-of-this-test"

func TestMain(m *testing.M) {
	service.Client.Transport = &http.Transport{DisableKeepAlives: true}
	goleak.VerifyTestMain(m)
}

func TestReportTellsWhoIsUnwellAndWhy(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz" && r.Header.Get("Authorization") == "":
		case r.URL.Path == "/metrics" && r.Header.Get("Authorization") == "Bearer "+token:
			_, _ = io.WriteString(w, "# TYPE gateway_open_websockets gauge\ngateway_open_websockets 12\n")
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer gateway.Close()
	unwell := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer unwell.Close()
	build := func(bearer string) (*service.Server, *strings.Builder) {
		var log strings.Builder
		server, err := build(service.NewProcess("ops", service.MapEnv(map[string]string{
			"METRICS_AUTH_TOKEN": bearer, "NULLSPACE_INSTANCE": "core-1",
			"OPS_TARGETS": "gateway/web-1=" + gateway.URL + ", <b>node</b>=" + unwell.URL,
			"OPS_METRICS": "metrics/web-1=" + gateway.URL,
		}), &log))
		if err != nil {
			t.Fatal(err)
		}
		return server, &log
	}
	get := func(server *service.Server, path string) string {
		answer := httptest.NewRecorder()
		server.Handler.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != 200 {
			t.Errorf("%s answered %d", path, answer.Code)
		}
		return answer.Body.String()
	}
	server, log := build(token)
	if page := get(server, "/"); !strings.Contains(page, "first round is under way") {
		t.Errorf("before the first round:\n%s", page)
	}
	round(t, server)
	var report Report
	if err := json.Unmarshal([]byte(get(server, "/status.json")), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Lines) != 3 || !report.Lines[0].Well || report.Lines[1].Well || !report.Lines[2].Well ||
		*report.Lines[2].OpenWebSockets != 12 || !strings.Contains(report.Lines[1].Reason, "503") {
		t.Errorf("report is %+v", report)
	}
	page := get(server, "/")
	for _, want := range []string{"&lt;b&gt;node&lt;/b&gt;", "503 Service Unavailable", "<td>12</td>", "core-1"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page+log.String(), token) {
		t.Error("the token is shown")
	}

	outdated, _ := build("an-outdated-token")
	round(t, outdated)
	if page := get(outdated, "/"); !strings.Contains(page, "it refuses our METRICS_AUTH_TOKEN") {
		t.Errorf("with an outdated token:\n%s", page)
	}
}

// round runs the server's task until the first report is there.
func round(t *testing.T, server *service.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	ended := make(chan struct{})
	go func() { defer close(ended); server.Tasks[0](ctx) }()
	defer func() { cancel(); <-ended }()
	for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		answer := httptest.NewRecorder()
		server.Handler.ServeHTTP(answer, httptest.NewRequest("GET", "/status.json", nil))
		var report Report
		if err := json.Unmarshal(answer.Body.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		if !report.At.IsZero() {
			return
		}
	}
	t.Fatal("no round ended within 10s")
}

func FuzzSample(f *testing.F) {
	for _, seed := range []string{"x 1\n", "# x 1\nx 2", "x", "x  3", "x{a=\"b\"} 1", "x 99999999999999999999", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, ok := sample(text, "x")
		if !ok {
			if value != 0 {
				t.Fatalf("%q gives %d and no success", text, value)
			}
			return
		}
		again, ok := sample([]byte("x "+strconv.FormatInt(value, 10)), "x")
		if !ok || again != value {
			t.Fatalf("%q gives %d, then %d", text, value, again)
		}
	})
}
