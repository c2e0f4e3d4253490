package show

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode ✔":  "plain ünïcode ✔",
		"a\tb":             "a    b",
		"a\nb\r":           `a\nb\r`,
		"\x1b[31mred":      `\x1b[31mred`,
		"\u009b31m":        `\x9b31m`,
		"\u202eevil":       `\u202eevil`,
		"bad \xff utf-8":   `bad \xff utf-8`,
		"zero\u200bwidth":  `zero\u200bwidth`,
		"\x00\x7f":         `\x00\x7f`,
		"line\u2028broken": `line\u2028broken`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzCleanLetsNothingThrough(f *testing.F) {
	for _, s := range []string{"", "web-1", "\x1b[2J", "\u202e", "\xff\xfe", "a\tb\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if strings.ContainsFunc(got, needsEscape) {
			t.Errorf("%q: %q", s, got)
		}
		if Clean(got) != got {
			t.Errorf("%q is not clean after once", s)
		}
		if Plain(got) != got {
			t.Errorf("%q holds a sequence", got)
		}
	})
}

func FuzzCleanJSONMeansTheSame(f *testing.F) {
	for _, s := range []string{"", "\u009b", "\U000e0001", "a\u202eb", "\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		doc, err := json.MarshalIndent(map[string]string{"k": s}, "", "  ")
		if err != nil {
			t.Skip()
		}
		var before, after map[string]string
		clean := CleanJSON(doc)
		if json.Unmarshal(doc, &before) != nil || json.Unmarshal(clean, &after) != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q", doc, clean)
		}
		for _, r := range string(clean) {
			if r != '\n' && needsEscape(r) {
				t.Errorf("%U got through in %q", r, clean)
			}
		}
	})
}

func TestRevision(t *testing.T) {
	commit := strings.Repeat("4f1c2d9a", 5)
	for in, want := range map[string]string{
		commit: "4f1c2d9", commit + "-dirty-0123456789ab": "4f1c2d9-dirty-0123456789ab",
		"checkout-0123456789ab": "checkout-0123456789ab", "": "", "v1": "v1",
	} {
		if got := Revision(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"", ""},
		{"web-1", "web-1"},
		{"web-1 web-2", "web-1, web-2"},
		{"web-1 web-2 web-3 db-1", "web-1 … web-3, db-1"},
		{"web-8 web-9 web-10 web-11", "web-8 … web-11"},
		{"web-08 web-09 web-10", "web-08 … web-10"},
		{"web-09 web-010 web-011", "web-09, web-010, web-011"},
		{"web-1 web-3 web-5", "web-1, web-3, web-5"},
		{"a b c d e f g h i j", "a, b, c, d, e, f, g, h and 2 more"},
		{"1 2 3", "1, 2, 3"},
	} {
		if got := Names(strings.Fields(c.in)); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func TestReplaceWordKeepsOtherNames(t *testing.T) {
	for in, want := range map[string]string{
		"web-1":                "‹host›",
		"NAME=web-1\nx=web-10": "NAME=‹host›\nx=web-10",
		"my-web-1 web-1.local": "my-web-1 ‹host›.local",
		"web-1web-1 web-1":     "web-1web-1 ‹host›",
		"nothing":              "nothing",
	} {
		if got := replaceWord(in, "web-1", hostMark); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
