package sshdriver

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// takeUnits reads what systemctl show printed: a block a unit, in the order asked.
func (p *observationParser) takeUnits(rec record) error {
	units, err := parseUnits(rec)
	for name, st := range units {
		if !p.units[name] {
			return fmt.Errorf("it tells of %s, which was not asked for", name)
		}
		p.obs.Units[common.one(name)] = st
	}
	return err
}

// parseUnits reads a record whose arguments are unit names and whose body is what
// systemctl show printed for them.
func parseUnits(rec record) (map[string]hostdriver.UnitState, error) {
	blocks := strings.Split(strings.Trim(string(rec.body), "\n"), "\n\n")
	if len(blocks) != len(rec.args) {
		return nil, fmt.Errorf("it has %d units for %d names", len(blocks), len(rec.args))
	}
	units := make(map[string]hostdriver.UnitState, len(blocks))
	for i, block := range blocks {
		if err := hostdriver.CheckUnit(rec.args[i]); err != nil {
			return nil, err
		}
		st, err := parseUnit(block)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rec.args[i], err)
		}
		if user, _ := hostdriver.SplitUnit(rec.args[i]); user != "" {
			st.Takes, st.Triggers = unitsOfUser(user, st.Takes), unitsOfUser(user, st.Triggers)
		}
		units[rec.args[i]] = st
	}
	return units, nil
}

// unitsOfUser names units that a user's systemd has named.
func unitsOfUser(user string, names []string) []string {
	for i, n := range names {
		names[i] = common.one(hostdriver.UnitOf(user, n))
	}
	return names
}

// takeLinks reads where units are linked. What is no name of a unit, or folder of links, is
// left out: anybody may put something there.
func (p *observationParser) takeLinks(rec record) error {
	for _, line := range rec.lines() {
		unit, link, ok := strings.Cut(line, "\t")
		u, known := p.obs.Units[unit]
		if !ok || !known {
			return fmt.Errorf("a line reads %s", printable(line, 200))
		}
		name := link
		for _, kind := range []string{".wants", ".requires", ".upholds"} {
			name = strings.TrimSuffix(name, kind)
		}
		if at, there := slices.BinarySearch(u.Links, link); !there && hostdriver.CheckUnit(name) == nil {
			u.Links = slices.Insert(u.Links, at, common.one(link))
			p.obs.Units[unit] = u
		}
	}
	return nil
}

// takeManager reads how the systemd of a user is whose units there are.
func (p *observationParser) takeManager(rec record) error {
	user := rec.arg(0)
	if hostdriver.CheckAccount(user) != nil {
		return fmt.Errorf("it is of %s", printable(user, 60))
	}
	if p.obs.Managers == nil {
		p.obs.Managers = map[string]hostdriver.ManagerState{}
	}
	p.obs.Managers[common.one(user)] = hostdriver.ManagerState{Lingers: rec.arg(1) == "on", Ours: rec.arg(2) == "ours", Up: rec.arg(3) == "up",
		Lacks: printable(strings.TrimSpace(string(rec.body)), 200)}
	return nil
}

func parseUnit(block string) (hostdriver.UnitState, error) {
	var u hostdriver.UnitState
	id := false
	for line := range strings.Lines(block) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			continue // the second line of a value that has several
		}
		if key == "Id" {
			id = true
		}
		if err := setUnit(&u, key, value); err != nil {
			return u, fmt.Errorf("%s: %w", key, err)
		}
	}
	if !id || u.Load == "" || u.Active == "" {
		return u, errors.New("it tells no state")
	}
	if u.Job == "" {
		u.Job = "0"
	}
	return u, nil
}

func setUnit(u *hostdriver.UnitState, key, value string) (err error) {
	switch key {
	case "LoadState":
		u.Load = common.one(value)
	case "ActiveState":
		u.Active = common.one(value)
	case "SubState":
		u.Sub = common.one(value)
	case "UnitFileState":
		u.File = common.one(value)
	case "Type":
		u.Type = common.one(value)
	case "Result":
		u.Result = common.one(value)
	case "InvocationID":
		u.InvocationID = strings.Clone(value)
	case "MainPID":
		u.MainPID, err = parseSmall(value)
	case "ExecMainStatus":
		u.ExecStatus, err = parseSmall(value)
	case "ExecMainCode":
		u.ExecCode = exitCode(value)
	case "NRestarts":
		u.Restarts, err = parseSmall(value)
	case "NeedDaemonReload":
		u.NeedReload = value == "yes"
	case "Job":
		u.Job = common.one(value)
	case "FragmentPath":
		u.Fragment = common.one(value)
	case "DropInPaths":
		for _, d := range splitQuoted(value) {
			u.DropIns = append(u.DropIns, common.one(d))
		}
	case "SourcePath":
		u.Source = common.one(value)
	case "ActiveEnterTimestamp":
		u.ActiveSince, err = parseTimestamp(value)
	case "InactiveEnterTimestamp":
		u.InactiveSince, err = parseTimestamp(value)
	case "ExecMainStartTimestamp":
		u.Started, err = parseTimestamp(value)
	case "EnvironmentFiles":
		if value != "" {
			u.Environment = append(u.Environment, common.one(value))
		}
	case "RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf":
		u.Takes = takeNames(u.Takes, value)
	case "Triggers":
		u.Triggers = takeNames(nil, value)
	case "LastTriggerUSec":
		u.TimerLast, err = parseTimestamp(value)
	case "NextElapseUSecRealtime":
		u.TimerNext, err = parseTimestamp(value)
	case "StatusText":
		u.StatusText = printable(value, 512)
	case "ConditionResult":
		u.ConditionOK = value == "yes"
	case "CanReload":
		u.CanReload = value == "yes"
	case "Restart":
		u.RestartPolicy = common.one(value)
	}
	return err
}

// takeNames adds units' names to a sorted list; what cannot be one is left out.
func takeNames(to []string, value string) []string {
	for name := range strings.FieldsSeq(value) {
		if at, there := slices.BinarySearch(to, name); !there && hostdriver.CheckUnit(name) == nil {
			to = slices.Insert(to, at, common.one(name))
		}
	}
	return to
}

func parseSmall(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a number", s)
	}
	return int(n), nil
}

// exitCode names ExecMainCode, which is a CLD_ number of sigaction(2).
func exitCode(s string) string {
	switch s {
	case "1":
		return "exited"
	case "2":
		return "killed"
	case "3":
		return "dumped"
	}
	return ""
}

// splitQuoted splits a list of paths; systemd puts those with spaces into quotes.
func splitQuoted(s string) []string {
	if !strings.Contains(s, `"`) {
		return strings.Fields(s)
	}
	var out []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		if q, err := strconv.QuotedPrefix(s); err == nil && s[0] == '"' {
			if v, err := strconv.Unquote(q); err == nil {
				out, s = append(out, v), s[len(q):]
				continue
			}
		}
		word, rest, _ := strings.Cut(s, " ")
		out, s = append(out, word), rest
	}
	return out
}

// timestampLayouts are those of systemctl with and without --timestamp=us+utc, in UTC.
var timestampLayouts = []string{"Mon 2006-01-02 15:04:05.999999 MST", "Mon 2006-01-02 15:04:05 MST"}

// parseTimestamp reads a time; "", "n/a" and "0" are none.
func parseTimestamp(s string) (time.Time, error) {
	if oneOf(s, "", "n/a", "0", "[not set]", "infinity") {
		return time.Time{}, nil
	}
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.60q is not a time", s)
}

// takeTemplates reads what systemctl list-unit-files printed. A template is a file
// and never runs: it has no state but that of its file.
func (p *observationParser) takeTemplates(rec record) error {
	for _, line := range rec.lines() {
		f := strings.Fields(line)
		if len(f) < 2 || !hostdriver.IsTemplate(f[0]) || !p.units[f[0]] {
			return fmt.Errorf("a line reads %s", printable(line, 200))
		}
		p.obs.Units[common.one(f[0])] = hostdriver.UnitState{Load: "loaded", Active: "inactive", Sub: "dead", File: common.one(f[1]), Job: "0"}
	}
	for _, name := range p.templates() {
		if _, ok := p.obs.Units[name]; !ok {
			p.obs.Units[name] = hostdriver.UnitState{Load: "not-found", Active: "inactive", Sub: "dead", Job: "0"}
		}
	}
	return nil
}

// templates are those asked for and those of the manifest.
func (p *observationParser) templates() []string {
	var all []string
	for _, u := range p.query.Units {
		if hostdriver.IsTemplate(u) {
			all = append(all, u)
		}
	}
	for _, e := range p.own.Entries {
		if e.Kind == hostdriver.KindUnit && hostdriver.IsTemplate(e.Name) {
			all = append(all, e.Name)
		}
	}
	return all
}

var versionForm = regexp.MustCompile(`^[0-9]+`)

// takeHost reads boot id and systemd's version. A version such as 252-14.el9 counts as 252.
func (p *observationParser) takeHost(rec record) error {
	boot, version := rec.arg(0), versionForm.FindString(rec.arg(1))
	if len(boot) != 36 || strings.Trim(boot, "0123456789abcdef-") != "" {
		return fmt.Errorf("the boot id reads %s", printable(boot, 60))
	}
	p.obs.BootID, p.obs.Systemd = strings.Clone(boot), common.one(version)
	p.obs.Encrypts = rec.arg(3) == "creds"
	var err error
	p.obs.Mutations, err = parseCount(rec.arg(2))
	return err
}

// takeEnv reads how the environment of a unit's process compares.
func (p *observationParser) takeEnv(rec record) error {
	unit, pid, match := rec.arg(0), rec.arg(1), hostdriver.EnvMatch(rec.arg(2))
	i := slices.IndexFunc(p.query.Env, func(e hostdriver.EnvQuery) bool { return e.Unit == unit })
	if i < 0 {
		return fmt.Errorf("it tells of %s, which was not asked for", printable(unit, 60))
	}
	st := p.obs.Processes[unit]
	if st.PID != 0 && strconv.Itoa(st.PID) != pid {
		return fmt.Errorf("it tells of %s as process %s and %d", unit, printable(pid, 20), st.PID)
	}
	st.Env = hostdriver.EnvMatch(common.one(string(match)))
	switch match {
	case hostdriver.EnvSame, hostdriver.EnvUnreadable:
	case hostdriver.EnvDiffers:
		st.Digests = map[string]string{}
		for _, line := range rec.lines() {
			digest, key, _ := strings.Cut(line, " ")
			if !hostdriver.IsDigest(digest) || !slices.Contains(p.query.Env[i].Keys, key) {
				return fmt.Errorf("a line reads %s", printable(line, 200))
			}
			st.Digests[strings.Clone(key)] = strings.Clone(digest)
		}
	default:
		return fmt.Errorf("the outcome reads %s", printable(rec.arg(2), 60))
	}
	p.obs.Processes[common.one(unit)] = st
	return nil
}
