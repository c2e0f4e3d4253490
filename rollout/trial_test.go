package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// tried is a host with a service, and what would be tried of its restart.
func tried(change func(*desired.Instance, *hostdriver.Observation)) hostdriver.Trial {
	text := "[Service]\nUser=web\nEnvironmentFile=/etc/web.env\nWorkingDirectory=/srv\nExecStart=/opt/web/bin/run --port 8080\nExecStartPre=+-/bin/ignored\nExecStop=!/bin/stop\n"
	parsed, _ := desired.ParseUnit([]byte(text))
	file := desired.File{Path: "/etc/systemd/system/web.service", Kind: desired.FileUnit, Unit: "web.service", Content: hostdriver.NewContent([]byte(text)), Meaning: parsed.Digest()}
	file.SHA256 = file.Content.SHA256()
	env := desired.File{Path: "/etc/web.env", Kind: desired.FileEnv, SHA256: "env"}
	inst := desired.Instance{Service: "web", Files: []desired.File{file, env},
		Units: []desired.Unit{{Name: "web.service", File: file.Path, State: "started", EnvFiles: []string{env.Path}, Text: parsed,
			Needs: []desired.Need{{Kind: desired.NeedProgram, Name: "/opt/web/bin/run", Key: "ExecStart="}, {Kind: desired.NeedDirectory, Name: "/srv", Key: "WorkingDirectory="},
				{Kind: desired.NeedFile, Name: env.Path, Key: "EnvironmentFile="}, {Kind: desired.NeedUser, Name: "web", Key: "User="}}}},
		Artifacts: []desired.Artifact{{Name: "web", SHA256: "new", Link: "/opt/web", Release: "/opt/.releases/web/new"}},
		Health:    []desired.HealthSpec{{HTTP: &desired.HTTPHealth{Port: 8080}}, {TCP: &desired.TCPHealth{Port: 808}}}}
	o := hostdriver.Observation{Units: map[string]hostdriver.UnitState{"web.service": {Active: "active"}}, Paths: map[string]hostdriver.PathState{
		file.Path: {Type: hostdriver.PathFile, SHA256: file.SHA256}, env.Path: {Type: hostdriver.PathFile, SHA256: "other"},
		"/opt/web": {Type: hostdriver.PathSymlink, Target: "/opt/.releases/web/new"}}}
	change(&inst, &o)
	h := HostInput{Desired: desired.HostState{Instances: []desired.Instance{inst}}, Observation: &o}
	return h.Trial(&Visit{Services: []string{"web"}, Actions: []UnitAction{{Service: "web", Unit: "web.service", Verb: hostdriver.VerbRestart}}})
}

// What has not changed under a process that runs is not tried: an env key's change costs
// nothing.
func TestTrialOfWhatChanges(t *testing.T) {
	program := hostdriver.TrialNeed{Kind: hostdriver.TryProgram, Unit: "web.service", Key: "ExecStart=", Name: "/opt/web/bin/run", User: "web"}
	stop := hostdriver.TrialNeed{Kind: hostdriver.TryProgram, Unit: "web.service", Key: "ExecStop=", Name: "/bin/stop"}
	around := []hostdriver.TrialNeed{
		{Kind: hostdriver.TryDirectory, Unit: "web.service", Key: "WorkingDirectory=", Name: "/srv", User: "web"},
		{Kind: hostdriver.TryEnvFile, Unit: "web.service", Key: "EnvironmentFile=", Name: "/etc/web.env"},
		{Kind: hostdriver.TryUser, Unit: "web.service", Key: "User=", Name: "web"}}
	port := hostdriver.TrialNeed{Kind: hostdriver.TryPort, Unit: "web.service", Key: "health http", Name: "8080", Address: "127.0.0.1"}
	for _, c := range []struct {
		what   string
		change func(*desired.Instance, *hostdriver.Observation)
		needs  []hostdriver.TrialNeed
		verify int
	}{
		{"an env file changes", func(*desired.Instance, *hostdriver.Observation) {}, nil, 0},
		{"the artifact changes", func(_ *desired.Instance, o *hostdriver.Observation) {
			o.Paths["/opt/web"] = hostdriver.PathState{Type: hostdriver.PathSymlink, Target: "/opt/.releases/web/old"}
		}, []hostdriver.TrialNeed{program}, 0},
		{"a comment of the unit changes, beside the env file", func(_ *desired.Instance, o *hostdriver.Observation) {
			c := hostdriver.NewContent([]byte("# old\n[Service]\nUser=web\nEnvironmentFile=/etc/web.env\nWorkingDirectory=/srv\nExecStart=/opt/web/bin/run --port 8080\nExecStartPre=+-/bin/ignored\nExecStop=!/bin/stop\n"))
			o.Paths["/etc/systemd/system/web.service"] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: c.SHA256(), Content: &c}
		}, nil, 1},
		{"the unit changes", func(_ *desired.Instance, o *hostdriver.Observation) {
			o.Paths["/etc/systemd/system/web.service"] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: "old"}
		}, append([]hostdriver.TrialNeed{program, stop}, around...), 1},
		{"it does not run", func(_ *desired.Instance, o *hostdriver.Observation) {
			o.Units["web.service"] = hostdriver.UnitState{Active: "failed"}
		}, append(append([]hostdriver.TrialNeed{program, stop}, around...), port), 0},
		{"it does not run, and the port stands nowhere in the service", func(in *desired.Instance, o *hostdriver.Observation) {
			o.Units["web.service"] = hostdriver.UnitState{Active: "failed"}
			in.Health = []desired.HealthSpec{{TCP: &desired.TCPHealth{Port: 80}}}
		}, append([]hostdriver.TrialNeed{program, stop}, around...), 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := tried(c.change)
			if diff := cmp.Diff(c.needs, got.Needs); diff != "" {
				t.Error(diff)
			}
			if len(got.Verify) != c.verify {
				t.Errorf("verified: %+v", got.Verify)
			}
			if err := got.Check(); err != nil && c.verify == 0 {
				t.Error(err)
			}
		})
	}
}

// A Quadlet file is tried where it changes, or nothing runs of it yet: by its generator.
func TestTrialOfQuadlets(t *testing.T) {
	const path = "/etc/containers/systemd/web.container"
	need := []hostdriver.TrialNeed{{Kind: hostdriver.TryQuadlet, Unit: "web.service", Key: "Quadlet file", Name: path}}
	for _, c := range []struct {
		what, active, there string
		want                []hostdriver.TrialNeed
	}{
		{"it changes", "active", "old", need},
		{"it does not run", "inactive", "new", need},
		{"something else changes", "active", "new", nil},
	} {
		got := tried(func(inst *desired.Instance, o *hostdriver.Observation) {
			parsed, _ := desired.ParseUnit([]byte("[Container]\nImage=localhost/web:1\n"))
			inst.Files = []desired.File{{Path: path, Kind: desired.FileUnit, Unit: "web.service", SHA256: "new"}}
			inst.Units = []desired.Unit{{Name: "web.service", File: path, State: "started", Text: parsed}}
			inst.Health = nil
			o.Units["web.service"] = hostdriver.UnitState{Active: c.active}
			o.Paths[path] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: c.there}
		})
		if diff := cmp.Diff(c.want, got.Needs); diff != "" || len(got.Verify) > 0 {
			t.Errorf("%s: %s%v", c.what, diff, got.Verify)
		}
	}
}
