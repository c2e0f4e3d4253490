package drivertest

import (
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var observeCases = []contractCase{
	{"a host that evenkeel never touched has no records", func(k *kit) {
		o := k.observe(hostdriver.Query{})
		if o.Manifest.Generation != 0 || len(o.Kept) != 0 || len(o.Started) != 0 || o.Step != nil || o.Switching != nil || o.Epoch != 0 || o.Claim != "" {
			k.Fatalf("records of a fresh host: %+v", o)
		}
		equal(k, "host", o.Host, k.Host.Name)
		if o.BootID == "" || o.Systemd == "" || o.Clock.IsZero() || o.At.IsZero() {
			k.Fatalf("boot id, systemd's version or a clock is missing: %+v", o)
		}
	}},
	{"a path is a file, a directory, a symlink or absent, as lstat sees it", func(k *kit) {
		k.Machine.WriteFile("/etc/contract/a b'c", "hello\n", 0o4750)
		k.Machine.Symlink("a b'c", "/etc/contract/link to")
		k.Machine.Symlink("/nowhere \"q\" \\x", "/etc/contract/dangling")
		o := k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: "/etc/contract/a b'c"}, {Path: "/etc/contract"},
			{Path: "/etc/contract/link to"}, {Path: "/etc/contract/dangling"}, {Path: "/etc/contract/none"}, {Path: "/etc/contract/a b'c/below"}}})
		f := o.Paths["/etc/contract/a b'c"]
		equal(k, "type", f.Type, hostdriver.PathFile)
		equal(k, "digest", f.SHA256, digest("hello\n"))
		equal(k, "mode", f.Mode, 0o4750)
		equal(k, "size", f.Size, 6)
		equal(k, "owner", f.Owner+":"+f.Group, "root:root")
		equal(k, "content that was not asked for", f.Content, nil)
		if f.Changed.IsZero() {
			k.Fatal("mtime is missing")
		}
		equal(k, "directory", o.Paths["/etc/contract"].Type, hostdriver.PathDir)
		equal(k, "link's type", o.Paths["/etc/contract/link to"].Type, hostdriver.PathSymlink)
		equal(k, "link's target", o.Paths["/etc/contract/link to"].Target, "a b'c")
		equal(k, "dangling link's target", o.Paths["/etc/contract/dangling"].Target, "/nowhere \"q\" \\x")
		equal(k, "absent", o.Paths["/etc/contract/none"].Type, hostdriver.PathAbsent)
		equal(k, "below a file", o.Paths["/etc/contract/a b'c/below"].Type, hostdriver.PathAbsent)
	}},
	{"content comes back only where the digest differs and it is small enough", func(k *kit) {
		k.Machine.WriteFile("/etc/contract/f", "by hand\n", 0o600)
		ask := func(digest string, limit int64) *hostdriver.Content {
			q := hostdriver.PathQuery{Path: "/etc/contract/f", SHA256: digest, MaxContent: limit}
			return k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{q}}).Paths[q.Path].Content
		}
		equal(k, "content of the digest asked for", ask(digest("by hand\n"), 100), nil)
		equal(k, "content that is too large", ask(digest("meant"), 7), nil)
		c := ask(digest("meant"), 8)
		if c == nil || string(c.Bytes()) != "by hand\n" {
			k.Fatalf("content: %v", c)
		}
		if c := ask("", 8); c == nil {
			k.Fatal("no content of a file that should not be there")
		}
	}},
	{"a path asked barely is told for what it is, without being read", func(k *kit) {
		k.Machine.WriteFile("/etc/contract/f", "x", 0o640)
		k.Machine.Symlink("f", "/etc/contract/l")
		o := k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: "/etc/contract/f", Bare: true}, {Path: "/etc/contract/l", Bare: true},
			{Path: "/etc/contract/none", Bare: true}}})
		f := o.Paths["/etc/contract/f"]
		equal(k, "file", string(f.Type)+" "+f.Owner+" "+f.SHA256, "file root ")
		equal(k, "mode", f.Mode, 0o640)
		equal(k, "link", o.Paths["/etc/contract/l"].Target, "f")
		equal(k, "absent", o.Paths["/etc/contract/none"].Type, hostdriver.PathAbsent)
		both := k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: "/etc/contract/f", Bare: true}, {Path: "/etc/contract/f"}}})
		equal(k, "asked in both ways", both.Paths["/etc/contract/f"].SHA256, digest("x"))
		k.draft(1).file("/etc/contract/f", "x").deploy()
		managed := k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: "/etc/contract/f", Bare: true}}})
		equal(k, "managed", managed.Paths["/etc/contract/f"].SHA256, digest("x"))
	}},
	{"a systemd-escaped name is read like any other", func(k *kit) {
		name := `/etc/contract/srv-a\x2db.mount`
		k.Machine.WriteFile(name, "x", 0o644)
		o := k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: name, SHA256: digest("y"), MaxContent: 10}}})
		equal(k, "digest", o.Paths[name].SHA256, digest("x"))
		if c := o.Paths[name].Content; c == nil || string(c.Bytes()) != "x" {
			k.Fatal("content is missing")
		}
	}},
	{"a unit's state, its process and what that really runs are told", func(k *kit) {
		k.Machine.WriteFile("/etc/systemd/system/"+unitName, runs, 0o644)
		k.Machine.Systemctl("daemon-reload")
		k.Machine.Systemctl("enable", unitName)
		k.Machine.Systemctl("start", unitName)
		o := k.observe(hostdriver.Query{Units: []string{unitName, "contract-none.service", "contract-none@.service"}})
		u := o.Units[unitName]
		equal(k, "states", strings.Join([]string{u.Load, u.Active, u.Sub, u.File, u.Type, u.Job}, " "), "loaded active running enabled simple 0")
		equal(k, "fragment", u.Fragment, "/etc/systemd/system/"+unitName)
		if u.InvocationID == "" || u.MainPID == 0 || u.Started.IsZero() || u.ActiveSince.IsZero() || !u.Running() || u.NeedReload || !u.ConditionOK {
			k.Fatalf("unit: %+v", u)
		}
		p := o.Processes[unitName]
		equal(k, "pid", p.PID, u.MainPID)
		equal(k, "cwd", p.Cwd, "/")
		if !strings.HasSuffix(p.Exe, "/bin/sleep") || p.Deleted {
			k.Fatalf("process: %+v", p)
		}
		none := o.Units["contract-none.service"]
		equal(k, "a unit that is not there", none.Load+" "+none.Active+" "+none.File, "not-found inactive ")
		equal(k, "a template that is not there", o.Units["contract-none@.service"].Load, "not-found")
	}},
	{"since when a unit does not run is told", func(k *kit) {
		k.Machine.WriteFile("/etc/systemd/system/"+unitName, runs, 0o644)
		k.Machine.Systemctl("daemon-reload")
		equal(k, "of one that has never run", k.unit(unitName).InactiveSince.IsZero(), true)
		k.Machine.Systemctl("enable", unitName) // systemd forgets what stops and is nobody's dependency
		k.Machine.Systemctl("start", unitName)
		began := k.unit(unitName)
		k.Machine.Systemctl("stop", unitName)
		u := k.unit(unitName)
		if u.Active != "inactive" || u.InactiveSince.Before(began.ActiveSince) || u.InactiveSince.After(began.ActiveSince.Add(time.Minute)) {
			k.Fatalf("it ran from %s on, and is %s since %s", began.ActiveSince, u.Active, u.InactiveSince)
		}
	}},
	{"a unit edited without daemon-reload is told", func(k *kit) {
		k.Machine.WriteFile("/etc/systemd/system/"+unitName, runs, 0o644)
		k.Machine.Systemctl("daemon-reload")
		k.Machine.Systemctl("start", unitName)
		k.Machine.Pass(1100 * time.Millisecond)
		k.Machine.WriteFile("/etc/systemd/system/"+unitName, runs+"# edited\n", 0o644)
		equal(k, "NeedReload", k.unit(unitName).NeedReload, true)
	}},
	{"a process' environment is compared with what was asked, as it was at its start", observeEnv},
	{"users and groups exist or do not", func(k *kit) {
		o := k.observe(hostdriver.Query{Users: []string{"root", "nobody-such"}, Groups: []string{"root", "nobody-such"}})
		u := o.Users["root"]
		if !u.Exists || u.UID != 0 || u.Group != "root" || u.Home != "/root" {
			k.Fatalf("root: %+v", u)
		}
		equal(k, "absent user", o.Users["nobody-such"].Exists, false)
		equal(k, "group root", o.Groups["root"], true)
		if exists, told := o.Groups["nobody-such"]; exists || !told {
			k.Fatal("an absent group must be told as absent")
		}
	}},
	{"the room of a directory that is not there yet is its nearest parent's", func(k *kit) {
		o := k.observe(hostdriver.Query{Disk: []string{"/var/lib/contract/not/there"}})
		d := o.Disk["/var/lib/contract/not/there"]
		if d.FreeBytes <= 0 || d.ReadOnly {
			k.Fatalf("disk: %+v", d)
		}
	}},
	{"the host adds what its own manifest names", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "x").unit(unitName, runs, "no").
			add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: "contract", Target: "/var/lib/contract"}).deploy()
		for range 2 { // the second time the driver may know the manifest
			o := k.observe(hostdriver.Query{})
			equal(k, "file", o.Paths["/etc/contract/f"].SHA256, digest("x"))
			equal(k, "unit", o.Units[unitName].File, "disabled")
			equal(k, "user", o.Users["contract"].Exists, true)
			equal(k, "generation", o.Manifest.Generation, 1)
		}
		o, err := k.Stale.Observe(k.context(), k.Host, hostdriver.Query{})
		if err != nil || o.Paths["/etc/contract/f"].SHA256 != digest("x") {
			k.Fatalf("another driver: %+v, %v", o.Paths, err)
		}
		k.draft(2).file("/etc/contract/g", "y").deploy()
		o, err = k.Stale.Observe(k.context(), k.Host, hostdriver.Query{})
		if err != nil || o.Paths["/etc/contract/g"].SHA256 != digest("y") || o.Manifest.Generation != 2 {
			k.Fatalf("another driver, after a switch it did not see: %+v, %v", o.Paths, err)
		}
	}},
	{"a light reading has the units and the records, and nothing else", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "x").unit(unitName, runs, "no").deploy()
		k.apply(start(unitName))
		o := k.observe(hostdriver.Query{Light: true, Units: []string{"contract-none.service"}})
		equal(k, "managed unit", o.Units[unitName].Active, "active")
		equal(k, "asked unit", o.Units["contract-none.service"].Load, "not-found")
		equal(k, "generation", o.Manifest.Generation, 1)
		equal(k, "paths", len(o.Paths), 0)
		if o.Started[unitName].InvocationID == "" || o.BootID == "" {
			k.Fatalf("records: %+v", o)
		}
	}},
	{"a reading of units alone has their states", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").deploy()
		k.apply(start(unitName))
		o := k.observe(hostdriver.Query{Light: true, UnitsOnly: true, Units: []string{unitName, "contract-none.service"}})
		u := o.Units[unitName]
		equal(k, "unit", u.Active+" "+u.File, "active disabled")
		equal(k, "unit that is not there", o.Units["contract-none.service"].Load, "not-found")
		if u.InvocationID == "" || u.MainPID == 0 || o.At.IsZero() {
			k.Fatalf("unit: %+v", u)
		}
	}},
	{"a reboot shows in the boot id", func(k *kit) {
		before := k.records().BootID
		k.reboot()
		if after := k.records().BootID; after == before || after == "" {
			k.Fatalf("boot id %q before, %q after", before, after)
		}
	}},
	{"a question that no host can be asked is refused", func(k *kit) {
		for _, q := range []hostdriver.Query{
			{Paths: []hostdriver.PathQuery{{Path: "etc/passwd"}}}, {Paths: []hostdriver.PathQuery{{Path: "/etc/../etc/passwd"}}},
			{Paths: []hostdriver.PathQuery{{Path: "/etc/a\nb"}}}, {Units: []string{"a b.service"}}, {Units: []string{"plain"}},
		} {
			if _, err := k.Driver.Observe(k.context(), k.Host, q); hostdriver.KindOf(err) != hostdriver.Refused {
				k.Fatalf("%+v: %v", q, err)
			}
		}
	}},
}

func observeEnv(k *kit) {
	k.Machine.WriteFile("/etc/contract/env", "A=1\nA1=x y\nSECRET=one\n", 0o600)
	k.Machine.WriteFile("/etc/systemd/system/"+unitName, runsWithEnv, 0o644)
	k.Machine.Systemctl("daemon-reload")
	k.Machine.Systemctl("start", unitName)
	keys := []string{"A", "A1", "NONE", "SECRET"}
	ask := func(vars map[string]string) hostdriver.ProcessState {
		q := hostdriver.Query{Salt: "salt", Env: []hostdriver.EnvQuery{{Unit: unitName, Keys: keys, Digest: hostdriver.EnvDigest("salt", vars)}}}
		return k.observe(q).Processes[unitName]
	}
	same := map[string]string{"A": "1", "A1": "x y", "SECRET": "one"}
	equal(k, "what it was started with", ask(same).Env, hostdriver.EnvSame)
	k.Machine.WriteFile("/etc/contract/env", "A=1\nA1=x y\nSECRET=two\n", 0o600)
	equal(k, "what it was started with, once the file has changed", ask(same).Env, hostdriver.EnvSame)
	p := ask(map[string]string{"A": "1", "A1": "x y", "SECRET": "two", "NONE": "z"})
	equal(k, "what is in the file by now", p.Env, hostdriver.EnvDiffers)
	equal(k, "digest of a key that is the same", p.Digests["A"], hostdriver.EnvDigest("salt", map[string]string{"A": "1"}))
	equal(k, "digest of a key that is another", p.Digests["SECRET"], hostdriver.EnvDigest("salt", map[string]string{"SECRET": "one"}))
	if _, ok := p.Digests["NONE"]; ok || len(p.Digests) != 3 {
		k.Fatalf("a key that the process does not have must be absent: %v", p.Digests)
	}
	k.Machine.Systemctl("stop", unitName)
	equal(k, "of a process that is gone", ask(same).Env, hostdriver.EnvUnreadable)
}
