package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// What a restart would trip over is named from the plan, and only where something is
// to be started.
func TestNeeds(t *testing.T) {
	needing := func(needs ...desired.Need) (desired.HostState, hostdriver.Observation) {
		hs, o := ledger(), settled()
		hs.Instances[0].Units[0].Needs = needs
		for _, n := range needs {
			if n.Kind != desired.NeedUser && n.Kind != desired.NeedGroup {
				if _, there := o.Paths[n.Name]; !there {
					o.Paths[n.Name] = hostdriver.PathState{Type: hostdriver.PathAbsent}
				}
			}
		}
		unit(&o, func(u *hostdriver.UnitState) { u.Active = "inactive" })
		return hs, o
	}
	tests := []struct {
		name string
		need desired.Need
		want []string
	}{
		{"a directory that nobody makes", desired.Need{Kind: desired.NeedDirectory, Name: "/nonexistent", Key: "WorkingDirectory=", Exit: "200/CHDIR"},
			[]string{"WorkingDirectory=/nonexistent: there is no such directory on the host, so its start would fail (200/CHDIR)"}},
		{"a directory that a managed file lies in", desired.Need{Kind: desired.NeedDirectory, Name: "/etc/ledger", Key: "WorkingDirectory="}, nil},
		{"the artifact's own link", desired.Need{Kind: desired.NeedProgram, Name: "/opt/ledger/ledger", Key: "ExecStart="}, nil},
		{"a program in a bundle", desired.Need{Kind: desired.NeedProgram, Name: "/opt/ledger/ledger/bin/x", Key: "ExecStart="}, nil},
		{"a program that is not there", desired.Need{Kind: desired.NeedProgram, Name: "/usr/bin/nope", Key: "ExecStart=", Exit: "203/EXEC"},
			[]string{"ExecStart=/usr/bin/nope: there is no such program on the host, so its start would fail (203/EXEC)"}},
		{"a user that is not there", desired.Need{Kind: desired.NeedUser, Name: "nobodyhere", Key: "User=", Exit: "217/USER"},
			[]string{"User=nobodyhere: there is no such user on the host, so its start would fail (217/USER)"}},
		{"root", desired.Need{Kind: desired.NeedUser, Name: "root", Key: "User="}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hs, o := needing(tt.need)
			var got []string
			for _, p := range Diff(hs, o, DiffOptions{}).Problems {
				got = append(got, p.Reason)
				if p.Mend == "" || p.Subject != "ledger.service" {
					t.Errorf("no mend, or no unit: %+v", p)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			unit(&o, func(u *hostdriver.UnitState) { u.Active = "active" })
			if p := Diff(hs, o, DiffOptions{}).Problems; len(p) > 0 {
				t.Errorf("nothing is to be started, and yet: %+v", p)
			}
		})
	}
}
