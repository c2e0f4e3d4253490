package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A secret that a unit loads as a credential, from a file that is not encrypted: systemd
// gives it to the service alone, and a new value restarts the service by the rolling path.
func TestCredentials(t *testing.T) {
	s := newStage(t, 1)
	h := s.hosts[0]
	key := filepath.Join(t.TempDir(), "age.key")
	t.Setenv("EVENKEEL_SECRETS_AGEIDENTITY", key)
	recipient := strings.TrimSpace(secretVerb(s, "", "keygen", key))
	s.service("  credentials: [{name: token, source: token.key, encrypted: off}]\n")
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

// A credential that is encrypted with the host's key: the service reads it, nothing on the
// host's disk tells it, and it is rolled, corrected, taken back and undone as any other file.
func TestEncryptedCredentials(t *testing.T) {
	s := newStage(t, 2)
	h, other := s.hosts[0], s.hosts[1]
	key := filepath.Join(t.TempDir(), "age.key")
	t.Setenv("EVENKEEL_SECRETS_AGEIDENTITY", key)
	recipient := strings.TrimSpace(secretVerb(s, "", "keygen", key))
	s.service("  credentials: [{name: token, source: token.key}]\n")
	// The other host's systemd cannot: there it is a plain file.
	s.on(other, "mv /usr/bin/systemd-creds /usr/bin/systemd-creds.away")
	file := filepath.Join(s.repo, "services/ledger/token.key")
	var values []string
	set := func(args ...string) string {
		t.Helper()
		values = append(values, fmt.Sprintf("canary-%d-3f81\nline two\x01", len(values)))
		secretVerb(s, values[len(values)-1], append([]string{"set", file}, args...)...)
		return values[len(values)-1]
	}
	const sealed, plainly = "/etc/credstore.encrypted/ledger.token", "/etc/credstore/ledger.token"
	has := func(want string) {
		t.Helper()
		for _, x := range s.hosts {
			if got := s.on(x, "cat /run/credentials/ledger.service/token; echo ."); got != want+"." {
				t.Errorf("%s: the service has %q", x.Name(), got)
			}
		}
	}
	digest := func() string { t.Helper(); return s.on(h, "sha256sum <"+sealed) }

	first := set("--recipient", recipient)
	out, _ := s.run(1, "plan", "--diff=full")
	contains(t, out, sealed, plainly, "it is not encrypted, for the host's systemd cannot")
	s.deployed()
	has(first)
	s.on(h, "systemd-creds decrypt --name=token "+sealed+" - | grep -q canary-0")
	s.on(h, "! test -e "+plainly)
	s.on(other, "! test -e "+sealed)
	s.run(0, "plan")
	if env := s.on(h, "tr '\\0' '\\n' </proc/"+s.pid(h)+"/environ"); !strings.Contains(env, "CREDENTIALS_DIRECTORY=/run/credentials/ledger.service") || strings.Contains(env, "canary") {
		t.Errorf("its environment is %s", env)
	}

	// A new value: it is told by identities alone, and the processes are restarted.
	before, was := s.pid(h), digest()
	second := set()
	out, _ = s.run(1, "plan", "--diff=full")
	contains(t, out, sealed, "content changes", "restart ledger.service")
	s.deployed()
	has(second)
	if s.pid(h) == before || digest() == was {
		t.Error("it was not replaced and restarted")
	}

	// What was edited is put back as it was: no new encryption, and no restart, for the
	// process has not read it.
	before, was = s.pid(h), digest()
	for what, edit := range map[string]string{"tampered with": "sed -i 's/^.....//' " + sealed, "gone": "rm " + sealed, "of another value": "echo other | systemd-creds encrypt --name=token - " + sealed} {
		s.on(h, edit)
		out, _ = s.run(1, "plan", "--diff=full")
		contains(t, out, sealed)
		s.deployed()
		if digest() != was || s.pid(h) != before {
			t.Errorf("%s: it was not put right as it was", what)
		}
	}
	s.run(0, "plan")

	// Where the host has lost its key, it is encrypted anew. The process need not notice.
	s.on(h, "cp -a /var/lib/systemd/credential.secret /root/; rm /var/lib/systemd/credential.secret")
	out, _ = s.run(1, "plan")
	contains(t, out, sealed, "the host cannot decrypt it any more")
	s.deployed()
	if digest() == was || s.pid(h) != before {
		t.Error("it was not encrypted anew, or the service was restarted for it")
	}
	s.run(0, "plan")
	s.on(h, "systemctl restart ledger")
	s.back(h)
	has(second)

	// A value that comes with a fault is taken back, and what is undone comes back.
	before = s.on(other, "sha256sum <"+plainly)
	set()
	s.env("PORT=8080", "PORT=not-a-port")
	s.run(6, "apply", "--yes")
	has(second)
	s.env("PORT=not-a-port", "PORT=8080")
	third := set()
	s.deployed()
	has(third)
	s.run(0, "rollout", "undo", "--yes")
	has(second)
	if now := s.on(other, "sha256sum <"+plainly); now != before {
		t.Error("it was not undone on " + other.Name())
	}

	// The service does without it: nothing of it is left.
	s.run(0, "apply", "--yes", "--retry")
	has(third)
	s.service("")
	s.deployed()
	for _, x := range s.hosts {
		s.on(x, "! test -e "+sealed+" && ! test -e "+plainly+" && ! test -e /run/credentials/ledger.service")
	}

	must(s, h.WriteFile("/root/patterns", []byte("canary-"), 0o600))
	s.on(h, "rm /root/credential.secret")
	for place := range strings.Lines(s.on(h, "grep -rlaF -f /root/patterns /etc /var /run /tmp /root /home /opt /dev/shm 2>/dev/null; journalctl -q --no-pager -o export | grep -aF -f /root/patterns; :")) {
		if strings.TrimSpace(place) != "/root/patterns" {
			t.Errorf("a value is on the host: %s", place)
		}
	}
	s.nothingLeft()
}

// A host whose systemd cannot encrypt is left as it is where that is required.
func TestRequiredEncryption(t *testing.T) {
	s := newStage(t, 1)
	h := s.hosts[0]
	s.deployed()
	before := s.pid(h)
	s.service("  credentials: [{name: token, source: token.key, encrypted: require}]\n")
	s.file("services/ledger/token.key", "a value\n")
	s.on(h, "mv /usr/bin/systemd-creds /usr/bin/systemd-creds.away")
	out, errs := s.exit([]int{1, 2}, "apply", "--yes")
	contains(t, out+errs, "is to be encrypted on the host, whose systemd (252", "systemd 250")
	// It is there, and fails.
	must(s, h.WriteFile("/usr/bin/systemd-creds", []byte("#!/bin/sh\necho no key today >&2\nexit 1\n"), 0o755))
	out, errs = s.exit([]int{2}, "apply", "--yes")
	contains(t, out+errs, "systemd-creds cannot encrypt the credential token: no key today")
	s.on(h, "mv /usr/bin/systemd-creds.away /usr/bin/systemd-creds")
	if s.pid(h) != before {
		t.Error("it was restarted")
	}
	s.nothingLeft()
	s.deployed()
	if got := s.on(h, "cat /run/credentials/ledger.service/token"); got != "a value" {
		t.Errorf("the service has %q", got)
	}
}
