package rollout

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// The systemd of a user is to run without a login as long as there are units of the user's.
func TestManagers(t *testing.T) {
	const unit = "app~work.service"
	well := hostdriver.ManagerState{Lingers: true, Ours: true, Up: true}
	tests := []struct {
		name    string
		manager hostdriver.ManagerState
		missing bool // the user
		want    []string
	}{
		{"as it should be", well, false, nil},
		{"off", hostdriver.ManagerState{}, false, []string{"enable app: its units run only while it is logged in (loginctl enable-linger)"}},
		{"stopped", hostdriver.ManagerState{Lingers: true}, false, []string{"start app: its systemd does not run (user@997.service)"}},
		{"no tool", hostdriver.ManagerState{Lacks: "setpriv, which util-linux has"}, false, []string{"problem app: its systemd cannot be asked: the host has no setpriv, which util-linux has"}},
		{"no user", hostdriver.ManagerState{}, true, []string{"problem app: does not exist on the host, and units are to run as it"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hs := desired.HostState{Instances: []desired.Instance{{Service: "work", Units: []desired.Unit{{Name: unit}}}}}
			o := hostdriver.Observation{Units: map[string]hostdriver.UnitState{unit: {Load: "loaded", Active: "inactive"}}, Managers: map[string]hostdriver.ManagerState{"app": tt.manager},
				Users: map[string]hostdriver.UserState{"app": {Exists: !tt.missing, UID: 997}}}
			if diff := cmp.Diff(tt.want, said(Diff(hs, o, DiffOptions{}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// It is switched off with the last unit, if evenkeel had switched it on.
func TestLingersNoMore(t *testing.T) {
	entry := func(service, name string) hostdriver.Entry {
		return hostdriver.Entry{Kind: hostdriver.KindUnit, Service: service, Name: name}
	}
	off := "disable app: no unit of it is left, and evenkeel had switched it on"
	for name, c := range map[string]struct {
		entries []hostdriver.Entry
		ours    bool
		stays   string // a unit that the revision has
		prune   bool
		want    []string
	}{
		"a service goes":              {[]hostdriver.Entry{entry("gone", "app~a.service"), entry("gone", "app~a.timer")}, true, "", true, []string{off}},
		"it was on before":            {[]hostdriver.Entry{entry("gone", "app~a.service")}, false, "", true, nil},
		"nothing is pruned":           {[]hostdriver.Entry{entry("gone", "app~a.service")}, true, "", false, nil},
		"a unit of a service goes":    {[]hostdriver.Entry{entry("work", "app~a.service")}, true, "b.service", true, []string{off}},
		"another unit stays":          {[]hostdriver.Entry{entry("work", "app~a.service")}, true, "app~b.service", true, nil},
		"two services go":             {[]hostdriver.Entry{entry("first", "app~a.service"), entry("gone", "app~b.service")}, true, "", true, []string{off}},
		"another service has it, too": {[]hostdriver.Entry{entry("gone", "app~a.service"), entry("held", "app~c.service")}, true, "", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			hs := desired.HostState{Held: []string{"held"}}
			o := hostdriver.Observation{Manifest: hostdriver.Manifest{Generation: 1, Entries: c.entries}, Units: map[string]hostdriver.UnitState{},
				Managers: map[string]hostdriver.ManagerState{"app": {Lingers: true, Ours: c.ours, Up: true}}, Users: map[string]hostdriver.UserState{"app": {Exists: true}}}
			if c.stays != "" {
				hs.Instances = []desired.Instance{{Service: "work", Units: []desired.Unit{{Name: c.stays}}}}
				o.Units[c.stays] = hostdriver.UnitState{Load: "loaded", Active: "inactive"}
			}
			if diff := cmp.Diff(c.want, said(Diff(hs, o, DiffOptions{Prune: c.prune}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// said are the changes of lingering, and the problems.
func said(d Difference) []string {
	var out []string
	for _, c := range d.Changes {
		if c.Kind == KindLinger {
			out = append(out, fmt.Sprintf("%s %s: %s", c.Action, c.Subject, c.Reason))
		}
	}
	for _, p := range d.Problems {
		out = append(out, fmt.Sprintf("problem %s: %s", p.Subject, p.Reason))
	}
	return out
}
