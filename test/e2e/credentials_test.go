package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// A secret that a unit loads as a credential: systemd gives it to the service alone, and
// a new value restarts the service by the rolling path.
func TestCredentials(t *testing.T) {
	s := newStage(t, 1)
	h := s.hosts[0]
	key := filepath.Join(t.TempDir(), "age.key")
	t.Setenv("EVENKEEL_SECRETS_AGEIDENTITY", key)
	recipient := strings.TrimSpace(secretVerb(s, "", "keygen", key))
	s.service("  credentials: [{name: token, source: token.key}]\n")
	file := filepath.Join(s.repo, "services/ledger/token.key")
	value := "-----BEGIN X-----\nline two\x01\n"
	secretVerb(s, value, "set", file, "--recipient", recipient)
	s.deployed()
	has := func(want string) {
		t.Helper()
		// What systemd gives to the service, seen from its own place.
		if got := s.on(h, "cat /run/credentials/ledger.service/token; echo ."); got != want+"." {
			t.Errorf("the service has %q", got)
		}
	}
	has(value)
	for _, place := range []string{"/run/credentials/ledger.service/token", "/etc/credstore/ledger.token"} {
		if got := s.on(h, "runuser -u nobody -- cat "+place+" 2>&1; :"); !strings.Contains(got, "Permission denied") {
			t.Errorf("anybody reads %s: %q", place, got)
		}
	}
	if env := s.on(h, "tr '\\0' '\\n' </proc/"+s.pid(h)+"/environ"); !strings.Contains(env, "CREDENTIALS_DIRECTORY=/run/credentials/ledger.service") || strings.Contains(env, "line two") {
		t.Errorf("its environment is %s", env)
	}
	before := s.pid(h)
	secretVerb(s, "another", "set", file)
	out, _ := s.run(1, "plan", "--diff=full")
	contains(t, out, "/etc/credstore/ledger.token", "restart ledger.service")
	if strings.Contains(out, "line two") || strings.Contains(out, "another") {
		t.Errorf("the plan tells it:\n%s", out)
	}
	s.deployed()
	has("another")
	if s.pid(h) == before {
		t.Error("it was not restarted")
	}
	s.run(0, "plan")
}
