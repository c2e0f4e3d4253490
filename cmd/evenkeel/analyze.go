package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// analyzer asks the systemd of this machine, where there is one, about the fleet's units:
// systemd-analyze verify, and security for its score. Units of many services are asked
// about at once. It is never needed.
type analyzer struct {
	rev     *desired.Revision
	wanted  map[string]bool // by service: whether anybody wants to know
	seen    map[string]bool // what was collected, by content
	batches []*unitBatch    // in each, every unit's name stands once
}

// unitBatch are unit files that lie in one folder.
type unitBatch struct {
	files   map[string]desired.File // by their place in the folder
	units   map[string]analyzedUnit // by name
	targets []string                // names, in order
}

type analyzedUnit struct{ service, source string }

// analyzeTime bounds one run of systemd-analyze.
const analyzeTime = 30 * time.Second

func newAnalyzer(rev *desired.Revision) *analyzer {
	return &analyzer{rev: rev, wanted: map[string]bool{}, seen: map[string]bool{}}
}

// collect is a desired.Check that finds nothing yet: it notes the units of a host.
func (a *analyzer) collect(_ context.Context, st desired.HostState) []desired.Fault {
	for i := range st.Instances {
		a.instance(&st.Instances[i])
	}
	return nil
}

func (a *analyzer) instance(in *desired.Instance) {
	wanted, known := a.wanted[in.Service]
	if !known {
		wanted = a.rev.Taken(in.Service, "systemd-verify") != desired.LevelOff || a.rev.Taken(in.Service, "exposure") != desired.LevelOff
		a.wanted[in.Service] = wanted
	}
	if !wanted {
		return
	}
	files, units := map[string]desired.File{}, map[string]analyzedUnit{}
	key := in.Service
	for _, f := range in.Files {
		// What came out of a SOPS file is never written anywhere on this machine.
		if (f.Kind != desired.FileUnit && f.Kind != desired.FileDropIn) || f.Secret || strings.Contains(f.Path, "/containers/") || len(f.Sources) == 0 {
			continue
		}
		if user, _ := hostdriver.SplitUnit(f.Unit); user != "" { // what is checked here is how the host's own systemd would take them
			continue
		}
		place := filepath.Base(f.Path)
		if f.Kind == desired.FileDropIn {
			place = filepath.Join(filepath.Base(filepath.Dir(f.Path)), place)
		} else if !strings.Contains(place, "@.") {
			units[place] = analyzedUnit{in.Service, f.Sources[0]}
		}
		files[place] = f
		key += "\n" + f.SHA256
	}
	if len(units) == 0 || a.seen[key] {
		return
	}
	a.seen[key] = true
	for _, b := range a.batches {
		if b.take(files, units) {
			return
		}
	}
	b := &unitBatch{files: map[string]desired.File{}, units: map[string]analyzedUnit{}}
	b.take(files, units)
	a.batches = append(a.batches, b)
}

// take adds a service's files, unless one of that name is there already.
func (b *unitBatch) take(files map[string]desired.File, units map[string]analyzedUnit) bool {
	for place := range files {
		if _, there := b.files[place]; there {
			return false
		}
	}
	for place, f := range files {
		b.files[place] = f
	}
	for name, u := range units {
		b.units[name] = u
		b.targets = append(b.targets, name)
	}
	slices.Sort(b.targets)
	return true
}

// faults is what systemd says, but for lines of which known already tells something.
func (a *analyzer) faults(ctx context.Context, known []desired.Fault) []desired.Fault {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil || len(a.batches) == 0 {
		return nil
	}
	said := map[string]bool{}
	for _, f := range known {
		said[fmt.Sprintf("%s:%d", f.Pos.File, f.Pos.Line)] = true
	}
	var found []desired.Fault
	for _, b := range a.batches {
		dir, err := b.write()
		if err == nil {
			for _, f := range append(a.verify(ctx, program, dir, b), a.security(ctx, program, dir, b)...) {
				if f.Rule != "systemd-verify" || !said[fmt.Sprintf("%s:%d", f.Pos.File, f.Pos.Line)] {
					found = append(found, f)
				}
			}
		}
		_ = os.RemoveAll(dir)
	}
	return found
}

// write lays the files into a folder of their own.
func (b *unitBatch) write() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "evenkeel-units-"); err != nil {
		return "", err
	}
	for place, f := range b.files {
		file := filepath.Join(dir, place)
		if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
			err = os.WriteFile(file, f.Content.Bytes(), 0o600)
		}
		if err != nil {
			return dir, err
		}
	}
	return dir, nil
}

func (b *unitBatch) run(ctx context.Context, dir, program string, args ...string) []byte {
	ctx, cancel := context.WithTimeout(ctx, analyzeTime)
	defer cancel()
	for _, name := range b.targets {
		if args[0] == "verify" || strings.HasSuffix(name, ".service") {
			args = append(args, filepath.Join(dir, name))
		}
	}
	cmd := exec.CommandContext(ctx, program, args...) // #nosec G204 -- systemd-analyze, and files that we have made
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=", "SYSTEMD_EMOJI=0", "SYSTEMD_LOG_LEVEL=warning", "SYSTEMD_LOG_TARGET=console")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	_ = cmd.Run() // its exit status says only that it has found something
	return out.Bytes()
}

// notHere are complaints that are about this machine, not about the unit.
var notHere = regexp.MustCompile(`is not executable|No such file or directory|not found|Failed to (?:add|load|create|prepare|connect|set up)|man page|SO_|Permission denied|is writable by|is marked|cgroup`)

var verifyLine = regexp.MustCompile(`^(?:(.*/)?([^/:\s]+(?:\.d/[^/:\s]+)?)):(?:(\d+):)? (.*)$`)

// verify asks whether systemd would load the units as they stand.
func (a *analyzer) verify(ctx context.Context, program, dir string, b *unitBatch) []desired.Fault {
	var found []desired.Fault
	for line := range strings.Lines(string(b.run(ctx, dir, program, "verify", "--man=no", "--recursive-errors=no"))) {
		line = strings.TrimPrefix(strings.TrimSpace(line), dir+"/")
		m := verifyLine.FindStringSubmatch(line)
		if m == nil || notHere.MatchString(m[4]) {
			continue
		}
		f, ours := b.files[m[1]+m[2]]
		if !ours {
			continue
		}
		service := b.serviceOf(m[1] + m[2])
		number, _ := strconv.Atoi(m[3])
		if fault, ok := a.fault("systemd-verify", service, desired.Position{File: f.Sources[0], Line: max(1, number), Column: 1}); ok {
			fault.Message, fault.Mend = "systemd says: "+strings.TrimSuffix(m[4], "."), "correct the line (systemd-analyze verify)"
			found = append(found, fault)
		}
	}
	return found
}

// serviceOf is the service of a file: of a drop-in, its unit's.
func (b *unitBatch) serviceOf(place string) string {
	unit := place
	if d, _, ok := strings.Cut(place, ".d/"); ok {
		unit = d
	}
	return b.units[unit].service
}

// exposed is from which score on a service is told of. systemd calls it EXPOSED from
// there on, and UNSAFE from 9.
const exposed = 7.5

var exposureLine = regexp.MustCompile(`Overall exposure level for (\S+): ([0-9.]+) (\S+)`)

// security asks for the score of systemd-analyze security, from 0 to 10.
func (a *analyzer) security(ctx context.Context, program, dir string, b *unitBatch) []desired.Fault {
	if !slices.ContainsFunc(b.targets, func(n string) bool { return strings.HasSuffix(n, ".service") }) {
		return nil
	}
	var found []desired.Fault
	for line := range strings.Lines(string(b.run(ctx, dir, program, "security", "--offline=true", "--no-pager"))) {
		m := exposureLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		score, err := strconv.ParseFloat(m[2], 64)
		u, ours := b.units[m[1]]
		if err != nil || !ours || score < exposed {
			continue
		}
		if fault, ok := a.fault("exposure", u.service, desired.Position{File: u.source, Line: 1, Column: 1}); ok {
			fault.Message = fmt.Sprintf("%s scores %s of 10 in systemd-analyze security (%s): it may do much more than most services need", m[1], m[2], m[3])
			fault.Mend = "systemd-analyze security --offline=true " + u.source + " tells what each setting would give; begin with ProtectSystem=strict, NoNewPrivileges=yes, CapabilityBoundingSet=, SystemCallFilter=@system-service"
			found = append(found, fault)
		}
	}
	return found
}

// fault begins a finding as the repo wants it taken; ok is false where it is off.
func (a *analyzer) fault(rule, service string, pos desired.Position) (f desired.Fault, ok bool) {
	f = desired.Fault{Pos: pos, Severity: desired.SeverityWarning, Rule: rule, Service: service}
	switch a.rev.Taken(service, rule) {
	case desired.LevelOff:
		return f, false
	case desired.LevelError:
		f.Severity = desired.SeverityError
	}
	return f, true
}
