package api

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseTokens(t *testing.T) {
	hash := "sha256:" + strings.Repeat("ab", 32)
	cases := map[string]struct{ text, want string }{
		"nothing":          {"", ""},
		"only comments":    {"# none yet\n", ""},
		"an empty list":    {"[]\n", ""},
		"one":              {"- {name: ci, hash: \"" + hash + "\", scopes: [read]}\n", ""},
		"one that expires": {"- name: ci\n  hash: " + hash + "\n  scopes: [read, operate]\n  expires: 2030-01-01T00:00:00Z\n", ""},
		"an unknown key":   {"- {name: ci, hash: \"" + hash + "\", scope: [read]}\n", `did you mean "scopes"?`},
		"no scope":         {"- {name: ci, hash: \"" + hash + "\", scopes: []}\n", "tokens.yaml:1:3: token ci has no scope"},
		"a scope of none":  {"- {name: ci, hash: \"" + hash + "\", scopes: [admin]}\n", `scope "admin": use read, logs or operate`},
		"the token itself": {"- {name: ci, hash: ek_abc, scopes: [read]}\n", "must be sha256:"},
		"two of a name":    {"- {name: ci, hash: \"" + hash + "\", scopes: [read]}\n- {name: ci, hash: \"" + hash + "\", scopes: [read]}\n", "tokens.yaml:2:3: there are two tokens named ci"},
		"a time of none":   {"- {name: ci, hash: \"" + hash + "\", scopes: [read], expires: soon}\n", `expires "soon"`},
		"a name of none":   {"- {name: \"a b\", hash: \"" + hash + "\", scopes: [read]}\n", `the name "a b"`},
		"no list":          {"name: ci\n", "tokens.yaml:1:1"},
		"two documents":    {"[]\n---\n- {name: ci, hash: \"" + hash + "\", scopes: [read]}\n---\n- {name: ci, hash: \"" + hash + "\", scopes: [read]}\n", "one list"},
		"no YAML":          {"- a: b: c\n", "tokens.yaml: not YAML"},
	}
	for name, c := range cases {
		_, err := ParseTokens("tokens.yaml", []byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestTheFileIsEdited(t *testing.T) {
	f := newFixture(t)
	file := f.path("t.yaml")
	add := func(name string) error {
		_, entry, err := NewToken(name, []Scope{ScopeRead}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return AddToken(file, entry)
	}
	f.write("t.yaml", "# who may do what\n[]\n")
	for _, name := range []string{"one", "two", "true"} {
		if err := add(name); err != nil {
			t.Fatal(name, err)
		}
	}
	if err := add("two"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a name twice: %v", err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RemoveToken(file, "two"); err != nil {
		t.Fatal(err)
	}
	if err := RemoveToken(file, "two"); !errors.Is(err, ErrNoToken) {
		t.Errorf("what is not there: %v", err)
	}
	tokens, err := ReadTokens(file)
	if err != nil || len(tokens) != 2 || tokens[1].Name != "true" {
		t.Errorf("%v %v", tokens, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	f.write("t.yaml", "[{name: flow, hash: \"sha256:"+strings.Repeat("ab", 32)+"\", scopes: [read]}]\n")
	if err := add("one"); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("a list in flow style: %v", err)
	}
}

func TestFilesThatOthersMayTouch(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		mode   os.FileMode
		secret bool
		ok     bool
	}{{0o600, true, true}, {0o640, true, true}, {0o644, true, false}, {0o644, false, true}, {0o664, false, false}, {0o602, false, false}} {
		f.write("x", strings.Repeat("s", 20))
		if err := os.Chmod(f.path("x"), c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := readGuarded(f.path("x"), c.secret)
		if (err == nil) != c.ok {
			t.Errorf("%v: %v", c, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod") {
			t.Errorf("no mend: %v", err)
		}
	}
}

func TestTokensAreRandomAndHashed(t *testing.T) {
	a, entry, err := NewToken("a", []Scope{ScopeRead}, time.Now().Add(time.Hour))
	b, _, _ := NewToken("a", []Scope{ScopeRead}, time.Time{})
	if err != nil || a == b || len(a) != len(tokenPrefix)+43 || strings.Contains(entry.Hash, a[len(tokenPrefix):]) {
		t.Errorf("%q %q %+v %v", a, b, entry, err)
	}
	if _, ok := find([]Token{entry}, a); !ok {
		t.Error("its own token is not found")
	}
}

func FuzzParseTokens(f *testing.F) {
	f.Add("- {name: ci, hash: \"sha256:" + strings.Repeat("ab", 32) + "\", scopes: [read], expires: 2030-01-01T00:00:00Z}\n")
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := ParseTokens("tokens.yaml", []byte(text))
		for _, k := range tokens {
			if err != nil || k.check() != nil {
				t.Errorf("%+v, %v", k, err)
			}
		}
	})
}
