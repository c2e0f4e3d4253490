package rollout

import (
	"fmt"
	"slices"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// neighbours are two services on a host: db with its unit, and app, whose unit goes down
// and up with it.
func neighbours(dbState string, takes map[string][]string) (desired.HostState, hostdriver.Observation) {
	hs := desired.HostState{Host: inventory.Host{Name: "web-1"}, Revision: "r2"}
	o := hostdriver.Observation{Host: "web-1", Paths: map[string]hostdriver.PathState{}, Users: map[string]hostdriver.UserState{"root": {Exists: true}},
		Groups: map[string]bool{"root": true}, Units: map[string]hostdriver.UnitState{}, Started: map[string]hostdriver.StartedAs{}, Kept: []uint64{1}}
	for _, x := range []struct{ service, unit, state string }{{"app", "app.service", "started"}, {"db", "db.service", dbState}, {"db", "db.socket", ""}, {"db", "db.slice", ""}} {
		c := hostdriver.NewContent([]byte("[Service]\nExecStart=/bin/" + x.unit + "\n"))
		f := desired.File{Path: "/etc/systemd/system/" + x.unit, Owner: "root", Group: "root", Mode: 0o644, Kind: desired.FileUnit, Unit: x.unit, Content: c, SHA256: c.SHA256()}
		u := desired.Unit{Name: x.unit, File: f.Path, State: x.state}
		if n := len(hs.Instances); n == 0 || hs.Instances[n-1].Service != x.service {
			hs.Instances = append(hs.Instances, desired.Instance{Service: x.service, Host: "web-1"})
		}
		inst := &hs.Instances[len(hs.Instances)-1]
		inst.Files, inst.Units = append(inst.Files, f), append(inst.Units, u)
		o.Paths[f.Path] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: f.SHA256, Owner: "root", Group: "root", Mode: 0o644, Changed: day1}
		o.Units[x.unit] = hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", InvocationID: "1" + x.unit, Job: "0", Takes: takes[x.unit]}
		o.Started[x.unit] = hostdriver.StartedAs{InvocationID: "1" + x.unit, Generation: 1, Inputs: StartInputs(inst, &u)}
	}
	o.Manifest = Target(hostdriver.Manifest{}, hs, []string{"app", "db"}, nil, 1)
	return hs, o
}

// behind has a unit run with an older file.
func behind(o *hostdriver.Observation, unit string) {
	o.Started[unit].Inputs["/etc/systemd/system/"+unit] = "older"
}

func processLines(changes []Change) []string {
	var out []string
	for _, c := range changes {
		if c.Kind == KindProcess {
			out = append(out, fmt.Sprintf("%s: %s %s %s takes%v along[%s]", c.Service, c.Action, c.Subject, c.Disruption, c.Takes, c.Along))
		}
	}
	return out
}

func TestTakenAlong(t *testing.T) {
	requires := map[string][]string{"db.service": {"app.service"}}
	tests := []struct {
		name  string
		takes map[string][]string
		host  func(*desired.HostState, *hostdriver.Observation)
		want  []string
	}{
		{"nobody depends on it", nil, func(_ *desired.HostState, o *hostdriver.Observation) { behind(o, "db.service") },
			[]string{"db: restart db.service restart takes[] along[]"}},
		{"who requires it is disturbed, too", requires, func(_ *desired.HostState, o *hostdriver.Observation) { behind(o, "db.service") }, []string{
			"app: restart app.service restart takes[] along[db.service]",
			"db: restart db.service restart takes[app.service] along[]",
		}},
		{"not the other way round", requires, func(_ *desired.HostState, o *hostdriver.Observation) { behind(o, "app.service") },
			[]string{"app: restart app.service restart takes[] along[]"}},
		{"both are behind: each is restarted for its own reasons", requires, func(_ *desired.HostState, o *hostdriver.Observation) {
			behind(o, "db.service")
			behind(o, "app.service")
		}, []string{
			"app: restart app.service restart takes[] along[]",
			"db: restart db.service restart takes[app.service] along[]",
		}},
		{"what does not run is not taken along", requires, func(_ *desired.HostState, o *hostdriver.Observation) {
			behind(o, "db.service")
			u := o.Units["app.service"]
			u.Active, u.Sub = "failed", "failed"
			o.Units["app.service"] = u
		}, []string{
			"app: start app.service none takes[] along[]",
			"db: restart db.service restart takes[] along[]",
		}},
		{"a slice takes along what runs in it: no quiet change any more", map[string][]string{"db.slice": {"db.service", "foreign.service"}, "db.service": {"app.service"}},
			func(hs *desired.HostState, o *hostdriver.Observation) {
				hs.Instances[1].Units[2].State = "started"
				behind(o, "db.slice")
			}, []string{
				"app: restart app.service restart takes[] along[db.slice]",
				"db: restart db.slice restart takes[db.service app.service] along[]",
				"db: restart db.service restart takes[app.service] along[db.slice]",
			}},
		{"a socket is turned over with the service it has started", nil, func(hs *desired.HostState, o *hostdriver.Observation) {
			hs.Instances[1].Units[1].State = "started"
			u := o.Units["db.socket"]
			u.Triggers = []string{"db.service"}
			o.Units["db.socket"] = u
			behind(o, "db.socket")
		}, []string{
			"db: restart db.socket restart takes[db.service] along[]",
			"db: restart db.service restart takes[] along[db.socket]",
		}},
		{"a timer, path or socket that has started nothing is turned over quietly", nil, func(hs *desired.HostState, o *hostdriver.Observation) {
			hs.Instances[1].Units[1].State = "started"
			behind(o, "db.socket")
		}, []string{"db: restart db.socket none takes[] along[]"}},
		{"its service goes away: who requires it is disturbed", requires, func(hs *desired.HostState, _ *hostdriver.Observation) {
			hs.Instances = hs.Instances[:1]
		}, []string{
			"app: restart app.service restart takes[] along[db.service]",
			"db: stop db.service restart takes[app.service] along[]",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hs, o := neighbours("started", tt.takes)
			tt.host(&hs, &o)
			if got := processLines(Diff(hs, o, DiffOptions{Prune: true}).Changes); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

// What is taken along is drained, counted and proven as if it were restarted itself, and
// comes after what takes it along.
func TestTakenAlongInThePlan(t *testing.T) {
	hs, o := neighbours("started", map[string][]string{"db.service": {"app.service"}})
	behind(&o, "db.service")
	in := Input{Revision: "r2", Hosts: []HostInput{{Desired: hs, Observation: &o}}, Prune: true}
	p := Build(in)
	if len(p.Visits) != 1 {
		t.Fatalf("visits: %+v", p.Visits)
	}
	v := p.Visits[0]
	if !slices.Equal(v.Disturbs, []string{"app", "db"}) || !slices.Equal(v.Drains, []string{"app", "db"}) || !slices.Equal(v.Watch, []string{"app.service", "db.service"}) {
		t.Errorf("it disturbs %v, drains %v, watches %v", v.Disturbs, v.Drains, v.Watch)
	}
	if len(v.Actions) != 2 || v.Actions[0].Unit != "db.service" || v.Actions[1].Unit != "app.service" {
		t.Errorf("actions: %+v", v.Actions)
	}

	in.Hosts[0].Hold = map[string]string{"app": "a person is at work"}
	p = Build(in)
	if len(p.Visits) != 0 || len(p.Hosts[0].Problems) != 1 || p.Hosts[0].Problems[0].Service != "db" {
		t.Errorf("app is suspended: visits %+v, problems %+v", p.Visits, p.Hosts[0].Problems)
	}
	in.Hosts[0].Hold = map[string]string{"db": "a person is at work"}
	if p = Build(in); len(p.Visits) != 0 || len(p.Hosts[0].Changes) != 0 || len(p.Hosts[0].Problems) != 0 {
		t.Errorf("db is suspended: visits %+v, changes %+v, problems %+v", p.Visits, p.Hosts[0].Changes, p.Hosts[0].Problems)
	}
}

// A unit that is to be stopped does not stop what is to run.
func TestStopTakesNobodyAlong(t *testing.T) {
	hs, o := neighbours("stopped", map[string][]string{"db.service": {"app.service"}})
	p := Build(Input{Revision: "r2", Hosts: []HostInput{{Desired: hs, Observation: &o}}})
	if len(p.Visits) != 0 || len(p.Hosts[0].Problems) != 1 {
		t.Errorf("visits %+v, problems %+v", p.Visits, p.Hosts[0].Problems)
	}
}

// On the way back, too, what others need goes first: they failed for what it had become, and
// nothing starts them once it is as it was.
func TestWayBackOfWhatOthersNeed(t *testing.T) {
	hs, o := neighbours("started", map[string][]string{"db.service": {"app.service"}})
	h := HostInput{Desired: hs, Observation: &o}
	v := Visit{Watch: []string{"app.service", "db.service"}, Before: map[string]string{"app.service": "1app.service", "db.service": "1db.service"}}
	now := map[string]hostdriver.UnitState{
		"app.service": {Load: "loaded", Active: "failed", Result: "exit-code", InvocationID: "2app.service"},
		"db.service":  {Load: "loaded", Active: "active", InvocationID: "2db.service"},
	}
	var order []string
	for _, a := range h.RevertActions(&v, now) {
		order = append(order, string(a.Verb)+" "+a.Unit+" if "+a.OnlyIf)
	}
	if want := []string{"restart db.service if 2db.service", "restart app.service if 2app.service"}; !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
}
