package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// The size that the engine is meant for: go test -run - -bench . -benchmem ./rollout
const (
	benchHosts    = 10_000
	benchServices = 5
)

// benchInput is a fleet on which everything runs revision 1 and revision 2 is wanted:
// every service has another env file, which means a restart.
func benchInput(hosts int) Input {
	in := Input{Revision: "2", Salt: salt, Prune: true}
	before, after := benchInstances("1"), benchInstances("2")
	var current hostdriver.Manifest
	for i := range hosts {
		h := inventory.Host{Name: fmt.Sprintf("web-%05d", i), Labels: map[string]string{"rack": fmt.Sprintf("r%03d", i%200)}}
		hs := desired.HostState{Host: h, Revision: "2", Instances: make([]desired.Instance, len(after))}
		for j := range after {
			hs.Instances[j] = after[j]
			hs.Instances[j].Host = h.Name
		}
		if i == 0 {
			current = Target(current, desired.HostState{Revision: "1", Instances: before}, benchNames(), nil, 1)
		}
		o := benchObservation(h.Name, before, current)
		in.Hosts = append(in.Hosts, HostInput{Desired: hs, Observation: &o})
	}
	return in
}

func benchNames() []string {
	var names []string
	for i := range benchServices {
		names = append(names, fmt.Sprintf("svc%d", i))
	}
	return names
}

// benchInstances are what is the same on every host, as a Revision shares it.
func benchInstances(revision string) []desired.Instance {
	content := func(s string) hostdriver.Content { return hostdriver.NewContent([]byte(s)) }
	yes := true
	var out []desired.Instance
	for i, name := range benchNames() {
		text := "PORT=8080\nREVISION=" + revision + "\n"
		unit := content("[Service]\nExecStart=/opt/" + name + "\n")
		env := content(text)
		release := strings.Repeat("a", 64)
		inst := desired.Instance{Service: name,
			Files: []desired.File{
				{Path: "/etc/" + name + ".env", Owner: "root", Group: "root", Mode: 0o600, Kind: desired.FileEnv, Content: env, SHA256: env.SHA256(),
					ChangeMode: desired.ChangeRestart, Vars: []desired.EnvVar{{Key: "PORT", Value: content("8080")}, {Key: "REVISION", Value: content(revision)}}},
				{Path: "/etc/systemd/system/" + name + ".service", Owner: "root", Group: "root", Mode: 0o644, Kind: desired.FileUnit, Content: unit,
					SHA256: unit.SHA256(), ChangeMode: desired.ChangeRestart, Unit: name + ".service"},
			},
			Units:     []desired.Unit{{Name: name + ".service", File: "/etc/systemd/system/" + name + ".service", Enabled: &yes, State: "started", EnvFiles: []string{"/etc/" + name + ".env"}}},
			Artifacts: []desired.Artifact{{Name: name, SHA256: release, Link: "/opt/" + name, Release: "/opt/.releases/" + name + "/" + release, Form: hostdriver.FormFile}},
			Strategy:  benchStrategy(),
		}
		if i > 0 {
			inst.After = []string{benchNames()[i-1]}
		}
		out = append(out, inst)
	}
	return out
}

func benchStrategy() desired.Strategy {
	s := desired.RolloutSpec{MaxUnavailable: desired.Percent(1)}.Strategy()
	s.Batches = []desired.IntOrPercent{desired.Count(1), desired.Percent(10)}
	return s
}

func benchObservation(host string, insts []desired.Instance, m hostdriver.Manifest) hostdriver.Observation {
	o := hostdriver.Observation{Host: host, Paths: map[string]hostdriver.PathState{}, Units: map[string]hostdriver.UnitState{}, Processes: map[string]hostdriver.ProcessState{},
		Users: map[string]hostdriver.UserState{"root": {Exists: true}}, Groups: map[string]bool{"root": true}, Started: map[string]hostdriver.StartedAs{},
		Manifest: m, Kept: []uint64{1}}
	for i := range insts {
		inst := &insts[i]
		u := &inst.Units[0]
		for _, f := range inst.Files {
			o.Paths[f.Path] = hostdriver.PathState{Type: hostdriver.PathFile, SHA256: f.SHA256, Owner: f.Owner, Group: f.Group, Mode: f.Mode, Changed: day1}
		}
		a := inst.Artifacts[0]
		o.Paths[a.Link] = hostdriver.PathState{Type: hostdriver.PathSymlink, Target: a.Release, Changed: day1}
		o.Paths[a.Release] = hostdriver.PathState{Type: hostdriver.PathFile}
		o.Units[u.Name] = hostdriver.UnitState{Load: "loaded", Active: "active", Sub: "running", File: "enabled", InvocationID: "i1", MainPID: 42, Started: day2}
		o.Processes[u.Name] = hostdriver.ProcessState{PID: 42, Exe: a.Release, Env: hostdriver.EnvDiffers, Digests: map[string]string{
			"PORT": hostdriver.EnvDigest(salt, map[string]string{"PORT": "8080"})}}
		o.Started[u.Name] = hostdriver.StartedAs{InvocationID: "i1", Generation: 1, Inputs: StartInputs(inst, u)}
	}
	return o
}

// BenchmarkBuild plans the whole fleet.
func BenchmarkBuild(b *testing.B) {
	for name, change := range map[string]func(*Input){
		"all restart": func(*Input) {},
		"hosts apart": func(in *Input) { // each service on hosts of its own, so that after has something to order
			for i := range in.Hosts {
				h := &in.Hosts[i].Desired
				h.Instances = h.Instances[i%benchServices : i%benchServices+1]
			}
			in.Prune = false
		},
		"many mixtures": func(in *Input) { // every subset of the services is somewhere
			for i := range in.Hosts {
				h := &in.Hosts[i].Desired
				var some []desired.Instance
				for j := range h.Instances {
					if (i+1)>>j&1 == 1 {
						some = append(some, h.Instances[j])
					}
				}
				h.Instances = some
			}
			in.Prune = false
		},
	} {
		b.Run(name, func(b *testing.B) {
			in := benchInput(benchHosts)
			change(&in)
			b.ReportAllocs()
			for b.Loop() {
				if p := Build(in); len(p.Visits) == 0 {
					b.Fatal("nothing to do")
				}
			}
		})
	}
}

// BenchmarkStep takes one event at a time in the midst of a rollout over the fleet.
func BenchmarkStep(b *testing.B) {
	plan := Build(benchInput(benchHosts))
	for name, made := range map[string]func() (State, Event){
		"begin":               func() (State, Event) { return New("r", plan), Event{Kind: EventBegin} },
		"probe in flight":     func() (State, Event) { s := midway(plan, 0); return s, probeOf(&s) },
		"visit ends":          func() (State, Event) { s := midway(plan, 0); return s, lastOf(&s) },
		"look":                func() (State, Event) { s := midway(plan, 0); return s, lookAt(&s, 0) },
		"look, budget spent":  func() (State, Event) { s := midway(plan, 0); return s, lookAt(&s, 150) },
		"look, all are down":  func() (State, Event) { s := midway(plan, 0); return s, lookAt(&s, benchHosts) },
		"waiting, none moves": func() (State, Event) { s := midway(plan, 150); return s, Event{Kind: EventStop} },
	} {
		b.Run(name, func(b *testing.B) {
			s, e := made()
			e.At = s.At + time.Millisecond
			b.ReportAllocs()
			for b.Loop() {
				Step(s, e)
			}
		})
	}
}

// midway is a State in which a fifth of the fleet is done and as many visits as the
// budget allows are in flight; down instances are down for other causes.
func midway(plan Plan, down int) State {
	s, _ := Step(New("r", plan), Event{Kind: EventBegin})
	s, _ = Step(s, Event{Kind: EventResult, Visit: -1})
	for i := range s.Visits {
		v := &s.Visits[i]
		switch {
		case i < benchHosts/5:
			v.Phase, v.Result = PhaseEnded, ResultDone
		case i < benchHosts/5+50:
			v.Phase, v.Attempt, v.Began, v.Recorded = PhaseHealthy, 7, time.Minute, true
		}
	}
	for i := range s.Services {
		ss := &s.Services[i]
		ss.Fresh, ss.Looking, ss.LookedAt = true, false, time.Minute
		ss.Instances = lookAtService(ss, down)
	}
	s.At = time.Minute
	return s
}

func inHand(s *State) int { return benchHosts/5 + 1 }

func probeOf(s *State) Event {
	v := &s.Visits[inHand(s)]
	x := &Sample{Units: map[string]UnitSample{}, Checks: true}
	for _, u := range v.Watch {
		x.Units[u] = UnitSample{Active: "active", Sub: "running", Invocation: "i2", PID: 43}
	}
	return Event{Kind: EventResult, Visit: v.ID, Attempt: v.Attempt, Command: CmdProbe, Outcome: Success, Sample: x}
}

func lastOf(s *State) Event {
	v := &s.Visits[inHand(s)]
	v.Phase = PhaseVerify
	return Event{Kind: EventResult, Visit: v.ID, Attempt: v.Attempt, Command: CmdVerify, Outcome: Success}
}

func lookAtService(ss *ServiceState, down int) []Instance {
	is := append([]Instance(nil), ss.Instances...)
	for i := range is {
		is[i].Up = i >= down
		if !is[i].Up {
			is[i].Reason, is[i].Definite = "svc.service is failed", true
		}
	}
	return is
}

func lookAt(s *State, down int) Event {
	ss := &s.Services[0]
	ss.Fresh, ss.Looking = false, true
	return Event{Kind: EventObserved, Service: ss.Service, Outcome: Success, Instances: lookAtService(ss, down)}
}
