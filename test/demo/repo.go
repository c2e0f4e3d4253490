package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// services are the parts of examples/nullspace that the demo shows.
var services = []string{"nullspace-gateway", "nullspace-website"}

// fleetRepo makes a git repository with the demo's part of examples/nullspace, for
// the lab's hosts and its load balancer.
func fleetRepo(dir string, l *lab.Lab, lb *lab.HAProxy) error {
	const src = "examples/nullspace"
	for _, part := range append([]string{"fleet.yaml", "dist/gateway", "dist/website"}, servicePaths()...) {
		to := filepath.Join(dir, part)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if out, err := exec.Command("cp", "-r", filepath.Join(src, part), to).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot copy %s: %s", part, out)
		}
	}
	// The demo's services come after none of those it leaves out, and a player
	// need not be watched for ten seconds.
	if err := edit(filepath.Join(dir, "services/nullspace-gateway/service.yaml"),
		"  after: [nullspace-auth]\n", "", "minHealthyTime: 10s", "minHealthyTime: 2s"); err != nil {
		return err
	}
	if err := edit(filepath.Join(dir, "fleet.yaml"), "minHealthyTime: 5s", "minHealthyTime: 2s", "gatewayGrace: 20s", "gatewayGrace: 2s",
		"      signers: [{service: nullspace-ops}]\n", "", "keep: 24h", "keep: 3s"); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "inventory"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "inventory/demo.yaml"), []byte(inventory(l, lb)), 0o644); err != nil {
		return err
	}
	return commit(dir, "first")
}

func servicePaths() []string {
	var out []string
	for _, s := range services {
		out = append(out, "services/"+s)
	}
	return out
}

// inventory lists the lab's hosts.
func inventory(l *lab.Lab, lb *lab.HAProxy) string {
	var b strings.Builder
	var addresses []string
	for _, h := range l.Hosts() {
		addresses = append(addresses, h.Address())
	}
	fmt.Fprintf(&b, `apiVersion: evenkeel/v1
kind: Inventory
metadata: {name: demo}
spec:
  groups:
    all: {vars: {lb: "%s", edge: [%s], core: [%s]}}
  hosts:
`, lb.RuntimeAddr(), strings.Join(addresses, ", "), addresses[0])
	for _, h := range l.Hosts() {
		fmt.Fprintf(&b, "    - {name: %s, address: %s, labels: {role: edge}}\n", h.Name(), h.Address())
	}
	return b.String()
}

// edit replaces texts in a file; each must be there.
func edit(file string, oldNew ...string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(data)
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			return fmt.Errorf("%s: there is no %q to replace", file, oldNew[i])
		}
		text = strings.ReplaceAll(text, oldNew[i], oldNew[i+1])
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// commit makes a commit of everything, as the demo itself.
func commit(dir, message string) error {
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"config", "user.name", "demo"}, {"config", "user.email", "demo@example.com"}, {"config", "commit.gpgsign", "false"}, {"add", "-A"},
		{"commit", "-q", "-m", message}} {
		c := exec.Command("git", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %s", args[0], out)
		}
	}
	return nil
}
