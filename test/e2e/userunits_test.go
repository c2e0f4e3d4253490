package e2e

import (
	"strings"
	"testing"
)

const (
	userUnit   = "[Unit]\nDescription=Work\n[Service]\nEnvironmentFile=/etc/work/work.env\nExecStart=/bin/sh -c 'echo working; exec sleep infinity'\n[Install]\nWantedBy=default.target\n"
	userAsking = `XDG_RUNTIME_DIR=/run/user/$(id -u work) setpriv --reuid=work --regid=work --clear-groups systemctl --user `
)

// What a user's own systemd runs is brought, kept, changed and taken away as anything else.
// The hosts have no libpam-systemd, of which a user's systemd needs one variable.
func TestUserUnits(t *testing.T) {
	s := newBareStage(t, 1)
	h := s.hosts[0]
	s.on(h, "useradd --system --create-home --home-dir /srv/work work")
	const spec = `  units:
    - {source: work.service, enabled: true, state: started, scope: user, user: work}
    - {source: work.timer, enabled: true, state: started, scope: user, user: work}
    - {source: own.service, enabled: true, state: started}
  env: [{path: /etc/work/work.env, source: work.env, group: work, mode: "0640"}]
`
	s.spec("work", spec, map[string]string{"work.service": userUnit, "work.env": "A=1\n",
		"work.timer":  "[Timer]\nOnCalendar=yearly\nPersistent=no\n[Install]\nWantedBy=timers.target\n",
		"own.service": "[Service]\n" + sleeps + install})
	is := func(property, unit, want string) {
		t.Helper()
		if got := s.on(h, userAsking+"show -p "+property+" --value "+unit); got != want {
			t.Errorf("%s of %s is %q, want %q", property, unit, got, want)
		}
	}
	pid := func() string { return s.on(h, userAsking+"show -p MainPID --value work.service") }

	// A host where no systemd of a user can start: it says so, and all is as it was.
	out, more := s.exit([]int{1, 2, 6}, "apply", "--yes")
	contains(t, out+more, "the manager of user work does not start", "libpam-systemd")
	if got := s.on(h, "ls /etc/systemd/user/work.service /var/lib/systemd/linger/work 2>&1 | grep -c 'No such file'"); got != "2" {
		t.Errorf("something is left of the way there: %s of 2 are gone", got)
	}
	s.on(h, `mkdir -p /etc/systemd/system/user@.service.d; printf '[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\n' >/etc/systemd/system/user@.service.d/pam.conf; systemctl daemon-reload; systemctl reset-failed`)
	s.edit("services/work/work.env", "A=1", "A=2")
	plan, _ := s.run(1, "plan")
	contains(t, plan, "work~work.service", "loginctl enable-linger")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	is("UnitFileState", "work.service", "enabled")
	is("ActiveState", "work.service", "active")
	is("ActiveState", "work.timer", "active")
	if got := s.on(h, "ls /var/lib/systemd/linger; ps -o user= -p "+pid()); got != "work\nwork" {
		t.Errorf("who lingers, and as whom it runs: %q", got)
	}

	// An env file changes: a restart, for a reason.
	before := pid()
	s.edit("services/work/work.env", "A=2", "A=3")
	plan, _ = s.run(1, "plan")
	contains(t, plan, "restart", "work~work.service", "A")
	s.run(0, "apply", "--yes")
	if now := pid(); now == before || s.on(h, "tr '\\0' '\\n' </proc/"+now+"/environ | grep ^A=") != "A=3" {
		t.Errorf("process %s, then %s, with another A", before, now)
	}
	// What the unit is changes: the user's systemd has read it.
	before = pid()
	s.edit("services/work/work.service", "echo working", "echo harder")
	s.run(0, "apply", "--yes")
	if pid() == before {
		t.Error("a changed unit was not restarted")
	}
	is("NeedDaemonReload", "work.service", "no")

	// Drift: stopped, disabled, edited, lingering switched off, its systemd stopped.
	drift := func(what, hand, want string) {
		t.Helper()
		s.on(h, hand)
		plan, _ := s.run(1, "plan")
		contains(t, plan, want)
		s.run(0, "apply", "--yes")
		s.run(0, "plan")
		is("ActiveState", "work.service", "active")
		is("UnitFileState", "work.service", "enabled")
		if t.Failed() {
			t.Fatalf("after %s:\n%s", what, plan)
		}
	}
	drift("a stop", userAsking+"stop work.service", "is not running")
	before = pid()
	drift("a disable", userAsking+"disable work.service", "does not start at boot")
	if pid() != before {
		t.Error("what was disabled by hand was restarted")
	}
	drift("an edit", "echo '# by hand' >>/etc/systemd/user/work.service", "drift: edited on the host")
	drift("an end to lingering", "loginctl disable-linger work; sleep 1", "loginctl enable-linger")
	drift("a stop of its systemd", "systemctl stop user@$(id -u work).service", "its systemd does not run")

	// What it says is read, and what is wrong with it told.
	logs, _ := s.run(0, "logs", "work", "--lines", "50", "-o", "json")
	contains(t, logs, "harder", "work~work.service", "own.service")
	s.on(h, userAsking+"stop work.service")
	why, _ := s.exit([]int{0, 1}, "explain", h.Name()+"/work")
	contains(t, why, "work~work.service", "systemctl --user --machine=work@ start work.service")
	s.run(0, "apply", "--yes")

	// A change that does not start is taken back, and the former one runs.
	s.edit("services/work/work.service", "echo harder; exec sleep infinity", "exit 3")
	s.exit([]int{6}, "apply", "--yes")
	is("ActiveState", "work.service", "active")
	if got := s.on(h, "cat /etc/systemd/user/work.service"); !strings.Contains(got, "harder") {
		t.Errorf("it was not taken back:\n%s", got)
	}
	s.edit("services/work/work.service", "exit 3", "echo harder; exec sleep infinity")
	s.run(0, "apply", "--yes")

	// It goes, and with it what was switched on for it; nothing else does.
	s.edit("services/work/service.yaml", `    - {source: work.service, enabled: true, state: started, scope: user, user: work}
    - {source: work.timer, enabled: true, state: started, scope: user, user: work}
`, "")
	s.edit("services/work/service.yaml", `  env: [{path: /etc/work/work.env, source: work.env, group: work, mode: "0640"}]
`, "")
	plan, _ = s.run(1, "plan")
	contains(t, plan, "evenkeel had switched it on")
	s.run(0, "apply", "--yes")
	if got := s.on(h, "ls -A /var/lib/systemd/linger /srv/work/.config/systemd/user/default.target.wants 2>/dev/null; ls /etc/systemd/user | grep work; systemctl is-active own.service"); !strings.HasSuffix(got, "active") || strings.Contains(got, "work.service") || strings.Contains(got, "work\n") && !strings.Contains(got, "/srv/work/") {
		t.Errorf("left behind: %q", got)
	}

	// Where it was on before, it stays on.
	s.on(h, "loginctl enable-linger work")
	s.spec("work", spec, nil)
	s.run(0, "apply", "--yes")
	is("ActiveState", "work.service", "active")
	s.remove("services/work")
	s.run(0, "apply", "--yes")
	if got := s.on(h, "ls /var/lib/systemd/linger; systemctl is-active user@$(id -u work).service"); got != "work\nactive" {
		t.Errorf("lingering that was on before evenkeel: %q", got)
	}
}
