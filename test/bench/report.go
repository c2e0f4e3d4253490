package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The targets.
const (
	passOverFloor    = 1.5 // at most
	passUnderPeer    = 40. // at least, over --check
	deployUnderPeer  = 8.
	rollingUnderPeer = 6.
	rollingOverFloor = 1.3
)

// report prints every table that has rows.
func (s *stage) report(w io.Writer, m machine) error {
	r := s.results
	_, err := fmt.Fprintf(w, "Machine: %s\n%d hosts on it, %d rounds; `go run ./test/bench -hosts %d -rounds %d %s`\n",
		m, s.hosts, s.rounds, s.hosts, s.rounds, strings.Join(s.names, " "))
	return errors.Join(err, passTable(r, s.hosts).write(w), warmTable(r, s.hosts).write(w), deployTable(r, s.hosts).write(w),
		rollingTable(r, s.hosts).write(w), soakTable(r, s.hosts).write(w), rotationTable(r, s.hosts).write(w), releaseTable(r, s.options).write(w), phasesTable(r, s.hosts).write(w), watchTable(r.watch).write(w),
		fleetTable(r.fleet).write(w), fleetLoopTable(r.fleet).write(w))
}

// reportFleet prints what was measured with simulated hosts alone.
func reportFleet(w io.Writer, m machine, o options, f *fleetFigures) error {
	_, err := fmt.Fprintf(w, "Machine: %s\n%d rounds; `go run ./test/bench -simulated %d -rounds %d %s`\n", m, o.rounds, o.simulated, o.rounds, strings.Join(o.names, " "))
	return errors.Join(err, fleetTable(f).write(w), fleetLoopTable(f).write(w))
}

// line adds a measure's row: its words, the median, how many times the base it is, CPU
// time on both ends, and the spread.
func (t *table) line(r *results, words string, m, base measure) {
	got, ok := r.median(m)
	if !ok {
		return
	}
	ratio, cpu, host := "-", "-", "-"
	if x, ok := r.ratio(m, base); ok {
		ratio = factor(x)
	}
	if got.cpu > 0 {
		cpu = seconds(got.cpu)
	}
	if got.host > 0 {
		host = seconds(got.host)
	}
	t.row(words, seconds(got.wall), ratio, cpu, host, r.spread(m))
}

func factor(x float64) string {
	switch {
	case x >= 9.95:
		return fmt.Sprintf("%.0f ×", x)
	case x >= 0.95:
		return fmt.Sprintf("%.2f ×", x)
	}
	return fmt.Sprintf("%.3f ×", x)
}

// target concludes whether slow takes at least want times as long as fast.
func (t *table) target(r *results, words string, slow, fast measure, want float64) {
	if x, ok := r.ratio(slow, fast); ok {
		t.conclude("%s: %s; target at least %.0f ×: %s", words, factor(x), want, verdict(x >= want))
	}
}

// bound concludes whether a takes at most limit times as long as b.
func (t *table) bound(r *results, words string, a, b measure, limit float64) {
	if x, ok := r.ratio(a, b); ok {
		t.conclude("%s: %s; target at most %.1f ×: %s", words, factor(x), limit, verdict(x <= limit))
	}
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

var timesHeader = func(base string) []string {
	return []string{"", "median", "× " + base, "its CPU", "CPU a host", "spread"}
}

func passTable(r *results, hosts int) *table {
	t := &table{title: fmt.Sprintf("A pass with nothing to do, %d hosts, whole processes", hosts), header: timesHeader("the floor"),
		remarks: []string{"Started, connected, read, compared, ended. The floor dials all hosts at once and runs one systemctl show, one stat and " +
			"one sha256sum on each. evenkeel does not hash a binary whose stat is as it was when it put it there; one floor does."}}
	t.line(r, "`evenkeel plan`, as deploy with sudo", passPlan, passFloor)
	t.line(r, "floor, as deploy with sudo", passFloor, passFloor)
	t.line(r, "floor that also hashes the 8 MiB binary", passFloorHash, passFloor)
	t.line(r, "`ansible-playbook --check`, as deploy with sudo", passPeerCheck, passFloor)
	t.line(r, "`ansible-playbook`, as deploy with sudo", passPeer, passFloor)
	t.line(r, "`evenkeel plan`, as root", passPlanRoot, passFloorRoot)
	t.line(r, "floor, as root", passFloorRoot, passFloorRoot)
	t.line(r, "floor that also hashes the 8 MiB binary, as root", passFloorHashRoot, passFloorRoot)
	t.bound(r, "evenkeel over the floor, with sudo", passPlan, passFloor, passOverFloor)
	t.bound(r, "evenkeel over the floor, as root", passPlanRoot, passFloorRoot, passOverFloor)
	t.bound(r, "evenkeel over the floor that hashes the binary, with sudo", passPlan, passFloorHash, passOverFloor)
	t.target(r, "`ansible-playbook --check` over evenkeel", passPeerCheck, passPlan, passUnderPeer)
	t.target(r, "`ansible-playbook` over evenkeel", passPeer, passPlan, passUnderPeer)
	return t
}

func warmTable(r *results, hosts int) *table {
	t := &table{title: fmt.Sprintf("A pass with nothing to do, %d hosts, on kept connections", hosts), header: timesHeader("the floor"),
		remarks: []string{"What a controller does at each turn. evenkeel resolves, observes, compares and plans; the floor runs its commands and parses."}}
	t.line(r, "evenkeel's look, as deploy with sudo", warmLook, warmFloor)
	t.line(r, "floor, as deploy with sudo", warmFloor, warmFloor)
	t.line(r, "floor that also hashes the 8 MiB binary", warmFloorHash, warmFloor)
	t.line(r, "evenkeel's look, as root", warmLookRoot, warmFloorRoot)
	t.line(r, "floor, as root", warmFloorRoot, warmFloorRoot)
	t.line(r, "floor that also hashes the 8 MiB binary, as root", warmFloorHashRoot, warmFloorRoot)
	t.bound(r, "evenkeel over the floor, with sudo", warmLook, warmFloor, passOverFloor)
	t.bound(r, "evenkeel over the floor, as root", warmLookRoot, warmFloorRoot, passOverFloor)
	t.bound(r, "evenkeel over the floor that hashes the binary, with sudo", warmLook, warmFloorHash, passOverFloor)
	t.bound(r, "evenkeel over the floor that hashes the binary, as root", warmLookRoot, warmFloorHashRoot, passOverFloor)
	t.target(r, "`ansible-playbook --check`, which connects anew each time, over evenkeel, with sudo", passPeerCheck, warmLook, passUnderPeer)
	return t
}

func deployTable(r *results, hosts int) *table {
	t := &table{title: fmt.Sprintf("First deployment to %d hosts", hosts), header: timesHeader("evenkeel"),
		remarks: []string{"A unit, an env file and an 8 MiB binary, enabled, started, healthy; from hosts where nothing is deployed. The floor dials all " +
			"hosts, unpacks a tar archive, enables, reloads once, starts, and waits for the first good answer: no digest, no fsync, no generation to go back to."}}
	t.line(r, "`evenkeel apply --yes`", deployApply, deployApply)
	t.line(r, "`ansible-playbook`", deployPeer, deployApply)
	t.line(r, "floor: one stream and one shell for each host", deployFloor, deployApply)
	t.target(r, "`ansible-playbook` over evenkeel", deployPeer, deployApply, deployUnderPeer)
	return t
}

func rollingTable(r *results, hosts int) *table {
	t := &table{title: fmt.Sprintf("One env key changed on %d hosts, one at a time", hosts), header: timesHeader("evenkeel"),
		remarks: []string{"Env file, restart, health over http, the next host. No soak on either side. evenkeel is not told what changed, and neither is " +
			"the usual playbook, which is the one that deployed; the least one has the three tasks for an env file alone. The floor is `systemctl restart` and the wait for " +
			"the first good answer, on kept connections, and changes nothing. Drained: out of HAProxy before the restart, no session left, back in and up after."}}
	t.line(r, "`evenkeel apply --yes`", rollApply, rollApply)
	t.line(r, "`ansible-playbook`, serial: 1, the usual playbook", rollPeer, rollApply)
	t.line(r, "`ansible-playbook`, serial: 1, only what this change needs", rollLeast, rollApply)
	t.line(r, "floor: restarts and health waits alone", rollFloor, rollApply)
	t.line(r, "`evenkeel apply --yes`, drained", drainApply, drainApply)
	t.line(r, "`ansible-playbook`, serial: 1, drained, only what this change needs", drainPeer, drainApply)
	t.target(r, "`ansible-playbook` over evenkeel, the usual playbook", rollPeer, rollApply, rollingUnderPeer)
	t.target(r, "`ansible-playbook` over evenkeel, only what this change needs", rollLeast, rollApply, rollingUnderPeer)
	t.target(r, "`ansible-playbook` over evenkeel, drained, only what this change needs", drainPeer, drainApply, rollingUnderPeer)
	if f, ok := r.median(rollFloor); ok {
		t.conclude("the floor, for each host: %s", milliseconds(f.wall, hosts))
	}
	return t
}

func soakTable(r *results, hosts int) *table {
	t := &table{title: fmt.Sprintf("The same with minHealthyTime %s", soakTime), header: timesHeader("the floor"),
		remarks: []string{"What a rollout costs beside what it has to wait for: the floor restarts, waits for the first good answer and for the soak, on kept connections."}}
	t.line(r, "`evenkeel apply --yes`", soakApply, soakFloor)
	t.line(r, "floor: restarts, health waits and soaks alone", soakFloor, soakFloor)
	t.bound(r, "evenkeel over the floor", soakApply, soakFloor, rollingOverFloor)
	return t
}

// phasesTable shows where the median rolling apply spent its time.
func phasesTable(r *results, hosts int) *table {
	t := &table{title: "Where evenkeel's time goes, one host at a time", header: []string{"for each host", "plain", "drained", "soaked"},
		remarks: []string{"By the engine's log, the median run, divided by the number of hosts. The rest is what no command accounts for: " +
			"the budget's looks and pauses. What is looked at and staged ahead, while the host before is in hand, shows as 0; the soak is in the rest. The start is the program's, the first look and the takeover, once for all hosts."}}
	plain, drained, soaked := middle(r.phases[rollApply]), middle(r.phases[drainApply]), middle(r.phases[soakApply])
	if plain == nil && drained == nil && soaked == nil {
		return t
	}
	var names []string
	for _, p := range []*phases{plain, drained, soaked} {
		if p == nil {
			continue
		}
		for name := range p.commands {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	cell := func(p *phases, of func(*phases) time.Duration) string {
		if p == nil {
			return "-"
		}
		return milliseconds(of(p), hosts)
	}
	all := func(words string, of func(*phases) time.Duration) {
		t.row(words, cell(plain, of), cell(drained, of), cell(soaked, of))
	}
	for _, name := range names {
		all(name, func(p *phases) time.Duration { return p.commands[name] })
	}
	all("the rest", (*phases).rest)
	all("all steps", (*phases).steps)
	all("all but drain, restart and health", (*phases).engine)
	all("the start, shared", (*phases).start)
	for _, x := range []struct {
		words string
		*phases
	}{{"plain", plain}, {"drained", drained}} {
		if x.phases == nil {
			continue
		}
		took := x.engine() / time.Duration(hosts)
		verdict := "met"
		if took > engineAtMost {
			verdict = "**missed**"
		}
		t.conclude("engine overhead for each host, %s: %s; target at most %s: %s", x.words, milliseconds(took, 1), milliseconds(engineAtMost, 1), verdict)
	}
	return t
}

// engineAtMost is the target for what a host's step takes beside drain, restart and health.
const engineAtMost = 60 * time.Millisecond

func middle(all []phases) *phases {
	if len(all) == 0 {
		return nil
	}
	sorted := slices.SortedFunc(slices.Values(all), func(a, b phases) int { return int(a.wall - b.wall) })
	return &sorted[len(sorted)/2]
}

func milliseconds(d time.Duration, hosts int) string {
	return fmt.Sprintf("%.0f ms", d.Seconds()*1000/float64(hosts))
}
