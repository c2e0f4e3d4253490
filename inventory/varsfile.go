package inventory

import (
	"bytes"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

type varsFile struct {
	host bool
	name string
	file string
	vars map[string]any
}

// reference is a name and where it was used.
type reference struct {
	name string
	pos  fault.Position
}

// AddGroupVars takes a file of group_vars/, plain YAML.
func (b *Builder) AddGroupVars(group, file string, data []byte) { b.addVars(false, group, file, data) }

// AddHostVars takes a file of host_vars/, plain YAML.
func (b *Builder) AddHostVars(host, file string, data []byte) { b.addVars(true, host, file, data) }

func (b *Builder) addVars(host bool, name, file string, data []byte) {
	if bytes.HasPrefix(data, []byte("$ANSIBLE_VAULT;")) {
		b.fault(fault.Position{File: file, Line: 1, Column: 1}, "vault", "the file is encrypted with Ansible Vault, which evenkeel does not open",
			"keep secrets in a SOPS file that a service's env names")
		return
	}
	docs, faults := strictyaml.Parse(file, data)
	b.faults = append(b.faults, faults...)
	for _, d := range docs {
		vars := map[string]any{}
		_, faults := strictyaml.Decode(d, &vars)
		b.faults = append(b.faults, faults...)
		b.vars = append(b.vars, varsFile{host: host, name: name, file: file, vars: vars})
	}
}

// applyVarsFiles hands the vars of group_vars/ and host_vars/ to their owners.
func (b *Builder) applyVarsFiles() {
	for _, s := range b.varsSections {
		if !b.groups[s.name].declared {
			b.fault(s.pos, "unknown-group", "["+s.name+":vars] is of a group that is declared nowhere", fault.DidYouMean(s.name, b.declaredGroups()))
		}
	}
	for _, f := range b.vars {
		into := b.outside(f)
		if into == nil {
			kind, candidates := "group", b.declaredGroups()
			if f.host {
				kind, candidates = "host", sortedKeys(b.byName)
			}
			b.faults = append(b.faults, fault.Fault{Pos: fault.Position{File: f.file}, Severity: fault.Warning, Rule: "unknown-" + kind,
				Message: "there is no " + kind + " " + fault.Quote(f.name) + " for these vars", Mend: fault.DidYouMean(f.name, candidates)})
			continue
		}
		for k, v := range f.vars {
			into[k] = v
		}
	}
}

func (b *Builder) outside(f varsFile) map[string]any {
	if f.host {
		h := b.byName[f.name]
		if h == nil {
			return nil
		}
		if h.outside == nil {
			h.outside = map[string]any{}
		}
		return h.outside
	}
	if f.name == groupAll {
		b.group(groupAll, fault.Position{File: f.file}).declared = true
	}
	g := b.groups[f.name]
	if g == nil || !g.declared {
		return nil
	}
	if g.outside == nil {
		g.outside = map[string]any{}
	}
	return g.outside
}

func (b *Builder) declaredGroups() []string {
	var names []string
	for _, name := range sortedKeys(b.groups) {
		if b.groups[name].declared {
			names = append(names, name)
		}
	}
	return names
}
