package desired

import (
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// NeedKind is what kind of thing a Need is.
type NeedKind string

// The kinds of needs.
const (
	NeedProgram   NeedKind = "program"
	NeedDirectory NeedKind = "directory"
	NeedFile      NeedKind = "env file"
	NeedUser      NeedKind = "user"
	NeedGroup     NeedKind = "group"
)

// Need is something without which systemd cannot start a unit's process: known
// from its file, and to be found on the host or made by the same generation.
type Need struct {
	Kind NeedKind
	Name string // an absolute path, or a user's or group's name
	Key  string // the directive that says so
	Exit string // how the start ends without it, as systemd.exec(5) names it
}

// readNeeds finds what the unit's main processes must find. What only the host
// can tell (specifiers, another root directory, a dynamic user) is left out, and so is what the
// unit declares it can do without.
func (u *Unit) readNeeds(text UnitFile) {
	const section = "Service"
	if text.Last(section, "RootDirectory") != "" || text.Last(section, "RootImage") != "" {
		return
	}
	add := func(kind NeedKind, name, key, exit string) {
		name, known := expandSpecifiers(name, u.Name)
		if !known || name == "" {
			return
		}
		if kind != NeedUser && kind != NeedGroup {
			if !path.IsAbs(name) {
				return
			}
			name = path.Clean(name)
		}
		u.Needs = append(u.Needs, Need{Kind: kind, Name: name, Key: key, Exit: exit})
	}
	for _, key := range []string{"ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"} {
		for _, value := range text.Values(section, key) {
			if program, must := execProgram(value); must {
				add(NeedProgram, program, key+"=", "203/EXEC")
			}
		}
	}
	if dir := text.Last(section, "WorkingDirectory"); !strings.HasPrefix(dir, "-") && !madeBySystemd(text, dir) {
		add(NeedDirectory, dir, "WorkingDirectory=", "200/CHDIR")
	}
	for _, value := range text.Values(section, "EnvironmentFile") {
		if !strings.HasPrefix(value, "-") && !isGlob(value) {
			add(NeedFile, value, "EnvironmentFile=", "resources")
		}
	}
	if !isYes(text.Last(section, "DynamicUser")) {
		add(NeedUser, notNumber(text.Last(section, "User")), "User=", "217/USER")
		add(NeedGroup, notNumber(text.Last(section, "Group")), "Group=", "216/GROUP")
	}
	for _, value := range text.Values(section, "SupplementaryGroups") {
		for _, name := range strings.Fields(value) {
			add(NeedGroup, notNumber(name), "SupplementaryGroups=", "216/GROUP")
		}
	}
}

// Quadlet tells whether podman's generator makes the unit, of the file that is brought.
func (u *Unit) Quadlet() bool { return quadletUnit(path.Base(u.File)) != "" }

// Program is what a line of a unit's file runs.
type Program struct {
	Key  string // "ExecStart="
	Path string
	Root bool // whatever User= says
}

// Programs are those of all its Exec lines which must succeed, as far as they can be told
// here.
func (u *Unit) Programs() []Program {
	const section = "Service"
	if u.Text.Last(section, "RootDirectory") != "" || u.Text.Last(section, "RootImage") != "" {
		return nil
	}
	var out []Program
	for _, key := range []string{"ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"} {
		for _, value := range u.Text.Values(section, key) {
			program, must := execProgram(value)
			program, known := expandSpecifiers(program, u.Name)
			if !must || !known || !path.IsAbs(program) {
				continue
			}
			prefix := value[:len(value)-len(strings.TrimLeft(value, "@-:+!|"))]
			p := Program{Key: key + "=", Path: path.Clean(program), Root: strings.ContainsAny(prefix, "+!")}
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// Account is who the unit's processes run as, where it is one that the host knows: "" is root.
// known is false where only the host can tell what they may (a user made at start, groups
// or capabilities of their own).
func (u *Unit) Account() (user, group string, known bool) {
	const section = "Service"
	for _, key := range []string{"AmbientCapabilities", "SupplementaryGroups", "PAMName"} {
		if u.Text.Last(section, key) != "" {
			return "", "", false
		}
	}
	if user, _ := hostdriver.SplitUnit(u.Name); user != "" { // its systemd is that user already
		return user, "", true
	}
	user, known = expandSpecifiers(u.Text.Last(section, "User"), u.Name)
	group, same := expandSpecifiers(u.Text.Last(section, "Group"), u.Name)
	return user, group, known && same && !isYes(u.Text.Last(section, "DynamicUser"))
}

// Variable is what the unit's processes get as name, and whether that is known and no
// secret. Env files beat the unit's own Environment=.
func (u *Unit) Variable(in *Instance, name string) (value string, known bool) {
	for _, v := range u.Environment {
		if v.Key == name {
			value = string(v.Value.Bytes())
		}
	}
	for _, file := range u.EnvFiles {
		for i := range in.Files {
			if in.Files[i].Path != file {
				continue
			}
			for _, v := range in.Files[i].Vars {
				if v.Key == name {
					if v.Secret {
						return "", false
					}
					value = string(v.Value.Bytes())
				}
			}
		}
	}
	return value, len(u.ForeignEnv) == 0
}

// Listens are the addresses of its ListenStream= lines, each a port with or without an IP
// address before it.
func (u *Unit) Listens() []string {
	var out []string
	for _, value := range u.Text.Values("Socket", "ListenStream") {
		if value, known := expandSpecifiers(value, u.Name); known && !strings.ContainsAny(value, "/@%") && !strings.HasPrefix(value, "vsock:") {
			out = append(out, value)
		}
	}
	return out
}

// madeBySystemd tells whether systemd itself makes the directory before the start
// (StateDirectory= and its kin, systemd.exec(5)).
func madeBySystemd(text UnitFile, dir string) bool {
	for key, base := range map[string]string{"StateDirectory": "/var/lib/", "RuntimeDirectory": "/run/", "CacheDirectory": "/var/cache/",
		"LogsDirectory": "/var/log/", "ConfigurationDirectory": "/etc/"} {
		for _, value := range text.Values("Service", key) {
			for _, name := range strings.Fields(value) {
				name, _, _ = strings.Cut(name, ":")
				if path.Clean(dir) == base+strings.Trim(name, "/") {
					return true
				}
			}
		}
	}
	return false
}

// execProgram is the program of an Exec line without its prefixes
// (systemd.service(5), "Command lines"); must is false where a failure to start it
// is ignored.
func execProgram(line string) (program string, must bool) {
	rest := strings.TrimLeft(line, "@-:+!|")
	if strings.Contains(line[:len(line)-len(rest)], "-") {
		return "", false
	}
	words, err := unitWords(rest)
	if err != nil || len(words) == 0 {
		return "", false
	}
	return words[0], true
}

func isYes(s string) bool {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true
	}
	return false
}

// notNumber is s unless it is a numeric id, which needs no entry of its own.
func notNumber(s string) string {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		return ""
	}
	return s
}

// refusedBySystemd tells why systemd would not load a service's file at all, as far
// as it tells (systemd.service(5)).
func (u *Unit) refusedBySystemd(text UnitFile) (message, mend string) {
	if unitType(u.Name) != "service" || text.Last("Unit", "SuccessAction") != "" && text.Last("Unit", "SuccessAction") != "none" {
		return "", ""
	}
	starts := text.Values("Service", "ExecStart")
	kind := text.Last("Service", "Type")
	switch {
	case len(starts) == 0 && len(text.Values("Service", "ExecStop")) == 0:
		return "systemd refuses it: it has no ExecStart=", "write ExecStart=/path/to/program under [Service]"
	case len(starts) == 0 && kind != "oneshot" && !isYes(text.Last("Service", "RemainAfterExit")):
		return "systemd refuses it: it has no ExecStart=, which only Type=oneshot may leave out", "write ExecStart=, or Type=oneshot"
	case len(starts) > 1 && kind != "oneshot":
		return "systemd refuses it: it has several ExecStart=, which only Type=oneshot may have", "write ExecStart= once (an empty one before it drops those of a drop-in's unit), or Type=oneshot"
	}
	return "", ""
}
