package show

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// docsURL is where each rule is described.
const docsURL = "https://github.com/evenkeel/evenkeel/blob/main/docs/validate.md"

// SARIFLog is a log of the Static Analysis Results Interchange Format 2.1.0
// (docs.oasis-open.org/sarif/sarif/v2.1.0), as far as findings need it.
type SARIFLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version,omitempty"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID      string       `json:"id"`
	HelpURI string       `json:"helpUri"`
	Default sarifSetting `json:"defaultConfiguration"`
}

type sarifSetting struct {
	Enabled bool   `json:"enabled"`
	Level   string `json:"level"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations,omitempty"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI       string `json:"uri"`
	URIBaseID string `json:"uriBaseId"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn"`
}

type sarifLogical struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// SARIF is findings for code scanning and editors.
func SARIF(faults []desired.Fault, version string) SARIFLog {
	driver := sarifDriver{Name: "evenkeel", Version: version, InformationURI: "https://github.com/evenkeel/evenkeel", Rules: []sarifRule{}}
	index := map[string]int{}
	for i, r := range desired.Rules() {
		index[r.Name] = i
		level := string(r.Level)
		if r.Level == desired.LevelOff {
			level = "note"
		}
		driver.Rules = append(driver.Rules, sarifRule{ID: r.Name, HelpURI: docsURL + "#" + r.Name, Default: sarifSetting{Enabled: r.Level != desired.LevelOff, Level: level}})
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "utf16CodeUnits", Results: []sarifResult{}}
	for _, f := range faults {
		r := sarifResult{RuleID: f.Rule, RuleIndex: -1, Level: levelWord(f), Message: sarifText{sentence(f)}}
		if i, ok := index[f.Rule]; ok {
			r.RuleIndex = i
		}
		if f.Pos.File != "" {
			at := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{URI: (&url.URL{Path: f.Pos.File}).EscapedPath(), URIBaseID: "%SRCROOT%"},
				Region: sarifRegion{StartLine: max(1, f.Pos.Line), StartColumn: max(1, f.Pos.Column)}}}
			if f.Service != "" {
				at.Logical = []sarifLogical{{Name: f.Service, Kind: "module"}}
			}
			r.Locations = []sarifLocation{at}
		}
		run.Results = append(run.Results, r)
	}
	return SARIFLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

func levelWord(f desired.Fault) string {
	if f.IsError() {
		return "error"
	}
	return "warning"
}

// sentence is a finding without its place.
func sentence(f desired.Fault) string {
	text := f.Message
	if f.Host != "" {
		text += " (on " + f.Host + ")"
	}
	if f.Mend != "" {
		text += ". Mend: " + f.Mend
	}
	return text
}

// GitHub is findings as annotations of a workflow's run (docs.github.com, "Workflow
// commands"): a line each.
func GitHub(faults []desired.Fault) string {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var b strings.Builder
	for _, f := range faults {
		b.WriteString("::" + levelWord(f) + " ")
		if f.Pos.File != "" {
			b.WriteString("file=" + property.Replace(Clean(f.Pos.File)))
			if f.Pos.Line > 0 {
				b.WriteString(",line=" + strconv.Itoa(f.Pos.Line))
			}
			if f.Pos.Column > 0 {
				b.WriteString(",col=" + strconv.Itoa(f.Pos.Column))
			}
			b.WriteString(",")
		}
		b.WriteString("title=" + property.Replace(f.Rule) + "::" + data.Replace(Clean(sentence(f))) + "\n")
	}
	return b.String()
}
