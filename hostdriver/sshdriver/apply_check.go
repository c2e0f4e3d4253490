package sshdriver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// precheck asks for facts; what is wrong with them is found here, all of it at once.
func (d *Driver) precheck(f hostdriver.Fence, op hostdriver.Precheck) (*change, error) {
	s := d.mutation(f, "facts", "manager", "check", "trial")
	dirs := newNames()
	dirs.add(slices.Sorted(maps.Keys(op.NeedBytes))...)
	dirs.add(slices.Sorted(maps.Keys(op.NeedInodes))...)
	var units []string
	for _, u := range op.Units {
		if !hostdriver.IsTemplate(u) {
			units = append(units, u)
		}
	}
	if err := checkNames(dirs.list, nil, units, nil); err != nil {
		return nil, err
	}
	s.setList("ROOMS", dirs.list)
	s.setList("UNITS", units)
	if err := s.setTrial(op.Trial); err != nil {
		return nil, err
	}
	if err := s.setPulls(op.Pulls, d.pullTimes); err != nil {
		return nil, err
	}
	result := func(records []record) (hostdriver.Result, error) {
		var found []hostdriver.Finding
		var warnings []string
		for _, r := range records {
			var more []hostdriver.Finding
			var err error
			switch r.kind {
			case "rooms":
				more, err = roomFindings(op, dirs.list, r)
			case "units":
				more, err = unitFindings(r, ownJobs(records))
			case "pulls":
				more, err = pullFindings(op.Pulls, r)
			case "trial":
				more, warnings, err = trialFindings(op.Trial, r)
			}
			if err != nil {
				return hostdriver.Result{}, err
			}
			found = append(found, more...)
		}
		return hostdriver.Result{Warnings: warnings}, hostdriver.FindingsError(found)
	}
	return &change{request: request{script: s, call: "op_precheck"}, result: result}, nil
}

// roomFindings compares what is needed with what df says, added up where several
// directories share a filesystem.
func roomFindings(op hostdriver.Precheck, dirs []string, r record) ([]hostdriver.Finding, error) {
	lines, flags := r.lines(), r.args
	if len(lines) != len(dirs)+1 || len(flags) != len(dirs) {
		return nil, fmt.Errorf("df answers for %d of %d directories: %s", len(lines)-1, len(dirs), printable(string(r.body), 200))
	}
	type filesystem struct {
		bytes, inodes, needBytes, needInodes int64
		readOnly                             bool
	}
	mounts, order := map[string]*filesystem{}, newNames()
	for i, dir := range dirs {
		st, target, err := parseRoom(lines[i+1])
		if err != nil {
			return nil, err
		}
		fs := mounts[target]
		if fs == nil {
			fs = &filesystem{bytes: st.FreeBytes, inodes: st.FreeInodes}
			mounts[target] = fs
			order.add(target)
		}
		fs.needBytes += op.NeedBytes[dir]
		fs.needInodes += op.NeedInodes[dir]
		fs.readOnly = fs.readOnly || flags[i] == "ro"
	}
	var found []hostdriver.Finding
	for _, target := range order.list {
		fs := mounts[target]
		if fs.readOnly {
			found = append(found, hostdriver.Finding{Reason: hostdriver.ReadOnly, Place: target, What: fmt.Sprintf("the filesystem %s is read-only", target),
				Mend: "see dmesg there for why, then mount -o remount,rw " + target})
		}
		if fs.needBytes > fs.bytes {
			found = append(found, hostdriver.Finding{Reason: hostdriver.DiskFull, Place: target,
				What: fmt.Sprintf("the filesystem %s has %d bytes free, and %d are needed", target, fs.bytes, fs.needBytes), Mend: "make room on " + target})
		}
		if fs.inodes >= 0 && fs.needInodes > fs.inodes {
			found = append(found, hostdriver.Finding{Reason: hostdriver.InodesUsedUp, Place: target,
				What: fmt.Sprintf("the filesystem %s has %d inodes free, and %d are needed", target, fs.inodes, fs.needInodes), Mend: "remove files from " + target + ": its inodes are used up, not its room"})
		}
	}
	return found, nil
}

// parseRoom reads a line of df --output=avail,iavail,itotal,target -B1.
func parseRoom(line string) (hostdriver.DiskState, string, error) {
	f := strings.Fields(line)
	if len(f) < 4 {
		return hostdriver.DiskState{}, "", fmt.Errorf("df says %s", printable(line, 200))
	}
	bytes, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return hostdriver.DiskState{}, "", fmt.Errorf("df says %s", printable(line, 200))
	}
	st := hostdriver.DiskState{FreeBytes: bytes, FreeInodes: -1}
	// A filesystem that makes inodes as it needs them has none in all, or "-".
	if inodes, err := strconv.ParseInt(f[1], 10, 64); err == nil && f[2] != "0" {
		st.FreeInodes = inodes
	}
	return st, printable(strings.Join(f[3:], " "), 200), nil
}

// ownJobs are jobs that we have left there, by unit: they are in nobody's way.
func ownJobs(records []record) map[string]string {
	own := map[string]string{}
	for _, r := range records {
		if r.kind == "ours" {
			own[r.arg(0)] = r.arg(1)
		}
	}
	return own
}

func unitFindings(r record, own map[string]string) ([]hostdriver.Finding, error) {
	units, err := parseUnits(r)
	if err != nil {
		return nil, err
	}
	var found []hostdriver.Finding
	for _, name := range slices.Sorted(maps.Keys(units)) {
		st := units[name]
		if st.Load == "masked" || strings.HasPrefix(st.File, "masked") {
			found = append(found, hostdriver.Finding{Reason: hostdriver.UnitMasked, Place: name, What: name + " is masked", Mend: hostdriver.Systemctl("unmask", name) + " there, or suspend the host"})
		}
		if st.Job != "0" && own[name] != st.Job {
			found = append(found, hostdriver.Finding{Reason: hostdriver.JobQueued, Place: name, What: fmt.Sprintf("%s has a job queued, number %s", name, printable(st.Job, 20)),
				Mend: "see systemctl list-jobs there; wait for it, or systemctl cancel it"})
		}
	}
	return found, nil
}
