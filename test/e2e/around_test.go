package e2e

import (
	"testing"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// TestAroundTheUnits: users, folders, kernel parameters, the journal and logrotate's files take
// effect when they are written, disturb nobody, and what a hand changes of them is drift.
func TestAroundTheUnits(t *testing.T) {
	s := newBareStageOf(t, lab.Options{Hosts: 1, Base: lab.Base{Packages: []string{"logrotate"}}})
	h := s.hosts[0]
	s.spec("app", `  users: [{name: app}]
  directories: [{path: /var/lib/app, owner: app, mode: "0750"}]
  units: [{source: app.service, enabled: true, state: started}]
  files:
    - {path: /etc/sysusers.d/app.conf, source: users.conf}
    - {path: /etc/tmpfiles.d/app.conf, source: folders.conf}
    - {path: /etc/sysctl.d/app.conf, source: kernel.conf}
    - {path: /etc/systemd/journald.conf.d/zz-app.conf, source: journal.conf}
    - {path: /etc/logrotate.d/app, source: rotate}
    - {path: /etc/app.conf, source: app.conf, owner: app, mode: "0640", changeMode: none}
`, map[string]string{
		"app.service":  "[Service]\n" + sleeps + install,
		"users.conf":   "u batch - \"Batch\" /var/lib/batch /usr/sbin/nologin\n",
		"folders.conf": "d /var/lib/batch 0710 batch batch - -\n",
		"kernel.conf":  "# ports\nnet.ipv4.ip_local_port_range = 20000 60000\n",
		"journal.conf": "[Journal]\nSystemMaxUse=48M\n",
		"rotate":       "/var/log/app.log {\n\tweekly\n\tmissingok\n}\n",
		"app.conf":     "x\n",
	})
	s.on(h, "mount -o remount,bind,rw /proc/sys") // of a container's network, and of it alone
	s.run(0, "apply", "--yes")
	process := s.on(h, "systemctl show -p InvocationID --value app")
	contains(t, s.on(h, "getent passwd batch; stat -c '%A %U:%G' /var/lib/batch /var/lib/app /etc/app.conf; cat /proc/sys/net/ipv4/ip_local_port_range; stat -c '%a %U' /etc/logrotate.d/app"),
		"/var/lib/batch:/usr/sbin/nologin", "drwx--x--- batch:batch", "drwxr-x--- app:app", "-rw-r----- app:root", "20000\t60000", "644 root")
	s.run(0, "plan")
	journal := s.on(h, "systemctl show -p InvocationID --value systemd-journald")

	// A hand at work, on each of them.
	s.on(h, "echo '1024 65000' >/proc/sys/net/ipv4/ip_local_port_range; rm -r /var/lib/batch; userdel batch; chown root:root /var/lib/app; chmod 0777 /etc/app.conf; chown batch:root /etc/app.conf 2>/dev/null; chmod 600 /etc/logrotate.d/app")
	out, _ := s.run(1, "plan")
	contains(t, out, "net.ipv4.ip_local_port_range is 1024 65000 on the host, and should be 20000 60000", "the user batch, which it makes, does not exist",
		"the directory /var/lib/batch, which it makes, does not exist", "/var/lib/app", "/etc/app.conf", "owner or mode differs", "/etc/logrotate.d/app", "nothing that runs is disturbed")
	s.run(0, "apply", "--yes")
	contains(t, s.on(h, "getent passwd batch; stat -c '%A %U:%G' /var/lib/batch /var/lib/app /etc/app.conf; cat /proc/sys/net/ipv4/ip_local_port_range; stat -c '%a %U' /etc/logrotate.d/app"),
		"/var/lib/batch:/usr/sbin/nologin", "drwx--x--- batch:batch", "drwxr-x--- app:app", "-rw-r----- app:root", "20000\t60000", "644 root")
	s.run(0, "plan")
	if now := s.on(h, "systemctl show -p InvocationID --value systemd-journald"); now != journal {
		t.Error("the journal was restarted for something else")
	}

	// A change of each, and what the host alone can refuse.
	s.edit("services/app/kernel.conf", "20000", "21000")
	s.edit("services/app/journal.conf", "48M", "40M")
	s.run(0, "apply", "--yes")
	contains(t, s.on(h, "cat /proc/sys/net/ipv4/ip_local_port_range; journalctl -u systemd-journald -n 20 -o cat"), "21000\t60000", "max 40.0M")
	s.edit("services/app/kernel.conf", "# ports", "net.ipv4.no_such_thing = 1")
	out, errs := s.run(2, "apply", "--yes")
	contains(t, out+errs, "/etc/sysctl.d/app.conf: the host's kernel has no net.ipv4.no_such_thing", "[kernel-parameter-unknown]", "not done: h1")
	s.edit("services/app/kernel.conf", "net.ipv4.no_such_thing = 1", "# ports")
	s.edit("services/app/folders.conf", "0710", "worldwide")
	out, errs = s.run(2, "apply", "--yes")
	contains(t, out+errs, "/etc/tmpfiles.d/app.conf cannot be applied", "generation", "was put back", "not done: h1")
	s.edit("services/app/folders.conf", "worldwide", "0710")
	s.edit("services/app/rotate", "weekly", "frobnicate")
	out, errs = s.run(2, "apply", "--yes")
	contains(t, out+errs, "/etc/logrotate.d/app: logrotate refuses it: 2 unknown option 'frobnicate'", "[logrotate-refuses]", "not done: h1")
	s.edit("services/app/rotate", "frobnicate", "monthly")
	s.run(0, "apply", "--yes")
	s.on(h, "mount -o remount,bind,ro /proc/sys")
	s.edit("services/app/kernel.conf", "21000", "22000")
	out, errs = s.run(2, "apply", "--yes")
	contains(t, out+errs, "/etc/sysctl.d/app.conf cannot be applied", "Read-only file system", "not done: h1")
	s.edit("services/app/kernel.conf", "22000", "21000")
	s.run(0, "plan")
	if now := s.on(h, "systemctl show -p InvocationID --value app"); now != process {
		t.Error("the service was restarted")
	}
}
