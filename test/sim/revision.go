package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/test/sim/world"
)

// secretMark is in every planted secret value: it must never be seen anywhere.
const secretMark = "s3cr3t"

// balancerAddress is where every service's drain goes.
const balancerAddress = "tcp://lb-1:9999"

// catalog renders Revisions, each host's once.
type catalog struct {
	scenario *Scenario
	library  *world.Library
	states   map[[2]int]desired.HostState
}

func newCatalog(sc *Scenario) *catalog {
	return &catalog{scenario: sc, library: world.NewLibrary(), states: map[[2]int]desired.HostState{}}
}

// state is what a Revision wants on a host.
func (c *catalog) state(revision, host int) desired.HostState {
	key := [2]int{revision, host}
	if hs, ok := c.states[key]; ok {
		return hs
	}
	hs := desired.HostState{Host: inventory.Host{Name: hostName(host), Address: hostName(host)}, Revision: revisionID(revision)}
	if rack := c.scenario.rack(host); rack != "" {
		hs.Host.Labels = map[string]string{rackLabel: rack}
	}
	rev := &c.scenario.Revisions[revision]
	for i := range c.scenario.Services {
		s, content := &c.scenario.Services[i], rev.Services[i]
		if !rev.Empty && !content.Gone && slices.Contains(s.Hosts, host) {
			hs.Instances = append(hs.Instances, c.instance(s, content, host))
		}
	}
	sort.Slice(hs.Instances, func(i, j int) bool { return hs.Instances[i].Service < hs.Instances[j].Service })
	c.states[key] = hs
	return hs
}

// bad is the conduct that comes with one element, if any.
func (x Content) bad(element string) *world.Conduct {
	if x.BadIn == element {
		return x.Bad
	}
	return nil
}

func unitName(service string) string   { return service + ".service" }
func workerName(service string) string { return service + "-worker.service" }
func unitPath(unit string) string      { return "/etc/systemd/system/" + unit }
func envPath(service string) string    { return "/etc/" + service + "/" + service + ".env" }
func configPath(service string) string { return "/etc/" + service + "/" + service + ".json" }
func linkPath(service string) string   { return "/opt/" + service + "/bin" }

func releasePath(service, sum string) string {
	return "/opt/" + service + "/.releases/" + service + "/" + sum
}

func (c *catalog) instance(s *Service, x Content, host int) desired.Instance {
	yes := true
	inst := desired.Instance{
		Service: s.Name, Host: hostName(host), After: s.After, Suspend: inventory.Suspend{On: x.Suspended}.Why(), Strategy: s.Strategy.desired(),
		Users:       []desired.UserSpec{{Name: s.Name, Home: "/opt/" + s.Name}},
		Directories: []desired.Directory{{Path: "/etc/" + s.Name, Owner: "root", Group: s.Name, Mode: 0o750}},
		Health:      []desired.HealthSpec{{HTTP: &desired.HTTPHealth{Port: 8080, Path: "/healthz"}}},
	}
	program := c.library.Add(fmt.Sprintf("%s program %d", s.Name, x.Program), false, orReady(x.bad("program"), x.Program))
	inst.Artifacts = []desired.Artifact{{
		Name: s.Name, SHA256: program.SHA256, Size: int64(program.Content.Len()), Link: linkPath(s.Name), Release: releasePath(s.Name, program.SHA256),
		Form: hostdriver.FormFile, Owner: "root", Group: "root",
	}}
	if s.Migrates && x.Program > 1 {
		sum := sha256.Sum256([]byte(s.Name + " migrates to " + program.SHA256))
		inst.Hooks = []desired.Hook{{ID: hex.EncodeToString(sum[:16]), Name: "migrate", Run: "migrate", Release: inst.Artifacts[0].Release, Timeout: time.Minute, Once: true, Retry: s.Again}}
	}
	env := c.envFile(s, x)
	units := []string{unitName(s.Name)}
	if s.Worker {
		units = append(units, workerName(s.Name))
	}
	for _, unit := range units {
		bad := x.bad("unit")
		if unit != units[0] {
			bad = nil
		}
		f := c.file(unitPath(unit), desired.FileUnit, fmt.Sprintf("[Service]\n# %s unit %d\n", unit, x.Unit), bad)
		f.Unit = unit
		inst.Files = append(inst.Files, f)
		u := desired.Unit{Name: unit, File: f.Path, Enabled: &yes, State: "started", EnvFiles: []string{env.Path}, Reads: []string{linkPath(s.Name)}}
		if s.Reloads {
			u.Reads = append(u.Reads, configPath(s.Name))
		}
		inst.Units = append(inst.Units, u)
	}
	inst.Files = append(inst.Files, env)
	if s.Reloads {
		f := c.file(configPath(s.Name), desired.FilePlain, fmt.Sprintf("{\"%s config\": %d}\n", s.Name, x.Config), x.bad("config"))
		f.ChangeMode = desired.ChangeReload
		inst.Files = append(inst.Files, f)
	}
	sort.Slice(inst.Files, func(i, j int) bool { return inst.Files[i].Path < inst.Files[j].Path })
	if s.Balanced {
		inst.Drain = []desired.DrainSpec{{HAProxy: &desired.HAProxyDrain{Address: balancerAddress, Backend: s.Name, Server: hostName(host)}}}
	}
	return inst
}

// orReady is a program's conduct: some take longer than others to be ready.
func orReady(bad *world.Conduct, version int) *world.Conduct {
	c := world.Conduct{}
	if bad != nil {
		c = *bad
	}
	if c.Ready == 0 {
		c.Ready = 200*time.Millisecond + time.Duration(version%4)*700*time.Millisecond
	}
	return &c
}

func (c *catalog) file(path string, kind desired.FileKind, content string, bad *world.Conduct) desired.File {
	it := c.library.Add(content, false, bad)
	return desired.File{Path: path, Owner: "root", Group: "root", Mode: 0o644, Kind: kind, Content: it.Content, SHA256: it.SHA256}
}

func (c *catalog) envFile(s *Service, x Content) desired.File {
	port := "8080"
	secret := fmt.Sprintf("%s-%s-%d", secretMark, s.Name, x.Env)
	it := c.library.Add(fmt.Sprintf("LISTEN=:%s\nTOKEN=%s\nVERSION=%d\n", port, secret, x.Env), true, x.bad("env"))
	return desired.File{
		Path: envPath(s.Name), Owner: "root", Group: s.Name, Mode: 0o640, Kind: desired.FileEnv, Content: it.Content, SHA256: it.SHA256, Secret: true,
		Vars: []desired.EnvVar{
			{Key: "LISTEN", Value: hostdriver.NewContent([]byte(":" + port))},
			{Key: "TOKEN", Value: hostdriver.NewContent([]byte(secret)), Secret: true},
			{Key: "VERSION", Value: hostdriver.NewContent([]byte(fmt.Sprint(x.Env))), Secret: true},
		},
	}
}
