package sshdriver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const enabledUnit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"

// TestEveryShell takes a host through its life in each shell a host may have as /bin/sh.
func TestEveryShell(t *testing.T) {
	eachShell(t, func(t *testing.T, h *shellHost) {
		h.write("etc/it's here", "before", 0o600)
		one := h.stageOf(1, map[string]string{"etc/a": "1", "etc/it's here": "one", "units/x.service": enabledUnit, `units/srv-a\x2db.mount`: enabledUnit, "etc/bin": "\x00\x01\n\n"},
			hostdriver.Entry{Kind: hostdriver.KindLink, Service: "s", Name: h.path("link"), Target: "etc/a"},
			hostdriver.Entry{Kind: hostdriver.KindDirectory, Service: "s", Name: h.path("data"), Owner: "nobody", Group: "nogroup", Mode: 0o2750},
			hostdriver.Entry{Kind: hostdriver.KindUser, Service: "s", Name: "nobody"})
		h.apply(hostdriver.Precheck{NeedBytes: map[string]int64{h.path("none/yet"): 1}, Units: []string{"x.service"}})
		h.apply(one)
		h.apply(hostdriver.Switch{To: 1, DeadMan: time.Minute, Record: &hostdriver.StepRecord{Phase: "it's", To: 1}})
		h.apply(hostdriver.Disarm{})
		h.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: "x.service", Verb: hostdriver.VerbRestart, Generation: 1, Inputs: map[string]string{h.path("etc/it's here"): "d1"}}}})
		h.apply(h.stageOf(2, map[string]string{"etc/a": "2", "units/x.service": enabledUnit + "#2\n"}))
		h.apply(hostdriver.Switch{To: 2, Expect: []hostdriver.Expect{{Path: h.path("etc/it's here"), SHA256: hostdriver.NewContent([]byte("one")).SHA256()},
			{Path: h.path(`units/srv-a\x2db.mount`), SHA256: hostdriver.NewContent([]byte(enabledUnit)).SHA256()}}})
		if _, ok := h.read(`units/srv-a\x2db.mount`); ok {
			t.Error("what generation 2 does not have is still there")
		}
		h.apply(hostdriver.Switch{To: 1})
		o := h.observe(hostdriver.Query{Salt: "s", Disk: []string{h.path("none/yet")}, Users: []string{"root", "none-such"}, Groups: []string{"none-such", "root"}})
		checkLife(t, h, o)
		h.apply(hostdriver.Switch{To: 0})
		if s, _ := h.read("etc/it's here"); s != "before" {
			t.Errorf("what was there before: %q", s)
		}
		r := h.apply(hostdriver.Run{Line: "printf '%s' \"$A\"; exit 7", Env: map[string]string{"A": "it's\n\\n"}, User: "nobody"})
		if string(r.Output) != "it's\n\\n" || r.Exit != 7 {
			t.Errorf("run: %q, %d", r.Output, r.Exit)
		}
	})
}

func checkLife(t *testing.T, h *shellHost, o hostdriver.Observation) {
	t.Helper()
	d := o.Paths[h.path("data")]
	if d.Type != hostdriver.PathDir || d.Mode != 0o2750 || d.Owner != "nobody" || d.Group != "nogroup" {
		t.Errorf("directory: %+v", d)
	}
	if f := o.Paths[h.path("etc/bin")]; f.SHA256 != hostdriver.NewContent([]byte("\x00\x01\n\n")).SHA256() || f.Mode != 0o640 {
		t.Errorf("file: %+v", f)
	}
	if l := o.Paths[h.path("link")]; l.Target != "etc/a" {
		t.Errorf("link: %+v", l)
	}
	if st := o.Started["x.service"]; st.InvocationID != fmt.Sprintf("%032x", 1) || st.Inputs[h.path("etc/it's here")] != "d1" {
		t.Errorf("started: %+v", st)
	}
	if u := o.Units[`srv-a\x2db.mount`]; u.File != "enabled" {
		t.Errorf("unit: %+v", u)
	}
	if o.Step == nil || o.Step.Phase != "it's" || o.Manifest.Generation != 1 || len(o.Kept) != 2 || o.Epoch != 1 || o.Holder != "test" {
		t.Errorf("records: %+v", o)
	}
	if !o.Users["root"].Exists || o.Users["root"].Group != "root" || o.Users["none-such"].Exists || !o.Groups["root"] || o.Groups["none-such"] {
		t.Errorf("users %v, groups %v", o.Users, o.Groups)
	}
	if o.Disk[h.path("none/yet")].FreeBytes <= 0 {
		t.Errorf("disk: %v", o.Disk)
	}
}

// TestEnvironmentOfAProcess compares this test's child's environment in each shell.
func TestEnvironmentOfAProcess(t *testing.T) {
	eachShell(t, func(t *testing.T, h *shellHost) {
		q := hostdriver.Query{Salt: "salt"}
		for i := range 7 { // more than one batch of digests
			name := fmt.Sprintf("p%d.service", i)
			h.write("units/"+name, enabledUnit, 0o644)
			cmd := exec.Command("sleep", "60")
			vars := map[string]string{"A": fmt.Sprint(i), "A1": "two\nlines=1", "B": "'\"$(x)`\\", "LONG": strings.Repeat("x", 5000)}
			for k, v := range vars {
				cmd.Env = append(cmd.Env, k+"="+v)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			h.write("systemd/running/"+name, fmt.Sprint(cmd.Process.Pid), 0o644)
			if i == 3 {
				vars["B"] = "another"
			}
			q.Env = append(q.Env, hostdriver.EnvQuery{Unit: name, Keys: []string{"A", "A1", "B", "LONG", "NONE"}, Digest: hostdriver.EnvDigest("salt", vars)})
		}
		q.Env = append(q.Env, hostdriver.EnvQuery{Unit: "dead.service", Keys: []string{"A"}, Digest: "x"})
		time.Sleep(50 * time.Millisecond) // the children have called execve by then
		o := h.observe(q)
		for i := range 7 {
			p := o.Processes[fmt.Sprintf("p%d.service", i)]
			want := hostdriver.EnvSame
			if i == 3 {
				want = hostdriver.EnvDiffers
			}
			if p.Env != want || !strings.HasSuffix(p.Exe, "/sleep") {
				t.Errorf("process %d: %+v", i, p)
			}
		}
		p := o.Processes["p3.service"]
		if len(p.Digests) != 4 || p.Digests["A1"] != hostdriver.EnvDigest("salt", map[string]string{"A1": "two\nlines=1"}) {
			t.Errorf("digests: %v", p.Digests)
		}
		if o.Processes["dead.service"].Env != hostdriver.EnvUnreadable {
			t.Errorf("a unit without process: %+v", o.Processes["dead.service"])
		}
	})
}

// TestSystemdWithoutTimestampOption: before version 248 systemctl had no --timestamp.
func TestSystemdWithoutTimestampOption(t *testing.T) {
	h := newShellHost(t, "dash")
	h.write("units/x.service", enabledUnit, 0o644)
	h.write("systemd/old", "", 0o644)
	for _, light := range []bool{true, false} {
		if u := h.observe(hostdriver.Query{Light: light, Units: []string{"x.service"}}).Units["x.service"]; u.Load != "loaded" || u.File != "disabled" {
			t.Errorf("light %v: %+v", light, u)
		}
	}
	h.apply(h.stageOf(1, map[string]string{"units/x.service": enabledUnit}))
	if u := h.apply(hostdriver.Switch{To: 1}).Units["x.service"]; u.File != "enabled" {
		t.Errorf("after a switch: %+v", u)
	}
}

// TestReleasesAreCollected: what no generation needs any more is gone, and only that.
func TestReleasesAreCollected(t *testing.T) {
	h := newShellHost(t, "dash")
	var paths []string
	for n := uint64(1); n <= 4; n++ {
		r := releaseOf(h.path("app/.releases/app"), hostdriver.FormFile, []byte(fmt.Sprint("program ", n)))
		paths = append(paths, r.Path)
		s := h.stageOf(n, map[string]string{"etc/a": fmt.Sprint(n), "etc/all": "of all of them"}, hostdriver.Entry{Kind: hostdriver.KindRelease, Service: "s", Name: r.Path, SHA256: r.SHA256})
		s.Releases = []hostdriver.Release{r}
		h.apply(s)
		h.apply(hostdriver.Switch{To: n, Keep: 2})
	}
	for i, p := range paths {
		if _, err := os.Stat(p); (err == nil) != (i >= 2) {
			t.Errorf("release %d: %v", i+1, err)
		}
	}
	blobs, _ := os.ReadDir(h.path("state/blobs"))
	records, _ := os.ReadDir(h.path("state/releases"))
	if len(blobs) != 3 || len(records) != 2 {
		t.Errorf("%d blobs and %d records of releases are left", len(blobs), len(records))
	}
}

// TestLockIsWaitedFor: who holds it is named once the wait is over.
func TestLockIsWaitedFor(t *testing.T) {
	h := newShellHost(t, "dash")
	h.apply(hostdriver.ClearStep{})
	holder := exec.Command("flock", h.path("state/lock"), "sleep", "60")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	time.Sleep(100 * time.Millisecond)
	h.lockWait = time.Second
	_, err := h.try(hostdriver.ClearStep{})
	if hostdriver.KindOf(err) != hostdriver.Refused || !strings.Contains(err.Error(), "held by test") {
		t.Fatalf("while the lock is held: %v", err)
	}
	if o := h.observe(hostdriver.Query{Light: true}); o.Epoch != 1 {
		t.Errorf("a reading must not need the lock: %+v", o)
	}
}

// TestPartOfAScriptDoesNothing: a connection cut while the script was on its way.
func TestPartOfAScriptDoesNothing(t *testing.T) {
	eachShell(t, partDoesNothing)
}

func partDoesNothing(t *testing.T, h *shellHost) {
	h.apply(h.stageOf(1, map[string]string{"etc/a": "1"}))
	c, err := h.change(shellFence, hostdriver.Switch{To: 1})
	if err != nil {
		t.Fatal(err)
	}
	text := c.script.text(c.call)
	for _, command := range [][]string{shellWords(len(text)), payloadWords(len(text))} {
		for _, n := range []int{1, len(text) / 4, len(text) / 2, len(text) - 20, len(text) - 2} {
			cmd := h.command(command)
			cmd.Stdin = strings.NewReader(text[:n])
			out, err := cmd.Output()
			if err == nil || strings.Contains(string(out), c.script.nonce) {
				t.Errorf("%d of %d bytes: %v, %q", n, len(text), err, out)
			}
		}
	}
	if _, ok := h.read("etc/a"); ok {
		t.Error("a part of the script has switched")
	}
}

// TestRunThatLeavesSomethingBehind: a program left running holds neither the reply nor
// the lock.
func TestRunThatLeavesSomethingBehind(t *testing.T) {
	h := newShellHost(t, "dash")
	begun := time.Now()
	r := h.apply(hostdriver.Run{Line: "sleep 8 & echo left"})
	if string(r.Output) != "left\n" || r.Exit != 0 {
		t.Errorf("output %q, exit %d", r.Output, r.Exit)
	}
	h.lockWait = time.Second
	h.apply(hostdriver.ClearStep{})
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("it took %s", took)
	}
	_, err := h.try(hostdriver.Run{Line: "sleep 60", Timeout: time.Second})
	if hostdriver.KindOf(err) != hostdriver.Failed {
		t.Errorf("a command that does not end: %v", err)
	}
	r = h.apply(hostdriver.Run{Line: "head -c 200000 /dev/zero; exit 3"})
	if len(r.Output) != maxRunOutput || r.Exit != 3 {
		t.Errorf("%d bytes of output, exit %d", len(r.Output), r.Exit)
	}
}

// TestDamagedRecordsAreNotReadAsEmpty: less than the host has must not look like nothing.
func TestDamagedRecordsAreNotReadAsEmpty(t *testing.T) {
	for name, damage := range map[string]func(h *shellHost){
		"manifest cut": func(h *shellHost) {
			h.write("state/generations/1/manifest", "evenkeel\t1\t1\tr1\tid\nfile\ts\t/x", 0o600)
		},
		"manifest gone":    func(h *shellHost) { _ = os.Remove(h.path("state/generations/1/manifest")) },
		"manifest emptied": func(h *shellHost) { h.write("state/generations/1/manifest", "", 0o600) },
		"epoch":            func(h *shellHost) { h.write("state/epoch", "seven", 0o600) },
		"step":             func(h *shellHost) { h.write("state/step", "{", 0o600) },
		"journal":          func(h *shellHost) { h.write("state/switching", "1", 0o600) },
		"started":          func(h *shellHost) { h.write("state/started/x.service", "no tab", 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newShellHost(t, "dash")
			h.apply(h.stageOf(1, map[string]string{"etc/a": "1"}))
			h.apply(hostdriver.Switch{To: 1})
			damage(h)
			o, err := h.Observe(context.Background(), shellInventory, hostdriver.Query{})
			if err == nil {
				t.Fatalf("read as %+v", o)
			}
			if k := hostdriver.KindOf(err); k != hostdriver.Unknown && k != hostdriver.Failed || hostdriver.MendOf(err) == "" {
				t.Errorf("kind %s, mend %q", k, hostdriver.MendOf(err))
			}
		})
	}
}
