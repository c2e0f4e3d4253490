package drivertest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// unit is one unit as the host's systemd has it: what it has loaded, not what is on disk.
type unit struct {
	name       string
	load       string
	fragment   string
	dropIns    []string
	text       string // all that was loaded
	file       unitFile
	active     string
	sub        string
	result     string
	invocation string
	job        string
	proc       *process
	status     int
	code       string
	restarts   int
	starts     []time.Time
	since      time.Time
	ended      time.Time // when it last became inactive or failed
	mainStart  time.Time
	restartAt  time.Time
	stopsAt    time.Time // of deactivating
}

// process is the main process of a unit.
type process struct {
	pid     int
	exe     string
	digest  string
	cwd     string
	env     map[string]string
	started time.Time
	does    Behaviour
}

// unitDirs are where unit files are looked for, systemd.unit(5).
var unitDirs = []string{"/etc/systemd/system/", "/run/systemd/system/", "/usr/local/lib/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"}

// unit returns the unit, loading it at first sight.
func (h *FakeHost) unit(name string) *unit {
	u := h.units[name]
	if u == nil {
		u = &unit{name: name, active: "inactive", sub: "dead", result: "success"}
		h.units[name] = u
		h.load(u)
	}
	if u.load == "not-found" && u.active == "inactive" {
		h.load(u) // systemd collects such a unit and looks again
	}
	return u
}

// load reads a unit's files.
func (h *FakeHost) load(u *unit) {
	u.fragment, u.dropIns, u.text = h.find(u.name)
	switch {
	case h.isMasked(u.name):
		u.load = "masked"
	case u.fragment == "":
		u.load = "not-found"
	default:
		u.load = "loaded"
		u.file = parseUnitFile(u.text)
	}
}

// find returns where a unit's file and drop-ins are on disk, and what they say.
func (h *FakeHost) find(name string) (fragment string, dropIns []string, text string) {
	unitDirs, name := unitPlaces(name)
	names := []string{name}
	if at, suffix, ok := strings.Cut(name, "@"); ok && !strings.HasPrefix(suffix, ".") {
		names = append(names, at+"@"+suffix[strings.LastIndexByte(suffix, '.'):])
	}
	for _, n := range names {
		for _, dir := range unitDirs {
			if f, ok := h.read(dir + n); ok {
				fragment, text = dir+n, string(f.data.Bytes())
				break
			}
		}
		if fragment != "" {
			break
		}
	}
	if fragment == "" {
		return "", nil, ""
	}
	for _, p := range slices.Sorted(maps.Keys(h.nodes)) {
		if path.Base(path.Dir(p)) == name+".d" && strings.HasSuffix(p, ".conf") && h.nodes[p].kind == hostdriver.PathFile &&
			slices.Contains(unitDirs, path.Dir(path.Dir(p))+"/") {
			dropIns = append(dropIns, p)
			text += "\n" + string(h.nodes[p].data.Bytes())
		}
	}
	return fragment, dropIns, text
}

func (h *FakeHost) isMasked(name string) bool {
	dirs, bare := unitPlaces(name)
	n := h.nodes[dirs[0]+bare]
	return h.masked[name] || n != nil && n.kind == hostdriver.PathSymlink && n.target == "/dev/null"
}

// fileState is UnitFileState, from what is on disk now.
func (h *FakeHost) fileState(name string) string {
	fragment, _, text := h.find(name)
	file := parseUnitFile(text)
	switch {
	case h.isMasked(name):
		return "masked"
	case fragment == "":
		return ""
	case file.wantedBy && h.enabled[name]:
		return "enabled"
	case file.wantedBy:
		return "disabled"
	case file.alsoOnly:
		return "indirect"
	}
	return "static"
}

// daemonReload loads all units anew. What runs goes on as it is.
func (h *FakeHost) daemonReload() {
	h.reloads++
	for _, u := range h.units {
		h.load(u)
	}
}

// advance lets happen what was due until now, in order.
func (h *FakeHost) advance(now time.Time) {
	for {
		var next *unit
		var at time.Time
		for _, name := range slices.Sorted(maps.Keys(h.units)) {
			u := h.units[name]
			if t := u.due(); !t.IsZero() && !t.After(now) && (next == nil || t.Before(at)) {
				next, at = u, t
			}
		}
		if d := h.deadman; d != nil && d.armed && !d.at.After(now) && (next == nil || d.at.Before(at)) {
			h.fireDeadman()
			continue
		}
		if next == nil {
			return
		}
		h.happen(next, at)
	}
}

// due is when something will happen to the unit by itself.
func (u *unit) due() time.Time {
	switch {
	case !u.stopsAt.IsZero():
		return u.stopsAt
	case u.proc != nil && u.proc.does.Exits:
		return u.proc.started.Add(u.proc.does.After)
	}
	return u.restartAt
}

func (h *FakeHost) happen(u *unit, at time.Time) {
	switch {
	case !u.stopsAt.IsZero():
		h.stopped(u, at)
	case u.proc != nil:
		h.exited(u, at, "exited", u.proc.does.Status)
	default:
		u.restartAt = time.Time{}
		if h.start(u, at) == nil {
			u.restarts++
		}
	}
}

// exited is the end of a main process that nobody had asked for.
func (h *FakeHost) exited(u *unit, at time.Time, code string, status int) {
	u.proc = nil
	u.code, u.status = code, status
	clean := code == "exited" && status == 0
	u.result = "success"
	if !clean {
		u.result = map[string]string{"exited": "exit-code", "killed": "signal"}[code]
	}
	u.since = at
	switch {
	case u.file.restart == "always" || u.file.restart == "on-failure" && !clean:
		u.active, u.sub = "activating", "auto-restart"
		u.restartAt = at.Add(u.file.restartPause)
	case clean && u.file.kind == "oneshot" && u.file.remain:
		u.active, u.sub = "active", "exited"
	case clean:
		u.active, u.sub, u.ended = "inactive", "dead", at
	default:
		u.active, u.sub, u.ended = "failed", "failed", at
	}
}

func (h *FakeHost) stopped(u *unit, at time.Time) {
	u.proc, u.stopsAt, u.restartAt = nil, time.Time{}, time.Time{}
	u.active, u.sub, u.result, u.since, u.ended = "inactive", "dead", "success", at, at
}

// start starts a unit that does not run. The error is what the job ends with.
func (h *FakeHost) start(u *unit, at time.Time) error {
	u.starts = slices.DeleteFunc(u.starts, func(t time.Time) bool { return at.Sub(t) >= u.file.limitInterval })
	if u.file.limitBurst > 0 && len(u.starts) >= u.file.limitBurst {
		u.active, u.sub, u.result, u.restartAt = "failed", "failed", "start-limit-hit", time.Time{}
		return fmt.Errorf("start of %s refused: start-limit-hit", u.name)
	}
	u.starts = append(u.starts, at)
	h.lastInv++
	u.invocation = fmt.Sprintf("%016x%016x", h.boots, h.lastInv)
	u.restartAt, u.result, u.code, u.status = time.Time{}, "success", "", 0
	u.active, u.sub, u.since = "active", "running", at
	if !strings.HasSuffix(u.name, ".service") {
		u.sub = "waiting"
		return nil
	}
	proc, result, status := h.spawn(u, at)
	if result != "" {
		return h.notSpawned(u, at, result, status)
	}
	u.proc, u.mainStart = proc, at
	if u.file.kind == "oneshot" || u.file.kind == "notify" || u.file.kind == "forking" {
		if proc.does.Exits && proc.does.After <= proc.does.ReadyAfter || u.file.kind == "oneshot" && proc.does.Exits {
			h.exited(u, at, "exited", proc.does.Status)
		}
		if u.active == "failed" || u.active == "activating" {
			return fmt.Errorf("job for %s failed", u.name)
		}
	}
	return nil
}

// notSpawned: with Type=simple the job has succeeded by then, and the unit fails a
// moment after; the others' jobs wait for the program to run.
func (h *FakeHost) notSpawned(u *unit, at time.Time, result string, status int) error {
	if u.file.kind == "simple" && status != 0 {
		u.proc = &process{pid: h.nextPID(), started: at, does: Behaviour{Exits: true, After: time.Millisecond, Status: status}}
		return nil
	}
	h.exited(u, at, "exited", status)
	if u.active == "failed" || status == 0 {
		u.active, u.sub, u.result, u.ended = "failed", "failed", result, at
	}
	return fmt.Errorf("job for %s failed: %s", u.name, result)
}

func (h *FakeHost) nextPID() int {
	h.lastPID++
	return h.lastPID
}

// spawn makes the main process, or says with which result and status that fails.
func (h *FakeHost) spawn(u *unit, at time.Time) (*process, string, int) {
	env := map[string]string{"PATH": "/usr/bin:/bin", "INVOCATION_ID": u.invocation}
	for _, kv := range u.file.environment {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	for _, name := range u.file.envFiles {
		f, ok := h.read(strings.TrimPrefix(name, "-"))
		if !ok && !strings.HasPrefix(name, "-") {
			return nil, "resources", 0
		}
		if ok {
			for _, kv := range parseEnvFile(string(f.data.Bytes())) {
				env[kv[0]] = kv[1]
			}
		}
	}
	if dir := h.nodes[h.follow(u.file.dir)]; dir == nil || dir.kind != hostdriver.PathDir {
		return nil, "exit-code", 200
	}
	if u.file.user != "" && !h.users[u.file.user].Exists {
		return nil, "exit-code", 217
	}
	if len(u.file.argv) == 0 {
		return nil, "resources", 0
	}
	exe, ok := h.read(u.file.argv[0])
	if !ok || exe.mode&0o111 == 0 {
		return nil, "exit-code", 203
	}
	p := &process{pid: h.nextPID(), exe: h.follow(u.file.argv[0]), cwd: u.file.dir, env: env, started: at}
	if exe.data.Len() > 0 {
		p.digest = exe.data.SHA256()
	}
	p.does = h.fleet.behave(Start{Host: h.name, Unit: u.name, Argv: u.file.argv, Exe: p.exe, Digest: p.digest, Env: env})
	return p, "", 0
}

// ready tells whether a unit's process would answer by now.
func (h *FakeHost) ready(name string, now time.Time) bool {
	u := h.units[name]
	return u != nil && u.proc != nil && u.active == "active" && !now.Before(u.proc.started.Add(u.proc.does.ReadyAfter))
}

// stop stops a unit; true if it has stopped within the timeout.
func (h *FakeHost) stop(u *unit, now time.Time, timeout time.Duration) bool {
	u.restartAt = time.Time{}
	if u.proc != nil && u.proc.does.StopAfter > 0 && u.stopsAt.IsZero() {
		u.stopsAt = now.Add(u.proc.does.StopAfter)
		u.active, u.sub = "deactivating", "stop-sigterm"
	}
	if !u.stopsAt.IsZero() && u.stopsAt.After(now.Add(timeout)) {
		u.job = ownStop
		return false
	}
	if u.active != "failed" {
		h.stopped(u, now)
	}
	return true
}

// Systemctl implements Machine.
func (h *FakeHost) Systemctl(words ...string) {
	h.do(func() {
		now := h.fleet.now()
		if words[0] == "daemon-reload" {
			h.daemonReload()
			return
		}
		if words[0] == "add-wants" {
			name := words[2]
			h.links[name] = slices.Sorted(slices.Values(append(h.links[name], words[1]+".wants")))
			return
		}
		for _, name := range words[1:] {
			h.byHand(words[0], h.unit(name), now)
		}
	})
}

func (h *FakeHost) byHand(verb string, u *unit, now time.Time) {
	if verb == "mask" || verb == "unmask" || verb == "enable" || verb == "disable" {
		h.reloads++
	}
	switch verb {
	case "start":
		if !h.state(u.name).Running() {
			_ = h.start(u, now)
		}
	case "stop":
		h.stop(u, now, time.Hour)
	case "restart":
		h.stop(u, now, time.Hour)
		_ = h.start(u, now)
	case "mask":
		h.masked[u.name] = true
		h.load(u)
	case "unmask":
		delete(h.masked, u.name)
		h.load(u)
	case "enable":
		h.enable(u.name)
	case "disable":
		delete(h.enabled, u.name)
	default:
		panic("drivertest: systemctl " + verb + " is not emulated")
	}
}

// state is the unit as systemctl show has it.
func (h *FakeHost) state(name string) hostdriver.UnitState {
	if !h.hears(name) {
		return hostdriver.UnitState{Load: "unheard", Active: "inactive", Sub: "dead", Job: "0"}
	}
	if strings.Contains(name, "@.") {
		st := hostdriver.UnitState{Load: "not-found", Active: "inactive", Sub: "dead", File: h.fileState(name), Job: "0"}
		if st.File != "" {
			st.Load = "loaded"
		}
		return st
	}
	u := h.unit(name)
	_, _, text := h.find(name)
	st := hostdriver.UnitState{Load: u.load, Active: u.active, Sub: u.sub, File: h.fileState(name), Result: u.result,
		InvocationID: u.invocation, ExecStatus: u.status, ExecCode: u.code, Restarts: u.restarts, Job: "0", Fragment: u.fragment,
		DropIns: u.dropIns, ConditionOK: u.invocation != "", NeedReload: u.load == "loaded" && text != u.text}
	if u.load == "loaded" && strings.HasSuffix(name, ".service") {
		st.Type, st.RestartPolicy, st.CanReload = u.file.kind, u.file.restart, u.file.reload
		for _, f := range u.file.envFiles {
			ignore := "no"
			if strings.HasPrefix(f, "-") {
				ignore = "yes"
			}
			st.Environment = append(st.Environment, fmt.Sprintf("%s (ignore_errors=%s)", strings.TrimPrefix(f, "-"), ignore))
		}
	}
	if h.enabled[name] && !strings.Contains(name, "~") {
		st.Links = slices.Clone(h.links[name])
	}
	if u.job != "" {
		st.Job = u.job
	}
	if u.proc != nil {
		st.MainPID, st.Started = u.proc.pid, u.proc.started
	}
	if u.active == "active" || u.active == "reloading" {
		st.ActiveSince = u.since
	}
	st.InactiveSince = u.ended
	return st
}
