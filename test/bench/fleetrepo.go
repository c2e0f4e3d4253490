package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const unitText = `[Unit]
Description=The benchmark's service
After=network.target

[Service]
EnvironmentFile=/etc/default/victim
ExecStart=/usr/local/bin/victim
Restart=on-failure

[Install]
WantedBy=multi-user.target
`

const serviceText = `apiVersion: evenkeel/v1
kind: Service
metadata: {name: victim}
spec:
  selector: {matchLabels: {role: victim}}
  units:
    - {source: victim.service, enabled: true, state: started}
  env:
    - {path: /etc/default/victim, source: victim.env, mode: "0600", changeMode: restart}
  artifacts:
    - {name: victim, source: victim, path: /usr/local/bin/victim}
  rollout: {maxUnavailable: 1, minHealthyTime: 0s, healthyDeadline: 30s, progressDeadline: 2m}
  health:
    - http: {port: 8080, path: /healthz, status: 200}
`

// drainText is what the service has besides, behind a balancer.
const drainText = `  drain:
    - haproxy: {address: "tcp://%s", backend: victim, server: "{{ .Host.Name }}", timeout: 30s}
`

const fleetText = "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: bench}\nspec: {}\n"

// manner is how the change is to be rolled out.
type manner int

const (
	plain manner = iota
	drained
	soaked
	rotating
)

// soakTime is the service's minHealthyTime, where it has one.
const soakTime = 500 * time.Millisecond

func envText(greeting string) string {
	return fmt.Sprintf("PORT=%d\nGREETING=%s\n", victimPort, greeting)
}

// writeFleet makes the fleet repo, but for what changes: see want.
func (s *stage) writeFleet() error {
	service := filepath.Join(s.fleet, "services", "victim")
	return errors.Join(
		write(filepath.Join(s.fleet, "fleet.yaml"), fleetText),
		write(filepath.Join(s.fleet, "inventory", "lab.yaml"), s.lab.Inventory(map[string]string{"role": "victim"})),
		write(filepath.Join(service, "victim.service"), unitText),
		copyFile(s.victim, filepath.Join(s.fleet, "victim")))
}

// want changes the fleet repo, and commits, and the peer's files: hosts are to serve that
// greeting, and behind the balancer, or with a soak.
func (s *stage) want(greeting string, how manner) error {
	service := serviceText
	if how == soaked {
		service = strings.Replace(service, "minHealthyTime: 0s", "minHealthyTime: "+soakTime.String(), 1)
	}
	if how == drained || how == rotating {
		service += fmt.Sprintf(drainText, s.balancer.RuntimeAddr())
	}
	dir := filepath.Join(s.fleet, "services", "victim")
	if how != rotating {
		if err := write(filepath.Join(s.fleet, "fleet.yaml"), fleetText); err != nil {
			return err
		}
	}
	if err := errors.Join(write(filepath.Join(dir, "service.yaml"), service), write(filepath.Join(dir, "victim.env"), envText(greeting)),
		write(filepath.Join(s.peer, "files", "victim.env"), envText(greeting))); err != nil {
		return err
	}
	return s.commit(greeting)
}

// commit makes the fleet repo as it is a commit.
func (s *stage) commit(message string) error { return commitAll(s.fleet, message) }

// commitAll makes a folder as it is a commit.
func commitAll(dir, message string) error {
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"},
		{"-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false", "commit", "-q", "--allow-empty", "-m", message}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

func write(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// digestOf is a file's SHA-256 in hex.
func digestOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
