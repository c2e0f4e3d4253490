package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hooked is the ledger with a bundle of that version, which is built on each host, and a
// migration that one of them runs.
func hooked(s *stage, version, migrate string) {
	s.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(s, w.WriteHeader(&tar.Header{Name: "version", Mode: 0o644, Size: int64(len(version)), Typeflag: tar.TypeReg}))
	_, err := w.Write([]byte(version))
	must(s, err)
	must(s, w.Close())
	s.file("dist/app.tar", b.String())
	s.service(fmt.Sprintf(`  artifacts:
    - {name: app, source: dist/app.tar, path: /opt/ledger/app, owner: nullspace, group: nullspace}
  hooks:
    - {name: build, artifact: app, user: nullspace, run: "echo $(id -un) $PORT $(cat version) >built"}
    - {name: migrate, artifact: app, runOnce: true, timeout: 30s, run: %q}
`, migrate))
}

// TestHooks runs commands in what was staged: one on each host, and one on one host for all.
func TestHooks(t *testing.T) {
	s := newStage(t, 2)
	migrated := func() int {
		n := 0
		for _, h := range s.hosts {
			n += len(strings.Fields(s.on(h, "cat /var/tmp/migrated 2>/dev/null || true")))
		}
		return n
	}
	is := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	const good = "echo $(cat version) >>/var/tmp/migrated"
	hooked(s, "v1", good)
	s.deployed()
	is("migrations", migrated(), 1)
	for _, h := range s.hosts {
		is("built", s.on(h, "cat /opt/ledger/app/built"), "nullspace 8080 v1")
	}
	s.run(0, "plan")

	stop := s.users()
	hooked(s, "v2", good)
	out, _ := s.run(1, "plan", "-o", "json")
	contains(t, out, `"kind": "hook"`, `"action": "run"`, `"subject": "migrate"`, "one host runs it for the service before any is switched")
	out, _ = s.run(1, "plan")
	contains(t, out, "run", "migrate", "build", "it has not run in release")
	s.run(0, "apply", "--yes")
	is("migrations", migrated(), 2)
	for _, h := range s.hosts {
		is("built", s.on(h, "cat /opt/ledger/app/built"), "nullspace 8080 v2")
	}
	s.run(0, "plan")

	state := func() string {
		var all []string
		for _, h := range s.hosts {
			all = append(all, s.pid(h), s.on(h, "readlink /opt/ledger/app; ls /var/lib/evenkeel/step 2>/dev/null || true"))
		}
		return strings.Join(all, "\n")
	}
	before := state()
	hooked(s, "v3", "echo no such table >&2; exit 3")
	out, errs := s.run(2, "apply", "--yes")
	contains(t, out+errs, "run hook migrate of ledger", "exit status 3", "no such table", "not done")
	is("what runs after a migration that failed", state(), before)
	is("servers", s.servers()["UP"], 2)
	var said string
	for _, h := range s.hosts {
		said += s.on(h, "journalctl -q -o cat -t evenkeel-hook || true")
	}
	contains(t, said, "no such table", "ledger migrate: exit status 3")

	// The controller dies in the middle of a migration, which goes on.
	hooked(s, "v3", "sleep 4; "+good)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := s.command(ctx, "apply", "--yes")
	must(s, c.Start())
	s.eventually(20*time.Second, "the migration runs", func() bool {
		for _, h := range s.hosts {
			if s.on(h, "cat /var/lib/evenkeel/hooks/once.* | grep -c begun || true") == "1" {
				return true
			}
		}
		return false
	})
	must(s, c.Process.Signal(syscall.SIGKILL))
	_ = c.Wait()
	is("what runs meanwhile", state(), before)
	s.exit([]int{0, 2}, "apply", "--yes")
	s.run(0, "apply", "--yes")
	is("migrations", migrated(), 3)
	for _, h := range s.hosts {
		is("built", s.on(h, "cat /opt/ledger/app/built"), "nullspace 8080 v3")
	}
	s.run(0, "plan")
	stop()
}
