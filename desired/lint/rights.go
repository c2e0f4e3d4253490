package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// rights is about what a service may do on its host.
func (u *unit) rights() {
	user := u.value("Service", "User")
	dynamic := u.yes("DynamicUser")
	if (user == "" || user == "root" || user == "0") && !dynamic {
		u.say(u.exec(), "runs-as-root", "it runs as root", "name a user under users, and write User=; or DynamicUser=yes")
	}
	var absent []string
	for _, key := range []string{"NoNewPrivileges", "PrivateTmp", "ProtectSystem", "ProtectHome"} {
		if off(u.value("Service", key)) && !dynamic {
			absent = append(absent, key+"="+map[string]string{"ProtectSystem": "strict"}[key]+map[bool]string{true: "yes"}[key != "ProtectSystem"])
		}
	}
	if len(absent) > 0 {
		u.say(u.exec(), "hardening", "it is less confined than it could be: no "+strings.Join(keysOf(absent), ", "), "write "+strings.Join(absent, ", ")+" (systemd.exec(5))")
	}
	u.blocked(user, dynamic)
	if strings.Trim(user, "0123456789") != "" && user != "root" && !strings.Contains(user, "%") && !dynamic && !strings.Contains(u.value("Service", "AmbientCapabilities"), "CAP_DAC_") {
		u.closed(user)
	}
}

// closed finds files and directories of the service that are root's alone, and that the unit
// names. Whoever else's group they have may have the user in it.
func (u *unit) closed(user string) {
	shut := func(owner, group string, mode, bit uint32) bool {
		return owner != user && group == "root" && mode&bit == 0 && u.value("Service", "Group") != "root"
	}
	for _, d := range u.Text.Directives {
		if d.Section != "Service" {
			continue
		}
		if d.Key == "WorkingDirectory" {
			for _, dir := range u.in.Directories {
				if dir.Path == strings.TrimPrefix(d.Value, "-") && shut(dir.Owner, dir.Group, dir.Mode, 0o001) {
					u.say(at(d), "closed-to-user", fmt.Sprintf("%s may not enter %s, which is %s's with mode %04o (200/CHDIR)", user, dir.Path, dir.Owner, dir.Mode), "write owner: "+user+" for it under directories")
				}
			}
		}
		if d.Key != "ExecStart" || strings.ContainsAny(d.Value[:len(d.Value)-len(strings.TrimLeft(d.Value, "@-:+!|"))], "+!") {
			continue
		}
		for i := range u.in.Files {
			f := &u.in.Files[i]
			named := slices.ContainsFunc(strings.Fields(d.Value), func(w string) bool {
				w = strings.Trim(w, `"'`)
				return w == f.Path || strings.HasSuffix(w, "="+f.Path)
			})
			if named && shut(f.Owner, f.Group, f.Mode, 0o004) {
				u.say(at(d), "closed-to-user", fmt.Sprintf("%s may not read %s, which is %s's with mode %04o", user, f.Path, f.Owner, f.Mode), "write owner: "+user+" for it, or group: "+user+` with mode: "0640"`)
			}
		}
	}
}

func keysOf(assignments []string) []string {
	var keys []string
	for _, a := range assignments {
		key, _, _ := strings.Cut(a, "=")
		keys = append(keys, key+"=")
	}
	return keys
}

// off tells a setting that confines nothing.
func off(value string) bool {
	return value == "" || slices.Contains([]string{"0", "no", "n", "false", "f", "off"}, strings.ToLower(value))
}

// madeDirectories are the settings by which systemd makes directories that stay writable
// (systemd.exec(5)), with where these are.
var madeDirectories = map[string]string{"StateDirectory": "/var/lib", "CacheDirectory": "/var/cache", "LogsDirectory": "/var/log", "RuntimeDirectory": "/run", "ConfigurationDirectory": "/etc"}

// blocked finds confinement that takes away what the service needs.
func (u *unit) blocked(user string, dynamic bool) {
	if home, ok := u.last("Service", "ProtectHome"); ok && !off(home.Value) && home.Value != "read-only" {
		for _, d := range u.Text.Directives {
			program := strings.TrimLeft(d.Value, "@-:+!|\"'")
			if d.Section == "Service" && (d.Key == "WorkingDirectory" || d.Key == "ExecStart" || d.Key == "ExecStartPre") && underHome(program) {
				u.say(at(d), "hardening-blocks", fmt.Sprintf("ProtectHome=%s hides %s from it, so its start fails", home.Value, clip(strings.Fields(program)[0])), "move it out of there, to /opt or /srv; or write ProtectHome=read-only")
			}
		}
	}
	system, _ := u.last("Service", "ProtectSystem")
	if dynamic && off(system.Value) {
		system.Value = "strict"
	}
	if !off(system.Value) && user != "" && user != "root" {
		for _, dir := range u.in.Directories {
			if dir.Owner == user && dir.Mode&0o200 != 0 && readOnly(system.Value, dir.Path) && !u.anyWrites(dir.Path) {
				u.say(at(system), "hardening-blocks", fmt.Sprintf("ProtectSystem=%s makes %s read-only, which belongs to its user", system.Value, dir.Path), "write ReadWritePaths="+dir.Path+", or StateDirectory= and its kin")
			}
		}
	}
	for _, d := range u.Text.Directives {
		if d.Section == "Service" && slices.Contains([]string{"ReadWritePaths", "ReadOnlyPaths", "BindPaths", "BindReadOnlyPaths"}, d.Key) {
			u.namespacePaths(d)
		}
	}
	u.lowPort(user, dynamic)
}

// lowPort finds a port that only root may listen on.
func (u *unit) lowPort(user string, dynamic bool) {
	if u.State != "started" || (user == "" || user == "root") && !dynamic || strings.Contains(u.value("Service", "AmbientCapabilities"), "CAP_NET_BIND_SERVICE") {
		return
	}
	for _, o := range u.in.Units {
		if strings.HasSuffix(o.Name, ".socket") {
			return
		}
	}
	for _, h := range u.in.Health {
		port := 0
		switch {
		case h.HTTP != nil && h.HTTP.Host == "":
			port = h.HTTP.Port
		case h.TCP != nil && h.TCP.Host == "":
			port = h.TCP.Port
		}
		if port > 0 && port < 1024 && len(u.services()) == 1 {
			u.say(u.exec(), "hardening-blocks", fmt.Sprintf("it is to listen on port %d, which its user may not", port), "write AmbientCapabilities=CAP_NET_BIND_SERVICE, or a socket unit")
		}
	}
}

// services are the started services of the instance.
func (u *unit) services() []string {
	var names []string
	for _, o := range u.in.Units {
		if o.State == "started" && strings.HasSuffix(o.Name, ".service") {
			names = append(names, o.Name)
		}
	}
	return names
}

// namespacePaths finds paths of a mount namespace that nothing makes.
func (u *unit) namespacePaths(d desired.UnitDirective) {
	for _, word := range strings.Fields(d.Value) {
		p, _, _ := strings.Cut(word, ":")
		if !path.IsAbs(p) || strings.Contains(p, "%") { // "-/x" need not exist
			continue
		}
		if p = path.Clean(p); strings.Count(p, "/") < 2 || systemPath(p) || u.made(p) {
			continue
		}
		u.say(at(d), "hardening-blocks", fmt.Sprintf("%s= names %s, which nothing of the service makes: without it the start fails (226/NAMESPACE)", d.Key, p), "declare it under directories, or begin it with -")
	}
}

// systemPath tells what every host has.
func systemPath(p string) bool {
	return slices.Contains([]string{"/var/log", "/var/lib", "/var/cache", "/var/tmp", "/var/run", "/dev/shm", "/run/lock", "/usr/local", "/usr/bin", "/usr/lib", "/usr/share", "/usr/sbin", "/etc/ssl", "/etc/ssl/certs"}, p) ||
		under(p, "/proc") || under(p, "/sys") || under(p, "/dev")
}

// made tells whether the service brings p, or what is below it.
func (u *unit) made(p string) bool {
	for _, d := range u.in.Directories {
		if under(d.Path, p) {
			return true
		}
	}
	for i := range u.in.Files {
		if under(u.in.Files[i].Path, p) {
			return true
		}
	}
	for _, a := range u.in.Artifacts {
		if under(a.Link, p) || under(p, a.Link) || under(a.Release, p) {
			return true
		}
	}
	for _, s := range u.in.Users {
		if s.Home == p {
			return true
		}
	}
	return u.writes(p)
}

// anyWrites tells whether p is writable for some unit of the service: that is then the one
// which it is for.
func (u *unit) anyWrites(p string) bool {
	for i := range u.in.Units {
		other := &unit{Unit: &u.in.Units[i], check: u.check}
		if other.writes(p) || other.paths("ReadWritePaths", p) || other.paths("BindPaths", p) {
			return true
		}
	}
	return false
}

// writes tells whether systemd makes p for the unit, or gives it a /tmp of its own.
func (u *unit) writes(p string) bool {
	if (under(p, "/tmp") || under(p, "/var/tmp")) && !off(u.value("Service", "PrivateTmp")) {
		return true
	}
	for key, base := range madeDirectories {
		for _, value := range u.Text.Values("Service", key) {
			for _, name := range strings.Fields(value) {
				name, _, _ = strings.Cut(name, ":")
				if under(p, path.Join(base, name)) {
					return true
				}
			}
		}
	}
	return false
}

// paths tells whether one of a setting's paths is p, or above it.
func (u *unit) paths(key, p string) bool {
	for _, value := range u.Text.Values("Service", key) {
		for _, word := range strings.Fields(value) {
			word, _, _ = strings.Cut(strings.TrimLeft(word, "-+"), ":")
			if strings.Contains(word, "%") || under(p, path.Clean(word)) {
				return true
			}
		}
	}
	return false
}

func underHome(p string) bool { return under(p, "/home") || under(p, "/root") || under(p, "/run/user") }

// readOnly tells what ProtectSystem= makes read-only (systemd.exec(5)).
func readOnly(protect, p string) bool {
	switch protect {
	case "strict":
		return !under(p, "/dev") && !under(p, "/proc") && !under(p, "/sys")
	case "full":
		return under(p, "/usr") || under(p, "/boot") || under(p, "/efi") || under(p, "/etc")
	}
	return under(p, "/usr") || under(p, "/boot") || under(p, "/efi")
}

// under tells whether p is dir or lies below it.
func under(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
