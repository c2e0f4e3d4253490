package api

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write the tables of docs/api.md and docs/controller.md")

// table holds a table of a document, found by its header, to rows; with -update it is
// written.
func table(t *testing.T, file, header string, rows []string) {
	t.Helper()
	file = filepath.Join("..", "..", "docs", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), header+"\n")
	if !ok {
		t.Fatalf("%s has no table %q", file, header)
	}
	line, rest, _ := strings.Cut(rest, "\n")
	got, after, _ := strings.Cut(rest, "\n\n")
	want := strings.Join(rows, "\n")
	if strings.TrimSuffix(got, "\n") == want {
		return
	}
	if !*update {
		t.Errorf("%s: the table is not what the code says (go test ./controller/api -run Documented -update writes it):\n%s\nwant:\n%s", file, got, want)
		return
	}
	if err := os.WriteFile(file, []byte(before+header+"\n"+line+"\n"+want+"\n\n"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRoutesAreDocumented(t *testing.T) {
	var rows []string
	for _, r := range Routes() {
		rows = append(rows, fmt.Sprintf("| %s | `%s` | %s | %s |", r.Method, r.Path, r.Access, r.Does))
	}
	table(t, "api.md", "| method | path | access | what it does |", rows)
}

func TestMetricsAreDocumented(t *testing.T) {
	f := newFixture(t)
	ch := make(chan *prometheus.Desc, 1000)
	f.meter.registry.Describe(ch)
	close(ch)
	parts := regexp.MustCompile(`fqName: "(evenkeel_[a-z_]+)", help: "(.*?)", (?:unit: ".*?", )?constLabels: \{\}, variableLabels: \{(.*?)\}`)
	var rows []string
	for d := range ch {
		if p := parts.FindStringSubmatch(d.String()); p != nil {
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", p[1], strings.ReplaceAll(p[3], ",", ", "), p[2]))
		}
	}
	slices.Sort(rows)
	table(t, "controller.md", "| metric | labels | what it tells |", rows)
}

// TestProblemsAreDocumented: each kind of problem stands in docs/api.md, and no other.
func TestProblemsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "| type, after `urn:evenkeel:problem:`")
	section, _, _ = strings.Cut(section, "\n\n")
	said := map[string]bool{}
	for line := range strings.Lines(section) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		for _, k := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(cell, -1) {
			said[k[1]] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range regexp.MustCompile(`problem\(http\.Status\w+, "([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			made[k[1]] = true
		}
	}
	for k := range made {
		if !said[k] {
			t.Errorf("problem %s is not documented", k)
		}
	}
	for k := range said {
		if !made[k] {
			t.Errorf("problem %s is documented and never made", k)
		}
	}
}

// TestThePostReceiveHook runs the hook that docs/controller.md shows, as git would.
func TestThePostReceiveHook(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "perl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "controller.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(doc), "```sh\n")
	script, _, ok := strings.Cut(script, "```")
	if !ok {
		t.Fatal("docs/controller.md has no script")
	}
	f := newFixture(t)
	s := f.server()
	script = strings.NewReplacer("/etc/evenkeel/webhook.secret", f.path("webhook.secret"), "https://evenkeel.example.com", s.URL).Replace(script)
	f.write("webhook.secret", "0123456789abcdef0123456789abcdef\n")
	push := func(ref string) string {
		cmd := exec.Command("sh", "-c", script)
		cmd.Stdin = strings.NewReader(strings.Repeat("0", 40) + " " + strings.Repeat("ab", 20) + " " + ref + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := push("refs/heads/main"); !strings.Contains(out, `"fetching":true`) || f.fake.Pokes() != 1 {
		t.Errorf("%s, %d pokes", out, f.fake.Pokes())
	}
	if out := push("refs/heads/next"); !strings.Contains(out, "another branch") {
		t.Errorf("%s", out)
	}
}
