package adopt

import (
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
)

func TestSecrets(t *testing.T) {
	for assignment, want := range map[string]bool{
		"TOKEN=abc": true, "DB_PASSWORD=x": true, "API_KEY=k": true, "STRIPE_KEY=k": true, "SESSION_SECRET=x": true, "jwt=x": true, "PGPASSWORD_FILE=/run/x": false,
		"TOKEN_TTL=3600s": false, "TOKEN=": false, "PORT=8080": false, "AUTH=basic": false, "AUTH_ENABLED=true": false, "PUBLIC_URL=https://example.com": false,
		"DATABASE_URL=postgres://app:pw@db/app": true, "DATABASE_URL=postgres://db/app": false, "X=ghp_0123456789abcdefghijABCDEFGHIJ012345": true,
		"X=0123456789abcdef0123456789abcdef": true, "HOME_PATH=/opt/a/b/c/d/e/f/g/h/i/j/k/l/m/n/1": false, "KEYBOARD=de": false, "MONKEY=x": false, "PASSWORD=true": true,
		"X=-----BEGIN OPENSSH PRIVATE KEY-----": true, "COOKIE_NAME=sid": false, "PRIVATE_KEY=/etc/x.pem": false,
	} {
		key, value, _ := strings.Cut(assignment, "=")
		if got := (Secrets{}).Is(key, value); got != want {
			t.Errorf("%s: %v", assignment, got)
		}
	}
	s := Secrets{Also: []string{"SMTP_*"}, Plain: []string{"PUBLIC_*"}}
	if !s.Is("SMTP_LOGIN", "x") || s.Is("PUBLIC_KEY", "x") {
		t.Error("what somebody says does not hold")
	}
}

func TestSplitEnv(t *testing.T) {
	for text, want := range map[string]struct {
		base, sealed string
		whole        bool
	}{
		"A=1\nTOKEN=x\n# end\n":               {"A=1\nTOKEN=\n# end\n", "TOKEN=x\n", false},
		"TOKEN=\"a b\"":                       {"TOKEN=", "TOKEN=\"a b\"\n", false},
		"A=1\n":                               {"A=1\n", "", false},
		"TOKEN='a\nb'\n":                      {"", "TOKEN='a\nb'\n", true},
		"TOKEN=a\nTOKEN=b\n":                  {"", "TOKEN=a\nTOKEN=b\n", true},
		"A=1\n# TOKEN=old\n":                  {"", "A=1\n# TOKEN=old\n", true},
		"export TOKEN=x\n":                    {"", "export TOKEN=x\n", true},
		"# TOKEN=\nA=1\n":                     {"# TOKEN=\nA=1\n", "", false},
		"TOKEN =x\n":                          {"", "TOKEN =x\n", true},
		"TOKEN=a\\\nb\n":                      {"", "TOKEN=a\\\nb\n", true},
		"# see https://u:pw@example.com\nA=1": {"", "# see https://u:pw@example.com\nA=1", true},
	} {
		p := splitEnv([]byte(text), Secrets{})
		if string(p.base) != want.base || string(p.sealed) != want.sealed || p.whole != want.whole {
			t.Errorf("%q: %q, %q, %v", text, p.base, p.sealed, p.whole)
		}
	}
}

// joined puts the secrets back, as EnvSpec.Merge does in place.
func joined(p envParts) string {
	values := map[string]string{}
	for line := range strings.Lines(string(p.sealed)) {
		key, raw, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		values[key] = raw
	}
	var b strings.Builder
	for line := range strings.Lines(string(p.base)) {
		key, ok := strings.CutSuffix(strings.TrimSuffix(line, "\n"), "=")
		if v, has := values[key]; ok && has {
			line = strings.Replace(line, "=", "="+v, 1)
		}
		b.WriteString(line)
	}
	return b.String()
}

func FuzzSplitEnv(f *testing.F) {
	for _, s := range []string{"A=1\nTOKEN=x\n", "TOKEN='a\nb'", "TOKEN=\nTOKEN=x", "#TOKEN=x", "TOKEN=a\\nb\n", "A='\nTOKEN=x\n'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := splitEnv([]byte(text), Secrets{})
		if p.whole {
			if string(p.sealed) != text || len(p.base) > 0 {
				t.Fatalf("%q is not whole: %q, %q", text, p.base, p.sealed)
			}
			return
		}
		if got := joined(p); got != text {
			t.Fatalf("%q came back as %q", text, got)
		}
		vars, _ := desired.ParseEnv(p.base)
		for _, v := range vars {
			if (Secrets{}).Is(v.Key, v.Value) {
				t.Fatalf("%s of %q stays in %q", v.Key, text, p.base)
			}
		}
	})
}

func FuzzTemplateEnv(f *testing.F) {
	f.Add("A=1\nB=x\n", "A=2\nB=x\n")
	f.Add("A=1", "A=2\n")
	f.Add("A='x y'\n", "A={{\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		tmpl, vars, ok := templateEnv(map[string][]byte{"h1": []byte(a), "h2": []byte(b)}, "p")
		if !ok {
			return
		}
		for h, want := range map[string]string{"h1": a, "h2": b} {
			got := string(tmpl)
			for _, k := range slices.Backward(sorted(vars[h])) {
				got = strings.Replace(got, "{{ .Vars."+k+" }}", vars[h][k], 1)
			}
			if got != want {
				t.Fatalf("%q and %q: %q becomes %q", a, b, tmpl, got)
			}
		}
	})
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{"a-b.service": "a-b.service", "yes": `"yes"`, "08": `"08"`, "a b": `"a b"`, "": `""`, "{x": `"{x"`, "null": `"null"`, "a: b": `"a: b"`, "<": `"<"`} {
		if got := quote(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}
