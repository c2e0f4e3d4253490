package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// says is a server that answers every query so.
func says(t *testing.T, status int, body string) Gate {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	highest := desired.Number(1)
	return gateOf(t, desired.GateSpec{Prometheus: &desired.PrometheusGate{URL: server.URL, Query: "up", Max: &highest}}, Deps{})
}

func vector(samples string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + samples + `]}}`
}

// What a real Prometheus does not do, and others that speak its API may.
func TestPrometheusThatIsNone(t *testing.T) {
	for _, tt := range []struct {
		name       string
		status     int
		body       string
		want, mend string
	}{
		{"a page", 200, "<html>", "does not answer as Prometheus does", "url"},
		{"another API", 200, `{"status":"ok"}`, "does not answer as Prometheus does", "url"},
		{"no result", 200, `{"status":"success","data":{"resultType":"vector"}}`, "does not answer", "url"},
		{"a result of nothing", 200, `{"status":"success","data":{"resultType":"vector","result":null}}`, "does not answer", "url"},
		{"a result of another kind", 200, `{"status":"success","data":{"resultType":"streams","result":[]}}`, "does not answer", "url"},
		{"a value that is none", 200, vector(`{"metric":{},"value":[1,"much"]}`), "does not answer", "url"},
		{"a value without quotes", 200, vector(`{"metric":{},"value":[1,1]}`), "does not answer", "url"},
		{"a value without time", 200, vector(`{"metric":{},"value":["1"]}`), "does not answer", "url"},
		{"no value", 200, vector(`{"metric":{}}`), "does not answer", "url"},
		{"a scalar that is none", 200, `{"status":"success","data":{"resultType":"scalar","result":[1]}}`, "does not answer", "url"},
		{"a histogram", 200, vector(`{"metric":{},"histogram":[1,{"count":"2"}]}`), "gives a histogram", "histogram_quantile"},
		{"a warning", 200, `{"status":"success","warnings":["store eu is away"],"data":{"resultType":"vector","result":[]}}`, "it warns: store eu is away", "a part of the truth"},
		{"not now", 503, `{"status":"error","errorType":"unavailable","error":"Service \u001b[1mUnavailable"}`, "unavailable: Service [1mUnavailable", ""},
		{"a proxy in between", 502, "bad gateway", "status 502", "url"},
		{"who are you", 401, `{"status":"success"}`, "status 401", "`tokenFile`"},
		{"not you", 403, "", "status 403", "`tokenFile`"},
		{"elsewhere", 302, "", "status 302 (redirects are not followed)", "redirects to"},
		{"endless", 200, strings.Repeat(" ", prometheusReply+10), "more than 1048576 bytes", "fewer results"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantError(t, says(t, tt.status, tt.body), tt.want, tt.mend) })
	}
}

func TestPrometheusShowsTheFirstOfMany(t *testing.T) {
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf(`{"metric":{"__name__":"load","host":"web-%d","note":"a\u0007\n\"b\""},"value":[1,"%d"]}`, i, i))
	}
	got, err := says(t, 200, vector(strings.Join(many, ","))).Ask(t.Context())
	if err != nil || got.Open || !strings.HasSuffix(got.Reason, `: load{host="web-2", note="a\a\n\"b\""} is 2, above max 1, and 497 more`) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPrometheusSendsItsToken(t *testing.T) {
	var asked *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		_, _ = io.WriteString(w, vector(""))
	}))
	defer server.Close()
	file := t.TempDir() + "/token"
	spec := desired.GateSpec{Prometheus: &desired.PrometheusGate{URL: server.URL + "/prefix/", Query: `up{job="a b&c"} == 0`, TokenFile: file, Timeout: desired.Duration(1500 * time.Millisecond)}}
	g := gateOf(t, spec, Deps{})
	wantError(t, g, "tokenFile "+file+" is not there", "write the token there")
	for _, bad := range []string{"", "\n", "hunter2\nhunter3\n", "hunter2\x00", strings.Repeat("hunter2", 10_000)} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		wantError(t, g, "does not hold one token", "nothing else")
		if _, err := g.Ask(t.Context()); strings.Contains(err.Error(), "hunter") {
			t.Errorf("the error shows it: %v", err)
		}
	}
	if asked != nil {
		t.Error("it asked without a token")
	}
	for _, token := range []string{"hunter2", "hunter3"} { // it is rotated
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, g, Answer{Open: true, Reason: "prometheus " + server.URL + "/prefix/: the query gives nothing"})
		if got := asked.Header.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("it sent %q", got)
		}
	}
	if q := asked.URL.Query(); asked.Method != http.MethodGet || asked.URL.Path != "/prefix/api/v1/query" || q.Get("query") != `up{job="a b&c"} == 0` || q.Get("timeout") != "1500ms" {
		t.Errorf("it asked %s %s", asked.Method, asked.URL)
	}
	wantError(t, gateOf(t, desired.GateSpec{Prometheus: &desired.PrometheusGate{URL: server.URL, Query: "up", TokenFile: t.TempDir()}}, Deps{}), "is not a file", "into a file")
}

func TestPrometheusThatIsAway(t *testing.T) {
	within := func(url string, limit time.Duration) Gate {
		return gateOf(t, desired.GateSpec{Prometheus: &desired.PrometheusGate{URL: url, Query: "up", Timeout: desired.Duration(limit)}}, Deps{})
	}
	of := func(url string) Gate { return within(url, 20*time.Second) }
	wantError(t, of("http://"+freeAddress(t)), "connection refused", "is it running there")
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	wantError(t, within(slow.URL, 200*time.Millisecond), "no answer within 200ms", "a longer `timeout`")
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	wantError(t, of(secure.URL), "its certificate is not trusted", "trust the authority")
	wantError(t, of(strings.Replace(slow.URL, "http:", "https:", 1)), "it does not speak TLS", "scheme")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := of(slow.URL).Ask(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by the caller: %v", err)
	}
}

func FuzzPrometheusReply(f *testing.F) {
	f.Add(200, []byte(vector(`{"metric":{"__name__":"up","job":"a"},"value":[1.5,"0.25"]}`)))
	f.Add(200, []byte(`{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`))
	f.Add(400, []byte(`{"status":"error","errorType":"bad_data","error":"no"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got, err := parseReply(peer.Answer{Status: status, Body: body})
		if err != nil {
			return
		}
		if status != 200 || got.scalar && len(got.list) != 1 {
			t.Fatalf("status %d, %q: %+v", status, body, got)
		}
		highest := desired.Number(1)
		answer, err := judge(got, nil, &highest)
		if err != nil || answer.Reason == "" {
			t.Fatalf("%q: %+v, %v", body, answer, err)
		}
		for _, s := range got.list {
			if answer.Open && !(s.value <= 1) {
				t.Fatalf("%q: open at %v", body, s.value)
			}
		}
		if answer.Open && len(got.list) == 0 {
			t.Fatalf("%q: open at nothing", body)
		}
	})
}
