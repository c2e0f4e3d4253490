package api

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.yaml.in/yaml/v3"
)

var monitoring = filepath.Join("..", "..", "docs", "monitoring")

func TestMetricsKeepConventions(t *testing.T) {
	f := newFixture(t)
	f.fake.Begin("r1")
	f.ask("GET", Base+"/status", f.reads, "")
	f.push(webhookSecret, pushBody("refs/heads/main", 1))
	problems, err := testutil.GatherAndLint(f.meter.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v: %v", problems, err)
	}
}

// TestRoutesAreLabelsNotPaths: what strangers ask for makes no new series.
func TestRoutesAreLabelsNotPaths(t *testing.T) {
	f := newFixture(t)
	f.ask("GET", Base+"/hosts/web-1/diff", f.reads, "")
	for _, path := range []string{"/a", "/b", "/api/v1/hosts/evil-1/diff", "/api/v1/hosts/evil-2/diff"} {
		f.ask("GET", path, "", "")
		f.ask("BREW", path, "", "")
	}
	text := f.ask("GET", "/metrics", metricsToken, "").Body.String()
	if !strings.Contains(text, `evenkeel_http_requests_total{code="200",route="/api/v1/hosts/{host}/diff"} 1`) ||
		!strings.Contains(text, `evenkeel_http_requests_total{code="401",route="none"} 6`) || strings.Contains(text, "evil") || strings.Contains(text, "BREW") {
		t.Error(grep(text, "http_requests"))
	}
}

func grep(text, word string) string {
	var out []string
	for l := range strings.Lines(text) {
		if strings.Contains(l, word) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "")
}

func TestTheMetricsTokenIsReadAnew(t *testing.T) {
	f := newFixture(t)
	f.write("metrics.token", "another-token-long-enough\n")
	if w := f.ask("GET", "/metrics", metricsToken, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the old one: %d", w.Code)
	}
	if w := f.ask("GET", "/metrics", "another-token-long-enough", ""); w.Code != http.StatusOK {
		t.Errorf("the new one: %d", w.Code)
	}
	if err := os.Remove(f.path("metrics.token")); err != nil {
		t.Fatal(err)
	}
	if w := f.ask("GET", "/metrics", metricsToken, ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without the file: %d", w.Code)
	}
	f.MetricsToken = ""
	if w := f.ask("GET", "/metrics", f.reads, ""); w.Code != http.StatusOK {
		t.Errorf("where none is set, who may read: %d", w.Code)
	}
}

// names are those of all metrics that there are.
func (f *fixture) names() []string {
	ch := make(chan *prometheus.Desc, 1000)
	f.meter.registry.Describe(ch)
	close(ch)
	var names []string
	for d := range ch {
		if name := regexp.MustCompile(`fqName: "([a-z_]+)"`).FindStringSubmatch(d.String()); name != nil {
			names = append(names, name[1])
		}
	}
	return names
}

// known tells of metrics in an expression that there are not.
func (f *fixture) known(where, expr string) {
	f.t.Helper()
	names := f.names()
	found := regexp.MustCompile(`\b(?:evenkeel|process|go)_[a-z_]+`).FindAllString(expr, -1)
	for _, name := range found {
		if !slices.Contains(names, name) && !slices.Contains(names, strings.TrimSuffix(name, "_bucket")) {
			f.t.Errorf("%s: there is no metric %s", where, name)
		}
	}
	if len(found) == 0 && !strings.HasPrefix(expr, "up{") {
		f.t.Errorf("%s: no metric in %q", where, expr)
	}
}

func TestAlertRules(t *testing.T) {
	f := newFixture(t)
	text, err := os.ReadFile(filepath.Join(monitoring, "evenkeel.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil || len(rules.Groups) == 0 || len(rules.Groups[0].Rules) < 10 {
		t.Fatalf("%v: %+v", err, rules)
	}
	for _, r := range rules.Groups[0].Rules {
		f.known(r.Alert, r.Expr)
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("%s has no severity or no summary", r.Alert)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed")
	}
	for _, args := range [][]string{{"check", "rules", "evenkeel.rules.yml"}, {"test", "rules", "evenkeel.rules_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

func TestDashboard(t *testing.T) {
	f := newFixture(t)
	text, err := os.ReadFile(filepath.Join(monitoring, "evenkeel-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &board); err != nil || board.Title == "" || len(board.Panels) < 10 {
		t.Fatalf("%v: %+v", err, board)
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: its ID is another's, it shows nothing, or it is too wide", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, x := range p.Targets {
			f.known(p.Title, x.Expr)
		}
	}
	for _, a := range board.Annotations.List {
		f.known("annotation", a.Expr)
	}
}
