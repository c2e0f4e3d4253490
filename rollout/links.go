package rollout

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// linkedOtherwise tells of a unit that is enabled where it is linked, and where its [Install]
// wants it to be; want is nil where the two agree, or where that cannot be told: the file is
// not ours, a drop-in is somebody else's, or the host did not say. UpheldBy= is systemd's only
// since 249, so a link that it has not made is no difference.
func linkedOtherwise(inst *desired.Instance, u *desired.Unit, o hostdriver.Observation) (was, want []string) {
	got := o.Units[u.Name]
	if user, _ := hostdriver.SplitUnit(u.Name); user != "" || len(got.Links) == 0 || !bringsFile(inst, u) {
		return nil, nil
	}
	for _, file := range got.DropIns {
		if _, ours := o.Manifest.Find(hostdriver.KindFile, file); !ours && !slices.ContainsFunc(inst.Files, func(f desired.File) bool { return f.Path == file }) {
			return nil, nil
		}
	}
	want, ok := u.Text.Links(u.Name)
	if !ok || len(want) == 0 {
		return nil, nil
	}
	missing := slices.ContainsFunc(want, func(l string) bool { return !strings.HasSuffix(l, ".upholds") && !slices.Contains(got.Links, l) })
	if !missing && !slices.ContainsFunc(got.Links, func(l string) bool { return !slices.Contains(want, l) }) {
		return nil, nil
	}
	return got.Links, want
}

// bringsFile tells whether the instance has the file that the unit is loaded from.
func bringsFile(inst *desired.Instance, u *desired.Unit) bool {
	return u.File != "" && slices.ContainsFunc(inst.Files, func(f desired.File) bool { return f.Kind == desired.FileUnit && f.Path == u.File })
}

// whyLinked says by the keys of [Install] how two lists of links differ.
func whyLinked(was, want []string) string {
	var parts []string
	for _, kind := range [][2]string{{"WantedBy", ".wants"}, {"RequiredBy", ".requires"}, {"UpheldBy", ".upholds"}, {"Alias", ""}} {
		of := func(links []string) string {
			var names []string
			for _, l := range links {
				name, is := strings.CutSuffix(l, kind[1])
				if kind[1] == "" {
					is = !strings.HasSuffix(l, ".wants") && !strings.HasSuffix(l, ".requires") && !strings.HasSuffix(l, ".upholds")
				}
				if is {
					names = append(names, name)
				}
			}
			if len(names) == 0 {
				return "none"
			}
			return strings.Join(names, " ")
		}
		if a, b := of(was), of(want); a != b {
			parts = append(parts, fmt.Sprintf("%s=: %s → %s", kind[0], a, b))
		}
	}
	return strings.Join(parts, ", ")
}

// reenable are the units that a visit has linked anew: forth, by what its services say in the
// revision; back, by what the former generation's files say. current is the manifest on disk.
func (h *HostInput) reenable(v *Visit, current hostdriver.Manifest) []string {
	var out []string
	if v.Undo != nil {
		for _, e := range current.Entries {
			if user, _ := hostdriver.SplitUnit(e.Name); e.Kind == hostdriver.KindUnit && e.Enabled == "yes" && user == "" && !hostdriver.IsTemplate(e.Name) &&
				slices.Contains(v.Services, e.Service) {
				out = append(out, e.Name)
			}
		}
		return out
	}
	for _, name := range v.Services {
		inst := h.Instance(name)
		if inst == nil {
			continue
		}
		for i := range inst.Units {
			u := &inst.Units[i]
			if u.Enabled == nil || !*u.Enabled || h.Observation.Units[u.Name].File != "enabled" {
				continue
			}
			if _, want := linkedOtherwise(inst, u, *h.Observation); want != nil {
				out = append(out, u.Name)
			}
		}
	}
	return out
}

// reached are the targets that a host which is up has reached. What one of them wants besides
// matters to the next boot, and to systemctl isolate.
var reached = []string{"basic.target", "default.target", "graphical.target", "multi-user.target", "paths.target", "sockets.target", "sysinit.target", "timers.target"}

// isFresh tells whether a unit that the host does not know yet changes nothing of what systemd
// knows: see Switch.Fresh.
func isFresh(inst *desired.Instance, u *desired.Unit) bool {
	if user, _ := hostdriver.SplitUnit(u.Name); user != "" || hostdriver.IsTemplate(u.Name) || strings.Contains(u.Name, "@") || !bringsFile(inst, u) || u.File != "/etc/systemd/system/"+u.Name {
		return false
	}
	switch path.Ext(u.Name) {
	case ".service", ".socket", ".timer", ".path":
	default:
		return false
	}
	if u.Enabled == nil || !*u.Enabled {
		return true
	}
	links, ok := u.Text.Links(u.Name)
	return ok && len(u.Text.Values("Install", "Also")) == 0 && !slices.ContainsFunc(links, func(l string) bool {
		target, wanted := strings.CutSuffix(l, ".wants")
		return !wanted || !slices.Contains(reached, target)
	})
}
