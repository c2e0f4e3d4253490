package show

import (
	"encoding/json"
	"net/url"
	"regexp"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
)

var annotated = []desired.Fault{
	{Pos: desired.Position{File: "services/a b/x,y:z.service", Line: 3, Column: 1}, Severity: desired.SeverityWarning, Rule: "limit-memory", Service: "a", Message: "100% of it\nall", Mend: "less"},
	{Pos: desired.Position{File: "fleet.yaml"}, Rule: "missing-fleet", Message: "none", Host: "h1"},
	{Rule: "no-such-rule", Message: "nowhere \x1b[31m"},
}

func TestGitHub(t *testing.T) {
	want := "::warning file=services/a b/x%2Cy%3Az.service,line=3,col=1,title=limit-memory::100%25 of it\\nall. Mend: less\n" +
		"::error file=fleet.yaml,title=missing-fleet::none (on h1)\n" +
		"::error title=no-such-rule::nowhere \\x1b[31m\n"
	if got := GitHub(annotated); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestSARIF holds the log to what the schema of SARIF 2.1.0 requires of each of its parts
// (section 3 of the specification).
func TestSARIF(t *testing.T) {
	text, err := json.Marshal(SARIF(annotated, "1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool *struct {
				Driver *struct {
					Name, Version string
					Rules         []struct {
						ID, HelpURI          string
						DefaultConfiguration struct{ Level string }
					}
				}
			}
			ColumnKind string
			Results    []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   *struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI, URIBaseID string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || log.Schema == "" || len(log.Runs) != 1 || log.Runs[0].Tool == nil || log.Runs[0].Tool.Driver == nil || log.Runs[0].Tool.Driver.Name == "" {
		t.Fatalf("%s", text)
	}
	run := log.Runs[0]
	if run.ColumnKind != "utf16CodeUnits" && run.ColumnKind != "unicodeCodePoints" {
		t.Errorf("columnKind %q", run.ColumnKind)
	}
	level := regexp.MustCompile(`^(none|note|warning|error)$`)
	ids := map[string]bool{}
	for _, r := range run.Tool.Driver.Rules {
		if r.ID == "" || ids[r.ID] || !level.MatchString(r.DefaultConfiguration.Level) {
			t.Errorf("rule %+v", r)
		}
		if u, err := url.Parse(r.HelpURI); err != nil || !u.IsAbs() || u.Fragment != r.ID {
			t.Errorf("rule %+v", r)
		}
		ids[r.ID] = true
	}
	for i, r := range run.Results {
		if r.Message == nil || r.Message.Text == "" || !level.MatchString(r.Level) || r.RuleIndex < -1 || r.RuleIndex >= 0 && run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("result %+v", r)
		}
		for _, at := range r.Locations {
			u, err := url.Parse(at.PhysicalLocation.ArtifactLocation.URI)
			if err != nil || u.IsAbs() || u.Path != annotated[i].Pos.File || at.PhysicalLocation.Region.StartLine < 1 || at.PhysicalLocation.Region.StartColumn < 1 {
				t.Errorf("location %+v: %v", at, err)
			}
		}
	}
	if len(run.Results) != 3 || len(run.Results[2].Locations) != 0 || run.Results[2].RuleIndex != -1 || run.Results[0].Level != "warning" {
		t.Errorf("results: %s", text)
	}
}
