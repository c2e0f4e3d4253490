package desired

import (
	"context"
	"strings"
	"testing"
)

// What is wrong with a hook is told where it stands.
func TestHookFaults(t *testing.T) {
	const at = "services/a/service.yaml:"
	for name, c := range map[string]struct{ hook, want string }{
		"nothing":          {"{name: build, run: make, artifact: app, user: app, env: /etc/a/a.env}", ""},
		"a key of none":    {"{name: build, run: make, runonce: true}", at + `6:36: unknown key "runonce": did you mean "runOnce"?`},
		"no command":       {"{name: build}", at + "6:11: "},
		"a name of none":   {"{name: Build, run: make}", at + "6:18: "},
		"a template":       {`{name: build, run: "echo {{ .Host.Name }}"}`, at + "6:30: run is no template"},
		"no such artifact": {"{name: build, run: make, artifact: apt}", at + `6:46: the service has no artifact "apt"`},
		"no such env file": {"{name: build, run: make, env: [/etc/b.env]}", at + `6:42: the service has no env file "/etc/b.env"`},
		"once for ever":    {"{name: build, run: make, runOnce: true}", at + "6:11: a hook that runs once needs a timeout"},
		"retry for nobody": {"{name: build, run: make, retry: true}", at + "6:43: retry says that what runs once"},
		"twice":            {"{name: build, run: make}, {name: build, run: make}", at + `6:44: hook "build" is there already`},
	} {
		t.Run(name, func(t *testing.T) {
			repo := plain.with(files{"dist/app": "#!/bin/sh\n", "services/a/service.yaml": service("a", "  hooks: ["+c.hook+"]\n"+
				"  units: [{source: a.service}]\n  env: [{path: /etc/a/a.env, source: a.env}]\n  artifacts: [{name: app, source: dist/app, path: /opt/a/app}]\n")})
			got := findings(t, repo, LoadOptions{})
			if c.want == "" && strings.Contains(got, "hooks") || !strings.Contains(got, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

// A hook is another one for another release and for another line, and for nothing else.
func TestHookIDs(t *testing.T) {
	id := func(program, hook string) string {
		t.Helper()
		rev, err := load(t, plain.with(files{"dist/app": program, "services/a/service.yaml": service("a",
			"  hooks: ["+hook+"]\n  artifacts: [{name: app, source: dist/app, path: /opt/a/app}]\n")}), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
		if err != nil {
			t.Fatal(err)
		}
		in, ok := st.Instance("a")
		if !ok || len(in.Hooks) != 1 || len(in.Hooks[0].ID) != 32 {
			t.Fatalf("%+v", in.Hooks)
		}
		return in.Hooks[0].ID
	}
	first := id("one", "{name: build, run: make}")
	for _, c := range []struct {
		program, hook string
		same          bool
	}{
		{"one", "{name: build, run: make, user: app, timeout: 1m}", true},
		{"two", "{name: build, run: make}", false},
		{"one", "{name: build, run: make all}", false},
		{"one", "{name: built, run: make}", false},
	} {
		if (id(c.program, c.hook) == first) != c.same {
			t.Errorf("%s %s", c.program, c.hook)
		}
	}
}
