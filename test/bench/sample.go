package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is one run.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system time of the program and its children, without the hosts'; 0 where not known
	host time.Duration // CPU time of one host, on average; 0 where not known
}

// measure names what was measured.
type measure string

// The measures. A pass is a look at all hosts with nothing to do.
const (
	passPlan          measure = "pass: evenkeel plan"
	passPlanRoot      measure = "pass: evenkeel plan as root"
	passFloor         measure = "pass: floor"
	passFloorRoot     measure = "pass: floor as root"
	passFloorHash     measure = "pass: floor that hashes the binary"
	passFloorHashRoot measure = "pass: floor that hashes the binary, as root"
	passPeer          measure = "pass: ansible-playbook"
	passPeerCheck     measure = "pass: ansible-playbook --check"

	warmLook          measure = "warm: evenkeel's look"
	warmLookRoot      measure = "warm: evenkeel's look as root"
	warmFloor         measure = "warm: floor"
	warmFloorRoot     measure = "warm: floor as root"
	warmFloorHash     measure = "warm: floor that hashes the binary"
	warmFloorHashRoot measure = "warm: floor that hashes the binary, as root"

	deployApply measure = "deploy: evenkeel apply"
	deployPeer  measure = "deploy: ansible-playbook"
	deployFloor measure = "deploy: floor"

	rollApply measure = "rolling: evenkeel apply"
	rollPeer  measure = "rolling: ansible-playbook, the usual"
	rollLeast measure = "rolling: ansible-playbook, the least"
	rollFloor measure = "rolling: restarts and health waits alone"

	soakApply measure = "soaked: evenkeel apply"
	soakFloor measure = "soaked: restarts and health waits alone"

	drainApply measure = "drained: evenkeel apply"
	drainPeer  measure = "drained: ansible-playbook"

	rotateApply measure = "rotation: evenkeel apply"
	rotatePeer  measure = "rotation: ansible-playbook"

	releaseFirst measure = "artifacts: evenkeel apply"
	releaseNext  measure = "artifacts: evenkeel apply, 1 % changed"
	releaseMoved measure = "artifacts: evenkeel apply, 1 % changed, the rest moved"
	floorFirst   measure = "artifacts: floor"
	floorNext    measure = "artifacts: floor, 1 % changed"
	floorBytes   measure = "artifacts: floor, 1 % changed, the bytes alone"
	rsyncFirst   measure = "artifacts: rsync"
	rsyncNext    measure = "artifacts: rsync, 1 % changed"
	rsyncMoved   measure = "artifacts: rsync, 1 % changed, the rest moved"
	rsyncZFirst  measure = "artifacts: rsync -z"
	rsyncZNext   measure = "artifacts: rsync -z, 1 % changed"
	rsyncZMoved  measure = "artifacts: rsync -z, 1 % changed, the rest moved"
	copyFirst    measure = "artifacts: ansible-playbook"
	copyNext     measure = "artifacts: ansible-playbook, 1 % changed"
	copyMoved    measure = "artifacts: ansible-playbook, 1 % changed, the rest moved"
)

// results is every sample of a run.
type results struct {
	samples map[measure][]sample
	phases  map[measure][]phases // of rolling evenkeel applies
	users   map[measure]noticed  // of rotations
	watch   *watchFigures
	fleet   *fleetFigures
}

func newResults() *results {
	return &results{samples: map[measure][]sample{}, phases: map[measure][]phases{}, users: map[measure]noticed{}}
}

func (r *results) add(m measure, s sample) { r.samples[m] = append(r.samples[m], s) }

// median is the middle sample by wall time, whole: with an even number of samples, the
// slower of the middle two.
func (r *results) median(m measure) (sample, bool) {
	all := slices.SortedFunc(slices.Values(r.samples[m]), func(a, b sample) int { return int(a.wall - b.wall) })
	if len(all) == 0 {
		return sample{}, false
	}
	return all[len(all)/2], true
}

// spread is the fastest and the slowest sample.
func (r *results) spread(m measure) string {
	all := r.samples[m]
	if len(all) < 2 {
		return "-"
	}
	lo, hi := all[0].wall, all[0].wall
	for _, s := range all {
		lo, hi = min(lo, s.wall), max(hi, s.wall)
	}
	return fmt.Sprintf("%s to %s, %d runs", seconds(lo), seconds(hi), len(all))
}

// ratio is how many times as long a takes as b, by their medians.
func (r *results) ratio(a, b measure) (float64, bool) {
	x, okX := r.median(a)
	y, okY := r.median(b)
	if !okX || !okY || y.wall <= 0 {
		return 0, false
	}
	return float64(x.wall) / float64(y.wall), true
}

// seconds writes a time with three digits that count.
func seconds(d time.Duration) string {
	s := d.Seconds()
	switch {
	case s >= 99.95:
		return fmt.Sprintf("%.0f s", s)
	case s >= 9.995:
		return fmt.Sprintf("%.1f s", s)
	case s >= 0.9995:
		return fmt.Sprintf("%.2f s", s)
	}
	return fmt.Sprintf("%.3f s", s)
}
