package gate

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// startPrometheus runs a real Prometheus on loopback that watches itself and a port
// where nobody is. EVENKEEL_PROMETHEUS names another binary than Debian's.
func startPrometheus(t *testing.T) (url string) {
	t.Helper()
	if os.Getenv("EVENKEEL_LAB") == "off" {
		t.Skip("EVENKEEL_LAB=off: no real Prometheus")
	}
	binary := os.Getenv("EVENKEEL_PROMETHEUS")
	if binary == "" {
		binary = "prometheus"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		t.Fatalf("this test needs a real Prometheus: apt-get install prometheus (or set EVENKEEL_LAB=off): %v", err)
	}
	dir, address := t.TempDir(), freeAddress(t)
	config := fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
  - {job_name: itself, metrics_path: /prom/metrics, static_configs: [{targets: [%[1]q]}]}
  - {job_name: nobody, static_configs: [{targets: [%[2]q]}]}
`, address, freeAddress(t))
	if err := os.WriteFile(dir+"/prometheus.yml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data",
		"--web.listen-address="+address, "--web.external-url=http://"+address+"/prom", "--log.level=warn")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", said.String())
		}
	})
	url = "http://" + address + "/prom"
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		answer, err := client.Get(url + "/-/ready")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return url
			}
		}
		if time.Now().After(end) {
			t.Fatalf("prometheus is not ready: %v", err)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestRealPrometheus(t *testing.T) {
	url := startPrometheus(t)
	number := func(v float64) *desired.Number { n := desired.Number(v); return &n }
	gate := func(query string, lowest, highest *desired.Number) Gate {
		t.Helper()
		return gateOf(t, desired.GateSpec{Prometheus: &desired.PrometheusGate{URL: url, Query: query, Min: lowest, Max: highest}}, Deps{})
	}
	scraped := gate(`count(up) or vector(0)`, number(2), nil)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if a, err := scraped.Ask(t.Context()); err == nil && a.Open {
			break
		} else if time.Now().After(end) {
			t.Fatalf("nothing was scraped: %+v, %v", a, err)
		}
	}
	named := "prometheus " + url + ": "
	for _, tt := range []struct {
		name, query string
		min, max    *desired.Number
		want        Answer
	}{
		{"an alert that is silent", `up{job="itself"} == 0`, nil, nil, Answer{Open: true, Reason: named + "the query gives nothing"}},
		{"an alert that fires", `sum by (job) (up == 0)`, nil, nil, Answer{Reason: named + `{job="nobody"} is 0`}},
		{"a value within", `sum(up)`, number(1), number(1.5), Answer{Open: true, Reason: named + "1 is from 1 to 1.5"}},
		{"every value within", `up * 0.5`, nil, number(0.5), Answer{Open: true, Reason: named + "all 2 values are at most 0.5"}},
		{"one value below", `sum by (job) (up)`, number(1), nil, Answer{Reason: named + `{job="nobody"} is 0, below min 1`}},
		{"a value above", `vector(0.3)`, nil, number(0.25), Answer{Reason: named + `{} is 0.3, above max 0.25`}},
		{"a scalar", `scalar(sum(up))`, number(1), nil, Answer{Open: true, Reason: named + "1 is at least 1"}},
		{"no number", `vector(0) / 0`, nil, number(1), Answer{Reason: named + "{} is NaN, which is no number"}},
		{"endless", `vector(1) / 0`, number(0), nil, Answer{Open: true, Reason: named + "+Inf is at least 0"}},
		{"nothing to hold against", `errors_total{job="gateway"}`, nil, number(1), Answer{Reason: named + "the query gives nothing, and so nothing that is at most 1",
			Mend: "does what it asks for exist, under these labels? Add `or vector(0)` to a query where nothing means none"}},
	} {
		t.Run(tt.name, func(t *testing.T) { wantAnswer(t, gate(tt.query, tt.min, tt.max), tt.want) })
	}
	for _, tt := range []struct{ name, query, want, mend string }{
		{"a mistake in the query", `sum(up`, `bad_data: invalid parameter "query": 1:7: parse error: unclosed left parenthesis`, "own page"},
		{"a range", `up[1m]`, "the query gives a matrix", "rate(…[5m])"},
		{"a text", `"up"`, "the query gives a string", "gives numbers"},
		{"a scalar as an alert", `1`, "always a result", "set max or min"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantError(t, gate(tt.query, nil, nil), tt.want, tt.mend) })
	}
	elsewhere := desired.GateSpec{Prometheus: &desired.PrometheusGate{URL: url + "/elsewhere", Query: "up"}}
	wantError(t, gateOf(t, elsewhere, Deps{}), "status 404", "with the prefix")
}
