package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/test/sim/world"
)

// The profiles: which kinds of faults a scenario has.
const (
	profileCalm   = "calm"   // none: good revisions, or bad ones
	profileOwn    = "own"    // what must not be seen by any user
	profileHosts  = "hosts"  // hosts die, break and are cut off
	profilePeople = "people" // people do things meanwhile
	profileAll    = "all"
)

// ownFaultsOnly tells that no host of the scenario dies or is broken by itself or by
// hand: only controllers, the network to them and the balancer's memory fail, and
// revisions may be bad.
func ownFaultsOnly(sc *Scenario) bool { return sc.Profile == profileOwn || sc.Profile == profileCalm }

// kindsOf are the kinds of faults of each profile, by how often they come.
var kindsOf = map[string][]string{
	profileOwn: {
		faultKill, faultKill, faultKill, faultKill, faultStop, faultPush, faultPush, faultStall, faultLoseRequest, faultLoseReply, faultLoseReply,
		faultDelay, faultRepeat, faultRepeat, faultForget, faultForget, faultBalancerDown, faultSlow, faultRival, faultRival, faultPause, faultPause,
		faultAbort, faultUndo, faultUndo,
	},
	profileHosts: {
		faultReboot, faultReboot, faultPower, faultPower, faultCutSwitch, faultKilledOp, faultFull, faultDie, faultDie, faultSick, faultSick,
		faultStuckStop, faultDeaf, faultDeaf, faultPartition, faultPartition, faultIsolate, faultSlow, faultKill, faultLoseReply, faultForget,
	},
	profilePeople: {
		faultMask, faultAdminJob, faultHandStop, faultRestart, faultEdit, faultEdit, faultHandDrain, faultHandDrain, faultMaint, faultRival,
		faultRival, faultSticky, faultPush, faultStop, faultKill, faultForget, faultPause, faultAbort, faultUndo, faultUndo,
	},
}

// phases are where a fault can be made to strike, by how much there is to break.
var phases = []string{
	"precheck", "stage", "record", "drain", "drain", "wait", "switch", "switch", "restart", "restart", "healthy", "healthy",
	"revert switch", "revert restart", "revert healthy", "undrain", "undrain", "clear", "verify",
}

type generator struct {
	*rand.Rand
	sc *Scenario
}

// Generate makes the Scenario of a seed.
func Generate(seed uint64) *Scenario {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 0x65766e6b)), sc: &Scenario{Seed: seed}}
	g.sc.Profile = g.pick(profileCalm, profileOwn, profileOwn, profileOwn, profileHosts, profileHosts, profilePeople, profilePeople, profileAll, profileAll)
	switch n := g.IntN(40); {
	case n < 26:
		g.sc.Hosts = 2 + g.IntN(3)
	case n < 39:
		g.sc.Hosts = 5 + g.IntN(8)
	default:
		g.sc.Hosts = 13 + g.IntN(28)
	}
	g.sc.Fresh = g.chance(12)
	if g.chance(3) {
		g.sc.Racks = 1 + g.IntN(g.sc.Hosts)
	}
	g.sc.Patient = !g.chance(3)
	g.services()
	g.revisions()
	g.faults()
	g.hooks()
	return g.sc
}

func (g *generator) chance(oneIn int) bool { return g.IntN(oneIn) == 0 }

func (g *generator) pick(of ...string) string { return of[g.IntN(len(of))] }

var serviceNames = []string{"auth", "backend", "gateway", "web"}

func (g *generator) services() {
	n := 1 + g.IntN(2)
	if g.sc.Hosts > 4 {
		n = 1 + g.IntN(4)
	}
	for i := range n {
		s := Service{
			Name: serviceNames[i], Balanced: !g.chance(5), Notify: g.chance(4), Worker: g.chance(4), Reloads: g.chance(2),
			Sessions: g.IntN(4), Strategy: g.strategy(),
		}
		s.Lasting = 1 + g.IntN(s.Strategy.DrainTimeout-2)
		for h := range g.sc.Hosts {
			if !g.chance(6) {
				s.Hosts = append(s.Hosts, h)
			}
		}
		if len(s.Hosts) == 0 {
			s.Hosts = []int{g.IntN(g.sc.Hosts)}
		}
		if s.Strategy.allowed(len(s.Hosts)) < 1 {
			s.Strategy.MinHealthy = "" // nothing could ever be rolled
		}
		for j := range i {
			if g.chance(3) {
				s.After = append(s.After, g.sc.Services[j].Name)
			}
		}
		g.sc.Services = append(g.sc.Services, s)
	}
}

func (g *generator) strategy() Strategy {
	s := Strategy{
		MaxUnavailable: g.pick("1", "1", "1", "1", "2", "25%", "50%", "3"), MinHealthyTime: 1 + g.IntN(6), HealthyDeadline: 12 + g.IntN(30),
		DrainTimeout: 4 + g.IntN(12), AutoRevert: !g.chance(4), Order: g.pick("", "", "unhealthy-first", "inventory"),
		OnUnreachable: g.pick("", "", "", "count", "skip", "halt"),
	}
	s.ProgressDeadline = s.HealthyDeadline + g.IntN(30)
	if g.chance(5) {
		s.MinHealthy = g.pick("1", "50%", "30%")
	}
	if g.chance(4) {
		s.Batches = [][]string{{"1", "50%"}, {"1", "2"}, {"25%"}, {"1", "1", "100%"}}[g.IntN(4)]
	}
	g.staging(&s)
	return s
}

// staging is what a strategy has beside its budget: canaries, racks and windows.
func (g *generator) staging(s *Strategy) {
	if g.chance(4) {
		s.Canary, s.Promote, s.PromoteAfter = g.pick("1", "1", "2", "30%"), g.pick(promoteItself, promoteItself, promoteByHand, promoteByHand, promoteNever), g.IntN(40)
	}
	s.Spread = g.sc.Racks > 0 && !g.chance(3)
	if !g.chance(8) {
		return
	}
	for range 1 + g.IntN(2) {
		w := Window{Deny: g.chance(2), Every: []int{5, 10, 15, 30}[g.IntN(4)]}
		w.At, w.For = g.IntN(w.Every), 1+g.IntN(w.Every-1)
		s.Windows = append(s.Windows, w)
	}
	if !everOpen(append(slices.Clone(g.sc.Services), Service{Strategy: *s})) {
		s.Windows = nil
	}
}

// revisions are the first, one or two more, and a good last one for the end.
func (g *generator) revisions() {
	n := len(g.sc.Services)
	first := Revision{Services: make([]Content, n)}
	for i := range first.Services {
		first.Services[i] = Content{Unit: 1, Env: 1, Config: 1, Program: 1}
	}
	g.sc.Revisions = []Revision{first}
	version := 1
	for range 1 + g.IntN(2) {
		version++
		g.sc.Revisions = append(g.sc.Revisions, g.revision(g.last(), version, true))
	}
	end := g.revision(g.last(), version+1, false)
	end.Empty = false
	for i := range end.Services {
		x := &end.Services[i]
		if x.Bad != nil { // whatever was bad is mended by something new
			*x = Content{Unit: version + 1, Env: version + 1, Config: version + 1, Program: version + 1, Gone: x.Gone}
		}
		x.Suspended = false
	}
	g.sc.Revisions = append(g.sc.Revisions, end)
}

func (g *generator) last() Revision { return g.sc.Revisions[len(g.sc.Revisions)-1] }

// revision changes some of what was; whatever was bad stays so unless it is changed.
func (g *generator) revision(was Revision, version int, wild bool) Revision {
	r := Revision{Services: slices.Clone(was.Services)}
	for i := range r.Services {
		x := &r.Services[i]
		if !wild && x.Bad != nil {
			continue
		}
		if i > 0 && g.chance(4) {
			continue
		}
		g.change(x, version)
		if x.Bad != nil { // what was bad is replaced
			x.Unit, x.Env, x.Program = version, version, version
		}
		x.Bad, x.BadIn = nil, ""
		if wild && g.chance(4) {
			x.Unit, x.Env, x.Program = version, version, version
			x.BadIn = g.pick("unit", "env", "program")
			x.Bad = g.bad(ownFaultsOnly(g.sc))
		}
		if wild && g.sc.Profile != profileOwn {
			x.Gone = x.Gone || g.chance(25)
			x.Suspended = g.chance(25)
		}
	}
	r.Empty = wild && g.sc.Profile != profileOwn && g.chance(40)
	return r
}

func (g *generator) change(x *Content, version int) {
	for _, what := range []*int{&x.Unit, &x.Env, &x.Config, &x.Program} {
		if g.chance(3) {
			*what = version
		}
	}
	if g.chance(3) {
		x.Env = version
	}
}

// bad is how a revision can be bad. One that is found healthy and dies later can be
// seen by users, whatever a controller does.
func (g *generator) bad(seen bool) *world.Conduct {
	n := 6
	if seen {
		n = 5
	}
	switch g.IntN(n) {
	case 0:
		return &world.Conduct{CannotStart: true}
	case 1:
		return &world.Conduct{Sick: true}
	case 2:
		return &world.Conduct{NeverStarted: true}
	case 3: // dies early: a crash loop until the start limit
		return &world.Conduct{Dies: 100 * time.Millisecond, DiesSpread: 500 * time.Millisecond}
	case 4:
		if seen { // a slow start that one controller waits for long enough, and another not
			return &world.Conduct{Ready: 10 * time.Minute}
		}
		return &world.Conduct{Ready: time.Duration(5+g.IntN(60)) * time.Second}
	}
	return &world.Conduct{Dies: 3 * time.Second, DiesSpread: 4 * time.Second} // again and again
}

// faults are from none to eight of the profile's kinds.
func (g *generator) faults() {
	kinds := kindsOf[g.sc.Profile]
	if g.sc.Profile == profileAll {
		kinds = slices.Concat(kindsOf[profileOwn], kindsOf[profileHosts], kindsOf[profilePeople])
	}
	if len(kinds) == 0 {
		return
	}
	for range 1 + g.IntN(6) {
		g.sc.Faults = append(g.sc.Faults, g.fault(g.pick(kinds...)))
	}
}

func (g *generator) fault(kind string) Fault {
	f := Fault{Kind: kind, Host: g.IntN(g.sc.Hosts), Service: g.IntN(len(g.sc.Services)), For: 500 + g.IntN(40_000)}
	if g.chance(3) {
		f.At = g.IntN(60_000 * max(1, g.sc.Hosts/4))
	} else {
		f.On = g.pick(phases...)
		f.Skip = g.IntN(2)
		if g.chance(2) {
			f.Host = -1
		}
		f.At = []int{0, 0, g.IntN(30), g.IntN(2000), g.IntN(20_000)}[g.IntN(5)]
	}
	switch kind {
	case faultKill, faultLoseReply, faultLoseRequest, faultDelay:
		f.Arg = g.IntN(2)
	case faultCutSwitch, faultKilledOp:
		f.Arg = g.IntN(4)
	case faultSlow:
		f.Arg = 1 + g.IntN(30)
	case faultEdit:
		f.Arg = g.IntN(3)
		f.Point = g.pick("", "value")
	case faultMask, faultAdminJob, faultHandDrain, faultMaint, faultSticky, faultStuckStop:
		if g.chance(3) {
			f.For = 0
		}
	}
	return f
}

// hooks lets some services migrate. It draws from numbers of its own, so that everything
// else of a seed stays as it is.
func (g *generator) hooks() {
	own := rand.New(rand.NewPCG(g.sc.Seed, 0x686f6f6b))
	any := false
	for i := range g.sc.Services {
		s := &g.sc.Services[i]
		s.Migrates, s.Again = own.IntN(3) == 0, own.IntN(2) == 0
		any = any || s.Migrates
	}
	if n := len(g.sc.Faults); any && n > 0 && own.IntN(2) == 0 {
		g.sc.Faults[own.IntN(n)].On = "hooks"
	}
}

// String sums a scenario up in a line.
func (sc *Scenario) String() string {
	return fmt.Sprintf("seed %d: %s, %d hosts, %d services, %d revisions, %d faults", sc.Seed, sc.Profile, sc.Hosts, len(sc.Services), len(sc.Revisions), len(sc.Faults))
}
