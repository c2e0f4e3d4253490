package controller

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// gatewayOn wants gateway.service, which is not ours otherwise, started on a host.
func gatewayOn(host string) rollout.HostInput {
	return rollout.HostInput{
		Desired: desired.HostState{Host: inventory.Host{Name: host}, Instances: []desired.Instance{
			{Service: "gateway", Host: host, Units: []desired.Unit{{Name: "gateway.service", State: "started"}}},
		}},
		Observation: &hostdriver.Observation{Units: map[string]hostdriver.UnitState{"gateway.service": {Load: "loaded", Active: "active", Sub: "running"}},
			Manifest: hostdriver.Manifest{Generation: 3, Revision: commit, Entries: []hostdriver.Entry{{Kind: hostdriver.KindUnit, Service: "gateway", Name: "gateway.service"}}}},
	}
}

func TestReport(t *testing.T) {
	up := rollout.Instance{Up: true}
	cases := []struct {
		name   string
		change func(*rollout.HostInput)
		live   rollout.Instance
		want   string // as JSON, without host and service
	}{
		{"well", nil, up, `{"sync":"Synced","health":"Healthy","revision":"` + commit + `","stale":false,"rollout":"","reason":""}`},
		{"out of the balancer", nil, rollout.Instance{Definite: true, Reason: "haproxy has it MAINT"},
			`{"sync":"Synced","health":"Degraded","revision":"` + commit + `","stale":false,"rollout":"","reason":"haproxy has it MAINT"}`},
		{"failed, so it differs", func(in *rollout.HostInput) {
			in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "loaded", Active: "failed", Result: "exit-code", ExecStatus: 203,
				InactiveSince: time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)}
		}, rollout.Instance{Definite: true, Idle: true, Reason: "gateway.service is failed (exit status 203/EXEC)"},
			`{"sync":"OutOfSync","health":"Degraded","revision":"` + commit + `","stale":false,"rollout":"","reason":"gateway.service is failed (exit status 203/EXEC) since 2026-03-01 12:00:05Z"}`},
		{"stopped, and something else", func(in *rollout.HostInput) {
			in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "loaded", Active: "inactive"}
			in.Desired.Instances[0].Users = []desired.UserSpec{{Name: "gateway"}}
		}, rollout.Instance{Definite: true, Idle: true, Reason: "gateway.service is inactive"},
			`{"sync":"OutOfSync","health":"Degraded","revision":"` + commit + `","stale":false,"rollout":"","reason":"gateway.service is inactive; and 1 more difference"}`},
		{"masked", func(in *rollout.HostInput) {
			in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "masked", Active: "inactive", File: "masked", InactiveSince: time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)}
		}, rollout.Instance{Definite: true, Idle: true, Reason: "gateway.service is masked"},
			`{"sync":"OutOfSync","health":"Degraded","revision":"` + commit + `","stale":false,"rollout":"","reason":"gateway.service is masked"}`},
		{"stopped, and no answer of another", func(in *rollout.HostInput) {
			in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "loaded", Active: "inactive"}
		}, rollout.Instance{Definite: true, Reason: "status 503"},
			`{"sync":"OutOfSync","health":"Degraded","revision":"` + commit + `","stale":false,"rollout":"","reason":"status 503; and 1 more difference"}`},
		{"starting", func(in *rollout.HostInput) {
			in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "loaded", Active: "activating"}
		}, rollout.Instance{Reason: "gateway.service is activating"},
			`{"sync":"Synced","health":"Progressing","revision":"` + commit + `","stale":false,"rollout":"","reason":"gateway.service is activating"}`},
		{"in the middle of a step", func(in *rollout.HostInput) {
			in.Observation.Step = &hostdriver.StepRecord{Services: []string{"gateway"}, Phase: "healthy"}
		}, rollout.Instance{Reason: "status 503"},
			`{"sync":"Synced","health":"Progressing","revision":"` + commit + `","stale":false,"rollout":"healthy","reason":"status 503"}`},
		{"stale", func(in *rollout.HostInput) {
			u := in.Observation.Units["gateway.service"]
			u.NeedReload = true
			in.Observation.Units["gateway.service"] = u
		}, up, `{"sync":"OutOfSync","health":"Healthy","revision":"` + commit + `","stale":true,"rollout":"","reason":"gateway.service: stale: systemd has an older unit file loaded than the one on disk (daemon-reload is due)"}`},
		{"never deployed", func(in *rollout.HostInput) {
			in.Observation.Manifest = hostdriver.Manifest{}
			in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "not-found", Active: "inactive"}
		}, rollout.Instance{Missing: true, Definite: true, Reason: "gateway.service is inactive"},
			`{"sync":"OutOfSync","health":"Missing","revision":"","stale":false,"rollout":"","reason":"gateway.service: is new"}`},
		{"unreachable", func(in *rollout.HostInput) { in.Observation, in.Reason = nil, "unreachable: no answer" }, rollout.Instance{Unreachable: true},
			`{"sync":"Unknown","health":"Unknown","revision":"","stale":false,"rollout":"","reason":"unreachable: no answer"}`},
		{"suspended", func(in *rollout.HostInput) { in.Desired.Instances[0].Suspend = "suspended" }, up,
			`{"sync":"Synced","health":"Suspended","revision":"` + commit + `","stale":false,"rollout":"","reason":"suspended"}`},
		{"suspended on this host, although it differs", func(in *rollout.HostInput) {
			in.Hold = map[string]string{"": "suspended: its disk is being replaced"}
			in.Observation.Units["gateway.service"] = hostdriver.UnitState{Load: "loaded", Active: "inactive"}
		}, rollout.Instance{Reason: "gateway.service is inactive"},
			`{"sync":"OutOfSync","health":"Suspended","revision":"` + commit + `","stale":false,"rollout":"","reason":"gateway.service is inactive"}`},
		{"held for its faults", func(in *rollout.HostInput) { in.Desired.Instances, in.Desired.Held = nil, []string{"gateway"} }, rollout.Instance{},
			`{"sync":"Unknown","health":"Unknown","revision":"` + commit + `","stale":false,"rollout":"","reason":"its files have faults"}`},
		{"no longer wanted", func(in *rollout.HostInput) { in.Desired.Instances = nil }, rollout.Instance{},
			`{"sync":"OutOfSync","health":"Unknown","revision":"` + commit + `","stale":false,"rollout":"","reason":"no longer wanted on this host"}`},
	}
	for _, c := range cases {
		in := gatewayOn("web-1")
		if c.change != nil {
			c.change(&in)
		}
		c.live.Host, c.live.Service = "web-1", "gateway"
		r := ReportOf(&View{Input: rollout.Input{Revision: commit, Prune: true, Hosts: []rollout.HostInput{in}}}, []rollout.Instance{c.live})
		if len(r.Instances) != 1 {
			t.Errorf("%s: %d instances", c.name, len(r.Instances))
			continue
		}
		got, err := json.Marshal(r.Instances[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"host":"web-1","service":"gateway",` + c.want[1:]; string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
		}
	}
}

func TestReportLeavesOutWhatWasNotAskedFor(t *testing.T) {
	one, two := gatewayOn("web-1"), gatewayOn("web-2")
	two.Skip = "not among the hosts asked for"
	r := ReportOf(&View{Input: rollout.Input{Hosts: []rollout.HostInput{one, two}, Skip: map[string]string{"gateway": notAsked}}}, nil)
	if len(r.Instances) != 0 || len(r.Hosts) != 1 || r.Hosts[0].Name != "web-1" {
		t.Errorf("got %+v", r)
	}
	if doc, err := json.Marshal(r); err != nil || string(doc) != `{"revision":"","instances":[],"hosts":[{"name":"web-1","reachable":true,"suspended":false,"reason":""}]}` {
		t.Errorf("got %s, %v", doc, err)
	}
}
