package sshdriver

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// takeOwn reads the host's own records, which head -v printed one after the other.
// Where one of them is damaged the whole reading is an error: to read less than the
// host has would be to take managed things for foreign ones.
func (p *observationParser) takeOwn(rec record) error {
	p.sealed, p.trees = map[string]string{}, map[string]string{}
	for name, body := range splitFiles(string(rec.body)) {
		if err := p.takeOwnFile(name, body); err != nil {
			return fmt.Errorf("%s: %w", printable(name, 200), err)
		}
	}
	return nil
}

// splitFiles undoes head -v for several files: "==> NAME <==", the lines, an empty line.
func splitFiles(s string) iter.Seq2[string, string] {
	return func(yield func(name, body string) bool) {
		name, begin := "", -1
		for at := 0; at < len(s); {
			end := strings.IndexByte(s[at:], '\n')
			if end < 0 {
				end = len(s) - at
			}
			line := s[at : at+end]
			if strings.HasPrefix(line, "==> /") && strings.HasSuffix(line, " <==") {
				if begin >= 0 && !yield(name, s[begin:at]) {
					return
				}
				name, begin = line[4:len(line)-4], min(at+end+1, len(s))
			}
			at += end + 1
		}
		if begin >= 0 {
			yield(name, s[begin:])
		}
	}
}

func (p *observationParser) takeOwnFile(name, body string) error {
	rel, ok := strings.CutPrefix(name, p.places.state+"/")
	if !ok {
		return errors.New("it is none of evenkeel's own")
	}
	line := strings.TrimRight(body, "\n")
	switch {
	case rel == "epoch":
		epoch, holder, _ := strings.Cut(line, "\t")
		n, err := parseCount(epoch)
		if err != nil {
			return err
		}
		p.obs.Epoch, p.obs.Holder = n, printable(holder, maxHolder)
	case rel == "claim":
		p.obs.Claim = printable(line, maxHolder)
	case rel == "deadman":
	case rel == "step":
		p.obs.Step = &hostdriver.StepRecord{}
		if err := json.Unmarshal([]byte(line), p.obs.Step); err != nil {
			return errors.New("it is not a step's record")
		}
	case rel == "switching":
		from, to, _ := strings.Cut(line, " ")
		f, err1 := parseCount(from)
		t, err2 := parseCount(to)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		p.obs.Switching = &hostdriver.Switching{From: f, To: t}
	case rel == "current/manifest":
		own, err := p.known.again(body)
		p.own = own
		p.expect(own.Entries)
		return err
	case path.Dir(rel) == "refused":
		return p.takeRefused(strings.TrimSuffix(path.Base(rel), ".refused"), line)
	case strings.HasPrefix(rel, "generations/") && path.Base(rel) == "manifest" && strings.Count(rel, "/") == 2:
		return p.takeGeneration(strings.Split(rel, "/")[1], body)
	case path.Dir(rel) == "started":
		return p.takeStarted(path.Base(rel), line)
	case path.Dir(rel) == "wanted":
		return p.takeWanted(path.Base(rel), line)
	case path.Dir(rel) == "hooks":
		return p.takeHook(path.Base(rel), line)
	case path.Dir(rel) == "releases":
		return p.takeRelease(line)
	default:
		return errors.New("it is not known")
	}
	return nil
}

// expect: what a manifest names is told as well.
func (p *observationParser) expect(entries []hostdriver.Entry) {
	for _, e := range entries {
		switch e.Kind {
		case hostdriver.KindUnit:
			p.units[e.Name] = true
		case hostdriver.KindUser:
			p.users[e.Name] = true
		default:
			p.paths[e.Name] = true
		}
	}
}

// takeStarted reads what a unit was last started with.
func (p *observationParser) takeStarted(unit, body string) error {
	if body == "" { // it is not durable: the power was cut when it had just been written
		return nil
	}
	st, err := parseStarted(unit, body)
	p.obs.Started[common.one(unit)] = st
	return err
}

// takeWanted reads what a unit was about to be started with: a record that is there
// only if the request that wrote it was cut before it could note the outcome.
func (p *observationParser) takeWanted(unit, body string) error {
	if body == "" {
		return nil
	}
	st, err := parseStarted(unit, body)
	p.wanted[common.one(unit)] = st
	return err
}

// parseStarted reads a line with InvocationID and generation, then one for each input.
// In a wanted record it is the InvocationID before.
func parseStarted(unit, body string) (hostdriver.StartedAs, error) {
	st := hostdriver.StartedAs{Inputs: map[string]string{}}
	if err := hostdriver.CheckUnit(unit); err != nil {
		return st, err
	}
	i := -1
	for line := range strings.SplitSeq(body, "\n") {
		i++
		a, b, ok := strings.Cut(line, "\t")
		switch {
		case !ok:
			return st, fmt.Errorf("a line reads %s", printable(line, 200))
		case i == 0:
			gen, err := parseCount(b)
			if err != nil {
				return st, err
			}
			st.Generation = gen
			if a != "-" {
				st.InvocationID = strings.Clone(a)
			}
		case hostdriver.CheckPath(b) != nil || hostdriver.HasControl(a):
			return st, fmt.Errorf("a line reads %s", printable(line, 200))
		default:
			st.Inputs[common.one(b)] = common.one(a)
		}
	}
	return st, nil
}

// settleWanted takes a start that was cut for done where the unit has been started
// since: whoever did it, the unit read what was on disk then.
func (p *observationParser) settleWanted() {
	for unit, st := range p.wanted {
		now, ok := p.obs.Units[unit]
		if ok && now.InvocationID != "" && now.InvocationID != st.InvocationID {
			st.InvocationID = now.InvocationID
			p.obs.Started[unit] = st
		}
	}
}

// takeRelease reads the record of a release: its digest and path, and what stat said
// of it when it had been staged, or of all that is in it.
func (p *observationParser) takeRelease(body string) error {
	first, rest, _ := strings.Cut(body, "\n")
	f := strings.Split(first, "\t")
	if len(f) != 4 || f[0] != "released" || !hostdriver.IsDigest(f[1]) || hostdriver.CheckPath(f[3]) != nil {
		return fmt.Errorf("it begins with %s", printable(first, 200))
	}
	for line := range strings.Lines(rest) {
		kind, stat, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		switch kind {
		case "stat":
			p.sealed[stat] = f[1]
		case "tree":
			p.trees[f[3]] = f[1]
		default:
			return fmt.Errorf("a line reads %s", printable(line, 200))
		}
	}
	return nil
}

func (p *observationParser) takeKept(rec record) error {
	for _, a := range rec.args {
		n, err := parseCount(a)
		if err != nil {
			return err
		}
		p.obs.Kept = append(p.obs.Kept, n)
	}
	slices.Sort(p.obs.Kept)
	for _, line := range rec.lines() {
		p.takeHead(line)
	}
	return nil
}

// takeHead reads the first line of a kept generation's manifest. One that is damaged
// tells nothing: it is an error once somebody wants to go back to it.
func (p *observationParser) takeHead(line string) {
	own, err := parseManifest(line)
	if err != nil || !slices.Contains(p.obs.Kept, own.Generation) {
		return
	}
	if p.obs.Revisions == nil {
		p.obs.Revisions = map[uint64]string{}
	}
	p.obs.Revisions[own.Generation] = common.one(own.Revision)
}

// passwdLine is one line of passwd(5), whose group is yet a number.
type passwdLine struct {
	name, gid string
	state     hostdriver.UserState
}

func (p *observationParser) takePasswd(rec record) error {
	for _, line := range rec.lines() {
		f := strings.Split(line, ":")
		if len(f) != 7 {
			return fmt.Errorf("a line reads %s", printable(line, 200))
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			return fmt.Errorf("a line reads %s", printable(line, 200))
		}
		st := hostdriver.UserState{Exists: true, UID: int(uid), Group: common.one(f[3]), Home: common.one(f[5]), Shell: common.one(f[6])}
		if !p.users[f[0]] {
			return fmt.Errorf("it tells of %s, who was not asked for", printable(f[0], 60))
		}
		name := common.one(f[0])
		p.passwd = append(p.passwd, passwdLine{name, f[3], st})
		p.obs.Users[name] = st
	}
	return nil
}

func (p *observationParser) takeGroup(rec record) error {
	byID := map[string]string{}
	for _, line := range rec.lines() {
		f := strings.Split(line, ":")
		if len(f) != 4 {
			return fmt.Errorf("a line reads %s", printable(line, 200))
		}
		byID[f[2]] = f[0]
		if slices.Contains(p.query.Groups, f[0]) {
			p.obs.Groups[common.one(f[0])] = true
		}
	}
	for _, u := range p.passwd {
		if name, ok := byID[u.gid]; ok {
			u.state.Group = common.one(name)
		}
		p.obs.Users[u.name] = u.state
	}
	return nil
}

// takeDisk reads df's lines, one for each directory asked for, in order; the record's
// words tell whether root may write there.
func (p *observationParser) takeDisk(rec record) error {
	lines := rec.lines()
	if len(lines) != len(p.query.Disk)+1 || len(rec.args) != len(p.query.Disk) {
		return fmt.Errorf("it has %d lines for %d directories: %s", len(lines)-1, len(p.query.Disk), printable(string(rec.body), 200))
	}
	for i, dir := range p.query.Disk {
		st, _, err := parseRoom(lines[i+1])
		if err != nil {
			return err
		}
		st.ReadOnly = rec.args[i] == "ro"
		p.obs.Disk[dir] = st
	}
	return nil
}
