package e2e

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// precheckRepo is a service with a bundle and a program, which is drained by a command that
// leaves a trace, and one that does not run yet.
func precheckRepo(s *stage) {
	s.spec("app", `  users: [{name: app, home: /opt/app}]
  units: [{source: app.service, enabled: true, state: started}]
  env: [{path: /etc/app/app.env, source: app.env}]
  artifacts:
    - {name: bundle, source: dist/bundle.tar, path: /opt/app/bundle}
    - {name: tool, source: dist/tool, path: /opt/app/tool}
  drain: [{command: {drain: "echo drained >>/run/drains", undrain: "true", drained: "true"}}]
`, map[string]string{
		"app.service": "[Service]\nUser=app\nEnvironmentFile=/etc/app/app.env\nExecStart=/opt/app/bundle/bin/run\nExecReload=/opt/app/tool\n" + install,
		"app.env":     "GREETING=hello\n",
	})
	bundled(s, "#!/opt/app/tool\n")
	s.file("dist/tool", "#!/bin/sh\nexec sleep infinity\n")
}

// bundled makes the bundle of one script.
func bundled(s *stage, script string) {
	s.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(s, w.WriteHeader(&tar.Header{Name: "bin/run", Mode: 0o755, Size: int64(len(script)), Typeflag: tar.TypeReg}))
	_, err := w.Write([]byte(script))
	must(s, err)
	must(s, w.Close())
	s.file("dist/bundle.tar", b.String())
}

// built is a program of the C compiler's.
func built(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"foo.c": "int foo(void) { return 0; }\n", "main.c": "extern int foo(void);\nint main(void) { return foo(); }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range [][]string{
		{"-shared", "-fPIC", "-Wl,-soname,libcontractfoo.so.7", "-o", "libfoo.so", "foo.c"},
		append([]string{"-o", "main", "main.c", "-L.", "-lfoo"}, args...),
	} {
		c := exec.Command("gcc", line...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("gcc %v: %v\n%s", line, err, out)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "main"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPrecheck breaks what a host is to start in each way that only the host can tell, and
// expects it to be named before anything is disturbed: exit 2, the same process, never drained.
func TestPrecheck(t *testing.T) {
	s := newBareStage(t, 1)
	precheckRepo(s)
	s.run(0, "apply", "--yes")
	h := s.hosts[0]
	before := s.on(h, "systemctl show -p InvocationID --value app; rm -f /run/drains; readlink /opt/app/tool /opt/app/bundle; cat /etc/systemd/system/app.service")
	script := func(text string) func() { return func() { bundled(s, text) } }
	tool := func(text string) func() { return func() { s.file("dist/tool", text) } }
	unit := func(old, now string) func() { return func() { s.edit("services/app/app.service", old, now) } }
	elf := built(t)
	foreign := []byte(built(t))
	foreign[18] = 183
	s.on(h, "printf 'A=\\351\\n' >/etc/latin1.env; mkdir -p /root/closed /etc/folder.env; printf '#!/bin/sh\\n' >/opt/shut; chmod 700 /opt/shut")
	for _, c := range []struct {
		what  string
		spoil func()
		words []string
	}{
		{"the interpreter of a script in a bundle", script("#!/opt/python9\n"), []string{"ExecStart=/opt/app/bundle/bin/run", "/opt/python9", "[interpreter-missing]"}},
		{"what env is to find", script("#!/usr/bin/env node\n"), []string{"node in /usr/local/sbin", "[interpreter-missing]"}},
		{"env without -S", script("#!/usr/bin/env sh -e\n"), []string{"sh -e in", "[interpreter-missing]"}},
		{"line ends of Windows", script("#!/bin/sh\r\n"), []string{`/bin/sh\r`, "plain line ends", "[interpreter-missing]"}},
		{"a text without a first line", script("exec sleep infinity\n"), []string{"neither ELF nor a script", "[not-a-program]"}},
		{"a program that a bundle has not", unit("/bin/run", "/bin/ran"), []string{"ExecStart=/opt/app/bundle/bin/ran", "[program-missing]"}},
		{"a library", tool(elf), []string{"ExecReload=/opt/app/tool", "it needs libcontractfoo.so.7", "[library-missing]"}},
		{"a loader", tool(built(t, "-Wl,--dynamic-linker=/lib/ld-none.so.1")), []string{"it is loaded by /lib/ld-none.so.1", "[loader-missing]"}},
		{"another machine", tool(string(foreign)), []string{"for arm64, and the host is x86-64", "[wrong-architecture]"}},
		{"a program that is root's alone", unit("ExecReload=/opt/app/tool", "ExecReload=/opt/shut"), []string{"ExecReload=/opt/shut", "app may not execute it", "[not-executable]"}},
		{"a directory that is root's alone", unit("[Service]\n", "[Service]\nWorkingDirectory=/root/closed\n"), []string{"app may not enter it", "[directory-closed]"}},
		{"an env file of somebody else's", unit("EnvironmentFile=", "EnvironmentFile=/etc/latin1.env\nEnvironmentFile="), []string{"EnvironmentFile=/etc/latin1.env: it is not UTF-8", "[env-file-unparsable]"}},
		{"a unit that systemd refuses", unit("[Service]\n", "[Service]\nType=dbus\n"), []string{"app.service", "systemd there refuses it", "Refusing", "[unit-invalid]"}},
		{"several things at once", func() {
			script("#!/opt/python9\n")()
			tool(elf)()
		}, []string{"/opt/python9", "libcontractfoo.so.7"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			old := s.t
			s.t = t
			defer func() { s.t = old }()
			c.spoil()
			out, errs := s.run(2, "apply", "--yes")
			contains(t, out+errs, append(c.words, "not done: h1")...)
			if now := s.on(h, "systemctl show -p InvocationID --value app; cat /run/drains 2>/dev/null; readlink /opt/app/tool /opt/app/bundle; cat /etc/systemd/system/app.service"); now != before {
				t.Errorf("it was disturbed:\n%s\nbefore:\n%s", now, before)
			}
			precheckRepo(s)
		})
	}
	t.Run("a port that another has", func(t *testing.T) {
		s.on(h, "systemd-run -q --unit squatter systemd-socket-activate -l 127.0.0.1:8099 /bin/cat")
		s.spec("web", "  units: [{source: web.service, state: started}]\n  health: [{tcp: {port: 8099}}]\n", map[string]string{"web.service": "[Service]\nEnvironment=PORT=8099\n" + sleeps})
		out, errs := s.run(2, "apply", "--yes")
		contains(t, out+errs, "web.service: health tcp 8099: another process has that port", "systemd-socket", "[port-taken]")
		if got := s.on(h, "systemctl is-active web; true"); got != "inactive" {
			t.Errorf("web is %s", got)
		}
		s.on(h, "systemctl stop squatter")
		s.remove("services/web")
	})
	t.Run("what systemd only warns of is told, and done", func(t *testing.T) {
		s.edit("services/app/app.service", "[Service]\n", "[Service]\nFrobnicate=yes\n")
		_, errs := s.run(0, "apply", "--yes")
		contains(t, errs, "Frobnicate", "ignoring")
		contains(t, s.on(h, "cat /run/drains"), "drained")
		s.run(0, "plan")
	})
}
