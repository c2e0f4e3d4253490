package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func TestCheckTellsHowFarItCame(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	room := func(free int64) map[string]hostdriver.DiskState {
		return map[string]hostdriver.DiskState{"/var/lib": {FreeBytes: free, FreeInodes: -1}, "/opt": {FreeBytes: 40 << 30, FreeInodes: 1 << 20}}
	}
	fail := func(kind hostdriver.ErrorKind) error {
		return &hostdriver.Error{Kind: kind, Op: "connect to", Mend: "mend it", Err: errors.New("why")}
	}
	hosts := fakeHosts{observations: map[string]hostdriver.Observation{
		"well":     {Systemd: "252", At: at, Clock: at.Add(2 * time.Second), Disk: room(20 << 30)},
		"late":     {Systemd: "252", At: at, Clock: at.Add(-90 * time.Second), Disk: room(20 << 30)},
		"tight":    {Systemd: "252", At: at, Clock: at, Disk: room(500 << 20)},
		"full":     {Systemd: "252", At: at, Clock: at, Disk: room(1 << 20)},
		"readonly": {Systemd: "252", At: at, Clock: at, Disk: map[string]hostdriver.DiskState{"/opt": {FreeBytes: 1 << 40, ReadOnly: true}}},
		"inodes":   {Systemd: "252", At: at, Clock: at, Disk: map[string]hostdriver.DiskState{"/opt": {FreeBytes: 1 << 40, FreeInodes: 3}}},
		"sysv":     {At: at},
	}, errors: map[string]error{
		"keyless": &hostdriver.Error{Kind: hostdriver.Unauthorized, Op: "connect to", Err: errors.New("no key"), Here: true},
		"gone":    fail(hostdriver.Unreachable), "impostor": fail(hostdriver.HostKey), "stranger": fail(hostdriver.Unauthorized), "nosudo": fail(hostdriver.Become),
		"odd": fail(hostdriver.Unknown), "slow": context.DeadlineExceeded,
	}}
	want := map[string]string{ // one mark a check, and the detail of what is not good
		"well": "+++++++", "late": "++++++! 1m30s behind this machine's clock", "tight": "+++++!+ 500 MiB free in /var/lib", "full": "+++++x+ 1 MiB free in /var/lib",
		"readonly": "+++++x+ /opt is on a filesystem that is mounted read-only", "inodes": "+++++x+ 3 inodes free in /opt", "sysv": "++++x?? the host did not name a version of systemd",
		"gone": "x?????? why", "impostor": "+x????? why", "stranger": "++x???? why", "nosudo": "+++x??? why", "keyless": "??x???? no key",
		"odd": "++++x?? unknown: why", "slow": "x?????? did not answer in time",
	}
	f := &Fleet{Driver: hosts}
	for name := range want {
		f.Revision.Inventory.Hosts = append(f.Revision.Inventory.Hosts, inventory.Host{Name: name})
	}
	for _, h := range f.Revision.Inventory.Hosts {
		c := checkItems(f, h)
		var marks, detail strings.Builder
		for _, i := range c.Items {
			marks.WriteString(map[Verdict]string{Good: "+", Warn: "!", Bad: "x", NotKnown: "?"}[i.Verdict])
			if i.Verdict == Bad || i.Verdict == Warn {
				detail.WriteString(" " + i.Detail)
			}
		}
		if got := marks.String() + detail.String(); got != want[h.Name] {
			t.Errorf("%s: got %q, want %q", h.Name, got, want[h.Name])
		}
		if bad := strings.Contains(want[h.Name], "x"); c.OK() == bad {
			t.Errorf("%s: OK is %v", h.Name, c.OK())
		}
	}
}

// checkItems are a host's checks without its balancers.
func checkItems(f *Fleet, h inventory.Host) HostCheck {
	o, err := f.Driver.Observe(context.Background(), h, hostdriver.Query{})
	if err != nil {
		return HostCheck{Host: h.Name, Items: failedItems(err, h)}
	}
	return HostCheck{Host: h.Name, Items: observedItems(o)}
}

func TestCheckAsksBalancers(t *testing.T) {
	f := &Fleet{Driver: fakeHosts{}}
	c := f.checkBalancer(context.Background(), desired.DrainSpec{HAProxy: &desired.HAProxyDrain{Address: "tcp://127.0.0.1:1", Backend: "b", Server: "s"}},
		inventory.Host{Name: "web-1"}, hostdriver.Fence{})
	lost := f.checkBalancer(context.Background(), desired.DrainSpec{HAProxy: &desired.HAProxyDrain{Address: "tcp://lb-1.invalid:1", Backend: "b", Server: "s"}},
		inventory.Host{Name: "web-1"}, hostdriver.Fence{})
	if lost.Verdict != Bad || lost.Mend == "" {
		t.Errorf("a name that nobody knows: %+v", lost)
	}
	if c.Verdict != Bad || !strings.Contains(c.Detail, "connection refused") || c.Mend == "" {
		t.Errorf("got %+v", c)
	}
}

func TestCauses(t *testing.T) {
	cases := []struct {
		unit  hostdriver.UnitState
		cause string // a part of it; "" where nothing is wrong
		mend  string
	}{
		{hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running"}, "", ""},
		{hostdriver.UnitState{Load: "loaded", Active: "active", Restarts: 3}, "restart it (3 times", "journalctl -u x.service -n 50"},
		{hostdriver.UnitState{Load: "loaded", Active: "failed", Result: "exit-code", ExecStatus: 203}, "the program of ExecStart=", "systemctl show -p ExecStart x.service; then declare"},
		{hostdriver.UnitState{Load: "loaded", Active: "activating", Sub: "auto-restart", Result: "exit-code", ExecStatus: 217}, "its user does not exist", "declare it under users"},
		{hostdriver.UnitState{Load: "loaded", Active: "failed", Result: "exit-code", ExecStatus: 1}, "the program itself", "journalctl -u x.service"},
		{hostdriver.UnitState{Load: "loaded", Active: "failed", Result: "start-limit-hit", ExecStatus: 1}, "too often", "systemctl reset-failed x.service"},
		{hostdriver.UnitState{Load: "loaded", Active: "failed", Result: "resources"}, "EnvironmentFile=", "systemctl status x.service"},
		{hostdriver.UnitState{Load: "masked", Active: "inactive"}, "masked", "systemctl unmask x.service"},
		{hostdriver.UnitState{Load: "loaded", File: "masked", Active: "active"}, "masked", "systemctl unmask x.service"},
		{hostdriver.UnitState{Load: "not-found", Active: "inactive"}, "no such unit", "evenkeel apply"},
		{hostdriver.UnitState{Load: "loaded", Active: "inactive", Result: "success", ConditionOK: true}, "did not fail", "systemctl start x.service"},
		{hostdriver.UnitState{Load: "loaded", Active: "inactive", Result: "success"}, "Condition", "systemctl status x.service"},
		{hostdriver.UnitState{Load: "loaded", Active: "activating", Job: "17"}, "17", "systemctl list-jobs"},
		{hostdriver.UnitState{Load: "loaded", Active: "weird", Sub: "new"}, "it is weird (new)", "systemctl status x.service"},
	}
	for _, c := range cases {
		got, wrong := causeOf("x.service", c.unit)
		if wrong != (c.cause != "") || !strings.Contains(got.Cause, c.cause) || !strings.Contains(got.Mend, c.mend) {
			t.Errorf("%+v: got %+v", c.unit, got)
		}
		if strings.Contains(got.Mend, "%!") {
			t.Errorf("%+v: mend %q", c.unit, got.Mend)
		}
	}
	for status := range exitCauses {
		if c, _ := causeOf("x", hostdriver.UnitState{Load: "loaded", Active: "failed", Result: "exit-code", ExecStatus: status}); strings.Contains(c.Mend, "%") {
			t.Errorf("%d: mend %q", status, c.Mend)
		}
	}
	for result := range resultCauses {
		if c, _ := causeOf("x", hostdriver.UnitState{Load: "loaded", Active: "failed", Result: result}); strings.Contains(c.Mend, "%") {
			t.Errorf("%s: mend %q", result, c.Mend)
		}
	}
}

func TestExplain(t *testing.T) {
	in := gatewayOn("web-1")
	in.Observation.Systemd = "252"
	in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "loaded", Active: "failed", Sub: "failed", Result: "exit-code", ExecStatus: 203,
		DropIns: []string{"/etc/systemd/system/gateway.service.d/hand.conf"}}
	in.Desired.Instances[0].Health = []desired.HealthSpec{{TCP: &desired.TCPHealth{Port: 8080}}}
	in.Desired.Instances[0].Files = []desired.File{{Kind: desired.FileEnv, Path: "/etc/gateway.env", Content: hostdriver.NewContent([]byte("A=1\nTOKEN=verysecret\n")), Secret: true, Owner: "root", Group: "root",
		Vars: []desired.EnvVar{{Key: "A", Value: hostdriver.NewContent([]byte("1"))}, {Key: "TOKEN", Value: hostdriver.NewContent([]byte("verysecret")), Secret: true}}}}
	gone := gatewayOn("web-2")
	gone.Observation, gone.Reason = nil, "unreachable: why"
	v := &View{Errors: map[string]error{"web-2": &hostdriver.Error{Kind: hostdriver.Unreachable, Mend: "power it on", Err: errors.New("why")}}}
	v.Input.Hosts = append(v.Input.Hosts, in, gone)
	j := newJournals("web-1")
	j.hosts["web-1"].entries = []hostdriver.JournalEntry{{At: logDay, Unit: "gateway.service", Identifier: "gateway", Priority: 3, Message: "token verysecret refused"}}
	f := &Fleet{Driver: fakeHosts{}, Journals: j}
	e, err := f.Explain(context.Background(), v, "web-1", "gateway")
	if err != nil {
		t.Fatal(err)
	}
	if e.Status.Health != Degraded || len(e.Causes) != 1 || len(e.Units) != 1 || e.Units[0].Result != "exit status 203/EXEC" || len(e.Units[0].Foreign) != 1 {
		t.Errorf("got %+v", e)
	}
	if len(e.Checks) != 1 || e.Checks[0].OK || e.Checks[0].Check != "tcp 127.0.0.1:8080" {
		t.Errorf("checks: %+v", e.Checks)
	}
	if len(e.Env) != 1 || fmt.Sprint(e.Env[0].Keys, e.Env[0].Secret) != "[A TOKEN] [TOKEN]" {
		t.Errorf("env: %+v", e.Env)
	}
	if len(e.Journal) != 1 || !strings.Contains(fmt.Sprint(e.Journal), "token [redacted] refused") {
		t.Errorf("journal: %+v", e.Journal)
	}
	if s := fmt.Sprintf("%+v", e); strings.Contains(s, "verysecret") {
		t.Errorf("a secret is in %s", s)
	}
	e, err = f.Explain(context.Background(), v, "web-2", "gateway")
	if err != nil || e.Status.Health != UnknownHealth || e.Facts != nil || e.Mend != "power it on" {
		t.Errorf("unreachable: %+v, %v", e, err)
	}
	if _, err = f.Explain(context.Background(), v, "web-1", "ledger"); err == nil || err.Error() != "service ledger does not run on host web-1" {
		t.Errorf("got %v", err)
	}
	if _, err = f.Explain(context.Background(), v, "web-9", "gateway"); err == nil {
		t.Error("a host that was not looked at is explained")
	}
}
