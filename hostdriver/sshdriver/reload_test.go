package sshdriver

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// TestWhatSystemdReads: only what surely is of no interest to systemd spares a reload.
func TestWhatSystemdReads(t *testing.T) {
	for path, want := range map[string]bool{
		"/etc/default/victim":                                   false,
		"/etc/nullspace/gateway.env":                            false,
		"/etc/nullspace/gateway.json":                           false,
		"/opt/nullspace/gateway":                                false,
		"/usr/local/bin/victim":                                 false,
		"/etc/haproxy/haproxy.cfg":                              false,
		"/etc/systemd/system/a.service":                         true,
		"/etc/systemd/system/a.service.d/x.conf":                true,
		"/etc/systemd/system/multi-user.target.wants/a.service": true,
		"/etc/systemd/system.conf.d/x.conf":                     true,
		"/opt/app/linked.service":                               true,
		"/opt/app/linked.timer":                                 true,
		"/opt/app/linked.service.d/more.conf":                   true,
		"/etc/containers/systemd/gw.container":                  true,
		"/etc/fstab":                                            true,
		"/etc/init.d/old":                                       true,
		"/etc/rc3.d/S01old":                                     true,
		"/etc/ssh/sshd_config.d/x.conf":                         true,
		"/etc/netplan/a.yaml":                                   true,
		"/etc/environment":                                      true,
	} {
		h := newStayingHost(t, "dash")
		s := newScript(h.places, "reload")
		s.set("NAME", path)
		records, err := exchange(t.Context(), h, shellInventory, request{op: "test", script: s, call: `systemd_reads "$NAME"; rec reads "$?"; finish`})
		if err != nil {
			t.Fatal(err)
		}
		if got := records[0].arg(0) == "0"; got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// TestReloadIsLeftOut on a real host, where systemd itself tells when it last read its
// files: for an env file, and for nothing that it, or a generator, may read.
func TestReloadIsLeftOut(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	m := &labMachine{t: t, host: l.Hosts()[0]}
	d := newLabDriver(t, l, "deploy")
	apply := func(op hostdriver.Op) {
		t.Helper()
		if _, err := d.Apply(context.Background(), labHost(m.host), hostdriver.Fence{Epoch: 1, Holder: "reload"}, op); err != nil {
			t.Fatal(err)
		}
	}
	generation := uint64(0)
	reloads := func(files map[string]string) bool {
		t.Helper()
		generation++
		s := hostdriver.Stage{Manifest: hostdriver.Manifest{Generation: generation, Revision: "r"}, Blobs: map[string]hostdriver.Content{}}
		for name, text := range files {
			c := hostdriver.NewContent([]byte(text))
			s.Blobs[c.SHA256()] = c
			s.Manifest.Entries = append(s.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindFile, Name: name, SHA256: c.SHA256(), Owner: "root", Group: "root", Mode: 0o644})
		}
		s.Manifest.Entries = append(s.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindUnit, Name: "contract.service", Enabled: "yes"})
		apply(s)
		before := m.do("systemctl show -p UnitsLoadTimestampMonotonic")
		apply(hostdriver.Switch{To: generation})
		return m.do("systemctl show -p UnitsLoadTimestampMonotonic") != before
	}
	const unit, env, drop = "/etc/systemd/system/contract.service", "/etc/contract/env", "/etc/systemd/system/contract.service.d/x.conf"
	files := map[string]string{unit: "[Service]\nEnvironmentFile=/etc/contract/env\nExecStart=/bin/sleep 86400\n[Install]\nWantedBy=multi-user.target\n", env: "A=1\n"}
	for _, c := range []struct {
		what   string
		change func()
		want   bool
	}{
		{"the first deployment", func() {}, true},
		{"an env file", func() { files[env] = "A=2\n" }, false},
		{"nothing", func() {}, false},
		{"a drop-in in a new folder", func() { files[drop] = "[Service]\nRestart=always\n" }, true},
		{"the same drop-in", func() { files[env] = "A=3\n" }, false},
		{"a drop-in removed", func() { delete(files, drop) }, true},
		{"the unit", func() { files[unit] += "# changed\n" }, true},
		{"a unit that a hand has edited, put back", func() { m.do("echo '# by hand' >>%s", unit) }, true},
		{"an env file, while systemd has an older unit loaded", func() {
			files[env] = "A=4\n"
			m.do("cp -p %[1]s /tmp/u && sed -i s/86400/86401/ %[1]s && systemctl daemon-reload && cp -p /tmp/u %[1]s && touch %[1]s", unit)
		}, true},
		{"a unit that a hand has disabled", func() { m.do("systemctl disable contract.service") }, true},
		{"an env file, beside a generator that nobody knows", func() {
			files[env] = "A=5\n"
			m.do("mkdir -p /etc/systemd/system-generators && printf '#!/bin/sh\n' >/etc/systemd/system-generators/own && chmod +x /etc/systemd/system-generators/own")
		}, true},
	} {
		c.change()
		if got := reloads(files); got != c.want {
			t.Errorf("%s: reloaded %v, want %v", c.what, got, c.want)
		}
		if out := strings.TrimSpace(m.do("systemctl show -p NeedDaemonReload,UnitFileState --value contract.service | sort | tr '\\n' ' '")); out != "enabled no" {
			t.Errorf("%s: then systemd says %q", c.what, out)
		}
	}
}

// TestUnitsSystemdDoesNotKnow on a real host: systemd reads them when it is first asked for
// them, also where others name them already, and a reload is left out.
func TestUnitsSystemdDoesNotKnow(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	m := &labMachine{t: t, host: l.Hosts()[0]}
	d := newLabDriver(t, l, "deploy")
	m.do("printf '[Unit]\nWants=named.service\nAfter=named.service\n[Service]\nExecStart=/bin/sleep 86400\n' >/etc/systemd/system/names.service && systemctl daemon-reload && systemctl start names.service")
	manifest := hostdriver.Manifest{}
	blobs := map[string]hostdriver.Content{}
	for i, c := range []struct {
		unit, section string
		fresh         bool
		reloads       bool
	}{
		{"plain.service", "[Service]\nExecStart=/bin/sleep 86400\n", true, false},
		{"named.service", "[Service]\nExecStart=/bin/sleep 86400\n", true, false},
		{"often.timer", "[Timer]\nOnCalendar=daily\nUnit=plain.service\n", true, false},
		{"wanted.service", "[Service]\nExecStart=/bin/sleep 86400\n", false, true},
		{"last.service", "[Service]\nExecStart=/bin/sleep 86400\n", true, false},
	} {
		content := hostdriver.NewContent([]byte(c.section + "[Install]\nWantedBy=multi-user.target\n"))
		blobs[content.SHA256()] = content
		manifest.Generation, manifest.Revision = uint64(i+1), "r"
		manifest.Entries = append(manifest.Entries,
			hostdriver.Entry{Kind: hostdriver.KindFile, Name: "/etc/systemd/system/" + c.unit, SHA256: content.SHA256(), Owner: "root", Group: "root", Mode: 0o644},
			hostdriver.Entry{Kind: hostdriver.KindUnit, Name: c.unit, Enabled: "yes"})
		op := hostdriver.Switch{To: manifest.Generation, Unknown: []string{c.unit}, Expect: []hostdriver.Expect{{Path: "/etc/systemd/system/" + c.unit}}}
		if c.fresh {
			op.Fresh = op.Unknown
		}
		before := m.do("systemctl show -p UnitsLoadTimestampMonotonic")
		for _, op := range []hostdriver.Op{
			hostdriver.Stage{Manifest: manifest, Blobs: blobs}, op,
			hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: c.unit, Verb: hostdriver.VerbStart}}},
		} {
			if _, err := d.Apply(t.Context(), labHost(m.host), hostdriver.Fence{Epoch: 1, Holder: "fresh"}, op); err != nil {
				t.Fatalf("%s: %v", c.unit, err)
			}
		}
		if reloaded := m.do("systemctl show -p UnitsLoadTimestampMonotonic") != before; reloaded != c.reloads {
			t.Errorf("%s: reloaded %v, want %v", c.unit, reloaded, c.reloads)
		}
		if out := strings.Fields(m.do("systemctl show -p LoadState,ActiveState,UnitFileState,NeedDaemonReload --value %s | sort", c.unit)); !slices.Equal(out, []string{"active", "enabled", "loaded", "no"}) {
			t.Errorf("%s: then systemd says %q", c.unit, out)
		}
	}
	m.do("systemctl daemon-reload")
	for _, e := range manifest.Entries {
		if e.Kind == hostdriver.KindUnit && !strings.Contains(m.do("systemctl show -p Wants --value multi-user.target"), e.Name) {
			t.Errorf("at the next boot %s is not started", e.Name)
		}
	}
}
