package sshdriver

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// TestSecretsStayWhereTheyBelong watches every process of this machine, the host's among
// them, while a secret is staged, put in place, started with and used, and looks through
// the host's disk and journal afterwards.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	lab.Require(t)
	const secret = "correct-horse-battery-staple"
	l := newLab(t, 1)
	host := l.Hosts()[0]
	m := &labMachine{t: t, host: host}
	d := newLabDriver(t, l, "deploy")
	stop, seen := watchProcesses(secret)
	apply := func(op hostdriver.Op) hostdriver.Result {
		t.Helper()
		r, err := d.Apply(context.Background(), labHost(host), hostdriver.Fence{Epoch: 1, Holder: "secrets"}, op)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	env := hostdriver.NewContent([]byte("TOKEN=" + secret + "\n"))
	unit := hostdriver.NewContent([]byte("[Service]\nEnvironmentFile=/etc/contract/env\nExecStart=/bin/sleep 86400\n"))
	apply(hostdriver.Stage{Blobs: map[string]hostdriver.Content{env.SHA256(): env, unit.SHA256(): unit}, Manifest: hostdriver.Manifest{Generation: 1, Revision: "r",
		Entries: []hostdriver.Entry{{Kind: hostdriver.KindFile, Name: "/etc/contract/env", SHA256: env.SHA256(), Owner: "root", Group: "root", Mode: 0o600},
			{Kind: hostdriver.KindFile, Name: "/etc/systemd/system/contract.service", SHA256: unit.SHA256(), Owner: "root", Group: "root", Mode: 0o644},
			{Kind: hostdriver.KindUnit, Name: "contract.service"}}}})
	apply(hostdriver.Switch{To: 1, DeadMan: time.Minute})
	apply(hostdriver.Disarm{})
	apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: "contract.service", Verb: hostdriver.VerbStart, Generation: 1}}})
	if r := apply(hostdriver.Run{Line: "test '" + secret + "' = \"$TOKEN\" && sleep 0.2", Env: map[string]string{"TOKEN": secret}}); r.Exit != 0 {
		t.Errorf("run: %+v", r)
	}
	for range 3 {
		_, err := d.Observe(context.Background(), labHost(host), hostdriver.Query{Salt: "salt", Paths: []hostdriver.PathQuery{{Path: "/etc/contract/env"}},
			Env: []hostdriver.EnvQuery{{Unit: "contract.service", Keys: []string{"TOKEN"}, Digest: "another"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if all := seen(); len(all) > 0 {
		t.Errorf("seen in the arguments of processes:\n%s", strings.Join(all, "\n"))
	}
	found := m.do("grep -rlF %s /etc /var /run /tmp /root /home 2>/dev/null; journalctl --no-pager | grep -F %s; :", quote(secret), quote(secret))
	want := "/etc/contract/env\n/var/lib/evenkeel/blobs/" + env.SHA256() + "\n/var/lib/evenkeel/generations/1/blobs/" + env.SHA256() + "\n"
	if found != want {
		t.Errorf("found on the host in\n%swant\n%s", found, want)
	}
	if modes := m.do("stat -c %%a /var/lib/evenkeel /var/lib/evenkeel/blobs/* /run/evenkeel | sort -u"); modes != "600\n700\n" {
		t.Errorf("modes of evenkeel's own: %q", modes)
	}
}

// watchProcesses looks for text in the arguments of all processes, over and over.
func watchProcesses(text string) (stop func(), seen func() []string) {
	quit, done := make(chan struct{}), make(chan struct{})
	found := map[string]bool{}
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, f := range files {
				if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(text)) && !bytes.Contains(b, []byte("grep")) {
					found[string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))] = true
				}
			}
		}
	}()
	stop = func() { close(quit); <-done }
	return stop, func() (all []string) {
		for f := range found {
			all = append(all, f)
		}
		return all
	}
}

// TestHostThatNeverStopsTalking: its reading ends soon, with an error, and others go on.
func TestHostThatNeverStopsTalking(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 2)
	m := &labMachine{t: t, host: l.Hosts()[0]}
	m.do(`printf 'yes forged\n' >/home/deploy/.bashrc`)
	d := newLabDriver(t, l, "deploy")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begun := time.Now()
	_, err := d.Observe(ctx, labHost(l.Hosts()[0]), hostdriver.Query{})
	if hostdriver.KindOf(err) != hostdriver.Unknown || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	if _, err := d.Observe(ctx, labHost(l.Hosts()[1]), hostdriver.Query{}); err != nil {
		t.Errorf("the other host: %v", err)
	}
}

// TestUserWithoutSudo: that is said, with a mend, and nothing is unknown.
func TestUserWithoutSudo(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	for _, become := range []bool{true, false} {
		o := labOptions(l, "plain")
		o.Become = become
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Observe(context.Background(), labHost(l.Hosts()[0]), hostdriver.Query{})
		if hostdriver.KindOf(err) != hostdriver.Become || hostdriver.MendOf(err) == "" {
			t.Errorf("become %v: %v (%s)", become, err, hostdriver.MendOf(err))
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFailedStartTellsTheJournal: what a unit wrote before it failed comes back, apart
// from the message, for it may hold secrets.
func TestFailedStartTellsTheJournal(t *testing.T) {
	lab.Require(t)
	l := newLab(t, 1)
	d, host := newLabDriver(t, l, "deploy"), labHost(l.Hosts()[0])
	m := &labMachine{t: t, host: l.Hosts()[0]}
	for what, unit := range map[string]string{
		"boom-word":       "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo boom-word >&2; exit 3'\n",
		"203/EXEC":        "[Service]\nType=exec\nExecStart=/opt/none\n",
		"200/CHDIR":       "[Service]\nType=exec\nWorkingDirectory=/none\nExecStart=/bin/true\n",
		"217/USER":        "[Service]\nType=exec\nUser=none-such\nExecStart=/bin/true\n",
		"(resources)":     "[Service]\nType=exec\nEnvironmentFile=/none\nExecStart=/bin/true\n",
		"ended by signal": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'kill -9 $$$$'\n",
	} {
		m.WriteFile("/etc/systemd/system/contract.service", unit, 0o644)
		m.Systemctl("daemon-reload")
		_, err := d.Apply(context.Background(), host, hostdriver.Fence{Epoch: 1, Holder: "x"}, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: "contract.service", Verb: hostdriver.VerbStart}}})
		var e *hostdriver.Error
		if !errors.As(err, &e) || e.Kind != hostdriver.Failed || e.Mend == "" {
			t.Fatalf("%s: %v", what, err)
		}
		if what == "boom-word" {
			if !strings.Contains(e.Detail, what) || strings.Contains(err.Error(), what) || strings.Contains(e.Mend, what) {
				t.Errorf("detail %q, error %v", e.Detail, err)
			}
			what = "status 3"
		}
		if !strings.Contains(err.Error(), what) {
			t.Errorf("no %q in: %v", what, err)
		}
	}
}
