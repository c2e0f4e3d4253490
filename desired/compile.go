package desired

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// compiled is a Service made ready to be resolved for any number of hosts: what is
// the same on all of them is made once and shared.
type compiled struct {
	svc         *Service
	directories []Directory
	files       []*compiledFile
	artifacts   []*compiledArtifact
	units       []compiledUnit
	strategy    Strategy
	drain       *templated[[]DrainSpec]
	health      *templated[[]HealthSpec]

	// static tells that files, units and artifacts are the same on every host; the
	// first host for which they could be made then makes them for all.
	static bool
	mu     sync.Mutex
	shared *parts
	// unitsStatic tells that unit files and drop-ins are the same on every host, and
	// so what units read; derived is that, once it was made.
	unitsStatic bool
	deriveMu    sync.Mutex
	derived     *derived
}

// parts are those of an Instance that come out of sources.
type parts struct {
	files     []File
	units     []Unit
	artifacts []Artifact
	images    []hostdriver.Image
}

// compiler collects what is wrong with one service's sources.
type compiler struct {
	svc     *Service
	sources *sources
	store   *artifacts
	faults  Faults
}

func (c *compiler) fault(f *Fault) {
	f.Service = c.svc.Name
	c.faults = append(c.faults, *f)
}

// compile reads all sources whose names are no templates, and checks them as far
// as can be without a host and without keys.
func compile(svc *Service, fleet FleetSpec, src *sources, store *artifacts) (*compiled, Faults) {
	c := &compiler{svc: svc, sources: src, store: store}
	out := &compiled{svc: svc, strategy: strategyOf(svc, fleet), static: true, unitsStatic: true}
	for _, d := range svc.Spec.Directories {
		out.directories = append(out.directories, d.directory())
	}
	seen := map[string]bool{}
	for _, f := range c.files() {
		if seen[f.path] {
			continue // a template's file, named by several instances
		}
		seen[f.path] = true
		if f.static == nil {
			c.prepare(f)
		}
		out.static = out.static && f.static != nil
		out.unitsStatic = out.unitsStatic && (f.static != nil || (f.kind != FileUnit && f.kind != FileDropIn))
		out.files = append(out.files, f)
	}
	slices.SortStableFunc(out.files, func(a, b *compiledFile) int { return strings.Compare(a.path, b.path) })
	for i, a := range svc.Spec.Artifacts {
		ca := c.artifact(i, a)
		out.static = out.static && !ca.dynamic
		out.artifacts = append(out.artifacts, ca)
	}
	out.units = unitsOf(svc.Name, svc.Spec)
	out.drain = newTemplated(c, "drain", svc.Spec.Drain)
	out.health = newTemplated(c, "health", svc.Spec.Health)
	return out, c.faults
}

func (d DirectorySpec) directory() Directory {
	out := Directory{Path: d.Path, Owner: or(d.Owner, "root"), Mode: modeOf(d.Mode, 0o755)}
	out.Group = or(d.Group, out.Owner)
	return out
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func modeOf(s string, def uint32) uint32 {
	if m, why := parseMode(s); why == "" {
		return m
	}
	return def
}

// files are all files of the service, not yet read.
func (c *compiler) files() []*compiledFile {
	spec := c.svc.Spec
	var out []*compiledFile
	for i, u := range spec.Units {
		if u.Source == "" {
			continue
		}
		f := unitFileOf(u)
		cf := &compiledFile{kind: FileUnit, path: f.path, owner: "root", group: "root", mode: 0o644, unit: f.unit, quadlet: f.quadlet,
			names: []string{u.Source}, at: []Position{c.svc.At(fmt.Sprintf("units[%d].source", i))}, render: u.Template, change: ChangeRestart}
		if f.dropIn {
			cf.kind = FileDropIn
		} else if t := templateOf(f.unit); t != "" && path.Base(f.path) == bareUnit(t) {
			cf.unit = t
		}
		out = append(out, cf)
	}
	for i, e := range spec.Env {
		cf := &compiledFile{kind: FileEnv, path: e.Path, owner: or(e.Owner, "root"), group: or(e.Group, "root"),
			mode: modeOf(e.Mode, 0o600), names: e.Source, render: e.Template, change: changeOf(e.ChangeMode), inPlace: e.Merge == mergeInPlace}
		for j := range e.Source {
			cf.at = append(cf.at, c.svc.At(fmt.Sprintf("env[%d].source[%d]", i, j)))
		}
		out = append(out, cf)
	}
	for i, f := range spec.Files {
		out = append(out, &compiledFile{kind: FilePlain, path: f.Path, owner: or(f.Owner, "root"), group: or(f.Group, "root"),
			mode: modeOf(f.Mode, 0o644), names: []string{f.Source}, at: []Position{c.svc.At(fmt.Sprintf("files[%d].source", i))},
			render: f.Template, change: changeOf(f.ChangeMode)})
		if f.ChangeMode == "" && SettingOf(f.Path) != NoSetting { // it takes effect by itself
			out[len(out)-1].change = ChangeNone
		}
	}
	return append(out, c.credentials()...)
}

func changeOf(m ChangeMode) ChangeMode {
	if m == "" {
		return ChangeRestart
	}
	return m
}

// compiledUnit is a unit and what the service says about it.
type compiledUnit struct {
	name    string
	file    string
	enabled *bool
	state   string
	at      string // in the spec
	dropIns []string
	quadlet bool
}

// unitsOf are the units of a service by name, entries of the same unit joined.
func unitsOf(service string, spec ServiceSpec) []compiledUnit {
	byName := map[string]*compiledUnit{}
	files := map[string]string{} // unit to its file
	for i, u := range spec.Units {
		f := unitFileOf(u)
		cu := byName[f.unit]
		if cu == nil {
			cu = &compiledUnit{name: f.unit, at: fmt.Sprintf("units[%d]", i)}
			byName[f.unit] = cu
		}
		cu.quadlet = cu.quadlet || f.quadlet
		if u.Enabled != nil {
			cu.enabled = u.Enabled
			cu.at = fmt.Sprintf("units[%d]", i)
		}
		cu.state = or(u.State, cu.state)
		switch {
		case f.dropIn:
			cu.dropIns = append(cu.dropIns, f.path)
		case f.path != "":
			cu.file = f.path
			files[hostdriver.UnitOf(u.scopeUser(), path.Base(f.path))] = f.path
		}
	}
	for unit := range loadersOf(service, spec) {
		if cu := byName[unit]; cu != nil {
			cu.dropIns = append(cu.dropIns, loaderPath(unit))
		}
	}
	names := slices.Sorted(maps.Keys(byName))
	out := make([]compiledUnit, 0, len(names))
	for _, name := range names {
		cu := *byName[name]
		if t := templateOf(name); t != "" {
			cu.file = or(cu.file, files[t])
			if tu := byName[t]; tu != nil {
				cu.dropIns = append(cu.dropIns, tu.dropIns...)
			}
		}
		cu.dropIns = append(cu.dropIns, othersDropIns(byName, name)...)
		// Drop-ins are read by file name, whichever folder they are in (systemd.unit(5)).
		slices.SortFunc(cu.dropIns, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
		out = append(out, cu)
	}
	return out
}

// othersDropIns are those that stand in the entries of the same unit of other users: in
// /etc/systemd/user they are for all.
func othersDropIns(byName map[string]*compiledUnit, name string) []string {
	user, unit := hostdriver.SplitUnit(name)
	if user == "" {
		return nil
	}
	var out []string
	for other, cu := range byName {
		if u, of := hostdriver.SplitUnit(other); u != "" && u != user && (of == unit || of == templateOf(unit)) {
			for _, p := range cu.dropIns {
				if strings.HasPrefix(p, unitFolder(u)) && !slices.Contains(out, p) && !slices.Contains(byName[name].dropIns, p) {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// templated is a value whose strings may be templates.
type templated[T any] struct {
	key       string // in the spec
	value     T
	templates map[string]*tmpl // by path
	at        func(string) Position
}

// newTemplated parses the templates among the strings of a value of the spec.
func newTemplated[T any](c *compiler, key string, value T) *templated[T] {
	t := &templated[T]{key: key, value: value, templates: map[string]*tmpl{}, at: c.svc.At}
	mapStrings(reflect.ValueOf(value), key, func(at, s string) string {
		if isTemplate(s) {
			parsed, f := parseTemplate(s, c.svc.At(at))
			if f != nil {
				c.fault(f)
			} else {
				t.templates[at] = parsed
			}
		}
		return s
	})
	return t
}

// render is the value for one host. A value without templates is shared.
func (t *templated[T]) render(sc *scope) (T, Faults) {
	if len(t.templates) == 0 {
		return t.value, nil
	}
	var faults Faults
	out := mapStrings(reflect.ValueOf(t.value), t.key, func(at, s string) string {
		parsed := t.templates[at]
		if parsed == nil {
			return s
		}
		text, f := parsed.render(sc.vars(), t.at(at))
		if f != nil {
			faults = append(faults, *f)
			return s
		}
		return string(text)
	})
	return out.Interface().(T), faults
}

// mapStrings copies a value of structs, pointers, slices and maps, with every
// string in it replaced; paths are made of yaml names.
func mapStrings(v reflect.Value, at string, replace func(at, s string) string) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		return reflect.ValueOf(replace(at, v.String())).Convert(v.Type())
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(mapStrings(v.Elem(), at, replace))
		return p
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(mapStrings(v.Index(i), fmt.Sprintf("%s[%d]", at, i), replace))
		}
		return out
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeMap(v.Type())
		for it := v.MapRange(); it.Next(); {
			out.SetMapIndex(it.Key(), mapStrings(it.Value(), at+"."+it.Key().String(), replace))
		}
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			out.Field(i).Set(mapStrings(v.Field(i), at+"."+name, replace))
		}
		return out
	}
	return v
}
