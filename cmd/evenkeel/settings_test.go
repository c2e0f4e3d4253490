package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// settingsOf loads what these flags, variables and file say.
func settingsOf(t *testing.T, file string, env map[string]string, args ...string) (Settings, []string, error) {
	t.Helper()
	cmd := &cobra.Command{}
	cmd.Flags().String("config", "", "")
	cmd.Flags().String("log-level", "", "")
	cmd.Flags().String("log-format", "text", "")
	repoFlag(cmd)
	filterFlags(cmd)
	hostFlags(cmd)
	if file != "" {
		path := filepath.Join(t.TempDir(), "evenkeel.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := cmd.Flags().Parse(args); err != nil {
		t.Fatal(err)
	}
	var environ []string
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	return loadSettings(cmd.Flags(), func(k string) string { return env[k] }, environ)
}

func TestSettingsPrecedence(t *testing.T) {
	file := "ssh: {user: file, become: true, knownHosts: /file, concurrency: 7, connectTimeout: 3s}\nsecrets: {ageIdentity: /file.age}\nlog: {level: debug}\n"
	env := map[string]string{"EVENKEEL_SSH_USER": "env", "EVENKEEL_SSH_KNOWNHOSTS": "/env1,/env2", "EVENKEEL_REPO": "/env", "EVENKEEL_SSH_BECOME": "false"}
	cases := []struct {
		name  string
		file  string
		env   map[string]string
		args  []string
		check func(Settings) any
		want  any
	}{
		{"nothing said", "", nil, nil, func(s Settings) any { return s }, Settings{Repo: ".", Output: "text", Log: LogSettings{"", "text"},
			Git: GitSettings{Branch: "main", Poll: time.Minute}, Drift: DriftSettings{Mode: "correct"}, Store: StoreSettings{Path: "/var/lib/evenkeel/evenkeel.db"}}},
		{"a file", file, nil, nil, func(s Settings) any { return s.SSH.User }, "file"},
		{"a file's one for many", file, nil, nil, func(s Settings) any { return s.SSH.KnownHosts }, []string{"/file"}},
		{"a file's number", file, nil, nil, func(s Settings) any { return s.SSH.Concurrency }, 7},
		{"a file's duration", file, nil, nil, func(s Settings) any { return s.SSH.ConnectTimeout.String() }, "3s"},
		{"the environment beats a file", file, env, nil, func(s Settings) any { return s.SSH.User }, "env"},
		{"the environment's list", file, env, nil, func(s Settings) any { return s.SSH.KnownHosts }, []string{"/env1", "/env2"}},
		{"the environment's no", file, env, nil, func(s Settings) any { return *s.SSH.Become }, false},
		{"a flag beats the environment", file, env, []string{"--ssh-user", "flag", "--repo", "/flag"}, func(s Settings) any { return s.SSH.User + s.Repo }, "flag/flag"},
		{"a flag's yes", file, env, []string{"--become"}, func(s Settings) any { return *s.SSH.Become }, true},
		{"a flag's no beats a file's yes", file, nil, []string{"--become=false"}, func(s Settings) any { return *s.SSH.Become }, false},
		{"become unsaid is the fleet's to say", "ssh: {user: x}", nil, nil, func(s Settings) any { return s.SSH.Become == nil }, true},
		{"flags of many", "", nil, []string{"--host", "web-*", "--host", "a,b", "-i", "k1", "-i", "k2"}, func(s Settings) any { return append(s.Hosts, s.SSH.Identity...) }, []string{"web-*", "a,b", "k1", "k2"}},
		{"what a file says and nobody overrules", file, env, nil, func(s Settings) any { return s.Secrets.AgeIdentity + s.Log.Level }, "/file.agedebug"},
		{"an empty file", "\n", nil, nil, func(s Settings) any { return s.Repo }, "."},
	}
	for _, c := range cases {
		s, warnings, err := settingsOf(t, c.file, c.env, c.args...)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", c.name, err, warnings)
			continue
		}
		if got := c.check(s); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSettingsRefused(t *testing.T) {
	cases := []struct {
		name       string
		file       string
		env        map[string]string
		args       []string
		want, mend string
	}{
		{"a key that is none", "ssh: {usr: deploy}\n", nil, nil, `evenkeel.yaml:1:7: unknown key "ssh.usr"`, `did you mean "user"?`},
		{"a section that is none", "shs: {user: deploy}\n", nil, nil, `evenkeel.yaml:1:1: unknown key "shs"`, `did you mean "ssh"?`},
		{"a case that is wrong", "ssh:\n  knownhosts: /x\n", nil, nil, `evenkeel.yaml:2:3: unknown key "ssh.knownhosts"`, `did you mean "knownHosts"?`},
		{"no map", "- a\n", nil, nil, "line 1 is no map", "write settings"},
		{"no YAML", "a: b: c\n", nil, nil, "cannot read the configuration", "it must be YAML"},
		{"a type that is wrong", "ssh: {concurrency: many}\n", nil, nil, "concurrency", "the value may stand in"},
		{"a bool that is none", "", map[string]string{"EVENKEEL_SSH_BECOME": "perhaps"}, nil, "become", "the value may stand in"},
		{"a level that is none", "", nil, []string{"--log-level", "loud"}, `cannot use log level "loud"`, "use trace"},
		{"a glob that is none", "", nil, []string{"--host", "web-[1"}, `cannot use the glob "web-[1"`, "a glob has"},
		{"an empty glob", "", nil, []string{"--service", ""}, `cannot use the glob ""`, "a glob has"},
		{"a file that is missing", "", map[string]string{"EVENKEEL_CONFIG": "/no/such/file"}, nil, "/no/such/file", "name an existing file"},
	}
	for _, c := range cases {
		_, _, err := settingsOf(t, c.file, c.env, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(mendOf(err), c.mend) {
			t.Errorf("%s: got %v; mend %q", c.name, err, mendOf(err))
		}
		var m *mended
		if !errors.As(err, &m) {
			t.Errorf("%s: the error has no mend", c.name)
		}
	}
}

func TestSettingsWarnOfMisspeltVariables(t *testing.T) {
	_, warnings, err := settingsOf(t, "", map[string]string{"EVENKEEL_SSH_USR": "x", "EVENKEEL_LAB": "off", "HOME": "/root", "EVENKEEL_REPO": "/x"})
	if err != nil || len(warnings) != 1 || warnings[0] != "EVENKEEL_SSH_USR is no setting; EVENKEEL_SSH_USER is" {
		t.Errorf("got %q, %v", warnings, err)
	}
}

func TestEveryFlagSettingExists(t *testing.T) {
	keys := map[string]bool{}
	for _, k := range settingKeys() {
		keys[k] = true
	}
	for flag, key := range flagKeys {
		if !keys[key] {
			t.Errorf("flag --%s stands for %s, which is no setting", flag, key)
		}
	}
	for key := range defaults {
		if !keys[key] {
			t.Errorf("%s has a default and is no setting", key)
		}
	}
}
