package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// say runs one command line and returns what it printed.
func say(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	err := c.ExecuteContext(context.Background())
	return out.String(), err
}

func TestCommands(t *testing.T) {
	lab.Require(t)
	t.Cleanup(func() {
		if _, err := say(t, "down", "--prefix", "cmd"); err != nil {
			t.Error(err)
		}
	})
	inventory := filepath.Join(t.TempDir(), "hosts.yaml")
	for _, step := range []struct {
		line string
		want string // a regular expression of what is printed; "!" and one of the error
	}{
		{"list --prefix cmd", `^(no lab is up.*\n)?$`},
		{"cut 1 --prefix cmd", "!no lab cmd is up"},
		{"up 2 --prefix cmd --haproxy=app:8080", `(?s)h1 +10\.213\.\d+\.11 +on\n  h2 .*backend app: http://127\.0\.0\.1:\d+, runtime API tcp://127\.0\.0\.1:\d+\n  flags: --identity /\S+ --known-hosts /\S+ --ssh-user deploy --become`},
		{"up 2 --prefix cmd", "!is up already"},
		{"cut 1 2 --prefix cmd", "^$"},
		{"heal h1 h2 --prefix cmd", "^$"},
		{"cut 3 --prefix cmd", "!has no host 3: it has h1 to h2"},
		{"kill 2 --prefix cmd", "^$"},
		{"list --prefix cmd", `h2 +\S+ +off`},
		{"boot 2 --prefix cmd", "^$"},
		{"freeze 2 --prefix cmd", "^$"},
		{"thaw 2 --prefix cmd", "^$"},
		{"reboot 2 --prefix cmd", "^$"},
		{"list --prefix cmd", `h2 +\S+ +on`},
		{"inventory --prefix cmd --labels role=web", `kind: Inventory\n(?s).*\{name: h2, address: 10\.213\.\d+\.12, labels: \{"role": "web"\}\}`},
		{"inventory --prefix cmd " + inventory, "^$"},
		{"down --prefix cmd", "^$"},
		{"list --prefix cmd", `^(no lab is up.*\n)?$`},
		{"up none", "!not a number"},
		{"up 1 --haproxy=app", "!BACKEND:PORT is needed"},
		{"up 1 --os no/where", "!a suite is needed"},
		{"up 3 --os bookworm,trixie", "!one for each host"},
		{"up 1 --sh fish", "!cannot make \"fish\" the hosts' sh"},
		{"up 1 --prefix Bad", "!a prefix is 1 to 8"},
		{"ssh 1 --prefix cmd", "!"},
	} {
		out, err := say(t, strings.Fields(step.line)...)
		want, fails := strings.CutPrefix(step.want, "!")
		if fails != (err != nil) {
			t.Fatalf("lab %s: %v", step.line, err)
		}
		if fails {
			out = err.Error()
		}
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("lab %s: %q is not as %q", step.line, out, want)
		}
	}
	if text, err := os.ReadFile(inventory); err != nil || !strings.Contains(string(text), "{name: h1, address:") {
		t.Errorf("%q %v", text, err)
	}
}
