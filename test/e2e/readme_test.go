package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quickStart are the commands of README.md from `evenkeel init` to a controller, and what
// the editor and the other terminal do in them.
func quickStart(t *testing.T, s *stage) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	must(s, err)
	_, use, ok := strings.Cut(string(readme), "## Use it\n")
	if !ok {
		t.Fatal("README.md has no section Use it")
	}
	script := "set -eu\n"
	for i, begins := range []string{"make build && install", "git init -b main", "export EVENKEEL_SERVER_URL="} {
		_, rest, found := strings.Cut(use, "```\n"+begins)
		block, after, closed := strings.Cut(rest, "```\n")
		if !found || !closed {
			t.Fatalf("README.md has no block that begins with %q", begins)
		}
		// The next block may begin where this one ends.
		use = "```\n" + after
		script += "# block " + string(rune('1'+i)) + "\n" + begins + block
	}
	login := " --ssh-user deploy --become"
	for old, now := range map[string]string{
		"make build && install bin/evenkeel /usr/local/bin/\n": "",
		"$EDITOR inventory/hosts.yaml ":                        "sed -i /192.0.2.11/d inventory/hosts.yaml; printf \"$HOSTS\" >>inventory/hosts.yaml #",
		"evenkeel check ":                                      "evenkeel check" + login + " #",
		"evenkeel plan ":                                       "evenkeel plan" + login + " || [ $? = 1 ] #",
		"evenkeel apply ":                                      "evenkeel apply --yes" + login + " #",
		"evenkeel status                      # what is so\n":  "evenkeel status" + login + "\n",
		"evenkeel serve --config evenkeel.yaml ":               "evenkeel serve --config evenkeel.yaml >serve.log 2>&1 & echo $! >serve.pid; for i in $(seq 100); do [ -S evenkeel.sock ] && break; sleep 0.1; done #",
		"$EDITOR fleet/fleet.yaml ":                            "sed -i s/hello/howdy/ fleet/fleet.yaml #",
	} {
		if !strings.Contains(script, old) {
			t.Fatalf("README.md no longer says %q:\n%s", old, script)
		}
		script = strings.Replace(script, old, now, 1)
	}
	return script
}

// What README.md says leads from nothing to a controller that brings a commit out.
func TestQuickStart(t *testing.T) {
	s := newStage(t, 2)
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	must(s, os.MkdirAll(filepath.Join(home, ".ssh"), 0o700))
	must(s, os.WriteFile(filepath.Join(home, ".ssh/config"), []byte("Host *\n  IdentityFile "+s.lab.IdentityFile()+"\n  UserKnownHostsFile "+s.lab.KnownHostsFile()+"\n"), 0o600))
	hosts := ""
	for _, h := range s.hosts {
		hosts += "    - {name: " + h.Name() + ", address: " + h.Address() + ", labels: {role: hello}, groups: [eu]}\\n"
	}
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	must(s, err)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", quickStart(t, s))
	c.Dir, c.WaitDelay = dir, 5*time.Second
	c.Env = []string{"HOME=" + home, "PATH=" + bin + ":" + os.Getenv("PATH"), "HOSTS=" + hosts, "NO_COLOR=1",
		"GIT_AUTHOR_NAME=me", "GIT_AUTHOR_EMAIL=me@example.com", "GIT_COMMITTER_NAME=me", "GIT_COMMITTER_EMAIL=me@example.com"}
	t.Cleanup(func() {
		_ = exec.Command("sh", "-c", "kill $(cat "+filepath.Join(dir, "serve.pid")+") 2>/dev/null; sleep 1").Run()
	})
	out, err := c.CombinedOutput()
	log, _ := os.ReadFile(filepath.Join(dir, "serve.log"))
	if err != nil {
		t.Fatalf("%v\n%s\nthe controller's log:\n%s", err, out, log)
	}
	contains(t, string(out), "2 hosts: all ready", "all synced, all healthy", "converged: 2 hosts at")
	contains(t, string(log), "another greeting", "rollout")
	for _, h := range s.hosts {
		if env := s.on(h, "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value hello)/environ"); !strings.Contains(env, "howdy") {
			t.Errorf("%s: %s", h.Name(), env)
		}
	}
}
