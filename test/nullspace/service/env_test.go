package service

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEnvReportsEveryFaultAtOnce(t *testing.T) {
	env := MapEnv(map[string]string{
		"GRACE": "soon", "KEEP": "0", "NODES": "192.0.2.1:80", "TARGETS": "web-1", "KEY": "hunter2", "PORT": "70000", "EMPTY": "",
	})
	env.Duration("GRACE", time.Second)
	env.Number("KEEP", 5, 1)
	env.URLs("NODES")
	env.Targets("TARGETS")
	env.Secret("KEY", 16)
	env.Required("EMPTY")
	env.Listen("X_LISTEN", ":1")
	err := env.Err()
	if err == nil {
		t.Fatal("no fault reported")
	}
	for _, want := range []string{
		`GRACE is "soon"`, `KEEP is "0"`, `NODES holds "192.0.2.1:80"`, `TARGETS holds "web-1"`,
		"KEY has 7 bytes: make it at least 16", "EMPTY is not set: add it to the service's env file", `PORT is "70000"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("faults lack %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("faults show a secret:\n%v", err)
	}
}

func TestEnvDefaultsAndValues(t *testing.T) {
	env := MapEnv(map[string]string{
		"GRACE": "0", "PORT": "8080", "OWN_LISTEN": "127.0.0.1:1", "NODES": "http://a:1/, https://b",
		"TARGETS": "gateway/web-1=http://c:2", "NULLSPACE_INSTANCE": "web-1",
	})
	check := func(name string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	check("zero duration", env.Duration("GRACE", time.Second), time.Duration(0))
	check("missing duration", env.Duration("NONE", time.Second), time.Second)
	check("own listen wins", env.Listen("OWN_LISTEN", ":9"), "127.0.0.1:1")
	check("PORT comes next", env.Listen("OTHER_LISTEN", ":9"), ":8080")
	check("urls", env.URLs("NODES"), []string{"http://a:1", "https://b"})
	check("targets", env.Targets("TARGETS"), []Target{{"gateway/web-1", "http://c:2"}})
	check("instance", env.Instance(), "web-1")
	check("faults", env.Err(), nil)
}

func TestCredential(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"key": "0123456789abcdef\n", "short": "hunter2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	given := map[string]string{"CREDENTIALS_DIRECTORY": dir, "KEY": "of the environment"}
	for name, want := range map[string]string{"key": "0123456789abcdef", "absent": "of the environment"} {
		env := MapEnv(given)
		if got := env.Credential(name, "KEY", 16); !got.Matches(want) || env.Err() != nil {
			t.Errorf("the credential %s is another: %v", name, env.Err())
		}
	}
	for name, want := range map[string]string{"short": "the credential short has 7 bytes", ".": "cannot be read"} {
		env := MapEnv(given)
		env.Credential(name, "KEY", 16)
		if err := env.Err(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the credential %s: %v", name, err)
		}
	}
	if env := MapEnv(map[string]string{"KEY": "of the environment"}); !env.Credential("key", "KEY", 16).Matches("of the environment") {
		t.Error("without credentials the variable is not read")
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const value = "a-very-secret-value"
	secret := NewSecret(value)
	type holder struct {
		Public  Secret
		private Secret
	}
	held := holder{secret, secret}
	encoded, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "held", held)
	for name, text := range map[string]string{
		"%v": fmt.Sprintf("%v", secret), "%s": fmt.Sprintf("%s", secret), "%q": fmt.Sprintf("%q", secret),
		"%#v": fmt.Sprintf("%#v", secret), "%x": fmt.Sprintf("%x", secret),
		"held %v": fmt.Sprintf("%v", held), "held %+v": fmt.Sprintf("%+v", held), "held %#v": fmt.Sprintf("%#v", held),
		"held pointer": fmt.Sprintf("%+v", &held), "json": string(encoded), "log": log.String(),
	} {
		if strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) {
			t.Errorf("%s shows the secret: %s", name, text)
		}
	}
	if held.private.Reveal() != value {
		t.Error("the secret lost its value")
	}
}

func TestSecretMatches(t *testing.T) {
	secret := NewSecret("right")
	for candidate, want := range map[string]bool{"right": true, "wrong": false, "": false, "right ": false, "righ": false} {
		if got := secret.Matches(candidate); got != want {
			t.Errorf("Matches(%q) is %v", candidate, got)
		}
	}
	if NewSecret("").Matches("") || (Secret{}).Matches("") {
		t.Error("a secret that is not set matches an empty candidate")
	}
}
