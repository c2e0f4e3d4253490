package rollout

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

const (
	unitPath = "/etc/systemd/system/ledger.service"
	envPath  = "/etc/ledger/ledger.env"
	cfgPath  = "/etc/ledger/ledger.json"
)

var (
	day1 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // evenkeel put the files there
	day2 = day1.Add(24 * time.Hour)                     // the process was started
	day3 = day2.Add(24 * time.Hour)                     // somebody edited something
	day4 = day3.Add(24 * time.Hour)
)

// ledger is an instance with a unit file, an env file with a secret, a config file
// that means a reload, and an artifact.
func ledger() desired.HostState {
	content := func(s string) hostdriver.Content { return hostdriver.NewContent([]byte(s)) }
	yes := true
	file := func(path string, kind desired.FileKind, mode desired.ChangeMode, text string) desired.File {
		c := content(text)
		f := desired.File{Path: path, Owner: "root", Group: "root", Mode: 0o644, Kind: kind, Content: c, SHA256: c.SHA256(), ChangeMode: mode, Unit: "ledger.service"}
		if kind == desired.FileUnit {
			u, _ := desired.ParseUnit([]byte(text))
			f.Meaning = u.Digest()
		}
		return f
	}
	env := file(envPath, desired.FileEnv, desired.ChangeRestart, "PORT=8080\nTOKEN=s3cret\n")
	env.Secret = true
	env.Vars = []desired.EnvVar{{Key: "PORT", Value: content("8080")}, {Key: "TOKEN", Value: content("s3cret"), Secret: true}}
	release := "/opt/ledger/.releases/ledger/" + strings.Repeat("a", 64)
	inst := desired.Instance{Service: "ledger", Host: "web-1",
		Files: []desired.File{
			file(unitPath, desired.FileUnit, desired.ChangeRestart, "[Service]\nExecStart=/opt/ledger/ledger\n"), env,
			file(cfgPath, desired.FilePlain, desired.ChangeReload, "{}\n"),
		},
		Units:     []desired.Unit{{Name: "ledger.service", File: unitPath, Enabled: &yes, State: "started", EnvFiles: []string{envPath}, Reads: []string{cfgPath, "/opt/ledger/ledger"}}},
		Artifacts: []desired.Artifact{{Name: "ledger", SHA256: strings.Repeat("a", 64), Link: "/opt/ledger/ledger", Release: release, Form: hostdriver.FormFile}},
	}
	return desired.HostState{Host: inventory.Host{Name: "web-1"}, Revision: "4f1c", Instances: []desired.Instance{inst}}
}

// settled is a host on which everything is as ledger wants it, started by us.
func settled() hostdriver.Observation {
	hs := ledger()
	inst := &hs.Instances[0]
	o := hostdriver.Observation{Host: "web-1", Paths: map[string]hostdriver.PathState{},
		Users: map[string]hostdriver.UserState{"root": {Exists: true}}, Groups: map[string]bool{"root": true},
		Units: map[string]hostdriver.UnitState{"ledger.service": {Load: "loaded", Active: "active", Sub: "running", File: "enabled", Type: "simple",
			InvocationID: "i1", MainPID: 42, CanReload: true, Started: day2}},
		Processes: map[string]hostdriver.ProcessState{"ledger.service": {PID: 42, Exe: inst.Artifacts[0].Release, Env: hostdriver.EnvSame}},
		Started:   map[string]hostdriver.StartedAs{"ledger.service": {InvocationID: "i1", Generation: 1, Inputs: StartInputs(inst, &inst.Units[0])}},
		Manifest:  Target(hostdriver.Manifest{}, hs, []string{"ledger"}, nil, 1), Kept: []uint64{1},
	}
	for _, f := range inst.Files {
		o.Paths[f.Path] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: f.SHA256, Owner: "root", Group: "root", Mode: 0o644, Changed: day1}
	}
	a := inst.Artifacts[0]
	o.Paths[a.Link] = hostdriver.PathState{Type: hostdriver.PathSymlink, Target: a.Release, Changed: day1}
	o.Paths[a.Release] = hostdriver.PathState{Type: hostdriver.PathFile}
	return o
}

func edit(o *hostdriver.Observation, path, text string, at time.Time) {
	c := hostdriver.NewContent([]byte(text))
	p := o.Paths[path]
	p.SHA256, p.Content, p.Changed = c.SHA256(), &c, at
	o.Paths[path] = p
}

func unit(o *hostdriver.Observation, change func(*hostdriver.UnitState)) {
	u := o.Units["ledger.service"]
	change(&u)
	o.Units["ledger.service"] = u
}

// restarted: somebody else restarted the unit at that time.
func restarted(o *hostdriver.Observation, at time.Time) {
	unit(o, func(u *hostdriver.UnitState) { u.InvocationID, u.Started = "i2", at })
}

const salt = "salt"

func processHas(o *hostdriver.Observation, vars map[string]string) {
	p := o.Processes["ledger.service"]
	p.Env, p.Digests = hostdriver.EnvDiffers, map[string]string{}
	for k, v := range vars {
		p.Digests[k] = hostdriver.EnvDigest(salt, map[string]string{k: v})
	}
	o.Processes["ledger.service"] = p
}

func TestDiff(t *testing.T) {
	tests := []struct {
		name string
		host func(*hostdriver.Observation)
		want []string
	}{
		{"nothing to do", func(*hostdriver.Observation) {}, nil},
		{"a line added by hand, the process has not read it: written back, no restart", func(o *hostdriver.Observation) {
			edit(o, envPath, "PORT=8080\nTOKEN=s3cret\nX=1\n", day3)
		}, []string{"env update /etc/ledger/ledger.env [X] none: drift: edited on the host"}},
		{"the same, and somebody restarted it since: it took the line up", func(o *hostdriver.Observation) {
			edit(o, envPath, "PORT=8080\nTOKEN=s3cret\nX=1\n", day3)
			restarted(o, day4)
		}, []string{
			"env update /etc/ledger/ledger.env [X] none: drift: edited on the host",
			"process restart ledger.service restart: the process took up /etc/ledger/ledger.env as it is on the host",
		}},
		{"only a comment was added before that restart: nothing was taken up", func(o *hostdriver.Observation) {
			edit(o, envPath, "# hm\nPORT=8080\nTOKEN=s3cret\n", day3)
			restarted(o, day4)
		}, []string{"env update /etc/ledger/ledger.env none: drift: edited on the host"}},
		{"the file is as desired, the process has an older secret: stale, with the key", func(o *hostdriver.Observation) {
			processHas(o, map[string]string{"PORT": "8080", "TOKEN": "old"})
		}, []string{"process restart ledger.service [TOKEN] restart stale: stale: TOKEN is not what the process has"}},
		{"evenkeel started it with the revision before: that one is named", func(o *hostdriver.Observation) {
			processHas(o, map[string]string{"PORT": "8080", "TOKEN": "old"})
			o.Revisions = map[uint64]string{1: "4f1c2d9a0b1c2d3e4f5061728394a5b6c7d8e9f0"}
			p := o.Paths[envPath]
			p.Changed = day2.Add(73 * time.Hour)
			o.Paths[envPath] = p
		}, []string{"process restart ledger.service [TOKEN] restart stale: stale: TOKEN is of revision 4f1c2d9 (started 3 d before the change)"}},
		{"it has overwritten its environment: the record of its start decides", func(o *hostdriver.Observation) {
			o.Processes["ledger.service"] = hostdriver.ProcessState{PID: 42, Env: hostdriver.EnvUnreadable}
			o.Started["ledger.service"].Inputs[envPath] = "another digest"
			o.Revisions = map[uint64]string{1: "4f1c2d9a0b1c2d3e4f5061728394a5b6c7d8e9f0"}
		}, []string{"process restart ledger.service restart stale: stale: the process runs with an older /etc/ledger/ledger.env, of revision 4f1c2d9"}},
		{"an interpreter that works in an older release", func(o *hostdriver.Observation) {
			p := o.Processes["ledger.service"]
			dir := p.Exe[:strings.LastIndexByte(p.Exe, '/')]
			p.Exe, p.Cwd = "/usr/bin/python3", dir+"/0123456789abcdef/lib (deleted)"
			o.Processes["ledger.service"] = p
		}, []string{"process restart ledger.service restart stale: stale: the process works in release 0123456789ab of artifact ledger"}},
		{"the program was replaced under its own name", func(o *hostdriver.Observation) {
			p := o.Processes["ledger.service"]
			p.Deleted = true
			o.Processes["ledger.service"] = p
		}, []string{"process restart ledger.service restart stale: stale: the process runs a program of artifact ledger that has been replaced since"}},
		{"a new value in git: written and restarted, and not called stale", func(o *hostdriver.Observation) {
			edit(o, envPath, "PORT=8080\nTOKEN=old\n", day1)
			processHas(o, map[string]string{"PORT": "8080", "TOKEN": "old"})
			o.Manifest.Entries = replaceSHA(o.Manifest.Entries, envPath, o.Paths[envPath].SHA256)
		}, []string{
			"env update /etc/ledger/ledger.env [TOKEN] none: content changes",
			"process restart ledger.service [TOKEN] restart: TOKEN is not what the process has",
		}},
		{"a variable taken away in git shows in the record of the start", func(o *hostdriver.Observation) {
			edit(o, envPath, "PORT=8080\nTOKEN=s3cret\nOLD=1\n", day1)
			o.Manifest.Entries = replaceSHA(o.Manifest.Entries, envPath, o.Paths[envPath].SHA256)
			o.Started["ledger.service"].Inputs[envPath] = "another digest"
		}, []string{
			"env update /etc/ledger/ledger.env [OLD] none: content changes",
			"process restart ledger.service restart: the process runs with an older /etc/ledger/ledger.env",
		}},
		{"the config changed: a reload", func(o *hostdriver.Observation) {
			edit(o, cfgPath, "{\"a\":1}\n", day1)
			o.Started["ledger.service"].Inputs[cfgPath] = o.Paths[cfgPath].SHA256
			o.Manifest.Entries = replaceSHA(o.Manifest.Entries, cfgPath, o.Paths[cfgPath].SHA256)
		}, []string{
			"file update /etc/ledger/ledger.json none: content changes",
			"process reload ledger.service reload: the process runs with an older /etc/ledger/ledger.json",
		}},
		{"the same for a unit that cannot reload: a restart", func(o *hostdriver.Observation) {
			edit(o, cfgPath, "{\"a\":1}\n", day1)
			o.Started["ledger.service"].Inputs[cfgPath] = o.Paths[cfgPath].SHA256
			o.Manifest.Entries = replaceSHA(o.Manifest.Entries, cfgPath, o.Paths[cfgPath].SHA256)
			unit(o, func(u *hostdriver.UnitState) { u.CanReload = false })
		}, []string{
			"file update /etc/ledger/ledger.json none: content changes",
			"process restart ledger.service restart: the process runs with an older /etc/ledger/ledger.json; the unit has no ExecReload=",
		}},
		{"cut after the switch, before the restart: the process is stale", func(o *hostdriver.Observation) {
			o.Started["ledger.service"].Inputs[unitPath] = "older"
		}, []string{"process restart ledger.service restart stale: stale: the process runs with an older /etc/systemd/system/ledger.service"}},
		{"started by hand before the unit file was last written", func(o *hostdriver.Observation) {
			delete(o.Started, "ledger.service")
			p := o.Paths[unitPath]
			p.Changed = day3
			o.Paths[unitPath] = p
		}, []string{"process restart ledger.service restart stale: stale: the process started before /etc/systemd/system/ledger.service was last written"}},
		{"only comments of the unit file change: written, and no restart", func(o *hostdriver.Observation) {
			edit(o, unitPath, "# older words\n[Service]\n  ExecStart = /opt/ledger/ledger\n[Install]\nWantedBy=a.target\n", day1)
			o.Manifest.Entries = replaceSHA(o.Manifest.Entries, unitPath, o.Paths[unitPath].SHA256)
		}, []string{"unit update /etc/systemd/system/ledger.service none: only what no process depends on changes: comments, the description, [Install]"}},
		{"the same for a process that systemd has restarted since", func(o *hostdriver.Observation) {
			edit(o, unitPath, "# older words\n[Service]\nExecStart=/opt/ledger/ledger\n", day1)
			o.Manifest.Entries = replaceSHA(o.Manifest.Entries, unitPath, o.Paths[unitPath].SHA256)
			restarted(o, day2)
		}, []string{"unit update /etc/systemd/system/ledger.service none: only what no process depends on changes: comments, the description, [Install]"}},
		{"a comment was added by hand, and no record of the start: written back, no restart", func(o *hostdriver.Observation) {
			edit(o, unitPath, "[Service]\n# by hand\nExecStart=/opt/ledger/ledger\n", day3)
			delete(o.Started, "ledger.service")
		}, []string{"unit update /etc/systemd/system/ledger.service none: drift: edited on the host"}},
		{"a value in the unit file changes: a restart", func(o *hostdriver.Observation) {
			edit(o, unitPath, "[Service]\nExecStart=/opt/ledger/ledger -v\n", day1)
			o.Manifest.Entries = replaceSHA(o.Manifest.Entries, unitPath, o.Paths[unitPath].SHA256)
			o.Started["ledger.service"].Inputs[unitPath] = "older"
		}, []string{
			"unit update /etc/systemd/system/ledger.service none: content changes",
			"process restart ledger.service restart: the process runs with an older /etc/systemd/system/ledger.service",
		}},
		{"started by an evenkeel that noted the file's own digest: nothing to do", func(o *hostdriver.Observation) {
			o.Started["ledger.service"].Inputs[unitPath] = o.Paths[unitPath].SHA256
		}, nil},
		{"started by hand after it: nothing to do", func(o *hostdriver.Observation) { delete(o.Started, "ledger.service") }, nil},
		{"an older release runs although the link is turned", func(o *hostdriver.Observation) {
			p := o.Processes["ledger.service"]
			p.Exe = "/opt/ledger/.releases/ledger/" + strings.Repeat("b", 64)
			o.Processes["ledger.service"] = p
		}, []string{"process restart ledger.service restart stale: stale: the process runs release bbbbbbbbbbbb of artifact ledger"}},
		{"stopped by hand", func(o *hostdriver.Observation) {
			unit(o, func(u *hostdriver.UnitState) { u.Active, u.Sub = "inactive", "dead" })
		}, []string{"process start ledger.service none: is not running"}},
		{"failed", func(o *hostdriver.Observation) {
			unit(o, func(u *hostdriver.UnitState) { u.Active, u.Result, u.ExecStatus = "failed", "exit-code", 203 })
		}, []string{"process start ledger.service none: has failed (exit status 203/EXEC)"}},
		{"disabled by hand", func(o *hostdriver.Observation) {
			unit(o, func(u *hostdriver.UnitState) { u.File = "disabled" })
		}, []string{"enable enable ledger.service none: does not start at boot"}},
		{"wrong owner of the env file", func(o *hostdriver.Observation) {
			p := o.Paths[envPath]
			p.Owner = "plain"
			o.Paths[envPath] = p
		}, []string{"env update /etc/ledger/ledger.env none: owner or mode differs"}},
		{"daemon-reload is due", func(o *hostdriver.Observation) {
			unit(o, func(u *hostdriver.UnitState) { u.NeedReload = true })
		}, []string{"process restart ledger.service restart stale: stale: systemd has an older unit file loaded than the one on disk (daemon-reload is due)"}},
		{"masked: a problem, no change", func(o *hostdriver.Observation) {
			unit(o, func(u *hostdriver.UnitState) { u.Load, u.File, u.Active = "masked", "masked", "inactive" })
		}, []string{"PROBLEM ledger.service is masked on the host"}},
		{"a file of an earlier revision goes away", func(o *hostdriver.Observation) {
			o.Manifest.Entries = append(o.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindFile, Service: "ledger", Name: "/etc/ledger/old.env", SHA256: "00"})
			o.Paths["/etc/ledger/old.env"] = hostdriver.PathState{Type: hostdriver.PathFile}
		}, []string{"file delete /etc/ledger/old.env none: no longer in the revision"}},
		{"a service of an earlier revision goes away", func(o *hostdriver.Observation) {
			o.Manifest.Entries = append(o.Manifest.Entries, hostdriver.Entry{Kind: hostdriver.KindUnit, Service: "gone", Name: "gone.service", Enabled: "yes", State: "started"})
			o.Units["gone.service"] = hostdriver.UnitState{Load: "loaded", Active: "active", File: "enabled"}
		}, []string{
			"process stop gone.service none: service gone is no longer wanted on this host",
			"enable disable gone.service none: service gone is no longer wanted on this host",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := settled()
			tt.host(&o)
			d := Diff(ledger(), o, DiffOptions{Salt: salt, Prune: true})
			var got []string
			for _, c := range d.Changes {
				s := fmt.Sprintf("%s %s %s", c.Kind, c.Action, c.Subject)
				if len(c.Keys) > 0 {
					s += fmt.Sprintf(" %v", c.Keys)
				}
				s += " " + c.Disruption.String()
				if c.Stale {
					s += " stale"
				}
				got = append(got, s+": "+c.Reason)
				if strings.Contains(fmt.Sprintf("%+v", c), "s3cret") || strings.Contains(c.Diff, "=old") {
					t.Errorf("a secret stands in %+v", c)
				}
			}
			for _, p := range d.Problems {
				got = append(got, "PROBLEM "+p.Subject+" "+p.Reason)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func replaceSHA(es []hostdriver.Entry, path, sha string) []hostdriver.Entry {
	out := append([]hostdriver.Entry(nil), es...)
	for i := range out {
		if out[i].Name == path {
			out[i].SHA256 = sha
		}
	}
	return out
}

func TestDiffOfSecretNamesKeysOnly(t *testing.T) {
	o := settled()
	edit(&o, envPath, "PORT=9090\nTOKEN=old\nFOREIGN=alsosecret\n", day3)
	d := Diff(ledger(), o, DiffOptions{Salt: salt})
	want := `--- /etc/ledger/ledger.env
+++ /etc/ledger/ledger.env
@@ -1,3 +1,2 @@
-PORT=9090
-TOKEN=[redacted: another value]
-FOREIGN=[redacted]
+PORT=8080
+TOKEN=[redacted]
`
	if diff := cmp.Diff(want, d.Changes[0].Diff); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}
}

// Secrets that differ are told by keyed fingerprints; the plain digest of a secret file,
// of which a weak secret could be guessed, is told nowhere.
func TestSecretsAreToldByFingerprints(t *testing.T) {
	o := settled()
	edit(&o, envPath, "PORT=9090\nTOKEN=old\nFOREIGN=alsosecret\n", day3)
	hs := ledger()
	hs.Fingerprints = hostdriver.NewContent([]byte("key"))
	print := func(s string) string { return desired.Fingerprint(hs.Fingerprints, []byte(s)) }
	d := Diff(hs, o, DiffOptions{Salt: salt})
	c := d.Changes[0]
	token := ""
	f := hs.Instances[0].Files
	for i := range f {
		for _, v := range f[i].Vars {
			if v.Key == "TOKEN" {
				token = string(v.Value.Bytes())
			}
		}
	}
	want := []SecretChange{{Key: "FOREIGN", From: print("alsosecret")}, {Key: "TOKEN", From: print("old"), To: print(token)}}
	if diff := cmp.Diff(want, c.Secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if !strings.Contains(c.Diff, "-TOKEN=[redacted "+print("old")+"]\n") || !strings.Contains(c.Diff, "+TOKEN=[redacted "+print(token)+"]\n") || strings.Contains(c.Diff, "another value") {
		t.Errorf("diff\n%s", c.Diff)
	}
	had := o.Paths[envPath]
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range []string{had.SHA256[:12], "alsosecret", `"key"` + ":\"old"} {
		if strings.Contains(string(text), told) {
			t.Errorf("%s is told in %s", told, text)
		}
	}
	if c.From != print(had.SHA256) || c.To == "" || c.From == c.To {
		t.Errorf("from %q to %q", c.From, c.To)
	}
}

// What was in a file that not everybody could read, and is no longer wanted, may have
// been a secret of the revision before.
func TestWhatASecretFileHeldIsNotShownAfterwards(t *testing.T) {
	o := settled()
	edit(&o, envPath, "PORT=9090\nTOKEN=hunter2\n", day3)
	closed := o.Paths[envPath]
	closed.Mode = 0o640
	o.Paths[envPath] = closed
	hs := ledger()
	f := hs.Instances[0].Files
	for i := range f {
		if f[i].Path == envPath {
			f[i].Secret = false
			f[i].Vars = f[i].Vars[:1]
			f[i].Content = hostdriver.NewContent([]byte("PORT=8080\n"))
		}
	}
	d := Diff(hs, o, DiffOptions{Salt: salt})
	if got := d.Changes[0].Diff; strings.Contains(got, "hunter2") || !strings.Contains(got, "-PORT=9090\n-TOKEN=[redacted]\n+PORT=8080\n") {
		t.Errorf("diff\n%s", got)
	}
}

func TestFirstDeployment(t *testing.T) {
	hs := ledger()
	o := hostdriver.Observation{Host: "web-1", Paths: map[string]hostdriver.PathState{}, Users: map[string]hostdriver.UserState{"root": {Exists: true}},
		Groups: map[string]bool{"root": true}, Units: map[string]hostdriver.UnitState{"ledger.service": {Load: "not-found", Active: "inactive"}}}
	for _, q := range Query(hs, salt).Paths {
		o.Paths[q.Path] = hostdriver.PathState{Type: hostdriver.PathAbsent}
	}
	d := Diff(hs, o, DiffOptions{Salt: salt})
	if worst(d.Changes) != None || len(d.Changes) != 6 || len(d.Problems) != 0 {
		t.Errorf("a first deployment disturbs nothing: %+v %+v", d.Changes, d.Problems)
	}
	last := d.Changes[len(d.Changes)-1]
	if last.Action != ActionStart || last.Reason != "is new" {
		t.Errorf("it starts at the end: %+v", last)
	}
}
