package rollout

import (
	"fmt"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// needs names what the units that are to be started or restarted would not find:
// known here, before anything is disturbed.
func (d *differ) needs(inst *desired.Instance) {
	for i := range inst.Units {
		u := &inst.Units[i]
		if !d.starts(u.Name) {
			continue
		}
		for _, n := range u.Needs {
			if !d.found(inst, n) {
				d.problem(u.Name, fmt.Sprintf("%s%s: there is no such %s on the host, so its start would fail (%s)", n.Key, n.Name, n.Kind, n.Exit), mendNeed(inst, n))
			} else if why, mend := d.unfit(n); why != "" {
				d.problem(u.Name, fmt.Sprintf("%s%s %s, so its start would fail (%s)", n.Key, n.Name, why, n.Exit), mend)
			}
		}
	}
}

// starts tells whether a process of the unit is to be started.
func (d *differ) starts(unit string) bool {
	for _, c := range d.Changes[d.from:] {
		if c.Kind == KindProcess && c.Subject == unit && (c.Action == ActionStart || c.Action == ActionRestart) {
			return true
		}
	}
	return false
}

// found tells whether the host has what is needed, or will have it by the same
// generation.
func (d *differ) found(inst *desired.Instance, n desired.Need) bool {
	switch n.Kind {
	case desired.NeedUser:
		return n.Name == "root" || declares(inst, n.Name) || d.o.Users[n.Name].Exists
	case desired.NeedGroup:
		return n.Name == "root" || declares(inst, n.Name) || d.o.Groups[n.Name]
	}
	if t := d.o.Paths[n.Name].Type; t != hostdriver.PathAbsent {
		return true // an unknown one gets the benefit of the doubt
	}
	// What the generation makes: the thing itself, something in it, or the release
	// that it is in.
	for _, e := range d.makes() {
		inside := strings.HasPrefix(e.Name, n.Name+"/") && n.Kind == desired.NeedDirectory
		ofBundle := e.Kind == hostdriver.KindLink && strings.HasPrefix(n.Name, e.Name+"/")
		if e.Name == n.Name || inside || ofBundle {
			return true
		}
	}
	return false
}

// unfit tells why what is needed is of no use as it will be: a program that nobody may
// execute, or something of another kind. What a link points at is not known.
func (d *differ) unfit(n desired.Need) (why, mend string) {
	mode, kind := d.o.Paths[n.Name].Mode, d.o.Paths[n.Name].Type
	for _, e := range d.makes() {
		if e.Name == n.Name {
			switch e.Kind {
			case hostdriver.KindFile:
				mode, kind = e.Mode, hostdriver.PathFile
			case hostdriver.KindDirectory:
				mode, kind = e.Mode, hostdriver.PathDir
			default:
				return "", ""
			}
		}
	}
	switch {
	case n.Kind == desired.NeedProgram && kind == hostdriver.PathFile && mode != 0 && mode&0o111 == 0:
		return fmt.Sprintf("may not be executed by anybody (mode %04o)", mode), `write mode: "0755" for it under files, or chmod a+x it there`
	case n.Kind == desired.NeedProgram && kind == hostdriver.PathDir:
		return "is a directory, no program", "correct " + n.Key
	case n.Kind == desired.NeedDirectory && kind == hostdriver.PathFile:
		return "is a file, no directory", "correct " + n.Key
	case n.Kind == desired.NeedFile && kind == hostdriver.PathDir:
		return "is a directory, no file", "correct " + n.Key
	}
	return "", ""
}

func declares(inst *desired.Instance, user string) bool {
	for _, u := range inst.Users {
		if u.Name == user {
			return true
		}
	}
	return false
}

// makes lists the paths that the host state makes, as entries.
func (d *differ) makes() []hostdriver.Entry {
	if d.made != nil {
		return d.made
	}
	d.made = []hostdriver.Entry{}
	for i := range d.desired.Instances {
		for _, e := range Entries(&d.desired.Instances[i]) {
			if e.Kind != hostdriver.KindUser && e.Kind != hostdriver.KindUnit {
				d.made = append(d.made, e)
			}
		}
	}
	return d.made
}

func mendNeed(inst *desired.Instance, n desired.Need) string {
	switch n.Kind {
	case desired.NeedUser, desired.NeedGroup:
		return fmt.Sprintf("declare it under users of service %s, or correct %s", inst.Service, n.Key)
	case desired.NeedDirectory:
		return fmt.Sprintf("declare it under directories of service %s, or correct %s", inst.Service, n.Key)
	case desired.NeedProgram:
		return fmt.Sprintf("declare it under artifacts of service %s, install its package, or correct %s", inst.Service, n.Key)
	}
	return fmt.Sprintf("declare it under env of service %s, correct %s, or write a - before it where it may be missing", inst.Service, n.Key)
}
