package desired

import (
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// derived is what derive has found.
type derived struct {
	units  []Unit
	faults Faults
}

// deriveOnce is derive, remembered where it comes out the same on every host: it
// looks at unit files, and of others only at paths. incomplete tells that some
// file could not be made.
func (c *compiled) deriveOnce(files []made, artifacts []Artifact, incomplete bool) ([]Unit, Faults) {
	if !c.unitsStatic || incomplete {
		return c.derive(files, artifacts)
	}
	c.deriveMu.Lock()
	defer c.deriveMu.Unlock()
	if c.derived == nil {
		d := &derived{}
		d.units, d.faults = c.derive(files, artifacts)
		c.derived = d
	}
	return c.derived.units, c.derived.faults
}

// derive tells, from the content of unit files, what each unit reads.
func (c *compiled) derive(files []made, artifacts []Artifact) ([]Unit, Faults) {
	byPath := make(map[string]*made, len(files))
	for i := range files {
		byPath[files[i].Path] = &files[i]
	}
	var faults Faults
	units := make([]Unit, 0, len(c.units))
	texts := make([][]string, 0, len(c.units)) // the paths in each unit's text
	for _, cu := range c.units {
		u := Unit{Name: cu.name, File: cu.file, Enabled: cu.enabled, State: cu.state}
		text := cu.text(byPath)
		u.Text = text
		if f := byPath[cu.file]; cu.enabled != nil && *cu.enabled && f != nil && f.parsed != nil {
			if message, mend := text.notEnabled(cu.name, path.Base(f.Sources[0])); message != "" {
				faults = append(faults, Fault{Pos: c.svc.At(cu.at + ".enabled"), Rule: "not-installable", Message: message, Mend: mend})
			}
		}
		if user, _ := hostdriver.SplitUnit(cu.name); user != "" && !isTemplateUnit(cu.name) {
			u.readEnv(text, byPath)
			faults = append(faults, c.userFaults(&u, user, byPath)...)
			u.EnvFiles, u.ForeignEnv, u.Uncertain = nil, nil, nil
		}
		if !isTemplateUnit(cu.name) { // which runs nothing itself
			u.readEnv(text, byPath)
			u.readEnvironment(text)
			u.readNeeds(text)
			if f := byPath[cu.file]; f != nil && f.parsed != nil && strings.HasSuffix(cu.file, ".service") {
				if message, mend := u.refusedBySystemd(text); message != "" {
					faults = append(faults, Fault{Pos: c.svc.At(cu.at), Rule: "refused-by-systemd", Message: cu.name + ": " + message, Mend: mend})
				}
			}
		}
		units = append(units, u)
		texts = append(texts, text.Paths())
	}
	assignReads(units, texts, managedPaths(files, artifacts, units))
	return units, faults
}

// text is the unit's file and its drop-ins behind it.
func (cu compiledUnit) text(byPath map[string]*made) UnitFile {
	var text UnitFile
	if f := byPath[cu.file]; f != nil && f.parsed != nil {
		text = *f.parsed
	}
	for _, d := range cu.dropIns {
		if f := byPath[d]; f != nil && f.parsed != nil {
			text = text.With(*f.parsed)
		}
	}
	return text
}

// envSections are the sections of units that run processes (systemd.exec(5)).
var envSections = []string{"Service", "Socket", "Mount", "Swap"}

// readEnv finds the env files that systemd gives to the unit's processes, in the
// order it reads them.
func (u *Unit) readEnv(text UnitFile, byPath map[string]*made) {
	for _, section := range envSections {
		for _, value := range text.Values(section, "EnvironmentFile") {
			value, known := expandSpecifiers(strings.TrimPrefix(value, "-"), u.Name)
			managed := matchEnvFiles(value, byPath)
			if known {
				u.EnvFiles = append(u.EnvFiles, managed...)
			}
			if len(managed) == 0 || !known || isGlob(value) {
				u.ForeignEnv = append(u.ForeignEnv, value)
				u.Uncertain = slices.Clone(u.EnvFiles)
			}
		}
	}
}

func isGlob(s string) bool { return strings.ContainsAny(s, "*?[") }

// matchEnvFiles are the managed env files that a path or glob names, sorted.
func matchEnvFiles(pattern string, byPath map[string]*made) []string {
	if f := byPath[path.Clean(pattern)]; f != nil && f.Kind == FileEnv {
		return []string{f.Path}
	}
	if !isGlob(pattern) {
		return nil
	}
	var out []string
	for p, f := range byPath {
		if ok, err := path.Match(pattern, p); err == nil && ok && f.Kind == FileEnv {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// readEnvironment takes Environment= and UnsetEnvironment=.
func (u *Unit) readEnvironment(text UnitFile) {
	index := map[string]int{}
	for _, section := range envSections {
		for _, value := range text.Values(section, "Environment") {
			words, _ := unitWords(value)
			for _, w := range words {
				key, v, ok := strings.Cut(w, "=")
				v, known := expandSpecifiers(v, u.Name)
				if !ok || checkEnvKey(key) != "" {
					continue
				}
				i, again := index[key]
				if !again {
					i = len(u.Environment)
					index[key] = i
					u.Environment = append(u.Environment, EnvVar{})
				}
				u.Environment[i] = EnvVar{Key: key, Value: hostdriver.NewContent([]byte(v)), Source: u.File}
				if !known {
					u.Environment[i].Key = "" // only the host can tell it
				}
			}
		}
		for _, value := range text.Values(section, "UnsetEnvironment") {
			words, _ := unitWords(value)
			u.Unset = append(u.Unset, words...)
		}
	}
	u.Environment = slices.DeleteFunc(u.Environment, func(v EnvVar) bool { return v.Key == "" })
}

// managed is a path that units may read otherwise than as an env file of systemd's.
type managed struct {
	path string
	// known tells that some unit reads it as an env file, so that nobody else means
	// it unless they name it.
	known bool
}

// managedPaths are the files that are not unit files, and the artifacts.
func managedPaths(files []made, artifacts []Artifact, units []Unit) []managed {
	asEnv := map[string]bool{}
	for _, u := range units {
		for _, p := range u.EnvFiles {
			asEnv[p] = true
		}
	}
	var out []managed
	for _, f := range files {
		if f.Kind == FileEnv || f.Kind == FilePlain {
			out = append(out, managed{f.Path, asEnv[f.Path]})
		}
	}
	for _, a := range artifacts {
		out = append(out, managed{a.Link, false})
	}
	return out
}

// assignReads gives each managed path to the units that mean it: those whose text
// has the path or one below it; else, unless it is known as an env file, those
// whose text has a folder it lies in; else every started service.
func assignReads(units []Unit, texts [][]string, paths []managed) {
	for _, m := range paths {
		readers := matching(texts, func(p string) bool { return p == m.path || strings.HasPrefix(p, m.path+"/") })
		if len(readers) == 0 && !m.known {
			readers = matching(texts, func(p string) bool { return strings.Count(p, "/") >= 2 && strings.HasPrefix(m.path, p+"/") })
		}
		if len(readers) == 0 && !m.known {
			readers = startedServices(units)
		}
		for _, i := range readers {
			if !slices.Contains(units[i].EnvFiles, m.path) {
				units[i].Reads = append(units[i].Reads, m.path)
			}
		}
	}
	for i := range units {
		slices.Sort(units[i].Reads)
	}
}

func startedServices(units []Unit) []int {
	var out []int
	for i, u := range units {
		if u.State == "started" && unitType(u.Name) == "service" {
			out = append(out, i)
		}
	}
	return out
}

func matching(texts [][]string, match func(string) bool) []int {
	var out []int
	for i, paths := range texts {
		if slices.ContainsFunc(paths, match) {
			out = append(out, i)
		}
	}
	return out
}
