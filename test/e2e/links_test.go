package e2e

import (
	"testing"
)

// What [Install] asks for goes back with the rest: by a revert, and by an undo.
func TestLinksGoBack(t *testing.T) {
	s := newBareStage(t, 1)
	h := s.hosts[0]
	const unit = "[Service]\nType=exec\n" + sleeps
	s.spec("app", "  units: [{source: app.service, enabled: true, state: started}]\n", map[string]string{"app.service": unit + install})
	linked := func(when, want string) {
		t.Helper()
		if got := s.on(h, "cd /etc/systemd/system; ls -d */app.service other.service 2>/dev/null | tr '\\n' ' '; systemctl is-enabled app; systemctl is-active app"); got != want+"\nenabled\nactive" && got != want+" enabled\nactive" {
			t.Errorf("%s: app.service is linked at %q, want %q", when, got, want)
		}
	}
	s.run(0, "apply", "--yes")
	linked("at first", "multi-user.target.wants/app.service")

	// A revision that links it elsewhere, and does not come up.
	const elsewhere = "[Install]\nWantedBy=graphical.target\nAlias=other.service\n"
	s.file("services/app/app.service", "[Service]\nType=exec\nExecStart=/bin/false\n"+elsewhere)
	s.run(6, "apply", "--yes")
	linked("after the revert", "multi-user.target.wants/app.service")

	// One that does, and is undone.
	s.file("services/app/app.service", unit+"Nice=1\n"+elsewhere)
	s.run(0, "apply", "--yes")
	linked("with the new one", "graphical.target.wants/app.service other.service")
	s.run(0, "plan")
	s.run(0, "rollout", "undo", "--yes", "--reason", "it is linked wrongly")
	linked("after the undo", "multi-user.target.wants/app.service")

	// One that changes nothing but its links is undone, too.
	s.file("services/app/app.service", unit+elsewhere)
	s.run(0, "apply", "--yes")
	linked("with the links alone", "graphical.target.wants/app.service other.service")
	s.run(0, "rollout", "undo", "--yes")
	linked("after its undo", "multi-user.target.wants/app.service")
}

// Two services hand paths to each other on one host, in one commit: files, an env file and a
// unit. Whoever has it last has it, and nothing of it is removed in between.
func TestPathsChangeHands(t *testing.T) {
	s := newBareStage(t, 2)
	const drains = "  drain: [{command: {drain: \"test -s /etc/shared/a.conf -a -s /etc/shared/b.conf || echo missing >>/run/missing\", undrain: \"test -s /etc/shared/a.conf -a -s /etc/shared/b.conf || echo missing >>/run/missing\", drained: \"true\"}}]\n"
	unit := func(of string) string {
		return "[Service]\nType=exec\nExecStart=/bin/sh -c 'cat /etc/shared/" + of + ".conf /etc/shared/" + of + ".env && exec sleep infinity'\nEnvironmentFile=/etc/shared/" + of + ".env\n" + install
	}
	spec := func(name, has, text string, helper bool) {
		units := "    - {source: " + name + ".service, enabled: true, state: started}\n"
		if helper {
			units += "    - {source: helper.service, enabled: true, state: started}\n"
		}
		s.spec(name, "  units:\n"+units+"  env: [{path: /etc/shared/"+has+".env, source: "+has+".env}]\n  files: [{path: /etc/shared/"+has+".conf, source: "+has+".conf}]\n"+drains,
			map[string]string{name + ".service": unit(has), has + ".env": "OF=" + text + "\n", has + ".conf": text + "\n", "helper.service": "[Service]\nType=exec\n" + sleeps + install})
	}
	spec("one", "a", "one", true)
	spec("two", "b", "two", false)
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	helper := s.on(s.hosts[0], "systemctl show -p InvocationID --value helper")

	spec("one", "b", "one", false)
	spec("two", "a", "two", true)
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	for _, h := range s.hosts {
		if got := s.on(h, "cat /etc/shared/a.conf /etc/shared/b.conf /run/missing 2>/dev/null; for u in one two; do tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value $u)/environ | grep ^OF=; done; systemctl is-active helper; systemctl is-enabled helper"); got != "two\none\nOF=one\nOF=two\nactive\nenabled" {
			t.Errorf("%s: %s", h.Name(), got)
		}
	}
	if now := s.on(s.hosts[0], "systemctl show -p InvocationID --value helper"); now != helper {
		t.Error("the unit that only changed hands was restarted")
	}
	// And back, by an undo.
	s.run(0, "rollout", "undo", "--yes")
	for _, h := range s.hosts {
		if got := s.on(h, "cat /etc/shared/a.conf /etc/shared/b.conf; for u in one two; do tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value $u)/environ | grep ^OF=; done; systemctl is-active helper one two"); got != "one\ntwo\nOF=one\nOF=two\nactive\nactive\nactive" {
			t.Errorf("%s, after the undo: %s", h.Name(), got)
		}
	}
}
