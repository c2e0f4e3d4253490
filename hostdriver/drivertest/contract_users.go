package drivertest

import "github.com/evenkeel/evenkeel/hostdriver"

const (
	workUser  = "contract"
	workUnit  = "contract~contract.service"
	workHome  = "/var/lib/contract"
	worksUser = "[Service]\nExecStart=/bin/sleep 86400\n[Install]\nWantedBy=default.target\n"
)

// works is a generation with a unit of a user's.
func (k *kit) works(generation uint64, text string) *draft {
	d := k.draft(generation).add(hostdriver.Entry{Kind: hostdriver.KindUser, Name: workUser, Target: workHome}).
		add(hostdriver.Entry{Kind: hostdriver.KindDirectory, Name: workHome, Owner: workUser, Group: workUser, Mode: 0o700})
	return d.file("/etc/systemd/user/contract.service", text).add(hostdriver.Entry{Kind: hostdriver.KindUnit, Name: workUnit, Enabled: "yes", State: "started"})
}

func (k *kit) manager() hostdriver.ManagerState {
	k.Helper()
	return k.observe(hostdriver.Query{Units: []string{workUnit}}).Managers[workUser]
}

var userCases = []contractCase{
	{"a user's unit is enabled, started, restarted and stopped by that user's systemd", func(k *kit) {
		equal(k, "before there is a user", k.manager(), hostdriver.ManagerState{})
		k.works(1, worksUser).deploy()
		equal(k, "the user's systemd", k.manager(), hostdriver.ManagerState{Lingers: true, Ours: true, Up: true})
		u := k.unit(workUnit)
		equal(k, "before it is started", u.Load+" "+u.File+" "+u.Active, "loaded enabled inactive")
		k.apply(hostdriver.Precheck{Units: []string{workUnit}})
		first := k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: workUnit, Verb: hostdriver.VerbStart, Generation: 1, Inputs: map[string]string{"/etc/systemd/user/contract.service": "x"}}}}).Units[workUnit]
		equal(k, "started", first.Active, "active")
		equal(k, "what it was started with", k.records().Started[workUnit].InvocationID, first.InvocationID)
		second := k.apply(restart(workUnit)).Units[workUnit]
		if second.Active != "active" || second.InvocationID == first.InvocationID || second.MainPID == first.MainPID {
			k.Fatalf("first %+v, then %+v", first, second)
		}
		equal(k, "stopped", k.apply(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: workUnit, Verb: hostdriver.VerbStop}}}).Units[workUnit].Active, "inactive")
	}},
	{"units of the host and of users are told in one reading, each as its own systemd has it", func(k *kit) {
		k.works(1, worksUser).unit(unitName, runs, "no").unit("contract-b.service", runs, "yes").deploy()
		k.apply(start(workUnit))
		k.apply(start("contract-b.service"))
		for _, q := range []hostdriver.Query{{}, {Light: true}, {Light: true, UnitsOnly: true}} {
			q.Units = []string{unitName, workUnit, "contract-b.service", "contract~contract-none.service"}
			o := k.observe(q)
			for name, want := range map[string]string{unitName: "loaded inactive disabled", workUnit: "loaded active enabled", "contract-b.service": "loaded active enabled", "contract~contract-none.service": "not-found inactive "} {
				u := o.Units[name]
				equal(k, name, u.Load+" "+u.Active+" "+u.File, want)
			}
		}
	}},
	{"a user's systemd has read a unit file that was changed", func(k *kit) {
		k.works(1, worksUser).deploy()
		k.apply(start(workUnit))
		k.works(2, worksUser+"#\n").deploy()
		if u := k.unit(workUnit); u.NeedReload || u.Active != "active" {
			k.Fatalf("%+v", u)
		}
		equal(k, "after the way back", k.apply(hostdriver.Switch{To: 1}).Units[workUnit].NeedReload, false)
	}},
	{"lingering ends with the last unit of a user's", func(k *kit) {
		k.works(1, worksUser).deploy()
		k.draft(2).unit(unitName, runs, "no").deploy()
		if m := k.manager(); m.Lingers || m.Ours {
			k.Fatalf("%+v", m)
		}
		k.apply(hostdriver.Switch{To: 1})
		equal(k, "back again", k.manager().Lingers, true)
	}},
}
