package sshdriver

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// parse makes an Observation of the records of one reading. Whatever is missing,
// contradicts itself or is not of the form asked for is an error: a reading is whole
// or it is not one.
func (r *reading) parse(records []record) (hostdriver.Observation, ownManifest, error) {
	p := &observationParser{reading: r, seen: map[string]bool{}, digests: map[string]string{}, wanted: map[string]hostdriver.StartedAs{}, obs: hostdriver.Observation{
		Paths: make(map[string]hostdriver.PathState, len(r.paths)), Units: make(map[string]hostdriver.UnitState, len(r.units)),
		Users: map[string]hostdriver.UserState{}, Groups: map[string]bool{},
		Processes: map[string]hostdriver.ProcessState{}, Disk: map[string]hostdriver.DiskState{},
		Started: map[string]hostdriver.StartedAs{},
	}}
	for _, q := range r.query.Paths {
		p.digests[q.Path] = q.SHA256
	}
	for _, rec := range records {
		if err := p.take(rec); err != nil {
			return hostdriver.Observation{}, ownManifest{}, fmt.Errorf("the reply's part %s: %w", printable(rec.kind, 40), err)
		}
	}
	if err := p.complete(); err != nil {
		return hostdriver.Observation{}, ownManifest{}, err
	}
	p.obs.Manifest = p.own.Manifest
	return p.obs, p.own, nil
}

// What it keeps of a reply are strings of their own: a part of a longer one would keep all
// of that.
type observationParser struct {
	*reading
	obs     hostdriver.Observation
	own     ownManifest
	seen    map[string]bool
	procs   []unitProcess
	digests map[string]string // by path, as asked for
	sealed  map[string]string // what stat said of a release when it was staged, to its digest
	trees   map[string]string // unpacked releases to their digests, if they are as they were staged
	wanted  map[string]hostdriver.StartedAs
	passwd  []passwdLine
}

// digest is one that a path has: mostly the one that was expected.
func (p *observationParser) digest(path, said string) string {
	if want := p.digests[path]; want == said {
		return want
	}
	return strings.Clone(said)
}

type unitProcess struct {
	unit string
	pid  int
}

func (p *observationParser) take(rec record) error {
	p.seen[rec.kind] = true
	switch rec.kind {
	case "own":
		return p.takeOwn(rec)
	case "kept":
		return p.takeKept(rec)
	case "stat":
		return p.takeStat(rec)
	case "sum":
		return p.takeSums(rec)
	case "torn":
		for _, path := range rec.lines() {
			delete(p.trees, path)
		}
		return nil
	case "content":
		return p.takeContent(rec)
	case "seal":
		return p.takeSeal(rec)
	case "units":
		return p.takeUnits(rec)
	case "links":
		return p.takeLinks(rec)
	case "templates":
		return p.takeTemplates(rec)
	case "manager":
		return p.takeManager(rec)
	case "host":
		return p.takeHost(rec)
	case "procs":
		return p.takeProcs(rec)
	case "env":
		return p.takeEnv(rec)
	case "passwd":
		return p.takePasswd(rec)
	case "group":
		return p.takeGroup(rec)
	case "disk":
		return p.takeDisk(rec)
	}
	return errors.New("unknown")
}

// complete checks that everything asked for was answered, and adds what is known by
// not having been told.
func (p *observationParser) complete() error {
	for _, kind := range []string{"own", "kept", "host"} {
		if !p.seen[kind] {
			return fmt.Errorf("the reply lacks the part %s", kind)
		}
	}
	for _, u := range p.query.Units {
		if _, ok := p.obs.Units[u]; !ok {
			return fmt.Errorf("the reply lacks the unit %s", u)
		}
	}
	p.settleWanted()
	if p.query.Light {
		return nil
	}
	if !p.seen["stat"] || !p.seen["torn"] || !p.seen["sum"] || !p.seen["procs"] || len(p.query.Disk) > 0 && !p.seen["disk"] {
		return errors.New("the reply lacks a part that was asked for")
	}
	for _, q := range p.query.Paths {
		p.absent(q.Path)
	}
	for _, e := range p.own.Entries {
		switch e.Kind {
		case hostdriver.KindFile, hostdriver.KindDirectory, hostdriver.KindLink, hostdriver.KindRelease:
			p.absent(e.Name)
		case hostdriver.KindUser:
			p.user(e.Name)
		}
	}
	for _, u := range p.query.Users {
		p.user(u)
	}
	for _, g := range p.query.Groups {
		if !p.obs.Groups[g] {
			p.obs.Groups[g] = false // it was not told, so it is not there
		}
	}
	for name, digest := range p.trees {
		if st := p.obs.Paths[name]; st.Type == hostdriver.PathDir {
			st.SHA256 = p.digest(name, digest)
			p.obs.Paths[name] = st
		}
	}
	p.dropTornContent()
	return nil
}

func (p *observationParser) absent(name string) {
	if _, ok := p.obs.Paths[name]; !ok {
		p.obs.Paths[name] = hostdriver.PathState{Type: hostdriver.PathAbsent}
	}
}

func (p *observationParser) user(name string) {
	if _, ok := p.obs.Users[name]; !ok {
		p.obs.Users[name] = hostdriver.UserState{}
	}
}

// dropTornContent takes out contents that are not what the digest told moments
// before: the file was being written.
func (p *observationParser) dropTornContent() {
	for name, st := range p.obs.Paths {
		if st.Content != nil && st.Content.SHA256() != st.SHA256 {
			st.Content = nil
			p.obs.Paths[name] = st
		}
	}
}

// takeStat reads lines made with the format STAT of observe.sh, and stat's complaints.
func (p *observationParser) takeStat(rec record) error {
	for _, line := range rec.lines() {
		if strings.HasPrefix(line, "stat: ") {
			if !strings.HasSuffix(line, ": No such file or directory") && !strings.HasSuffix(line, ": Not a directory") {
				return fmt.Errorf("it says %s", printable(line, 200))
			}
			continue
		}
		if procGone(line) {
			continue
		}
		name, st, changed, err := parseStat(line)
		if err != nil {
			return err
		}
		if name == hostClockPath {
			p.obs.Clock = changed
			continue
		}
		if p.procLink(name, st.Target) {
			continue
		}
		if !p.paths[name] {
			return fmt.Errorf("it tells of %s, which was not asked for", printable(name, 200))
		}
		if digest := p.sealed[line]; digest != "" {
			st.SHA256 = p.digest(name, digest)
		}
		p.obs.Paths[common.one(name)] = st
	}
	if p.obs.Clock.IsZero() {
		return errors.New("it lacks the host's clock")
	}
	return nil
}

// procGone tells stat's line of a process that ended while it was looked at: its link is
// there, and points nowhere any more. The complaint stands where the target would be.
func procGone(line string) bool {
	_, quoted, _ := strings.Cut(line, " //")
	link, complaint, err := unquoteC(quoted)
	return err == nil && strings.HasPrefix(link, "/proc/") && strings.HasPrefix(complaint, "stat: cannot read symbolic link '/proc/")
}

// hostClockPath is looked at for its time alone, see look_paths.
const hostClockPath = "/proc/self/status"

func parseStat(line string) (string, hostdriver.PathState, time.Time, error) {
	line, quoted, _ := strings.Cut(line, " //")
	f, whole := statFields(line)
	if !whole || hostdriver.CheckPath(f[10]) != nil {
		return "", hostdriver.PathState{}, time.Time{}, fmt.Errorf("a line reads %s", printable(line, 200))
	}
	raw, err1 := strconv.ParseUint(f[0], 16, 32)
	size, err2 := strconv.ParseInt(f[2], 10, 64)
	changed, err3 := parseEpochTime(f[7])
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", hostdriver.PathState{}, time.Time{}, fmt.Errorf("a line reads %s", printable(line, 200))
	}
	st := hostdriver.PathState{Owner: common.one(ownerName(f[3], f[4])), Group: common.one(ownerName(f[5], f[6])), Mode: uint32(raw & 0o7777), Changed: changed}
	switch raw >> 12 {
	case 0o10:
		st.Type, st.Size = hostdriver.PathFile, size
	case 0o04:
		st.Type = hostdriver.PathDir
	case 0o12:
		st.Type = hostdriver.PathSymlink
		target, err := linkTarget(f[10], quoted)
		if err != nil {
			return "", st, changed, err
		}
		st.Target = target
	default:
		st.Type = hostdriver.PathOther
	}
	return f[10], st, changed, nil
}

// statFields splits a line; the last field, the path, may hold blanks.
func statFields(line string) (f [11]string, whole bool) {
	for i := range f[:10] {
		var ok bool
		if f[i], line, ok = strings.Cut(line, " "); !ok {
			return f, false
		}
	}
	f[10] = line
	return f, true
}

// linkTarget reads what stat's %N says of a link, both names in C's quotes: "LINK" -> "TARGET".
func linkTarget(link, quoted string) (string, error) {
	name, rest, err1 := unquoteC(quoted)
	rest, arrow := strings.CutPrefix(rest, " -> ")
	target, rest, err2 := unquoteC(rest)
	if err1 != nil || err2 != nil || !arrow || rest != "" || name != link {
		return "", fmt.Errorf("the link %s reads %s", link, printable(quoted, 200))
	}
	return target, nil
}

// unquoteC reads a string in the quoting style "c" of the GNU tools, and returns what
// follows it.
func unquoteC(s string) (string, string, error) {
	if !strings.HasPrefix(s, `"`) {
		return "", s, errors.New("no quote")
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c != '\\':
			b.WriteByte(c)
		case i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '3':
			n, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
			if err != nil {
				return "", s, err
			}
			b.WriteByte(byte(n))
			i += 3
		case i+1 < len(s):
			i++
			if at := strings.IndexByte("abfnrtv", s[i]); at >= 0 {
				b.WriteByte("\a\b\f\n\r\t\v"[at])
			} else {
				b.WriteByte(s[i])
			}
		}
	}
	return "", s, errors.New("no closing quote")
}

// ownerName is the name, or the number where stat knows none.
func ownerName(name, id string) string {
	if name == "UNKNOWN" || hostdriver.CheckAccount(name) != nil {
		if _, err := strconv.ParseUint(id, 10, 32); err != nil {
			return ""
		}
		return id
	}
	return name
}

// parseEpochTime reads seconds and their fraction since 1970.
func parseEpochTime(s string) (time.Time, error) {
	secs, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(secs, 10, 40)
	if err != nil {
		return time.Time{}, err
	}
	frac = (frac + "000000000")[:9]
	ns, err := strconv.ParseUint(frac, 10, 32)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(n, int64(ns)).UTC(), nil
}

func (p *observationParser) takeSums(rec record) error {
	for _, line := range rec.lines() {
		escaped := strings.HasPrefix(line, `\`)
		line = strings.TrimPrefix(line, `\`)
		if len(line) < 67 || line[64:66] != "  " || !hostdriver.IsDigest(line[:64]) {
			return fmt.Errorf("a line reads %s", printable(line, 200))
		}
		name := line[66:]
		if escaped {
			name = strings.ReplaceAll(name, `\\`, `\`)
		}
		st, ok := p.obs.Paths[name]
		if !ok || st.Type != hostdriver.PathFile {
			return fmt.Errorf("it has a digest of %s, which is not a file", printable(name, 200))
		}
		st.SHA256 = p.digest(name, line[:64])
		p.obs.Paths[common.one(name)] = st
	}
	return nil
}

func (p *observationParser) takeContent(rec record) error {
	name, coded, _ := strings.Cut(string(rec.body), "\n")
	st, ok := p.obs.Paths[name]
	if !ok || st.Type != hostdriver.PathFile {
		return fmt.Errorf("it has the content of %s, which is not a file", printable(name, 200))
	}
	b, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		return fmt.Errorf("the content of %s is not base64", printable(name, 200))
	}
	for _, q := range p.query.Paths {
		if q.Path == name && (q.Seal != nil || int64(len(b)) <= q.MaxContent && q.SHA256 != st.SHA256) {
			c := hostdriver.NewContent(b)
			st.Content = &c
			p.obs.Paths[name] = st
		}
	}
	return nil
}

// takeSeal reads how what an encrypted file holds compares.
func (p *observationParser) takeSeal(rec record) error {
	lines := rec.lines()
	if len(lines) == 0 {
		return errors.New("it does not say of what")
	}
	i := slices.IndexFunc(p.query.Paths, func(q hostdriver.PathQuery) bool { return q.Seal != nil && q.Path == lines[0] })
	match := hostdriver.SealMatch(rec.arg(0))
	st, ok := p.obs.Paths[lines[0]]
	switch {
	case i < 0:
		return fmt.Errorf("it tells of %s, which was not asked for", printable(lines[0], 200))
	case !ok || st.Type != hostdriver.PathFile:
		return fmt.Errorf("it tells of %s, which is not a file", printable(lines[0], 200))
	case match == hostdriver.SealUnreadable:
		st.SealWhy = "it does not say why"
		if len(lines) > 1 {
			st.SealWhy = printable(lines[len(lines)-1], 300)
		}
	case match != hostdriver.SealSame && match != hostdriver.SealDiffers:
		return fmt.Errorf("it says %s of %s", printable(string(match), 40), lines[0])
	}
	st.Seal = match
	p.obs.Paths[common.one(lines[0])] = st
	return nil
}

// takeProcs reads which process each running unit has; where they point follows in
// the next part, after the symbolic links among the paths, in the same order.
func (p *observationParser) takeProcs(rec record) error {
	for _, line := range rec.lines() {
		number, unit, _ := strings.Cut(line, " ")
		pid, err := strconv.ParseInt(number, 10, 32)
		st, ok := p.obs.Units[unit]
		if err != nil || !ok || st.MainPID != int(pid) || pid <= 0 {
			return fmt.Errorf("a line reads %s, which is not what systemctl says", printable(line, 200))
		}
		unit = common.one(unit)
		p.procs = append(p.procs, unitProcess{unit, int(pid)})
		p.obs.Processes[unit] = hostdriver.ProcessState{PID: int(pid)}
	}
	return nil
}

// procLink takes where /proc/PID/exe or cwd of a unit's process points.
func (p *observationParser) procLink(name, target string) bool {
	if !strings.HasPrefix(name, "/proc/") {
		return false
	}
	number, what, _ := strings.Cut(name[len("/proc/"):], "/")
	pid, err := strconv.Atoi(number)
	if err != nil || strconv.Itoa(pid) != number {
		return false
	}
	for _, proc := range p.procs {
		if proc.pid != pid {
			continue
		}
		st := p.obs.Processes[proc.unit]
		switch what {
		case "exe":
			exe, deleted := strings.CutSuffix(target, " (deleted)")
			st.Exe, st.Deleted = common.one(exe), deleted
		case "cwd":
			st.Cwd = common.one(target)
		default:
			continue
		}
		p.obs.Processes[proc.unit] = st
		return true
	}
	return false
}
