package drivertest

import (
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var switchCases = []contractCase{
	{"every kind of entry is as the manifest says", func(k *kit) {
		res := k.draft(1).
			add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: "contract", Target: "/var/lib/contract"}).
			add(hostdriver.Entry{Kind: hostdriver.KindDirectory, Name: "/var/lib/contract", Owner: "contract", Group: "contract", Mode: 0o750}).
			fileAs("/etc/contract/deep/secret", "s3cret", "root", "contract", 0o640).
			fileAs("/var/lib/contract/f", "", "contract", "contract", 0o600).
			add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/etc/contract/link", Target: "deep/secret"}).
			unit(unitName, runs, "yes").deploy()
		equal(k, "the unit in the result", res.Units[unitName].File, "enabled")
		o := k.observe(hostdriver.Query{})
		equal(k, "user's home", o.Users["contract"].Home, "/var/lib/contract")
		equal(k, "user's group", o.Users["contract"].Group, "contract")
		dir := o.Paths["/var/lib/contract"]
		equal(k, "directory", dir.Type, hostdriver.PathDir)
		equal(k, "directory's owner", dir.Owner+":"+dir.Group, "contract:contract")
		equal(k, "directory's mode", dir.Mode, 0o750)
		f := o.Paths["/etc/contract/deep/secret"]
		equal(k, "file's owner", f.Owner+":"+f.Group, "root:contract")
		equal(k, "file's mode", f.Mode, 0o640)
		equal(k, "file's digest", f.SHA256, digest("s3cret"))
		equal(k, "empty file's digest", o.Paths["/var/lib/contract/f"].SHA256, digest(""))
		equal(k, "link", o.Paths["/etc/contract/link"].Target, "deep/secret")
		u := o.Units[unitName]
		equal(k, "unit", u.Load+" "+u.File+" "+u.Active, "loaded enabled inactive")
		equal(k, "NeedReload", u.NeedReload, false)
		equal(k, "revision", o.Manifest.Revision, "deadbeef")
		equal(k, "entries", len(o.Manifest.Entries), 7)
	}},
	{"what the generation on disk had and the next has not is removed", func(k *kit) {
		k.draft(1).file("/etc/contract/a", "a").file("/etc/contract/b", "b").
			add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/etc/contract/l", Target: "a"}).
			add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: "contract", Target: "/"}).
			add(hostdriver.Entry{Kind: hostdriver.KindDirectory, Name: "/etc/contract/d", Mode: 0o700}).
			unit(unitName, runs, "yes").deploy()
		k.Machine.WriteFile("/etc/contract/foreign", "not ours", 0o644)
		k.draft(2).file("/etc/contract/b", "b").deploy()
		k.gone("/etc/contract/a")
		k.gone("/etc/systemd/system/" + unitName)
		o := k.observe(hostdriver.Query{Units: []string{unitName}, Users: []string{"contract"},
			Paths: []hostdriver.PathQuery{{Path: "/etc/contract/l"}, {Path: "/etc/contract/d"}}})
		equal(k, "link", o.Paths["/etc/contract/l"].Type, hostdriver.PathAbsent)
		equal(k, "unit", o.Units[unitName].Load, "not-found")
		equal(k, "what is still wanted", k.content("/etc/contract/b"), "b")
		equal(k, "what is not evenkeel's", k.content("/etc/contract/foreign"), "not ours")
		equal(k, "user stays", o.Users["contract"].Exists, true)
		equal(k, "directory stays", o.Paths["/etc/contract/d"].Type, hostdriver.PathDir)
		k.Machine.WriteFile("/etc/systemd/system/"+unitName, runs, 0o644)
		k.Machine.Systemctl("daemon-reload")
		equal(k, "unit, if it came back", k.unit(unitName).File, "disabled")
	}},
	{"compare-and-swap: a path that is no longer as it was seen is a conflict, and nothing is done", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").file("/etc/contract/g", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").file("/etc/contract/g", "2").stage()
		k.Machine.WriteFile("/etc/contract/g", "by hand", 0o644)
		for _, e := range []hostdriver.Expect{{Path: "/etc/contract/g", SHA256: digest("1")}, {Path: "/etc/contract/none", SHA256: digest("1")},
			{Path: "/etc/contract/f"}, {Path: "/etc/contract"}} {
			_, err := k.refused(hostdriver.Conflict, hostdriver.Switch{To: 2, Expect: []hostdriver.Expect{e}, Record: &hostdriver.StepRecord{Phase: "x"}})
			if !strings.Contains(err.Error(), e.Path) {
				k.Fatalf("the conflict must name %s: %v", e.Path, err)
			}
		}
		equal(k, "the other file", k.content("/etc/contract/f"), "1")
		o := k.records()
		if o.Manifest.Generation != 1 || o.Switching != nil || o.Step != nil {
			k.Fatalf("after a conflict: %+v", o)
		}
		k.apply(hostdriver.Switch{To: 2, Expect: []hostdriver.Expect{{Path: "/etc/contract/g", SHA256: digest("by hand")},
			{Path: "/etc/contract/f", SHA256: digest("1")}, {Path: "/etc/contract/none"}}})
		equal(k, "the file", k.content("/etc/contract/g"), "2")
	}},
	{"what is to be left stays as a hand has made it, and the rest is switched", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").file("/etc/contract/g", "1").file("/etc/contract/h", "1").
			add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/etc/contract/l", Target: "f"}).
			add(hostdriver.Entry{Kind: hostdriver.KindDirectory, Name: "/etc/contract/d", Mode: 0o700}).
			unit(unitName, runs, "yes").deploy()
		k.Machine.WriteFile("/etc/contract/g", "by hand", 0o600)
		k.Machine.Remove("/etc/contract/l")
		k.Machine.Remove("/etc/contract/d")
		k.Machine.Systemctl("disable", unitName)
		k.draft(2).file("/etc/contract/f", "2").file("/etc/contract/g", "1").file("/etc/contract/h", "1").
			add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/etc/contract/l", Target: "f"}).
			add(hostdriver.Entry{Kind: hostdriver.KindDirectory, Name: "/etc/contract/d", Mode: 0o700}).
			unit(unitName, runs, "yes").stage()
		k.apply(hostdriver.Switch{To: 2, Leave: []string{"/etc/contract/g", "/etc/contract/l", "/etc/contract/d", unitName}})
		equal(k, "what changes", k.content("/etc/contract/f"), "2")
		equal(k, "what is left", k.content("/etc/contract/g"), "by hand")
		equal(k, "what is as it was", k.content("/etc/contract/h"), "1")
		k.gone("/etc/contract/l")
		k.gone("/etc/contract/d")
		equal(k, "the unit", k.unit(unitName).File, "disabled")
		o := k.records()
		equal(k, "generation", o.Manifest.Generation, 2)
		_, managed := o.Manifest.Find(hostdriver.KindFile, "/etc/contract/g")
		equal(k, "still managed", managed, true)
		k.apply(hostdriver.Switch{To: 2})
		equal(k, "what is no longer left", k.content("/etc/contract/g"), "1")
		equal(k, "the unit then", k.unit(unitName).File, "enabled")
	}},
	{"the record is saved as the step in hand", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "x").stage()
		rec := hostdriver.StepRecord{Rollout: "r1", Revision: "deadbeef", Services: []string{"contract"}, Phase: "switch", To: 1, Epoch: 1, Holder: "h",
			Since:   time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
			Drained: []hostdriver.DrainRecord{{Service: "contract", Adapter: "haproxy", Spec: map[string]string{"server": "it's \"h1\"\n\\"}}},
			Before:  map[string]string{unitName: "abc"}}
		k.apply(hostdriver.Switch{To: 1, Record: &rec})
		got := k.records().Step
		if got == nil || got.Drained[0].Spec["server"] != "it's \"h1\"\n\\" || got.Before[unitName] != "abc" || !got.Since.Equal(rec.Since) || got.Phase != "switch" {
			k.Fatalf("step: %+v", got)
		}
	}},
	{"a kept generation can be switched back to", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").file("/etc/contract/old", "1").unit(unitName, runs, "yes").deploy()
		k.draft(2).file("/etc/contract/f", "2").file("/etc/contract/new", "2").unit(unitName, runs+"# 2\n", "no").deploy()
		equal(k, "enabled in 2", k.unit(unitName).File, "disabled")
		k.apply(hostdriver.Switch{To: 1})
		equal(k, "f", k.content("/etc/contract/f"), "1")
		equal(k, "old", k.content("/etc/contract/old"), "1")
		k.gone("/etc/contract/new")
		equal(k, "enabled in 1", k.unit(unitName).File, "enabled")
		o := k.records()
		equal(k, "generation", o.Manifest.Generation, 1)
		equal(k, "kept", len(o.Kept), 2)
	}},
	{"going back restores what was there before evenkeel managed it", func(k *kit) {
		k.Machine.WriteFile("/etc/contract/f", "original", 0o640)
		k.Machine.Symlink("f", "/etc/contract/l")
		k.Machine.WriteFile("/etc/systemd/system/"+unitName, runs+"# original\n", 0o644)
		k.Machine.Systemctl("daemon-reload")
		k.Machine.Systemctl("enable", unitName)
		k.draft(1).fileAs("/etc/contract/f", "ours", "root", "root", 0o600).
			add(hostdriver.Entry{Kind: hostdriver.KindLink, Name: "/etc/contract/l", Target: "elsewhere"}).
			file("/etc/contract/new", "new").unit(unitName, runs, "no").deploy()
		equal(k, "f", k.content("/etc/contract/f"), "ours")
		k.apply(hostdriver.Switch{To: 0})
		o := k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: "/etc/contract/f"}, {Path: "/etc/contract/l"}}, Units: []string{unitName}})
		equal(k, "f's digest", o.Paths["/etc/contract/f"].SHA256, digest("original"))
		equal(k, "f's mode", o.Paths["/etc/contract/f"].Mode, 0o640)
		equal(k, "l", o.Paths["/etc/contract/l"].Target, "f")
		equal(k, "unit", o.Units[unitName].File, "enabled")
		k.gone("/etc/contract/new")
		equal(k, "generation", o.Manifest.Generation, 0)
	}},
	{"switching to the generation on disk mends what was changed by hand", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").fileAs("/etc/contract/m", "1", "root", "root", 0o600).unit(unitName, runs, "yes").deploy()
		k.Machine.WriteFile("/etc/contract/f", "by hand", 0o644)
		k.Machine.WriteFile("/etc/contract/m", "1", 0o666)
		k.Machine.Systemctl("disable", unitName)
		k.apply(hostdriver.Switch{To: 1})
		equal(k, "f", k.content("/etc/contract/f"), "1")
		equal(k, "m's mode", k.path("/etc/contract/m").Mode, 0o600)
		equal(k, "unit", k.unit(unitName).File, "enabled")
	}},
	{"the same content has the same mtime, whenever it is written", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "same").deploy()
		before := k.path("/etc/contract/f").Changed
		k.Machine.Pass(1100 * time.Millisecond)
		k.Machine.WriteFile("/etc/contract/f", "by hand", 0o644)
		k.apply(hostdriver.Switch{To: 1})
		if after := k.path("/etc/contract/f").Changed; !after.Equal(before) {
			k.Fatalf("mtime %s, then %s", before, after)
		}
	}},
	{"a content that means what is on disk already has the time of that", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "same").deploy()
		before := k.path("/etc/contract/f").Changed
		k.Machine.Pass(1100 * time.Millisecond)
		d := k.draft(2).file("/etc/contract/f", "the same").file("/etc/contract/g", "another")
		d.stage()
		k.apply(hostdriver.Switch{To: 2, Alike: []hostdriver.Expect{{Path: "/etc/contract/f", SHA256: digest("the same")}}})
		equal(k, "f", k.content("/etc/contract/f"), "the same")
		if after := k.path("/etc/contract/f").Changed; !after.Equal(before) {
			k.Fatalf("mtime %s, then %s", before, after)
		}
		if g := k.path("/etc/contract/g").Changed; !g.After(before) {
			k.Fatalf("the other one's mtime is %s, not after %s", g, before)
		}
	}},
	{"a generation that is not kept cannot be switched to", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.refused(hostdriver.Failed, hostdriver.Switch{To: 7})
		equal(k, "f", k.content("/etc/contract/f"), "1")
		equal(k, "generation", k.records().Manifest.Generation, 1)
	}},
	{"only so many generations stay, and never the one a unit runs with", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").unit(unitName, runs, "no").deploy()
		k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStart, Generation: 1}}})
		for n := uint64(2); n <= 12; n++ {
			k.draft(n).file("/etc/contract/f", strings.Repeat("x", int(n))).unit(unitName, runs, "no").stage()
			k.apply(hostdriver.Switch{To: n, Keep: 3})
		}
		o := k.records()
		if len(o.Kept) != 3 || o.Kept[0] != 1 || o.Kept[1] != 11 || o.Kept[2] != 12 {
			k.Fatalf("kept: %v", o.Kept)
		}
		k.apply(hostdriver.Switch{To: 11})
		equal(k, "f", k.content("/etc/contract/f"), strings.Repeat("x", 11))
	}},
	{"what cannot be enabled puts the generation before back", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").file("/etc/contract/old", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").file("/etc/contract/new", "2").unit(unitName, static, "yes").stage()
		_, err := k.refused(hostdriver.Failed, hostdriver.Switch{To: 2})
		if !strings.Contains(err.Error(), unitName) || !strings.Contains(err.Error(), "generation 1 was put back") {
			k.Fatalf("the error must name the unit and what was done about it: %v", err)
		}
		equal(k, "f", k.content("/etc/contract/f"), "1")
		equal(k, "old", k.content("/etc/contract/old"), "1")
		k.gone("/etc/contract/new")
		k.gone("/etc/systemd/system/" + unitName)
		o := k.records()
		if o.Manifest.Generation != 1 || o.Switching != nil {
			k.Fatalf("after a failure: %+v", o)
		}
	}},
	{"a directory in the place of a file fails before anything in use is changed", func(k *kit) {
		k.draft(1).file("/etc/contract/a", "1").deploy()
		k.Machine.WriteFile("/etc/contract/z/inside", "x", 0o644)
		k.draft(2).file("/etc/contract/a", "2").file("/etc/contract/z", "2").stage()
		_, err := k.refused(hostdriver.Failed, hostdriver.Switch{To: 2})
		if !strings.Contains(err.Error(), "/etc/contract/z") {
			k.Fatalf("the error must name the path: %v", err)
		}
		equal(k, "a", k.content("/etc/contract/a"), "1")
		equal(k, "inside", k.content("/etc/contract/z/inside"), "x")
		equal(k, "journal", k.records().Switching, nil)
	}},
	{"a drop-in in a new folder is loaded", func(k *kit) {
		k.draft(1).unit(unitName, runs, "yes").deploy()
		k.apply(start(unitName))
		k.draft(2).unit(unitName, runs, "yes").file("/etc/systemd/system/"+unitName+".d/limits.conf", "[Service]\nRestart=always\n").deploy()
		u := k.unit(unitName)
		if len(u.DropIns) != 1 || u.RestartPolicy != "always" || u.NeedReload {
			k.Fatalf("unit: %+v", u)
		}
	}},
	{"a dead man's timer restores the generation before, unless it is disarmed", deadmanFires},
	{"a dead man's timer that was disarmed does nothing", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").stage()
		k.apply(hostdriver.Switch{To: 2, DeadMan: 2 * time.Second})
		k.apply(hostdriver.Disarm{})
		k.Machine.Pass(3 * time.Second)
		equal(k, "f", k.content("/etc/contract/f"), "2")
		k.apply(hostdriver.Disarm{})
	}},
	{"a switch does away with the dead man's timer of the one before", func(k *kit) {
		for n, text := range []string{"1", "2", "3"} {
			k.draft(uint64(n+1)).file("/etc/contract/f", text).stage()
		}
		k.apply(hostdriver.Switch{To: 1})
		k.apply(hostdriver.Switch{To: 2, DeadMan: 2 * time.Second})
		k.apply(hostdriver.Switch{To: 3})
		k.Machine.Pass(4 * time.Second)
		equal(k, "f", k.content("/etc/contract/f"), "3")
		k.apply(hostdriver.Disarm{})
	}},
	{"a dead man's timer gives way to a newer epoch", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").deploy()
		k.draft(2).file("/etc/contract/f", "2").stage()
		k.apply(hostdriver.Switch{To: 2, DeadMan: 2 * time.Second})
		k.fence = hostdriver.Fence{Epoch: 2, Holder: "the next"}
		k.apply(hostdriver.ClearStep{})
		k.Machine.Pass(4 * time.Second)
		equal(k, "f", k.content("/etc/contract/f"), "2")
	}},
	{"what a file sets on the host is set when it is written, and when it is to be renewed", func(k *kit) {
		k.draft(1).file("/etc/tmpfiles.d/contract.conf", "d /var/lib/contract/made 0750 root root - -\n").deploy()
		made := k.path("/var/lib/contract/made")
		equal(k, "type", made.Type, hostdriver.PathDir)
		equal(k, "mode", made.Mode, 0o750)
		k.Machine.Remove("/var/lib/contract/made")
		k.apply(hostdriver.Switch{To: 1})
		equal(k, "not written again", k.path("/var/lib/contract/made").Type, hostdriver.PathAbsent)
		k.apply(hostdriver.Switch{To: 1, Renew: []string{"/etc/tmpfiles.d/contract.conf"}})
		equal(k, "renewed", k.path("/var/lib/contract/made").Type, hostdriver.PathDir)
	}},
}

func deadmanFires(k *kit) {
	k.draft(1).file("/etc/contract/f", "1").unit(unitName, runs, "yes").deploy()
	k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStart, Generation: 1}}})
	k.draft(2).file("/etc/contract/f", "2").file("/etc/contract/new", "2").unit(unitName, runs, "yes").stage()
	k.apply(hostdriver.Switch{To: 2, DeadMan: 2 * time.Second})
	k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbRestart, Generation: 2}}})
	with2 := k.unit(unitName).InvocationID
	for range 100 {
		if k.records().Manifest.Generation == 1 && k.records().Switching == nil && k.unit(unitName).InvocationID != with2 {
			break
		}
		k.Machine.Pass(100 * time.Millisecond)
	}
	equal(k, "f", k.content("/etc/contract/f"), "1")
	k.gone("/etc/contract/new")
	o := k.records()
	equal(k, "generation", o.Manifest.Generation, 1)
	equal(k, "journal", o.Switching, nil)
	u := k.eventually(unitName, "active", func(u hostdriver.UnitState) bool { return u.Active == "active" })
	if u.InvocationID == with2 {
		k.Fatal("a unit that was started with the newer generation must be restarted")
	}
	k.refused(hostdriver.Conflict, hostdriver.Disarm{})
	k.apply(hostdriver.Disarm{})
}
