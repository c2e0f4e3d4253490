package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// settingFolders are those of which systemd reads only files that end in .conf.
var settingFolders = []string{"/etc/sysusers.d", "/etc/tmpfiles.d", "/etc/sysctl.d", "/etc/systemd/journald.conf.d"}

// leftAlone are endings of files that logrotate passes over (logrotate.conf(5), tabooext).
var leftAlone = []string{",v", ".bak", ".cfsaved", ".disabled", ".dpkg-bak", ".dpkg-del", ".dpkg-dist", ".dpkg-new", ".dpkg-old", ".dpkg-tmp", ".new", ".old", ".orig", ".rhn-cfg-tmp-*", ".rpmnew", ".rpmorig", ".rpmsave", ".swp", ".ucf-dist", ".ucf-new", ".ucf-old", "~"}

// settings looks at files by which something is set on the host beyond them.
func (c *check) settings(f *desired.File, spec int) {
	at := c.svc.At(fmt.Sprintf("files[%d]", spec))
	if slices.Contains(settingFolders, path.Dir(f.Path)) && !strings.HasSuffix(f.Path, ".conf") {
		c.say(at, "setting-ignored", "systemd does not read "+f.Path+", for its name does not end in .conf", "name it "+f.Path+".conf")
	}
	switch desired.SettingOf(f.Path) {
	case desired.SettingJournal:
		c.journald(f)
	case desired.SettingLogrotate:
		c.logrotate(f, at)
	case desired.SettingKernel:
		c.sysctl(f)
	}
}

func (c *check) logrotate(f *desired.File, at desired.Position) {
	switch {
	case f.Owner != "root":
		c.say(at, "setting-ignored", fmt.Sprintf("logrotate ignores %s, for it is %s's and not root's", f.Path, f.Owner), "drop owner")
	case f.Mode&0o7533 != 0o400:
		c.say(at, "setting-ignored", fmt.Sprintf("logrotate ignores %s, for its mode is %04o", f.Path, f.Mode), `write mode: "0644"`)
	}
	for _, ending := range leftAlone {
		if strings.HasSuffix(f.Path, ending) {
			c.say(at, "setting-ignored", fmt.Sprintf("logrotate ignores %s, for its name ends in %s", f.Path, ending), "name it otherwise")
		}
	}
}

// sysctl finds lines that systemd-sysctl does not take (sysctl.d(5)).
func (c *check) sysctl(f *desired.File) {
	n := 0
	for line := range strings.Lines(string(f.Content.Bytes())) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' || strings.Contains(line, "=") || line[0] == '-' {
			continue
		}
		c.say(desired.Position{File: f.Sources[0], Line: n, Column: 1}, "setting-ignored", "systemd ignores the line, for it has no =", "write name = value, or # before it")
	}
}
