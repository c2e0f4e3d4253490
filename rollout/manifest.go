package rollout

import (
	"slices"
	"sort"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// kindOrder is the order in which entries stand in a manifest.
var kindOrder = map[hostdriver.EntryKind]int{
	hostdriver.KindUser: 0, hostdriver.KindDirectory: 1, hostdriver.KindRelease: 2,
	hostdriver.KindLink: 3, hostdriver.KindFile: 4, hostdriver.KindUnit: 5,
}

// Entries is what an instance wants as entries of a host's manifest.
func Entries(inst *desired.Instance) []hostdriver.Entry {
	es := make([]hostdriver.Entry, 0, len(inst.Users)+len(inst.Directories)+len(inst.Files)+2*len(inst.Artifacts)+len(inst.Units))
	add := func(e hostdriver.Entry) {
		e.Service = inst.Service
		es = append(es, e)
	}
	for _, u := range inst.Users {
		add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: u.Name, Target: u.Home})
	}
	for _, d := range inst.Directories {
		add(hostdriver.Entry{Kind: hostdriver.KindDirectory, Name: d.Path, Owner: d.Owner, Group: d.Group, Mode: d.Mode})
	}
	for _, f := range inst.Files {
		e := hostdriver.Entry{Kind: hostdriver.KindFile, Name: f.Path, SHA256: f.SHA256, Owner: f.Owner, Group: f.Group, Mode: f.Mode}
		if f.Sealing != nil {
			e.Sealed = f.Sealing.Identity
		}
		add(e)
	}
	for _, a := range inst.Artifacts {
		add(hostdriver.Entry{Kind: hostdriver.KindRelease, Name: a.Release, SHA256: a.SHA256, Owner: a.Owner, Group: a.Group})
		add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: a.Link, Target: a.Release})
	}
	for _, u := range inst.Units {
		e := hostdriver.Entry{Kind: hostdriver.KindUnit, Name: u.Name, State: u.State}
		if u.Enabled != nil {
			e.Enabled = map[bool]string{true: "yes", false: "no"}[*u.Enabled]
		}
		add(e)
	}
	return es
}

// meanings are entries as they are compared with those of other hosts, generations and
// revisions.
func meanings(es []hostdriver.Entry) []hostdriver.Entry {
	out := make([]hostdriver.Entry, len(es))
	for i, e := range es {
		out[i] = e.Meaning()
	}
	return out
}

// entryName is what no two entries of a manifest have in common.
type entryName struct {
	kind hostdriver.EntryKind
	name string
}

// entryNames names what Entries would give.
func entryNames(inst *desired.Instance) map[entryName]bool {
	names := map[entryName]bool{}
	for _, u := range inst.Users {
		names[entryName{hostdriver.KindUser, u.Name}] = true
	}
	for i := range inst.Directories {
		names[entryName{hostdriver.KindDirectory, inst.Directories[i].Path}] = true
	}
	for i := range inst.Files {
		names[entryName{hostdriver.KindFile, inst.Files[i].Path}] = true
	}
	for i := range inst.Artifacts {
		names[entryName{hostdriver.KindRelease, inst.Artifacts[i].Release}] = true
		names[entryName{hostdriver.KindLink, inst.Artifacts[i].Link}] = true
	}
	for i := range inst.Units {
		names[entryName{hostdriver.KindUnit, inst.Units[i].Name}] = true
	}
	return names
}

// Target is the manifest a host has once the services of hs named in switched are
// as desired and those named in removed are gone; everything else stays as the
// host's current manifest has it. What changes hands between services is never gone in
// between: whoever is switched has it as it wants it, and who is to have it, and is not
// switched yet, has it as it is.
func Target(current hostdriver.Manifest, hs desired.HostState, switched, removed []string, generation uint64) hostdriver.Manifest {
	m := hostdriver.Manifest{Generation: generation, Revision: hs.Revision}
	owners := owners(hs)
	for _, e := range current.Entries {
		owner := owners[entryName{e.Kind, e.Name}]
		handed := owner != "" && owner != e.Service
		switch goes := slices.Contains(switched, e.Service) || slices.Contains(removed, e.Service); {
		case goes && handed && !slices.Contains(switched, owner):
			e.Service = owner
			m.Entries = append(m.Entries, e)
		case !goes && !(handed && slices.Contains(switched, owner)):
			m.Entries = append(m.Entries, e)
		}
	}
	for i := range hs.Instances {
		if slices.Contains(switched, hs.Instances[i].Service) {
			m.Entries = append(m.Entries, Entries(&hs.Instances[i])...)
		}
	}
	m.Entries = sorted(m.Entries)
	return m
}

// owners are the services that alone want a file, link, release or unit.
func owners(hs desired.HostState) map[entryName]string {
	out := map[entryName]string{}
	for i := range hs.Instances {
		for n := range entryNames(&hs.Instances[i]) {
			if n.kind != hostdriver.KindUser && n.kind != hostdriver.KindDirectory {
				out[n] = hs.Instances[i].Service
			}
		}
	}
	return out
}

// sorted puts entries into the order of a manifest.
func sorted(es []hostdriver.Entry) []hostdriver.Entry {
	sort.SliceStable(es, func(i, j int) bool {
		a, b := es[i], es[j]
		if a.Kind != b.Kind {
			return kindOrder[a.Kind] < kindOrder[b.Kind]
		}
		return a.Name < b.Name
	})
	// Two services may share a user or a directory: one entry is enough.
	return slices.CompactFunc(es, func(a, b hostdriver.Entry) bool { return a.Kind == b.Kind && a.Name == b.Name })
}

// NextGeneration is a number above every one the host has kept.
func NextGeneration(o hostdriver.Observation) uint64 {
	n := o.Manifest.Generation
	for _, k := range o.Kept {
		n = max(n, k)
	}
	return n + 1
}
