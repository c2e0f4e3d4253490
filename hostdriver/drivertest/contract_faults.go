package drivertest

import (
	"context"
	"fmt"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var faultCases = []contractCase{
	{"a host that is cut off is an error, never an observation with less in it", func(k *kit) {
		k.records()
		k.Machine.Cut()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		o, err := k.Driver.Observe(ctx, k.Host, hostdriver.Query{})
		if kind := hostdriver.KindOf(err); kind != hostdriver.Unreachable && kind != hostdriver.Unknown {
			k.Fatalf("error of kind %q: %v", kind, err)
		}
		equal(k, "host in the observation", o.Host, "")
		k.Machine.Heal()
		k.reached()
	}},
	{"an op that never arrived has changed nothing", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").stage()
		k.Machine.CutNext(CutBefore)
		k.refused(hostdriver.Unknown, hostdriver.Switch{To: 1})
		k.gone("/etc/contract/f")
		k.apply(hostdriver.Switch{To: 1})
		equal(k, "f", k.content("/etc/contract/f"), "1")
	}},
	{"an op whose reply was lost was done", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").stage()
		k.Machine.CutNext(CutAfter)
		k.refused(hostdriver.Unknown, hostdriver.Switch{To: 1})
		equal(k, "f", k.content("/etc/contract/f"), "1")
		equal(k, "generation", k.records().Manifest.Generation, 1)
		k.apply(hostdriver.Switch{To: 1})
	}},
	{"a switch cut in the middle is told, and doing it again makes it whole", func(k *kit) {
		cutSwitch(k)
		k.apply(hostdriver.Switch{To: 2, Expect: []hostdriver.Expect{{Path: "/etc/contract/a", SHA256: digest("1")}}})
		wholeTwo(k)
	}},
	{"a switch cut in the middle is undone by switching to where it came from", func(k *kit) {
		cutSwitch(k)
		k.apply(hostdriver.Switch{To: 1})
		for _, name := range []string{"a", "b", "c", "d", "old"} {
			equal(k, name, k.content("/etc/contract/"+name), "1")
		}
		k.gone("/etc/contract/new")
		o := k.records()
		equal(k, "generation", o.Manifest.Generation, 1)
		equal(k, "journal", o.Switching, nil)
	}},
	{"a switch cut in the middle comes before any other", func(k *kit) {
		cutSwitch(k)
		k.draft(3).file("/etc/contract/a", "3").stage()
		k.refused(hostdriver.Conflict, hostdriver.Switch{To: 3})
		k.apply(hostdriver.Switch{To: 2})
		wholeTwo(k)
		k.apply(hostdriver.Switch{To: 3})
		equal(k, "a", k.content("/etc/contract/a"), "3")
	}},
	{"a mend cut in the middle stands in no other switch's way", func(k *kit) {
		one, two := k.draft(1), k.draft(2)
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			one.file("/etc/contract/"+name, "1")
			two.file("/etc/contract/"+name, "2")
		}
		one.deploy()
		two.stage()
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			k.Machine.WriteFile("/etc/contract/"+name, "by hand", 0o644)
		}
		k.Machine.CutNext(CutDuring)
		k.refused(hostdriver.Unknown, hostdriver.Switch{To: 1})
		s := k.records().Switching
		if s == nil || s.From != 1 || s.To != 1 {
			k.Fatalf("the cut mend is not told: %+v", s)
		}
		k.apply(hostdriver.Switch{To: 2})
		equal(k, "the last file", k.content("/etc/contract/f"), "2")
		equal(k, "journal", k.records().Switching, nil)
	}},
	{"after a cut a hand's edit is still a conflict", func(k *kit) {
		cutSwitch(k)
		k.Machine.WriteFile("/etc/contract/b", "by hand", 0o644)
		k.refused(hostdriver.Conflict, hostdriver.Switch{To: 2, Expect: []hostdriver.Expect{{Path: "/etc/contract/b", SHA256: digest("1")}}})
		k.apply(hostdriver.Switch{To: 2})
		wholeTwo(k)
	}},
	{"a restart whose reply was lost is not done again", func(k *kit) {
		for _, m := range []Moment{CutDuring, CutAfter} {
			k.fence.Epoch++
			gen := k.fence.Epoch
			k.draft(gen).unit(unitName, runs, "no").deploy()
			before := k.apply(start(unitName)).Units[unitName].InvocationID
			a := hostdriver.UnitAction{Unit: unitName, Verb: hostdriver.VerbRestart, OnlyIf: before, Generation: gen, Inputs: map[string]string{"/x": digest(string(m))}}
			k.Machine.CutNext(m)
			k.refused(hostdriver.Unknown, hostdriver.UnitOps{Actions: []hostdriver.UnitAction{a}})
			u := k.eventually(unitName, "restarted", func(u hostdriver.UnitState) bool { return u.InvocationID != before && u.Active == "active" })
			st := k.records().Started[unitName]
			equal(k, "what it runs with, cut "+string(m), st.InvocationID+" "+st.Inputs["/x"], u.InvocationID+" "+digest(string(m)))
			again := k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{a}}).Units[unitName]
			equal(k, "InvocationID after trying again, cut "+string(m), again.InvocationID, u.InvocationID)
			equal(k, "record after trying again, cut "+string(m), k.records().Started[unitName].InvocationID, u.InvocationID)
			k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbStop}}})
		}
	}},
	{"a full disk fails the staging, and leaves nothing and everything as it was", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").unit(unitName, runs, "no").deploy()
		before := k.apply(start(unitName)).Units[unitName].InvocationID
		big := make([]byte, 1<<20)
		for i := range big {
			big[i] = byte(i * 7)
		}
		two := k.draft(2).file("/etc/contract/f", string(big)).unit(unitName, runs, "no")
		k.Machine.FillDisk()
		_, err := k.refused(hostdriver.Failed, two.op())
		if hostdriver.MendOf(err) == "" {
			k.Fatalf("no mend: %v", err)
		}
		equal(k, "f", k.content("/etc/contract/f"), "1")
		o := k.records()
		equal(k, "kept", len(o.Kept), 1)
		equal(k, "the unit", o.Units[unitName].InvocationID, before)
		k.Machine.FreeDisk()
		two.deploy()
		equal(k, "f", k.content("/etc/contract/f"), string(big))
	}},
	{"a full disk is found by precheck", func(k *kit) {
		k.Machine.FillDisk()
		k.refused(hostdriver.Failed, hostdriver.Precheck{NeedBytes: map[string]int64{"/etc/contract": 1 << 20}})
		k.Machine.FreeDisk()
	}},
	{"on the way back a restart is noted although the disk is full", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").unit(unitName, runs, "no").deploy()
		k.apply(start(unitName))
		k.draft(2).file("/etc/contract/f", "2").unit(unitName, runs, "no").deploy()
		restart := func(generation uint64) hostdriver.UnitOps {
			return hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unitName, Verb: hostdriver.VerbRestart, OnlyIf: k.unit(unitName).InvocationID, Generation: generation}}}
		}
		k.apply(hostdriver.PutStep{Record: hostdriver.StepRecord{Phase: "restart", From: 1, To: 2}})
		k.apply(restart(2))
		k.apply(hostdriver.Switch{To: 1, Back: true})
		k.Machine.FillDisk()
		id := k.apply(restart(1)).Units[unitName].InvocationID
		k.Machine.FreeDisk()
		st := k.records().Started[unitName]
		equal(k, "what it is noted to run with", fmt.Sprint(st.Generation, " ", st.InvocationID), "1 "+id)
	}},
	{"a reboot loses no generation and no record", func(k *kit) {
		k.draft(1).file("/etc/contract/f", "1").unit(unitName, runs, "yes").deploy()
		k.apply(start(unitName))
		k.apply(hostdriver.PutStep{Record: hostdriver.StepRecord{Phase: "restart"}})
		before := k.unit(unitName).InvocationID
		k.reboot()
		u := k.eventually(unitName, "active", func(u hostdriver.UnitState) bool { return u.Active == "active" })
		o := k.records()
		if u.InvocationID == before || o.Step == nil || o.Manifest.Generation != 1 || o.Epoch != 1 {
			k.Fatalf("after the reboot: %+v", o)
		}
		if st := o.Started[unitName]; st.InvocationID == u.InvocationID {
			k.Fatal("the record must not speak of the new process")
		}
	}},
}

// cutSwitch leaves a host in the middle of a switch from generation 1 to 2.
func cutSwitch(k *kit) {
	k.Helper()
	one, two := k.draft(1).file("/etc/contract/old", "1"), k.draft(2).file("/etc/contract/new", "2")
	for _, name := range []string{"a", "b", "c", "d"} {
		one.file("/etc/contract/"+name, "1")
		two.file("/etc/contract/"+name, "2")
	}
	one.deploy()
	two.stage()
	k.Machine.CutNext(CutDuring)
	k.refused(hostdriver.Unknown, hostdriver.Switch{To: 2})
	o := k.records()
	if o.Switching == nil || o.Switching.From != 1 || o.Switching.To != 2 {
		k.Fatalf("the cut switch is not told: %+v", o.Switching)
	}
}

func wholeTwo(k *kit) {
	k.Helper()
	for _, name := range []string{"a", "b", "c", "d", "new"} {
		equal(k, name, k.content("/etc/contract/"+name), "2")
	}
	k.gone("/etc/contract/old")
	o := k.records()
	equal(k, "generation", o.Manifest.Generation, 2)
	equal(k, "journal", o.Switching, nil)
}
