package desired

import (
	"slices"
	"strings"
)

// Environ is what the process of a unit has in its environment for certain, by
// key, once it was started from this Instance: the unit's Environment=, its
// managed env files over it in the order they are read, without what
// UnsetEnvironment= takes away and without what a file that is not managed may
// have beaten. A process has more than this, from systemd and from such files.
func (in Instance) Environ(unit string) []EnvVar {
	i := slices.IndexFunc(in.Units, func(u Unit) bool { return u.Name == unit })
	if i < 0 {
		return nil
	}
	u := in.Units[i]
	vars := map[string]EnvVar{}
	// What is read before a foreign file may be beaten by it, and so may
	// Environment=, which every env file beats.
	if len(u.ForeignEnv) == 0 {
		for _, v := range u.Environment {
			vars[v.Key] = v
		}
	}
	for _, p := range u.EnvFiles {
		for _, v := range in.fileVars(p) {
			if slices.Contains(u.Uncertain, p) {
				delete(vars, v.Key)
				continue
			}
			vars[v.Key] = v
		}
	}
	for _, gone := range u.Unset {
		key, value, exact := strings.Cut(gone, "=")
		if v, ok := vars[key]; ok && (!exact || string(v.Value.Bytes()) == value) {
			delete(vars, key)
		}
	}
	out := make([]EnvVar, 0, len(vars))
	for _, k := range sortedNames(vars) {
		out = append(out, vars[k])
	}
	return out
}

func (in Instance) fileVars(path string) []EnvVar {
	for _, f := range in.Files {
		if f.Path == path {
			return f.Vars
		}
	}
	return nil
}
