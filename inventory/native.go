package inventory

import (
	"fmt"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// AddDocument takes a document of kind Inventory.
func (b *Builder) AddDocument(d strictyaml.Document) {
	var doc Document
	pos, faults := strictyaml.Decode(d, &doc)
	b.faults = append(b.faults, faults...)
	for _, name := range sortedKeys(doc.Spec.Groups) {
		b.addGroup(name, doc.Spec.Groups[name], pos)
	}
	for i, h := range doc.Spec.Hosts {
		b.addHost(h, fmt.Sprintf("spec.hosts[%d]", i), pos)
	}
}

func (b *Builder) addGroup(name string, spec GroupSpec, pos strictyaml.Positions) {
	at := "spec.groups." + name
	if !validGroupName(name) {
		b.fault(pos.At(at), "bad-name", "group name "+fault.Quote(name)+" has other than letters, digits, \"-\", \"_\" and \".\"", "")
		return
	}
	g := b.group(name, pos.At(at))
	g.declared = true
	for k, v := range spec.Vars {
		if _, twice := g.vars[k]; twice {
			b.fault(pos.At(at+".vars."+k), "duplicate-var", "group "+name+" has the var "+fault.Quote(k)+" already",
				"it is declared at "+g.pos.String()+" too")
		}
		g.vars[k] = v
	}
	for k, v := range spec.Labels {
		if old, twice := g.labels[k]; twice && old != v {
			b.fault(pos.At(at+".labels."+k), "duplicate-label", "group "+name+" has the label "+fault.Quote(k)+" already",
				"it is declared at "+g.pos.String()+" too")
		}
		g.labels[k] = v
	}
	for i, c := range spec.Children {
		g.children[c] = pos.At(fmt.Sprintf("%s.children[%d]", at, i))
	}
	for i, h := range spec.Hosts {
		b.members = append(b.members, member{group: name, host: reference{name: h, pos: pos.At(fmt.Sprintf("%s.hosts[%d]", at, i))}})
	}
}

// member is a host that a group names.
type member struct {
	group string
	host  reference
}

// joinMembers puts hosts into the groups that name them.
func (b *Builder) joinMembers() {
	for _, m := range b.members {
		h := b.byName[m.host.name]
		if h == nil {
			b.fault(m.host.pos, "unknown-host", "group "+m.group+" names the host "+fault.Quote(m.host.name)+", which is declared nowhere",
				fault.DidYouMean(m.host.name, sortedKeys(b.byName)))
			continue
		}
		h.groups[m.group] = m.host.pos
	}
}

func (b *Builder) addHost(spec HostSpec, at string, pos strictyaml.Positions) {
	if spec.Name == "" {
		return // the decoder has said so
	}
	h, isNew := b.host(spec.Name, pos.At(at))
	if !isNew {
		b.fault(pos.At(at+".name"), "duplicate-host", "host "+fault.Quote(spec.Name)+" is declared twice",
			"it stands at "+h.pos.String()+" already")
		return
	}
	h.native, h.spec = true, spec
	h.at = func(key string) fault.Position { return pos.At(at + "." + key) }
	for k, v := range spec.Vars {
		h.vars[k] = v
	}
	for i, g := range spec.Groups {
		h.groups[g] = pos.At(fmt.Sprintf("%s.groups[%d]", at, i))
	}
}

func validGroupName(name string) bool {
	return name != "" && len(name) <= 128 && name[0] != '-' && name[0] != '.' && trimmed(name, lettersDigits+"-_.")
}
