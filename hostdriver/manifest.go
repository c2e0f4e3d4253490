package hostdriver

// Manifest is everything evenkeel manages on one host after one switch. The host
// keeps the manifest of each generation beside the blobs it names, so that a
// generation can be switched back to without the controller's help.
type Manifest struct {
	Generation uint64  `json:"generation"` // 1, 2, …; 0: nothing was ever switched
	Revision   string  `json:"revision"`   // the commit last applied here, or a name for a dirty checkout
	Entries    []Entry `json:"entries"`    // sorted by kind, then name
}

// EntryKind is what an Entry is.
type EntryKind string

// The kinds of entries.
const (
	KindUser      EntryKind = "user"      // system user; Target is its home
	KindDirectory EntryKind = "directory" // Owner, Group, Mode
	KindFile      EntryKind = "file"      // SHA256, Owner, Group, Mode; the blob holds its content
	KindRelease   EntryKind = "release"   // an artifact's immutable release: a file or folder named by SHA256
	KindLink      EntryKind = "link"      // symlink; Target
	KindUnit      EntryKind = "unit"      // Enabled, State
)

// Entry is one managed thing.
type Entry struct {
	Kind    EntryKind `json:"kind"`
	Service string    `json:"service"`
	Name    string    `json:"name"` // absolute path, unit name or user name
	SHA256  string    `json:"sha256,omitempty"`
	Owner   string    `json:"owner,omitempty"`
	Group   string    `json:"group,omitempty"`
	Mode    uint32    `json:"mode,omitempty"` // permission bits with setuid, setgid and sticky as in chmod(1)
	Target  string    `json:"target,omitempty"`
	// Sealed is, of a file that the host has encrypted (see Seal), what is in it: two with
	// the same Sealed hold the same, while no two encryptions have the same SHA256.
	Sealed  string `json:"sealed,omitempty"`
	Enabled string `json:"enabled,omitempty"` // "yes", "no", or "" where enabling is not ours to say
	State   string `json:"state,omitempty"`   // "started", "stopped", or ""
}

// Meaning is the entry with what is in a file that the host has encrypted in the place of
// the digest that this encryption happens to have: by it generations, hosts and revisions
// are compared.
func (e Entry) Meaning() Entry {
	if e.Sealed != "" {
		e.SHA256 = e.Sealed
	}
	return e
}

// Find returns the entry of that kind and name.
func (m Manifest) Find(kind EntryKind, name string) (Entry, bool) {
	for _, e := range m.Entries {
		if e.Kind == kind && e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}

// Of returns the entries of one service, in order.
func (m Manifest) Of(service string) []Entry {
	var out []Entry
	for _, e := range m.Entries {
		if e.Service == service {
			out = append(out, e)
		}
	}
	return out
}
