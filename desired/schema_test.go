package desired

import (
	"bytes"
	"encoding/json"
	"path"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a YAML document as JSON values.
func asJSON(t *testing.T, n *yaml.Node) any {
	t.Helper()
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSchemaTakesWhatLoadTakes(t *testing.T) {
	s := compileSchema(t)
	for _, dir := range []string{"testdata/ledger", "../examples/nullspace", "initrepo"} {
		seen := 0
		for name, f := range readRepo(t, dir) {
			if path.Ext(name) != ".yaml" || strings.HasPrefix(path.Base(name), ".") {
				continue
			}
			docs, faults := strictyaml.Parse(name, f.Data)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			for _, d := range docs {
				if !d.IsEvenkeel() {
					continue
				}
				seen++
				if err := s.Validate(asJSON(t, d.Root)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if seen < 3 {
			t.Errorf("%s: only %d documents", dir, seen)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
	for name, c := range map[string]struct {
		spec string
		ok   bool
	}{
		"nothing wrong":       {"  drain: [{none: }, {none: {}}]\n  rollout: {maxUnavailable: \"25%\", minHealthyTime: 0, progressDeadline: 1h30m}\n  env: [{path: /e, source: e}, {path: /f, source: [e, f]}]\n", true},
		"an unknown key":      {"  unts: []\n", false},
		"one far below":       {"  health: [{http: {port: 1, pat: /}}]\n", false},
		"not of the words":    {"  units: [{name: a.service, state: running}]\n", false},
		"two checks in one":   {"  health: [{tcp: {port: 1}, unit: {}}]\n", false},
		"none":                {"  health: [{}]\n", false},
		"a port out of range": {"  health: [{tcp: {port: 70000}}]\n", false},
		"suspended":           {"  suspend: true\n", true},
		"suspended, and why":  {"  suspend: moves to another port\n", true},
		"suspended by number": {"  suspend: 1\n", false},
		"a window":            {"  windows: [{kind: deny, schedule: \"0 22 * * *\", duration: 4h, timeZone: Europe/Berlin}]\n", true},
		"a window of no kind": {"  windows: [{schedule: \"0 22 * * *\", duration: 4h}]\n", false},
		"canaries":            {"  rollout: {canary: 10%, promote: manual}\n", true},
		"canaries by time":    {"  rollout: {canary: 1, promote: 10m}\n", true},
		"promote by whom":     {"  rollout: {canary: 1, promote: auto}\n", false},
		"an order":            {"  rollout: {order: inventory}\n", true},
		"an order like none":  {"  rollout: {order: random}\n", false},
		"an order by label":   {"  rollout: {order: {byLabel: rack}, spread: rack, keepGenerations: 9}\n", true},
		"the leader last":     {"  rollout: {order: {leaderLast: {command: x, timeout: 3s}}}\n", true},
		"an empty order":      {"  rollout: {order: {}}\n", false},
		"a leader unasked":    {"  rollout: {order: {leaderLast: {}}}\n", false},
		"one generation":      {"  rollout: {keepGenerations: 1}\n", false},
		"more than 100%":      {"  rollout: {maxUnavailable: \"101%\"}\n", false},
		"a time without unit": {"  rollout: {minHealthyTime: 5}\n", false},
		"a key missing":       {"  env: [{path: /e}]\n", false},
		"a number for a mode": {"  env: [{path: /e, source: e, mode: 0600}]\n", false},
	} {
		docs, faults := strictyaml.Parse("s.yaml", []byte(service("a", c.spec)))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if err := s.Validate(asJSON(t, docs[0].Root)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An editor shows what each key means.
func TestSchemaDescribesEveryKey(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs map[string]struct {
			Description string
			Properties  map[string]struct{ Description string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for name, def := range doc.Defs {
		if def.Description == "" {
			t.Errorf("%s is not described", name)
		}
		for key, p := range def.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s is not described", name, key)
			}
		}
	}
	if len(doc.Defs) < 20 {
		t.Errorf("only %d types", len(doc.Defs))
	}
}
