package inventory

import (
	"sort"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// ansibleYAMLGroup is a group of an Ansible YAML inventory.
type ansibleYAMLGroup struct {
	Hosts    map[string]map[string]any   `yaml:"hosts"`
	Vars     map[string]any              `yaml:"vars"`
	Children map[string]ansibleYAMLGroup `yaml:"children"`
}

// AddAnsibleYAML takes a document of an Ansible YAML inventory: a map of groups,
// each with hosts, vars and children.
func (b *Builder) AddAnsibleYAML(d strictyaml.Document) {
	groups := map[string]ansibleYAMLGroup{}
	pos, faults := strictyaml.Decode(d, &groups)
	b.faults = append(b.faults, faults...)
	for _, name := range byPosition(groups, pos, "") {
		b.addYAMLGroup(name, groups[name], name, pos, 0)
	}
}

func (b *Builder) addYAMLGroup(name string, g ansibleYAMLGroup, at string, pos strictyaml.Positions, depth int) {
	if !validGroupName(name) {
		b.fault(pos.At(at), "bad-name", "group name "+fault.Quote(name)+" has other than letters, digits, \"-\", \"_\" and \".\"", "")
		return
	}
	group := b.ansibleGroup(name, pos.At(at))
	for k, v := range g.Vars {
		group.vars[k] = v
	}
	for _, pattern := range byPosition(g.Hosts, pos, at+".hosts") {
		where := pos.At(at + ".hosts." + pattern)
		names, port, err := expandHostPattern(pattern)
		if err != nil {
			b.fault(where, "bad-name", err.Error(), "")
			continue
		}
		for _, n := range names {
			b.ansibleHost(n, name, port, g.Hosts[pattern], where)
		}
	}
	for _, child := range byPosition(g.Children, pos, at+".children") {
		where := at + ".children." + child
		if name != groupAll {
			group.children[child] = pos.At(where)
		}
		b.addYAMLGroup(child, g.Children[child], where, pos, depth+1)
	}
}

// byPosition are the keys of a map in the order they were written.
func byPosition[V any](m map[string]V, pos strictyaml.Positions, at string) []string {
	keys := sortedKeys(m)
	where := func(k string) fault.Position {
		if at == "" {
			return pos.At(k)
		}
		return pos.At(at + "." + k)
	}
	sort.SliceStable(keys, func(i, j int) bool {
		a, b := where(keys[i]), where(keys[j])
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return keys
}
