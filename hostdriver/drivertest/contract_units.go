package drivertest

import (
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var unitCases = []contractCase{
	{"start, restart and stop wait for their jobs and tell the state", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").deploy()
		first := k.apply(start(unitName)).Units[unitName]
		equal(k, "started", first.Active, "active")
		second := k.apply(restart(unitName)).Units[unitName]
		equal(k, "restarted", second.Active, "active")
		if second.InvocationID == first.InvocationID || second.InvocationID == "" {
			k.Fatalf("InvocationID %q, then %q", first.InvocationID, second.InvocationID)
		}
		equal(k, "stopped", k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStop}}}).Units[unitName].Active, "inactive")
	}},
	{"what a unit was started with is recorded beside its InvocationID", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "x").unit(unitName, runs, "no").deploy()
		a := hostdriver.UnitAction{Unit: unitName, Verb: hostdriver.VerbStart, Generation: 1,
			Inputs: map[string]string{"/etc/contract/f": digest("x"), "/etc/contract/a b": digest("y")}}
		u := k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{a}}).Units[unitName]
		st := k.records().Started[unitName]
		equal(k, "InvocationID", st.InvocationID, u.InvocationID)
		equal(k, "generation", st.Generation, 1)
		equal(k, "inputs", len(st.Inputs), 2)
		equal(k, "input", st.Inputs["/etc/contract/a b"], digest("y"))
		k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStop}}})
		if _, ok := k.records().Started[unitName]; ok {
			k.Fatal("a unit that was stopped has not been started with anything")
		}
	}},
	{"a unit that runs already was not started by us", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").deploy()
		k.Machine.Systemctl("start", unitName)
		before := k.unit(unitName).InvocationID
		u := k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStart, Generation: 1, Inputs: map[string]string{"/x": digest("x")}}}}).Units[unitName]
		equal(k, "InvocationID", u.InvocationID, before)
		if st, ok := k.records().Started[unitName]; ok {
			k.Fatalf("recorded as started with %+v", st)
		}
	}},
	{"an enabled unit is linked anew as its [Install] says, and by hand added links go", func(k *kit) {
		links := func() string {
			k.Helper()
			return strings.Join(k.observe(hostdriver.Query{Units: []string{unitName}}).Units[unitName].Links, " ")
		}
		k.draft(1).unit(unitName, runs, "yes").deploy()
		equal(k, "links", links(), "multi-user.target.wants")
		before := k.apply(start(unitName)).Units[unitName].InvocationID
		k.draft(2).unit(unitName, strings.Replace(runs, "WantedBy=multi-user.target", "WantedBy=graphical.target\nRequiredBy=contract.target\nAlias=contract-alias.service", 1), "yes").deploy()
		equal(k, "links of a switch that was not told of them", links(), "multi-user.target.wants")
		k.apply(hostdriver.Switch{To: 2, Reenable: []string{unitName}})
		equal(k, "links anew", links(), "contract-alias.service contract.target.requires graphical.target.wants")
		k.apply(hostdriver.Switch{To: 1, Reenable: []string{unitName}, Back: true})
		equal(k, "links after the way back", links(), "multi-user.target.wants")
		k.Machine.Systemctl("add-wants", "rescue.target", unitName)
		equal(k, "links with one by hand", links(), "multi-user.target.wants rescue.target.wants")
		k.apply(hostdriver.Switch{To: 1, Reenable: []string{unitName}})
		equal(k, "links put right", links(), "multi-user.target.wants")
		equal(k, "InvocationID", k.unit(unitName).InvocationID, before)
		equal(k, "links in a light reading", len(k.unit(unitName).Links), 0)
	}},
	{"a reload keeps the process and records the inputs", func(k *kit) {
		k.draft(1).unit(unitName, reloads, "no").deploy()
		before := k.apply(start(unitName)).Units[unitName]
		a := hostdriver.UnitAction{Unit: unitName, Verb: hostdriver.VerbReload, OnlyIf: before.InvocationID, Generation: 1, Inputs: map[string]string{"/x": digest("x")}}
		u := k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{a}}).Units[unitName]
		equal(k, "InvocationID", u.InvocationID, before.InvocationID)
		equal(k, "input", k.records().Started[unitName].Inputs["/x"], digest("x"))
	}},
	{"a unit that cannot be reloaded fails", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").deploy()
		k.apply(start(unitName))
		k.refused(hostdriver.Failed, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbReload}}})
	}},
	{"an action is skipped as done if the unit has another InvocationID", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").deploy()
		before := k.apply(start(unitName)).Units[unitName].InvocationID
		a := hostdriver.UnitAction{Unit: unitName, Verb: hostdriver.VerbRestart, OnlyIf: before}
		after := k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{a}}).Units[unitName].InvocationID
		if after == before {
			k.Fatal("not restarted")
		}
		equal(k, "InvocationID the second time", k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{a}}).Units[unitName].InvocationID, after)
	}},
	{"a unit with an admin's job is refused, and no other is touched", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").unit("contract-b.service", runs, "no").deploy()
		k.apply(start(unitName))
		k.apply(start("contract-b.service"))
		before := k.unit(unitName).InvocationID
		k.Machine.QueueJob("contract-b.service")
		k.refused(hostdriver.Refused, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{
			{Unit: unitName, Verb: hostdriver.VerbRestart}, {Unit: "contract-b.service", Verb: hostdriver.VerbRestart}}})
		equal(k, "InvocationID", k.unit(unitName).InvocationID, before)
		if job := k.unit("contract-b.service").Job; job == "0" || job == "" {
			k.Fatal("the job must be told, and left alone")
		}
		k.refused(hostdriver.Refused, hostdriver.Precheck{Units: []string{unitName, "contract-b.service"}})
		k.Machine.EndJob("contract-b.service")
	}},
	{"a start that fails is an error with the unit's state", func(k *kit) {
		k.draft(1).unit(unitName, crashes, "no").deploy()
		res, err := k.refused(hostdriver.Failed, start(unitName))
		u := res.Units[unitName]
		equal(k, "state", u.Active+" "+u.Result, "failed exit-code")
		equal(k, "status", u.ExecStatus, 1)
		equal(k, "code", u.ExecCode, "exited")
		if hostdriver.MendOf(err) == "" {
			k.Fatalf("no mend: %v", err)
		}
		if _, ok := k.records().Started[unitName]; ok {
			k.Fatal("recorded as started")
		}
	}},
	{"later actions are not done after one that failed", func(k *kit) {
		k.draft(1).unit(unitName, crashes, "no").unit("contract-b.service", runs, "no").deploy()
		k.refused(hostdriver.Failed, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{
			{Unit: unitName, Verb: hostdriver.VerbStart}, {Unit: "contract-b.service", Verb: hostdriver.VerbStart}}})
		equal(k, "the other unit", k.unit("contract-b.service").Active, "inactive")
	}},
	{"a program that is missing shows as 203, at once or a moment later", func(k *kit) {
		k.draft(1).unit(unitName, "[Service]\nExecStart=/opt/contract/missing\n", "").deploy()
		_, err := k.Driver.Apply(k.context(), k.Host, k.fence, start(unitName))
		if err != nil && hostdriver.KindOf(err) != hostdriver.Failed {
			k.Fatal(err)
		}
		u := k.eventually(unitName, "failed", func(u hostdriver.UnitState) bool { return u.Active == "failed" })
		equal(k, "status", u.ExecStatus, 203)
	}},
	{"masked and missing units are named before any is touched", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").deploy()
		k.Machine.WriteFile("/lib/systemd/system/contract-m.service", runs, 0o644)
		k.Machine.Systemctl("daemon-reload")
		k.Machine.Systemctl("mask", "contract-m.service")
		equal(k, "load state", k.unit("contract-m.service").Load, "masked")
		for _, other := range []string{"contract-m.service", "contract-none.service"} {
			k.refused(hostdriver.Failed, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{
				{Unit: unitName, Verb: hostdriver.VerbStart}, {Unit: other, Verb: hostdriver.VerbStart}}})
		}
		equal(k, "the good unit", k.unit(unitName).Active, "inactive")
		k.refused(hostdriver.Failed, hostdriver.Precheck{Units: []string{"contract-m.service"}})
	}},
	{"a unit that crashes loops, counts its restarts and hits its start limit", func(k *kit) {
		k.draft(1).unit(unitName, "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=4\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=50ms\n", "").deploy()
		_, _ = k.Driver.Apply(k.context(), k.Host, k.fence, start(unitName))
		u := k.eventually(unitName, "failed", func(u hostdriver.UnitState) bool { return u.Active == "failed" })
		if u.Restarts < 3 {
			k.Fatalf("restarts: %+v", u)
		}
		k.draft(2).unit(unitName, runs, "").deploy()
		equal(k, "started again after the limit was hit", k.apply(restart(unitName)).Units[unitName].Active, "active")
	}},
	{"restarts that are wanted hit no start limit", func(k *kit) {
		k.draft(1).unit(unitName, "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=2\n"+runs, "").deploy()
		for range 5 {
			equal(k, "state", k.apply(restart(unitName)).Units[unitName].Active, "active")
		}
	}},
	{"a process that was killed is started again by its unit, under another InvocationID", func(k *kit) {
		k.draft(1).unit(unitName, "[Service]\nExecStart=/bin/sleep 86400\nRestart=on-failure\nRestartSec=200ms\n", "").deploy()
		before := k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStart, Generation: 1}}}).Units[unitName]
		k.Machine.Crash(unitName)
		u := k.eventually(unitName, "active again", func(u hostdriver.UnitState) bool {
			return u.Active == "active" && u.MainPID != before.MainPID && u.MainPID != 0
		})
		if u.InvocationID == before.InvocationID || u.Restarts != 1 {
			k.Fatalf("before %+v, after %+v", before, u)
		}
		equal(k, "what it was started with by us", k.records().Started[unitName].InvocationID, before.InvocationID)
	}},
	{"a job that does not end in time leaves the outcome unknown", func(k *kit) {
		k.draft(1).unit(unitName, "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sleep 86400\nTimeoutStartSec=60\n", "").deploy()
		if f, ok := k.Machine.(*FakeHost); ok {
			f.fleet.Behave(func(Start) Behaviour { return Behaviour{ReadyAfter: time.Hour} })
		}
		k.refused(hostdriver.Unknown, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStart}}, Timeout: time.Second})
		u := k.unit(unitName)
		equal(k, "state", u.Active, "activating")
		if u.Job == "0" {
			k.Fatal("its job must go on")
		}
		k.apply(hostdriver.Precheck{Units: []string{unitName}})
		if f, ok := k.Machine.(*FakeHost); ok {
			f.fleet.Behave(func(Start) Behaviour { return Behaviour{} })
		}
		k.draft(2).unit(unitName, runs, "no").deploy()
		again := hostdriver.UnitAction{Unit: unitName, Verb: hostdriver.VerbRestart, OnlyIf: u.InvocationID}
		equal(k, "the way back from it", k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{again}}).Units[unitName].Active, "active")
	}},
	{"the record is saved with the actions", func(k *kit) {
		k.draft(1).unit(unitName, runs, "no").deploy()
		op := start(unitName)
		op.Record = &hostdriver.StepRecord{Phase: "restart", Before: map[string]string{unitName: "x"}}
		k.apply(op)
		if st := k.records().Step; st == nil || st.Phase != "restart" {
			k.Fatalf("step: %+v", st)
		}
	}},
}
