package sshdriver

import (
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// TestLingeringEnds on a real host, also where loginctl does not do it: what is not switched
// off with the last unit of a user's would stay on for good, for the note of it goes, too.
func TestLingeringEnds(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	m := &labMachine{t: t, host: l.Hosts()[0]}
	d := newLabDriver(t, l, "deploy")
	m.do(`mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%%%i\n' >/etc/systemd/system/user@.service.d/pam.conf
systemctl daemon-reload`)
	const unit = "[Service]\nExecStart=/bin/sleep 86400\n[Install]\nWantedBy=default.target\n"
	content := hostdriver.NewContent([]byte(unit))
	generation := uint64(0)
	turn := func(entries ...hostdriver.Entry) {
		t.Helper()
		generation++
		for _, op := range []hostdriver.Op{
			hostdriver.Stage{Manifest: hostdriver.Manifest{Generation: generation, Revision: "r", Entries: entries}, Blobs: map[string]hostdriver.Content{content.SHA256(): content}},
			hostdriver.Switch{To: generation},
		} {
			if _, err := d.Apply(t.Context(), labHost(m.host), hostdriver.Fence{Epoch: 1, Holder: "linger"}, op); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct{ what, hand, after string }{
		{"all is as usual", ":", ":"},
		{"the user is gone", "systemctl stop user@$(id -u work); userdel work", ":"},
		{"systemd-logind does not answer", "systemctl mask --runtime --now systemd-logind 2>/dev/null", "systemctl unmask --runtime systemd-logind 2>/dev/null; systemctl start systemd-logind"},
	} {
		m.do("id work >/dev/null 2>&1 || useradd --system --create-home --home-dir /srv/work work")
		turn(hostdriver.Entry{Kind: hostdriver.KindFile, Name: "/etc/systemd/user/work.service", SHA256: content.SHA256(), Owner: "root", Group: "root", Mode: 0o644},
			hostdriver.Entry{Kind: hostdriver.KindUnit, Name: "work~work.service", Enabled: "yes", State: "started"})
		manager := "user@" + strings.TrimSpace(m.do("id -u work")) + ".service"
		if got := m.do("cd /var/lib; ls -d systemd/linger/work evenkeel/lingers/work; systemctl is-active %s", manager); got != "evenkeel/lingers/work\nsystemd/linger/work\nactive\n" {
			t.Fatalf("%s: with a unit of the user's: %q", c.what, got)
		}
		m.do("%s", c.hand)
		turn()
		if got := m.do("ls -A /var/lib/systemd/linger /var/lib/evenkeel/lingers | grep work; :"); got != "" {
			t.Errorf("%s: left behind: %q", c.what, got)
		}
		m.do("%s", c.after)
		m.do("systemctl stop %s", manager)
	}
}
