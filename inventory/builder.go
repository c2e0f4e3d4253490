package inventory

import (
	"fmt"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// Builder collects hosts and groups from any number of files and lays them
// together. Its zero value is ready. It is not safe for concurrent use.
type Builder struct {
	hosts  []*declaredHost
	byName map[string]*declaredHost
	groups map[string]*declaredGroup
	vars   []varsFile
	faults fault.Faults

	varsSections []reference // [NAME:vars], whose group may come later
	members      []member    // hosts that groups name, which may come later
}

// declaredHost is a host as its files have it, before groups are laid under it.
type declaredHost struct {
	name    string
	pos     fault.Position
	native  bool // of an evenkeel document, where a host stands once
	spec    HostSpec
	at      func(key string) fault.Position // where a key of it was written
	groups  map[string]fault.Position       // direct ones, and where that is said
	vars    map[string]any
	outside map[string]any // of host_vars/
}

// declaredGroup is a group as its files have it.
type declaredGroup struct {
	name     string
	pos      fault.Position
	declared bool // not only referred to
	ansible  bool
	labels   map[string]string
	vars     map[string]any
	outside  map[string]any // of group_vars/
	children map[string]fault.Position
	depth    int
}

// Inventory-wide group names of Ansible's.
const (
	groupAll       = "all"
	groupUngrouped = "ungrouped"
)

func (b *Builder) fault(pos fault.Position, rule, message, mend string) {
	b.faults = append(b.faults, fault.Fault{Pos: pos, Rule: rule, Message: message, Mend: mend})
}

// host returns the host of that name, new where there was none.
func (b *Builder) host(name string, pos fault.Position) (h *declaredHost, isNew bool) {
	if h := b.byName[name]; h != nil {
		return h, false
	}
	h = &declaredHost{name: name, pos: pos, groups: map[string]fault.Position{}, vars: map[string]any{},
		at: func(string) fault.Position { return pos }}
	if b.byName == nil {
		b.byName = map[string]*declaredHost{}
	}
	b.byName[name] = h
	b.hosts = append(b.hosts, h)
	return h, true
}

func (b *Builder) group(name string, pos fault.Position) *declaredGroup {
	if g := b.groups[name]; g != nil {
		return g
	}
	g := &declaredGroup{name: name, pos: pos, vars: map[string]any{}, labels: map[string]string{}, children: map[string]fault.Position{}}
	if b.groups == nil {
		b.groups = map[string]*declaredGroup{}
	}
	b.groups[name] = g
	return g
}

// Build lays groups under hosts and checks the whole. The Inventory is of use
// only where no fault is an error.
func (b *Builder) Build() (Inventory, fault.Faults) {
	b.applyVarsFiles()
	b.joinMembers()
	b.checkGroups()
	l := newLayers(b)
	var inv Inventory
	inv.at = make(map[string]int, len(b.hosts))
	for _, d := range b.hosts {
		if _, again := inv.at[d.name]; !again {
			inv.at[d.name] = len(inv.Hosts)
		}
		inv.Hosts = append(inv.Hosts, b.build(l, d))
	}
	b.checkUnique(inv)
	b.faults.Sort()
	return inv, b.faults
}

func (b *Builder) build(l *layers, d *declaredHost) Host {
	h := Host{
		Name: d.name, Address: d.spec.Address, Port: d.spec.Port, User: d.spec.User, Jump: d.spec.Jump, Suspend: d.spec.Suspend.Why(),
		Source: fmt.Sprintf("%s:%d", d.pos.File, d.pos.Line),
	}
	lay := l.of(d)
	h.Groups, h.Vars, h.Labels = lay.groups, lay.vars, lay.labels
	if !d.native {
		b.connectVars(&h, d)
	}
	if h.Address == "" {
		h.Address = h.Name
	}
	b.checkHost(h, d)
	return h
}

func (b *Builder) checkHost(h Host, d *declaredHost) {
	if !ValidHostName(h.Name) {
		mend := "use letters, digits, \"-\", \"_\" and \".\", and put an IP address into address"
		if message, _ := checkAddress(h.Name); message == "" {
			mend = "give it a name and put " + h.Name + " into address"
		}
		// An address as a name is what Ansible's users write: take it.
		if message, _ := checkAddress(h.Name); message != "" || d.native {
			b.fault(d.at("name"), "bad-name", "host name "+fault.Quote(h.Name)+" is not a host name", mend)
			return
		}
	}
	if message, mend := checkAddress(h.Address); message != "" {
		b.fault(d.at("address"), "bad-address", "host "+h.Name+": "+message, mend)
	}
	if h.User != "" && !validUser(h.User) {
		b.fault(d.at("user"), "bad-user", "host "+h.Name+": user "+fault.Quote(h.User)+" is not a user's name", "")
	}
	if h.Jump != "" {
		if why := checkJump(h.Jump); why != "" {
			b.fault(d.at("jump"), "bad-address", "host "+h.Name+": "+why, "")
		}
	}
	for _, k := range sortedKeys(h.Labels) {
		if why := checkLabel(k, h.Labels[k]); why != "" {
			b.fault(d.at("labels"), "bad-label", "host "+h.Name+": "+why, "")
		}
	}
}

// checkUnique finds two names for one machine: they would be rolled side by side
// though each disturbs the other.
func (b *Builder) checkUnique(inv Inventory) {
	type endpoint struct {
		address string
		port    int
		jump    string
	}
	seen := map[endpoint]int{}
	for i, h := range inv.Hosts {
		port := h.Port
		if port == 0 {
			port = 22
		}
		e := endpoint{h.Address, port, h.Jump}
		first, dup := seen[e]
		if !dup {
			seen[e] = i
			continue
		}
		b.fault(b.hosts[i].at("address"), "duplicate-address",
			fmt.Sprintf("hosts %s and %s are one machine: both are at %s port %d", inv.Hosts[first].Name, h.Name, h.Address, port),
			"drop one of them, or give each its own address or port")
	}
}

func (b *Builder) checkGroups() {
	names := b.declaredGroups()
	unknown := func(pos fault.Position, name, by string) {
		b.fault(pos, "unknown-group", by+" names the group "+fault.Quote(name)+", which is declared nowhere", fault.DidYouMean(name, names))
	}
	for _, h := range b.hosts {
		for _, name := range sortedKeys(h.groups) {
			if g := b.groups[name]; (g == nil || !g.declared) && name != groupAll && name != groupUngrouped {
				unknown(h.groups[name], name, "host "+h.name)
			}
		}
	}
	for _, parent := range sortedKeys(b.groups) {
		children := b.groups[parent].children
		for _, name := range sortedKeys(children) {
			if g := b.groups[name]; g == nil || !g.declared {
				unknown(children[name], name, "group "+parent)
			}
		}
	}
}
