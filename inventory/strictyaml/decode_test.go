package strictyaml

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type shelf struct {
	Name  string            `yaml:"name" jsonschema:"required"`
	Size  int               `yaml:"size" jsonschema:"minimum=1,maximum=9"`
	Open  *bool             `yaml:"open"`
	Kind  string            `yaml:"kind" jsonschema:"enum=wood,enum=steel"`
	Books []book            `yaml:"books"`
	Marks map[string]string `yaml:"marks"`
	Any   map[string]any    `yaml:"any"`
	Bare  *struct{}         `yaml:"bare"`
	Level level             `yaml:"level"`
}

type book struct {
	Title string `yaml:"title" jsonschema:"required"`
}

type level int

func (l *level) UnmarshalYAML(n *yaml.Node) error {
	if n.Value != "low" {
		return &Invalid{Message: "must be low", Mend: "write low"}
	}
	*l = 1
	return nil
}

func decode(t *testing.T, text string) (shelf, Positions, string) {
	t.Helper()
	docs, faults := Parse("f.yaml", []byte(text))
	var s shelf
	if len(docs) == 0 {
		return s, Positions{}, faults.Error()
	}
	pos, more := Decode(docs[0], &s)
	faults = append(faults, more...)
	faults.Sort()
	return s, pos, faults.Error()
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing wrong":          {"name: a\nkind: wood\nbare:\nlevel: low\n", ""},
		"a misspelt key":         {"name: a\nbokos: []\n", `f.yaml:2:1: unknown key "bokos": did you mean "books"?`},
		"a key in a list":        {"name: a\nbooks:\n  - {title: x, tilte: y}\n", `f.yaml:3:16: unknown key "tilte": did you mean "title"?`},
		"a key like no other":    {"name: a\nzzzzzz: 1\n", `f.yaml:2:1: unknown key "zzzzzz": there are any, bare, books, kind, level, marks, name, open, size`},
		"twice the same key":     {"name: a\nsize: 1\nname: b\n", `f.yaml:3:1: duplicate key "name": it stands in line 1 already`},
		"a key that is missing":  {"size: 1\n", `f.yaml:1:1: missing key "name" in the document`},
		"one without a value":    {"name:\n", `f.yaml:1:1: key "name" has no value`},
		"missing within a list":  {"name: a\nbooks: [{}]\n", `f.yaml:2:9: missing key "title" in "books[0]"`},
		"a number for text":      {"name: 0640\n", `f.yaml:1:7: "name" must be text, not the number 0640: write it in quotes: "0640"`},
		"a truth value for text": {"name: a\nmarks: {x: true}\n", `f.yaml:2:12: "x" must be text, not the truth value true: write it in quotes: "true"`},
		"text for a number":      {"name: a\nsize: big\n", `f.yaml:2:7: "size" must be a whole number, not the text "big"`},
		"too small a number":     {"name: a\nsize: 0\n", `f.yaml:2:7: "size" cannot be 0: the least is 1`},
		"too large a number":     {"name: a\nsize: 10\n", `f.yaml:2:7: "size" cannot be 10: the most is 9`},
		"text for a truth value": {"name: a\nopen: yes\n", `f.yaml:2:7: "open" must be true or false, not the text "yes"`},
		"a map for a list":       {"name: a\nbooks: {title: x}\n", `f.yaml:2:8: "books" must be a list, not a map: write [ ] around it, or - before it`},
		"text for a map":         {"name: a\nbooks: [x]\n", `f.yaml:2:9: "books[0]" must be a map, not the text "x"`},
		"a list for text":        {"name: [a]\n", `f.yaml:1:7: "name" must be text, not a list`},
		"an empty entry":         {"name: a\nbooks:\n  -\n", `f.yaml:3:4: an entry of "books" is empty`},
		"not of the enumeration": {"name: a\nkind: stele\n", `f.yaml:2:7: "kind" cannot be "stele": did you mean "steel"?`},
		"nothing like one":       {"name: a\nkind: gold-plated\n", `f.yaml:2:7: "kind" cannot be "gold-plated": it is one of wood, steel`},
		"its own decoder":        {"name: a\nlevel: high\n", `f.yaml:2:8: "level" must be low: write low`},
		"a tag of Ansible's":     {"name: a\nany: {k: !vault x}\n", `f.yaml:2:10: "k" is encrypted with Ansible Vault, which evenkeel does not open: keep it in a SOPS file that a service's env names`},
		"a tag of nobody's":      {"name: a\nany: {k: !what x}\n", `f.yaml:2:10: "k" has the tag "!what", which means nothing here`},
		"merged what is no map":  {"name: a\n<<: 3\n", `f.yaml:2:5: << must name a map or a list of maps`},
		"no YAML":                {"name: [a\n", `f.yaml:1: not YAML: did not find expected ',' or ']'`},
		"several at once, in order": {"nam: a\nsize: x\n", "f.yaml:1:1: missing key \"name\" in the document\n" +
			"f.yaml:1:1: unknown key \"nam\": did you mean \"name\"?\nf.yaml:2:7: \"size\" must be a whole number, not the text \"x\""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, got := decode(t, c.text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	s, pos, faults := decode(t, `
base: &b {title: shared}
`+"name: a\nsize: 3\nopen: false\nlevel: low\nbare:\nbooks: [{<<: *b}, {title: own, <<: *b}]\nany: {i: 7, f: 1.5, t: true, s: \"7\", d: 2024-01-01, n: null, l: [1, {x: y}]}\n")
	if !strings.Contains(faults, `unknown key "base"`) {
		t.Errorf("faults: %s", faults)
	}
	if s.Name != "a" || s.Size != 3 || s.Open == nil || *s.Open || s.Level != 1 || s.Bare == nil {
		t.Errorf("got %+v", s)
	}
	if len(s.Books) != 2 || s.Books[0].Title != "shared" || s.Books[1].Title != "own" {
		t.Errorf("merge keys: %+v", s.Books)
	}
	if s.Any["i"] != 7 || s.Any["f"] != 1.5 || s.Any["t"] != true || s.Any["s"] != "7" || s.Any["d"] != "2024-01-01" {
		t.Errorf("plain values: %#v", s.Any)
	}
	if _, set := s.Any["n"]; set {
		t.Error("a null var counts as set")
	}
	if p := pos.At("books[1].title"); p.Line != 8 || p.Column != 27 {
		t.Errorf("books[1].title is at %s", p)
	}
	if p := pos.At("books[1].nothing"); p.Line != 8 || p.Column != 19 {
		t.Errorf("what is not there is at %s", p)
	}
}

// A document of a few lines must not unfold to more than memory holds.
func TestBombsAreRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("name: a\nany:\n  a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		prev := string(rune('a'+i-1)) + "0"
		this := string(rune('a'+i)) + "0"
		b.WriteString("  " + this + ": &" + this + " [" + strings.TrimSuffix(strings.Repeat("*"+prev+",", 9), ",") + "]\n")
	}
	if _, _, got := decode(t, b.String()); !strings.Contains(got, "unfolds to more than") {
		t.Errorf("got %s", got)
	}
	deep := "name: a\nany: {k: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "}\n"
	if _, _, got := decode(t, deep); !strings.Contains(got, "unfolds to more than") {
		t.Errorf("got %s", got)
	}
	if _, _, got := decode(t, "name: a\nany: &x {k: *x}\n"); got == "" {
		t.Error("a value within itself was taken")
	}
	if _, faults := Parse("f.yaml", make([]byte, MaxBytes+1)); len(faults) != 1 || faults[0].Rule != "too-large" {
		t.Errorf("got %v", faults)
	}
}

func TestDocuments(t *testing.T) {
	docs, faults := Parse("f.yaml", []byte("# nothing\n---\n---\napiVersion: v\nkind: K\nmetadata: {name: n}\n---\n- a\n"))
	if len(docs) != 2 || len(faults) != 0 {
		t.Fatalf("got %d documents, %v", len(docs), faults)
	}
	if h := docs[0].Header(); h != (Header{"v", "K", "n"}) || !docs[0].IsEvenkeel() || docs[0].Pos().Line != 4 {
		t.Errorf("got %+v at %s", h, docs[0].Pos())
	}
	if docs[1].IsEvenkeel() || docs[1].Header() != (Header{}) {
		t.Error("a list was taken for one of evenkeel's documents")
	}
	docs, faults = Parse("f.yaml", []byte("a: 1\n---\nb: [\n"))
	if len(docs) != 1 || len(faults) != 1 || faults[0].Pos.Line < 3 {
		t.Errorf("got %d documents, %v", len(docs), faults)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"name: a\nbooks: [{title: x}]\n", "a: &a [*a]\n", "<<: {<<: [a]}\n", "? [a]\n: b\n", "name: !!binary x\n", "\xff: {"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, faults := Parse("f.yaml", data)
		for _, d := range docs {
			var s shelf
			_, more := Decode(d, &s)
			faults = append(faults, more...)
			d.Header()
		}
		for _, fault := range faults {
			if fault.Message == "" || fault.Pos.File != "f.yaml" {
				t.Errorf("a fault without place or words: %+v", fault)
			}
			if strings.ContainsAny(fault.String(), "\n\r\x1b") {
				t.Errorf("a fault with control characters: %q", fault.String())
			}
		}
	})
}
