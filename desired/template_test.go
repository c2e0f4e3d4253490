package desired

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func renderText(text string, vars map[string]any) string {
	at := Position{File: "f.tmpl", Line: 1, Column: 1}
	t, f := parseTemplate(text, at)
	if f != nil {
		return f.String()
	}
	out, f := t.render(vars, at)
	if f != nil {
		return f.String()
	}
	return string(out)
}

func data() map[string]any {
	return map[string]any{
		"Host":    map[string]any{"Name": "web-1", "Labels": map[string]string{"rack": "a"}, "Groups": []string{"eu", "web"}},
		"Service": map[string]any{"Name": "gateway"},
		"Vars":    map[string]any{"version": "1.2", "n": 3, "deep": map[string]any{"key": "x"}, "list": []any{"p", "q"}},
	}
}

func TestRender(t *testing.T) {
	for text, want := range map[string]string{
		"{{ .Host.Name }}-{{ .Vars.version }}":                                                     "web-1-1.2",
		"{{ .Vars.deep.key | upper | quote }}":                                                     `"X"`,
		"{{ range $i, $g := .Host.Groups }}{{ $i }}{{ $g }} {{ end }}":                             "0eu 1web ",
		"{{ index .Vars \"version\" }} {{ index .Vars.list 1 }} {{ index .Host.Labels \"rack\" }}": "1.2 q a",
		"{{ get .Vars \"none\" | default \"d\" }}":                                                 "d",
		"{{ if hasKey .Vars \"none\" }}x{{ else }}y{{ end }}":                                      "y",
		"{{ define \"x\" }}[{{ . }}]{{ end }}{{ template \"x\" .Vars.n }}":                         "[3]",
		"{{ toJson .Vars.deep }}{{ .Vars.list | join \",\" }}":                                     `{"key":"x"}p,q`,
		"{{ $d := dict \"a\" 1 }}{{ $_ := set $d \"b\" 2 }}{{ $d.b }}":                             "2",
		"{{ repeat 3 \"ab\" }} {{ until 3 }} {{ add 1 .Vars.n }}":                                  "ababab [0 1 2] 4",
		"{{ keys .Vars }} {{ values .Vars.deep }}":                                                 "[deep list n version] [x]",
		"{{ print .Vars.n \"x\" }} {{ printf \"%05d\" .Vars.n }}":                                  "3x 00003",
	} {
		if got := renderText(text, data()); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestTemplateFaults(t *testing.T) {
	for text, want := range map[string]string{
		"a\n  {{ .Vars.versoin }}":    `f.tmpl:2:11: .Vars has no "versoin": did you mean "version"?`,
		"{{ .Vars.deep.kye }}":        `f.tmpl:1:9: .Vars.deep has no "kye": did you mean "key"?`,
		"{{ .Vars.secret_thing }}":    `f.tmpl:1:9: .Vars has no "secret_thing": there are deep, list, n, version`,
		"{{ $.Host.Labels.rakc }}":    `f.tmpl:1:5: .Host.Labels has no "rakc": did you mean "rack"?`,
		"{{ .Hosts.Name }}":           `f.tmpl:1:10: the template's data has no "Hosts": did you mean "Host"?`,
		"{{ index .Vars \"x\" }}":     `f.tmpl:1:4: {{ index .Vars "x" }} has no "x"`,
		"{{ index .Vars.list 7 }}":    `f.tmpl:1:4: cannot render {{ index .Vars.list 7 }}: error calling index: index 7 is out of range`,
		"{{ .Vars.version.major }}":   `f.tmpl:1:9: cannot render {{ .Vars.version.major }}: can't evaluate field major in type interface {}`,
		"{{ fail \"set it\" }}":       `f.tmpl:1:4: cannot render {{ fail "set it" }}: error calling fail: set it`,
		"{{ if }}":                    `f.tmpl:1: not a template: missing value for if`,
		"\n{{ end }}":                 `f.tmpl:2: not a template: unexpected {{end}}`,
		"{{ env \"HOME\" }}":          `f.tmpl:1: templates have no function "env": a revision renders the same everywhere: put the value into vars`,
		"{{ genPrivateKey \"rsa\" }}": `f.tmpl:1: templates have no function "genPrivateKey": a revision renders the same every time: make the value once and keep it in vars or a SOPS file`,
		"{{ template \"x\" }}":        `f.tmpl:1:13: cannot render {{ {{template "x"}} }}: template "x" not defined`,
		"{{ div 1 0 }}":               `f.tmpl:1:4: cannot render {{ div 1 0 }}: error calling div: runtime error: integer divide by zero`,
	} {
		if got := renderText(text, data()); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// Whatever a template does, it ends soon and takes little.
func TestTemplatesEnd(t *testing.T) {
	for name, text := range map[string]string{
		"nested loops without output":       "{{ $l := until 90000 }}{{ range $l }}{{ range $l }}{{ range $l }}{{ end }}{{ end }}{{ end }}",
		"nested loops with calls":           "{{ range until 90000 }}{{ range until 90000 }}{{ end }}{{ end }}",
		"recursion":                         "{{ define \"x\" }}{{ template \"x\" . }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}",
		"endless output":                    "{{ range until 90000 }}{{ range until 90000 }}xxxxxxxxxx{{ end }}{{ end }}",
		"a doubled text":                    "{{ $x := \"0123456789\" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}",
		"a doubled text by format":          "{{ $x := \"0123456789\" }}{{ range until 60 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}",
		"a doubled list":                    "{{ $x := list 1 2 }}{{ range until 60 }}{{ $x = concat $x $x }}{{ end }}",
		"a doubled map":                     "{{ $x := dict \"a\" \"b\" }}{{ range until 60 }}{{ $x = dict \"l\" $x \"r\" $x }}{{ end }}{{ toJson $x }}",
		"a map in itself":                   "{{ $x := dict }}{{ $_ := set $x \"x\" $x }}{{ $x }}",
		"a map in itself by merging":        "{{ $x := dict }}{{ $_ := merge $x (dict \"x\" $x) }}{{ print $x }}",
		"a huge repetition":                 "{{ repeat 99999 (repeat 99999 \"x\") }}",
		"a huge count":                      "{{ until 2000000000 }}",
		"a huge sequence":                   "{{ seq 1 2000000000 }}",
		"a huge step":                       "{{ untilStep 0 2000000000 1 }}",
		"a huge indent":                     "{{ indent 2000000000 \"x\" }}",
		"a huge replacement":                "{{ $x := repeat 90000 \"ab\" }}{{ replace \"a\" $x $x }}",
		"a huge regular replacement":        "{{ $x := repeat 90000 \"ab\" }}{{ regexReplaceAll \"a\" $x $x }}",
		"a huge join":                       "{{ $x := repeat 90000 \"ab\" }}{{ join $x (until 90000) }}",
		"a huge width":                      "{{ printf \"%999999999d\" 1 }}{{ printf \"%*d\" 999999 1 }}{{ printf \"%*d\" 999999 1 }}",
		"a large file in a loop, with work": "{{ $x := repeat 90000 \"ab\" }}{{ range until 90000 }}{{ $y := sha512sum $x }}{{ end }}",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got := renderText(text, data())
			if !strings.Contains(got, "f.tmpl") {
				t.Errorf("it passed, with %d bytes", len(got))
			}
			if len(got) > 2000 {
				t.Errorf("a fault of %d bytes", len(got))
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// A template may change its own values, and nobody else sees it.
func TestTemplatesShareNothing(t *testing.T) {
	vars := data()
	at := Position{File: "f.tmpl", Line: 1, Column: 1}
	tm, f := parseTemplate("{{ $_ := set .Vars \"new\" .Host.Name }}{{ $_ := unset .Vars \"version\" }}{{ .Vars.new }}{{ len .Vars }}", at)
	if f != nil {
		t.Fatal(f)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if out, f := tm.render(vars, at); f != nil || string(out) != "web-14" {
				t.Errorf("got %s, %v", out, f)
			}
		})
	}
	wg.Wait()
	if v := vars["Vars"].(map[string]any); v["version"] != "1.2" || v["new"] != nil {
		t.Error("the vars were changed")
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"{{ .Host.Name }}", "{{ range until 9 }}{{ . }}{{ end }}", "{{ define \"x\" }}{{ end }}{{ block \"y\" . }}{{ end }}", "{{ with $x := dict \"a\" (list 1) }}{{ index $x \"a\" 0 }}{{ end }}",
		"{{ regexReplaceAll \"(a)\" \"aaa\" \"${1}b\" }}{{ dig \"a\" \"b\" 1 (dict) }}{{ chunk 2 (until 5) }}", "{{ break }}", "{{ wrapWith 1 \"\\n\" \"abc\" }}{{ trunc -1 \"x\" }}{{ substr 0 1 \"x\" }}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first := renderText(text, data())
		if again := renderText(text, data()); again != first {
			t.Errorf("it renders %q, then %q", first, again)
		}
	})
}
