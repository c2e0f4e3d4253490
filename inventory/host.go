package inventory

// Host is one machine of the inventory, with the vars and labels of its groups
// already laid under its own.
type Host struct {
	Name    string            `json:"name"`
	Address string            `json:"address"`           // name or IP address to dial; the Name where none was given
	Port    int               `json:"port,omitempty"`    // 0: ssh's own (the ssh_config's, else 22)
	User    string            `json:"user,omitempty"`    // "" : the fleet's or the operator's
	Jump    string            `json:"jump,omitempty"`    // ProxyJump: a host's name or [user@]host[:port], comma separated
	Suspend string            `json:"suspend,omitempty"` // why it is to be left as it is, "" where it is not
	Labels  map[string]string `json:"labels,omitempty"`
	Groups  []string          `json:"groups,omitempty"` // sorted, parents included
	Vars    map[string]any    `json:"-"`                // may hold secrets of the operator's: never printed
	Source  string            `json:"source,omitempty"` // file:line it was declared at
}

// Inventory is all hosts, in the order they were declared.
type Inventory struct {
	Hosts []Host

	at map[string]int // where in Hosts a name stands, as they were built; nil: not known
}

// Find returns the host of that name.
func (inv Inventory) Find(name string) (Host, bool) {
	if i, ok := inv.at[name]; ok && i < len(inv.Hosts) && inv.Hosts[i].Name == name {
		return inv.Hosts[i], true
	}
	for i := range inv.Hosts {
		if inv.Hosts[i].Name == name {
			return inv.Hosts[i], true
		}
	}
	return Host{}, false
}

// Names are the names of all hosts, in order.
func (inv Inventory) Names() []string {
	names := make([]string, len(inv.Hosts))
	for i, h := range inv.Hosts {
		names[i] = h.Name
	}
	return names
}

// Select returns the hosts that the selector matches, in order.
func (inv Inventory) Select(s Selector) []Host {
	var out []Host
	for _, h := range inv.Hosts {
		if s.Matches(h.Labels) {
			out = append(out, h)
		}
	}
	return out
}
