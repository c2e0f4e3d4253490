package sshdriver

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var sampleQuery = hostdriver.Query{
	Paths: []hostdriver.PathQuery{{Path: "/etc/a b", SHA256: strings.Repeat("00", 32), MaxContent: 10}, {Path: "/opt/app"}, {Path: "/none"},
		{Path: "/etc/sealed", SHA256: strings.Repeat("00", 32), Seal: &hostdriver.SealQuery{Name: "token", Digest: "y"}}},
	Units: []string{"a.service", "none.service", "t@.service"}, Users: []string{"app", "none"}, Groups: []string{"app", "none"},
	Salt: "salt", Env: []hostdriver.EnvQuery{{Unit: "a.service", Keys: []string{"A", "B"}, Digest: "x"}}, Disk: []string{"/var/lib/x"},
}

const helloDigest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

// sampleReply is what a host answers to sampleQuery, as a Debian 12 does.
func sampleReply() []byte {
	managed := strings.Repeat("ab", 32)
	return reply(
		[2]string{"own", "==> /var/lib/evenkeel/epoch <==\n7\tapply deploy@build pid 1\n\n==> /var/lib/evenkeel/claim <==\ncontroller\n\n" +
			"==> /var/lib/evenkeel/step <==\n{\"rollout\":\"r\",\"phase\":\"restart\",\"from\":1,\"to\":2}\n\n" +
			"==> /var/lib/evenkeel/switching <==\n1 2\n\n" +
			"==> /var/lib/evenkeel/started/a.service <==\n11111111111111111111111111111111\t1\n" + managed + "\t/etc/managed\n\n" +
			"==> /var/lib/evenkeel/started/b.service <==\n\n==> /var/lib/evenkeel/wanted/b.service <==\n\n" + // the power was cut when they were written
			"==> /var/lib/evenkeel/wanted/a.service <==\n11111111111111111111111111111111\t2\n" + managed + "\t/etc/managed\n\n" +
			"==> /var/lib/evenkeel/releases/0123 <==\nreleased\t" + managed + "\tfile\t/opt/.releases/" + managed + "\n" +
			"stat\t81ed 755 9 root 0 root 0 1700000000.000000001 1700000000.000000002 77 /opt/.releases/" + managed + " //\"/opt/.releases/" + managed + "\"\n\n" +
			"==> /var/lib/evenkeel/current/manifest <==\nevenkeel\t1\t1\tdeadbeef\tid\nfile\ts\t/etc/managed\t" + managed + "\troot\troot\t644\t-\t-\t-\n" +
			"release\ts\t/opt/.releases/" + managed + "\t" + managed + "\troot\troot\t-\t-\t-\t-\nunit\ts\tm.service\t-\t-\t-\t-\t-\tyes\tstarted\n\n"},
		[2]string{"kept 2 1", ""},
		[2]string{"units a.service none.service m.service", "Type=notify\nRestart=on-failure\nMainPID=42\nNRestarts=3\nExecMainStartTimestamp=Sun 2023-11-12 10:00:00.5 UTC\n" +
			"ExecMainCode=2\nExecMainStatus=9\nEnvironmentFiles=/etc/a.env (ignore_errors=no)\nEnvironmentFiles=/etc/b.env (ignore_errors=yes)\nId=a.service\nLoadState=loaded\n" +
			"ActiveState=active\nSubState=running\nFragmentPath=/etc/systemd/system/a.service\nDropInPaths=/etc/x/1.conf \"/etc/y z/2.conf\"\nUnitFileState=enabled\n" +
			"InvocationID=22222222222222222222222222222222\nJob=99\nNeedDaemonReload=yes\nStatusText=Ready\nConditionResult=yes\nCanReload=yes\nResult=success\n\n" +
			"Id=none.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n\n" +
			"Id=m.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nActiveEnterTimestamp=n/a\nInactiveEnterTimestamp=n/a\n"},
		[2]string{"links", "\na.service\tmulti-user.target.wants\na.service\tb.service\na.service\tb.service\na.service\tnot a unit.wants\n"},
		[2]string{"templates", "t@.service enabled disabled\n"},
		[2]string{"host 9ce22dd5-ffca-4c37-b8d1-b164f127d10a 252.39-1 6 creds", ""},
		[2]string{"procs", "42 a.service\n"},
		[2]string{"stat", "8124 444 0 root 0 root 0 1700000100.250000000 1700000100.250000000 5 /proc/self/status //\"/proc/self/status\"\n" +
			"a1ff 777 0 root 0 root 0 1700000000.0 1700000000.0 6 /proc/42/exe //\"/proc/42/exe\" -> \"/opt/app (deleted)\"\n" +
			"a1ff 777 0 root 0 root 0 1700000000.0 1700000000.0 7 /proc/42/cwd //\"/proc/42/cwd\" -> \"/\"\n" +
			"81a0 640 5 UNKNOWN 4711 root 0 1700000000.123456789 1700000000.0 8 /etc/a b //\"/etc/a b\"\n" +
			"a1ff 777 9 root 0 root 0 1700000000.0 1700000000.0 9 /opt/app //\"/opt/app\" -> \"a\\\"b\\303\\244\"\n" +
			"8180 600 5 root 0 root 0 1700000000.5 1700000000.5 10 /etc/sealed //\"/etc/sealed\"\n" +
			"stat: cannot statx '/none': No such file or directory\nstat: cannot statx '/etc/managed': No such file or directory\n" +
			"81ed 755 9 root 0 root 0 1700000000.000000001 1700000000.000000002 77 /opt/.releases/" + managed + " //\"/opt/.releases/" + managed + "\"\n"},
		[2]string{"torn", ""},
		[2]string{"sum", helloDigest + "  /etc/a b\n" + helloDigest + "  /etc/sealed\n"},
		[2]string{"content", "/etc/a b\naGVsbG8="},
		[2]string{"content", "/etc/sealed\naGVsbG8="},
		[2]string{"seal unreadable", "/etc/sealed\nFailed to decrypt: Bad message\n"},
		[2]string{"env a.service 42 differs", strings.Repeat("cd", 32) + " A\n"},
		[2]string{"passwd", "\napp:x:990:989::/home/app:/bin/false\n"},
		[2]string{"group", "\napp:x:989:\n"},
		[2]string{"disk ro", "Avail IFree Inodes Mounted on\n123456 0 0 /var\n"},
	)
}

func sampleReading(t testing.TB) *reading {
	t.Helper()
	r, err := newReading(hostPlaces, sampleQuery, ownManifest{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func observeReply(r *reading, reply []byte) (hostdriver.Observation, error) {
	records, err := parseReply(reply, testNonce)
	if err != nil {
		return hostdriver.Observation{}, err
	}
	o, _, err := r.parse(records)
	return o, err
}

func TestObservationOfAReply(t *testing.T) {
	o, err := observeReply(sampleReading(t), sampleReply())
	if err != nil {
		t.Fatal(err)
	}
	checkSampleUnits(t, o)
	f := o.Paths["/etc/a b"]
	if f.SHA256 != helloDigest || f.Owner != "4711" || f.Mode != 0o640 || f.Size != 5 || f.Content == nil || string(f.Content.Bytes()) != "hello" || f.Changed.Nanosecond() != 123456789 {
		t.Errorf("file: %+v", f)
	}
	managed := strings.Repeat("ab", 32)
	if l := o.Paths["/opt/app"]; l.Target != `a"bä` || o.Paths["/none"].Type != hostdriver.PathAbsent || o.Paths["/etc/managed"].Type != hostdriver.PathAbsent ||
		o.Paths["/opt/.releases/"+managed].SHA256 != managed {
		t.Errorf("paths: %+v", o.Paths)
	}
	if s := o.Paths["/etc/sealed"]; s.Seal != hostdriver.SealUnreadable || s.SealWhy != "Failed to decrypt: Bad message" || s.Content == nil || !o.Encrypts {
		t.Errorf("sealed: %+v", s)
	}
	if len(o.Paths) != 6 {
		t.Errorf("paths: %v", o.Paths)
	}
	if u := o.Users["app"]; u.Group != "app" || u.UID != 990 || !o.Groups["app"] || o.Users["none"].Exists {
		t.Errorf("users %+v, groups %+v", o.Users, o.Groups)
	}
	if d := o.Disk["/var/lib/x"]; d.FreeBytes != 123456 || d.FreeInodes != -1 || !d.ReadOnly {
		t.Errorf("disk: %+v", d)
	}
	if o.Epoch != 7 || o.Holder != "apply deploy@build pid 1" || o.Claim != "controller" || o.Step.Phase != "restart" || *o.Switching != (hostdriver.Switching{From: 1, To: 2}) ||
		!slices.Equal(o.Kept, []uint64{1, 2}) || o.Manifest.Revision != "deadbeef" || !o.Clock.Equal(time.Unix(1700000100, 250000000)) || o.Systemd != "252" {
		t.Errorf("records: %+v", o)
	}
	// The start that was cut has happened: the unit has another InvocationID by now.
	if _, noted := o.Started["b.service"]; noted {
		t.Error("a note that is empty says nothing")
	}
	if s := o.Started["a.service"]; s.InvocationID != strings.Repeat("2", 32) || s.Generation != 2 {
		t.Errorf("started: %+v", s)
	}
}

func checkSampleUnits(t *testing.T, o hostdriver.Observation) {
	t.Helper()
	u := o.Units["a.service"]
	if u.Type != "notify" || u.MainPID != 42 || u.Restarts != 3 || u.ExecCode != "killed" || u.ExecStatus != 9 || u.Job != "99" || !u.NeedReload || u.StatusText != "Ready" ||
		!slices.Equal(u.DropIns, []string{"/etc/x/1.conf", "/etc/y z/2.conf"}) || len(u.Environment) != 2 || !u.Started.Equal(time.Date(2023, 11, 12, 10, 0, 0, 5e8, time.UTC)) ||
		!u.CanReload || !u.ConditionOK || u.RestartPolicy != "on-failure" {
		t.Errorf("a.service: %+v", u)
	}
	if o.Units["none.service"].Load != "not-found" || o.Units["none.service"].Job != "0" || o.Units["t@.service"].File != "enabled" || o.Units["m.service"].Load != "loaded" {
		t.Errorf("units: %+v", o.Units)
	}
	p := o.Processes["a.service"]
	if p.PID != 42 || p.Exe != "/opt/app" || !p.Deleted || p.Cwd != "/" || p.Env != hostdriver.EnvDiffers || p.Digests["A"] != strings.Repeat("cd", 32) {
		t.Errorf("process: %+v", p)
	}
}

// A process that ends while it is looked at is no reason not to believe the rest.
func TestObservationOfAProcessThatEnds(t *testing.T) {
	r := sampleReading(t)
	reply := strings.Replace(string(sampleReply()), "//\"/proc/42/exe\" -> \"/opt/app (deleted)\"\n",
		"//\"/proc/42/exe\"stat: cannot read symbolic link '/proc/42/exe': No such file or directory\n\n", 1)
	o, err := observeReply(r, []byte(reply))
	if err != nil {
		t.Fatal(err)
	}
	if p := o.Processes["a.service"]; p.PID != 42 || p.Exe != "" || p.Cwd != "/" || o.Paths["/opt/app"].Target == "" {
		t.Errorf("it reads %+v", p)
	}
}

// TestObservationThatIsNotBelieved: what contradicts itself, was not asked for or is of
// another form makes the whole reading an error.
func TestObservationThatIsNotBelieved(t *testing.T) {
	for what, change := range map[string][2]string{
		"a path that was not asked for":      {" /etc/a b //\"/etc/a b\"", " /etc/shadow //\"/etc/shadow\""},
		"a disk that cannot be read":         {"'/none': No such file or directory", "'/none': Input/output error"},
		"a digest of no file":                {"  /etc/a b\n", "  /opt/app\n"},
		"a digest of another form":           {helloDigest + "  ", "xyz  "},
		"content of no file":                 {"/etc/a b\naGVs", "/opt/app\naGVs"},
		"a seal that was not asked for":      {"unreadable\n/etc/sealed", "unreadable\n/etc/a b"},
		"a seal of no file":                  {"8180 600 5 root", "4180 600 5 root"},
		"a seal in a state that is none":     {"seal unreadable", "seal perhaps"},
		"content that is not base64":         {"aGVsbG8=", "a$b"},
		"a unit that was not asked for":      {"units a.service none", "units b.service none"},
		"a unit too few":                     {"Id=none.service\n", "\n\nId=none.service\n"},
		"a unit without state":               {"Id=none.service\nLoadState=not-found\n", "Id=none.service\n"},
		"a number that is none":              {"NRestarts=3", "NRestarts=many"},
		"a time that is none":                {"Sun 2023-11-12 10:00:00.5 UTC", "yesterday"},
		"another process than systemctl's":   {"procs\n42 a", "procs\n43 a"},
		"a link that points nowhere":         {`"/opt/app" -> `, `"/opt/app" `},
		"an environment of another":          {"env a.service 42", "env m.service 42"},
		"a key that was not asked for":       {strings.Repeat("cd", 32) + " A", strings.Repeat("cd", 32) + " SECRET"},
		"a user who was not asked for":       {"\napp:x:990", "\nroot:x:990"},
		"a boot id of another form":          {"host 9ce22dd5", "host ZZ"},
		"a journal of another form":          {"\n1 2\n", "\n1\n"},
		"an epoch of another form":           {"\n7\tapply", "\n-7\tapply"},
		"a manifest of another form":         {"evenkeel\t1\t1\t", "evenkeel\t2\t1\t"},
		"an entry of another form":           {"file\ts\t/etc/managed", "file\ts\tetc/managed"},
		"a record of evenkeel's unknown":     {"/var/lib/evenkeel/claim ", "/var/lib/evenkeel/klaim "},
		"a part that nobody knows":           {" templates\n", " surprise\n"},
		"no clock":                           {" /proc/self/status //", " /none //"},
		"room of another directory":          {"123456 0 0 /var\n", "123456 0 0 /var\n1 1 1 /\n"},
		"a generation that is not a number":  {"kept 2 1", "kept two"},
		"a release that does not tell what":  {"released\t" + strings.Repeat("ab", 32) + "\tfile", "released\tfile"},
		"a template that was not asked for":  {"t@.service enabled", "u@.service enabled"},
		"what a unit was started with, torn": {"\t1\n" + strings.Repeat("ab", 32) + "\t/etc/managed", "\t1\n" + strings.Repeat("ab", 32)},
	} {
		text := string(sampleReply())
		if !strings.Contains(text, change[0]) {
			t.Errorf("%s: the sample has no %q", what, change[0])
			continue
		}
		if o, err := observeReply(sampleReading(t), []byte(strings.Replace(text, change[0], change[1], 1))); err == nil {
			t.Errorf("%s: %+v", what, o)
		}
	}
}

// TestTimestamps: systemd 248 and later print microseconds, older ones do not.
func TestTimestamps(t *testing.T) {
	for text, want := range map[string]time.Time{
		"Sun 2023-11-12 10:00:00.123456 UTC": time.Date(2023, 11, 12, 10, 0, 0, 123456000, time.UTC),
		"Sun 2023-11-12 10:00:00 UTC":        time.Date(2023, 11, 12, 10, 0, 0, 0, time.UTC),
		"":                                   {}, "n/a": {}, "0": {},
	} {
		if got, err := parseTimestamp(text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func FuzzObservation(f *testing.F) {
	f.Add(sampleReply())
	for _, part := range []string{"own", "stat", "units", "sum", "env", "passwd"} {
		f.Add([]byte(strings.Replace(string(sampleReply()), testNonce+" "+part, testNonce+" content", 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := sampleReading(t)
		o, err := observeReply(r, data)
		if err != nil {
			return
		}
		for _, q := range sampleQuery.Paths {
			st, ok := o.Paths[q.Path]
			if !ok {
				t.Fatalf("%s is missing", q.Path)
			}
			if st.Seal != hostdriver.SealNotAsked && (q.Seal == nil || st.Type != hostdriver.PathFile) {
				t.Fatalf("%s: seal %s", q.Path, st.Seal)
			}
			if st.Content != nil && q.Seal == nil && (int64(st.Content.Len()) > q.MaxContent || st.Content.SHA256() != st.SHA256) {
				t.Fatalf("%s: content of %d bytes", q.Path, st.Content.Len())
			}
		}
		for _, u := range sampleQuery.Units {
			if st, ok := o.Units[u]; !ok || st.Load == "" {
				t.Fatalf("%s is missing", u)
			}
		}
		for name := range o.Paths {
			if !r.paths[name] {
				t.Fatalf("%q was not asked for", name)
			}
		}
	})
}

// A record that goes away while it is read, in a reading that had to be begun again, is read
// once more: what the first reading had asked for is in nobody's way.
func TestRecordsThatVanishInASecondReading(t *testing.T) {
	h := newShellHost(t, "dash")
	h.apply(h.stageOf(1, map[string]string{"a.conf": "a"}))
	head, err := exec.LookPath("head")
	if err != nil {
		t.Fatal(err)
	}
	times := h.path("times")
	text := "#!/bin/sh\necho >>" + times + "\ncase $(wc -l <" + times + ") in\n1) echo 77 >" + h.places.run + "/seq ;;\n2) echo 'it is gone'; exit 1 ;;\nesac\nexec " + head + " \"$@\"\n"
	if err := os.WriteFile(h.path("bin/head"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	program := h.path("program")
	if err := os.WriteFile(program, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := h.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: program, Bare: true}}})
	if o.Paths[program].Size != 1 {
		t.Errorf("it is told as %+v", o.Paths[program])
	}
	if n, _ := os.ReadFile(times); len(n) < 3 {
		t.Errorf("records were read %d times", len(n))
	}
}
