package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who was taken from a SOPS file is told by validate until each value is another one.
func TestValidateTellsWhoStillKnowsASecret(t *testing.T) {
	top, git := gitRepo(t)
	dir := t.TempDir()
	say := func(stdin string, args ...string) string {
		t.Helper()
		term, out, errs := streams()
		term.stdin = strings.NewReader(stdin)
		term.getenv = func(k string) string {
			return map[string]string{"EVENKEEL_SECRETS_AGEIDENTITY": filepath.Join(dir, "mine"), "EVENKEEL_REPO": filepath.Join(top, "fleet")}[k]
		}
		if code := run(args, term); code != 0 {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
		if strings.Contains(out.String()+errs.String(), "hunter") {
			t.Errorf("%v tells a value: %s%s", args, out, errs)
		}
		return strings.TrimSpace(out.String())
	}
	me, them := say("", "secret", "keygen", filepath.Join(dir, "mine")), say("", "secret", "keygen", filepath.Join(dir, "theirs"))
	file := filepath.Join(top, "fleet", "services", "hello", "hello.secrets.env")
	say("hunter2\n", "secret", "set", file, "TOKEN", "--recipient", me, "--recipient", them)
	service := filepath.Join(top, "fleet", "services", "hello", "service.yaml")
	text, err := os.ReadFile(service)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "source: hello.env.tmpl", "source: [hello.env.tmpl, hello.secrets.env]", 1)
	if changed == string(text) {
		t.Fatalf("the first fleet repo's service is another one:\n%s", text)
	}
	if err := os.WriteFile(service, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", ".")
	git("commit", "-q", "-m", "a secret")
	if got := say("", "validate"); strings.Contains(got, "still what it was") {
		t.Errorf("nobody was removed: %s", got)
	}
	say("", "secret", "recipients", file, "--remove", them)
	if got := say("", "validate"); !strings.Contains(got, "warning: "+them+", which was removed since, could open it in commit") || !strings.Contains(got, "the value of TOKEN is still what it was") {
		t.Errorf("got %s", got)
	}
	git("commit", "-q", "-a", "-m", "somebody left")
	say("hunter3\n", "secret", "set", file, "TOKEN")
	if got := say("", "validate", "-o", "json"); strings.Contains(got, "known-secret") {
		t.Errorf("it is another value: %s", got)
	}
}
