package rollout

import (
	"slices"
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
		o.Paths["/srv/data"] = hostdriver.PathState{Type: hostdriver.PathFile, Mode: 0o644}
		o.Paths["/srv/run"] = hostdriver.PathState{Type: hostdriver.PathFile, Mode: 0o750}
		o.Paths["/srv/dir"] = hostdriver.PathState{Type: hostdriver.PathDir, Mode: 0o755}
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
		{"a program that nobody may execute", desired.Need{Kind: desired.NeedProgram, Name: "/srv/data", Key: "ExecStart=", Exit: "203/EXEC"},
			[]string{"ExecStart=/srv/data may not be executed by anybody (mode 0644), so its start would fail (203/EXEC)"}},
		{"a program of somebody's", desired.Need{Kind: desired.NeedProgram, Name: "/srv/run", Key: "ExecStart="}, nil},
		{"a folder for a program", desired.Need{Kind: desired.NeedProgram, Name: "/srv/dir", Key: "ExecStart=", Exit: "203/EXEC"},
			[]string{"ExecStart=/srv/dir is a directory, no program, so its start would fail (203/EXEC)"}},
		{"a file for a folder", desired.Need{Kind: desired.NeedDirectory, Name: "/srv/data", Key: "WorkingDirectory=", Exit: "200/CHDIR"},
			[]string{"WorkingDirectory=/srv/data is a file, no directory, so its start would fail (200/CHDIR)"}},
		{"a managed file for a program", desired.Need{Kind: desired.NeedProgram, Name: envPath, Key: "ExecStart=", Exit: "203/EXEC"},
			[]string{"ExecStart=" + envPath + " may not be executed by anybody (mode 0644), so its start would fail (203/EXEC)"}},
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

// Every service of the host makes what it makes, not only the first.
func TestNeedsOfTheSecondService(t *testing.T) {
	hs, o := ledger(), settled()
	need := func(inst *desired.Instance, path string) {
		inst.Units[0].Needs = []desired.Need{{Kind: desired.NeedFile, Name: path, Key: "EnvironmentFile="}}
		o.Paths[path] = hostdriver.PathState{Type: hostdriver.PathAbsent}
	}
	const file = "/etc/second/second.env"
	second := hs.Instances[0]
	second.Service, second.Artifacts = "second", nil
	second.Files = []desired.File{{Path: file, Kind: desired.FileEnv, Owner: "root", Group: "root", Mode: 0o600}}
	second.Units = []desired.Unit{{Name: "second.service", State: "started", EnvFiles: []string{file}}}
	o.Units["second.service"] = hostdriver.UnitState{Load: "loaded", Active: "inactive"}
	need(&hs.Instances[0], envPath)
	need(&second, file)
	hs.Instances = append(hs.Instances, second)
	unit(&o, func(u *hostdriver.UnitState) { u.Active = "inactive" })

	d := Diff(hs, o, DiffOptions{})
	if len(d.Problems) > 0 {
		t.Errorf("what its own generation makes is missed: %+v", d.Problems)
	}
	starts := 0
	for _, c := range d.Changes {
		if c.Kind == KindProcess && c.Action == ActionStart {
			starts++
		}
	}
	if starts != 2 {
		t.Errorf("%d starts, want 2: %+v", starts, d.Changes)
	}
}

// A look of a moment ago need not be taken again: neither of units in whose way nothing is,
// nor of those that had no file.
func TestWhatWasSeenIsNotAskedAgain(t *testing.T) {
	hs, o := ledger(), settled()
	h := &HostInput{Desired: hs, Observation: &o}
	unit := hs.Instances[0].Units[0].Name
	v := &Visit{Host: hs.Host.Name, Services: []string{hs.Instances[0].Service}, Actions: []UnitAction{{Unit: unit, Verb: "restart"}}}
	for _, tt := range []struct {
		name         string
		state        hostdriver.UnitState
		ask, unknown bool
	}{
		{"free", hostdriver.UnitState{Load: "loaded", File: "enabled", Job: "0"}, false, false},
		{"masked", hostdriver.UnitState{Load: "masked", File: "masked", Job: "0"}, true, false},
		{"masked since it was loaded", hostdriver.UnitState{Load: "loaded", File: "masked-runtime", Job: "0"}, true, false},
		{"a job queued", hostdriver.UnitState{Load: "loaded", File: "enabled", Job: "17"}, true, false},
		{"new", hostdriver.UnitState{Load: "not-found", Job: "0"}, false, true},
		{"gone, and loaded still", hostdriver.UnitState{Load: "loaded", Job: "0"}, false, false},
	} {
		o.Units[unit] = tt.state
		if got := slices.Contains(h.Needs(v, o).Units, unit); got != tt.ask {
			t.Errorf("%s: asked for is %v, want %v", tt.name, got, tt.ask)
		}
		op := h.Switch(v, o.Manifest, hostdriver.StepRecord{})
		if got := slices.Contains(op.Unknown, unit); got != tt.unknown {
			t.Errorf("%s: unknown is %v, want %v", tt.name, got, tt.unknown)
		}
	}
	if !slices.Contains(h.Needs(v, hostdriver.Observation{}).Units, unit) {
		t.Error("a unit that was not looked at is not asked for")
	}
}

// Of a unit that is new to a host systemd need not be told, unless it becomes part of what
// systemd knows already.
func TestWhatSystemdFindsByItself(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name, text string
		enabled    *bool
		file       string
		want       bool
	}{
		{"app.service", "[Install]\nWantedBy=multi-user.target\n", &yes, "", true},
		{"app.service", "[Install]\nWantedBy=multi-user.target graphical.target\n", &yes, "", true},
		{"app.service", "", nil, "", true},
		{"app.service", "[Install]\nWantedBy=stack.target\n", &no, "", true},
		{"app.timer", "[Install]\nWantedBy=timers.target\n", &yes, "", true},
		{"app.socket", "[Install]\nWantedBy=sockets.target\n", &yes, "", true},
		{"app.service", "[Install]\nWantedBy=stack.target\n", &yes, "", false},
		{"app.service", "[Install]\nWantedBy=multi-user.target\nRequiredBy=db.service\n", &yes, "", false},
		{"app.service", "[Install]\nWantedBy=multi-user.target\nAlias=other.service\n", &yes, "", false},
		{"app.service", "[Install]\nWantedBy=multi-user.target\nAlso=app.socket\n", &yes, "", false},
		{"app.service", "[Install]\nWantedBy=%p.target\n", &yes, "", false},
		{"app.service", "[Install]\nWantedBy=multi-user.target\n", &yes, "/opt/app/app.service", false},
		{"app@1.service", "[Install]\nWantedBy=multi-user.target\n", &yes, "/etc/systemd/system/app@.service", false},
		{"mnt-data.mount", "[Install]\nWantedBy=multi-user.target\n", &yes, "", false},
		{"app.slice", "", nil, "", false},
		{"app~app.service", "", nil, "", false},
	} {
		file := tt.file
		if file == "" {
			file = "/etc/systemd/system/" + tt.name
		}
		text, _ := desired.ParseUnit([]byte(tt.text))
		inst := &desired.Instance{
			Files: []desired.File{{Kind: desired.FileUnit, Path: file}},
			Units: []desired.Unit{{Name: tt.name, File: file, Enabled: tt.enabled, Text: text}},
		}
		if got := isFresh(inst, &inst.Units[0]); got != tt.want {
			t.Errorf("%s with %q in %s: %v, want %v", tt.name, tt.text, file, got, tt.want)
		}
	}
}
