package desired

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// hostTargets are targets that only the host's own systemd has (systemd.special(7)), of
// those that services are often wanted by.
var hostTargets = []string{"multi-user.target", "graphical.target", "network.target", "network-online.target", "local-fs.target", "remote-fs.target", "sysinit.target"}

// userFaults finds what the systemd of a user cannot do for a unit.
func (c *compiled) userFaults(u *Unit, user string, byPath map[string]*made) Faults {
	var faults Faults
	add := func(pos Position, message, mend string) {
		faults = append(faults, Fault{Pos: pos, Rule: "user-unit", Message: message, Mend: mend})
	}
	for _, d := range u.Text.Directives {
		pos := Position{File: d.File, Line: d.Line, Column: d.Column}
		switch {
		case d.Section == "Install" && (d.Key == "WantedBy" || d.Key == "RequiredBy"):
			for target := range strings.FieldsSeq(d.Value) {
				if slices.Contains(hostTargets, target) {
					add(pos, fmt.Sprintf("%s=%s: the systemd of a user has no %s, so nothing would start the unit", d.Key, target, target), "write "+d.Key+"=default.target")
				}
			}
		case d.Section == "Service" && (d.Key == "User" || d.Key == "Group" || d.Key == "DynamicUser" && isYes(d.Value)) && d.Value != "":
			add(pos, fmt.Sprintf("%s=%s: the systemd of user %s cannot become anybody else, and the start fails (216/GROUP)", d.Key, d.Value, user),
				"drop the line: the unit runs as "+user+" in any case")
		}
	}
	for _, p := range u.EnvFiles {
		f := byPath[p]
		if f == nil || f.readableBy(user) {
			continue
		}
		i := slices.IndexFunc(c.svc.Spec.Env, func(e EnvSpec) bool { return e.Path == p })
		if i < 0 {
			continue
		}
		add(c.svc.At(fmt.Sprintf("env[%d].path", i)), fmt.Sprintf("%s reads %s as user %s, who may not (%s:%s %04o)", u.Name, p, user, f.Owner, f.Group, f.Mode),
			fmt.Sprintf("write group: %s and mode: \"0640\" beside it", user))
	}
	return faults
}

// readableBy tells whether a user may read the file; of groups other than the user's own
// and root's it cannot be told who is in them.
func (f *File) readableBy(user string) bool {
	switch {
	case user == "root":
		return true
	case f.Owner == user:
		return f.Mode&0o400 != 0
	case f.Group != "root" && f.Mode&0o040 != 0:
		return true
	}
	return f.Mode&0o004 != 0
}

// UnitUsers are those whose systemd runs units of the instance, sorted.
func (in *Instance) UnitUsers() []string {
	var users []string
	for i := range in.Units {
		if user, _ := hostdriver.SplitUnit(in.Units[i].Name); user != "" && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users
}
