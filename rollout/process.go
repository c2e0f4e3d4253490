package rollout

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// process adds what must happen to the process of u: nothing, start, stop,
// reload or restart. A restart is what the state of the process means, not an
// event that could be lost: a process that runs with older inputs than desired is
// stale, however that came about.
func (d *differ) process(inst *desired.Instance, u *desired.Unit) {
	got, known := d.o.Units[u.Name]
	if !known || got.Masked() {
		return
	}
	switch u.State {
	case "stopped":
		if got.Running() {
			d.add(Change{Kind: KindProcess, Action: ActionStop, Subject: u.Name, From: got.Active, To: "inactive", Disruption: Restart, Reason: "should be stopped"})
		}
		return
	case "started":
	default:
		return
	}
	if !got.Running() {
		reason := "is not running"
		switch {
		case got.Active == "failed":
			reason = fmt.Sprintf("has failed (%s)", ResultWords(got))
		case got.Load == "not-found":
			reason = "is new"
		}
		d.add(Change{Kind: KindProcess, Action: ActionStart, Subject: u.Name, From: orAbsent(got.Active), To: "active", Reason: reason})
		return
	}
	d.running(inst, u, got)
}

// running compares a running process with what it should have read.
func (d *differ) running(inst *desired.Instance, u *desired.Unit, got hostdriver.UnitState) {
	var restart, reload []string
	var keys []string
	onDisk := true // every input is on disk as desired: the process alone is behind
	for _, in := range inputsOf(inst, u) {
		why, ks := d.behind(inst, u, got, in)
		if why == "" {
			continue
		}
		if d.changes(in.path) {
			onDisk = false
		}
		switch in.mode {
		case desired.ChangeNone:
			continue
		case desired.ChangeReload:
			reload = append(reload, why)
		default:
			restart = append(restart, why)
		}
		keys = append(keys, ks...)
	}
	if gone := d.startedWith(inst, u, got); gone != "" {
		restart = append(restart, fmt.Sprintf("the process started with %s, which is no longer wanted", gone))
		onDisk = onDisk && !d.changes(gone)
	}
	if got.NeedReload && len(restart) == 0 && !d.writesAny(inst, u) {
		restart = append(restart, "systemd has an older unit file loaded than the one on disk (daemon-reload is due)")
	}
	sort.Strings(keys)
	c := Change{Kind: KindProcess, Subject: u.Name, Keys: slices.Compact(keys), Stale: onDisk && len(restart)+len(reload) > 0}
	switch {
	case len(restart) > 0:
		c.Action, c.Disruption, c.Reason = ActionRestart, Restart, strings.Join(append(restart, reload...), "; ")
		if !strings.HasSuffix(u.Name, ".service") {
			c.Disruption = None // a timer, path or socket is turned over without disturbing what it starts
		}
	case len(reload) > 0:
		c.Action, c.Disruption, c.Reason = ActionReload, Reload, strings.Join(reload, "; ")
		if !got.CanReload {
			c.Action, c.Disruption = ActionRestart, Restart
			c.Reason += "; the unit has no ExecReload="
		}
	default:
		return
	}
	if c.Stale {
		c.Reason = "stale: " + c.Reason
	}
	d.add(c)
}

// startedWith is a drop-in that the process was started with by us and that the revision no
// longer has; "" where there is none.
func (d *differ) startedWith(inst *desired.Instance, u *desired.Unit, got hostdriver.UnitState) string {
	rec, ok := d.o.Started[u.Name]
	if !ok || rec.InvocationID == "" || rec.InvocationID != got.InvocationID {
		return ""
	}
	user, _ := hostdriver.SplitUnit(u.Name)
	for _, p := range sortedKeys(rec.Inputs) {
		of, isDropIn := strings.CutSuffix(path.Dir(p), ".d")
		if isDropIn && strings.HasSuffix(p, ".conf") && dropsInto(hostdriver.UnitOf(user, path.Base(of)), u.Name) && !slices.ContainsFunc(inst.Files, func(f desired.File) bool { return f.Path == p }) {
			return p
		}
	}
	return ""
}

// writesAny tells whether the unit's file or a drop-in of it is being written.
func (d *differ) writesAny(inst *desired.Instance, u *desired.Unit) bool {
	for i := range inst.Files {
		f := &inst.Files[i]
		if (f.Kind == desired.FileUnit || f.Kind == desired.FileDropIn) && (dropsInto(f.Unit, u.Name) || f.Path == u.File) && d.changes(f.Path) {
			return true
		}
	}
	return false
}

// changes tells whether the content at path is among the changes in hand.
func (d *differ) changes(path string) bool {
	for _, c := range d.Changes[d.from:] {
		if c.Subject == path && c.Kind != KindProcess && c.Kind != KindEnable {
			return true
		}
	}
	return false
}

// behind tells, in words, in what way the process of u is behind (or beside) the
// input as desired; "" where it is not.
func (d *differ) behind(inst *desired.Instance, u *desired.Unit, got hostdriver.UnitState, in input) (why string, keys []string) {
	if in.env {
		if why, keys, sure := d.envBehind(inst, u, in); sure {
			return why, keys
		}
	}
	if in.link != nil {
		if why, sure := d.exeBehind(u, in); sure {
			return why, nil
		}
	}
	if rec, ok := d.o.Started[u.Name]; ok && rec.InvocationID != "" && rec.InvocationID == got.InvocationID {
		if had, ok := rec.Inputs[in.path]; ok {
			if had == in.digest || had == in.exact {
				return "", nil
			}
			return d.older(u, in), nil
		}
		// An input the unit did not have when we started it.
		if e, ours := d.o.Manifest.Find(hostdriver.KindFile, in.path); !ours || e.Service != d.service {
			return fmt.Sprintf("the process started without %s", in.what), nil
		}
	}
	return d.behindByTime(got, in), nil
}

// behindByTime judges a process that somebody else started, by the clock of its
// host: what was on disk at its start is what it has.
func (d *differ) behindByTime(got hostdriver.UnitState, in input) string {
	path := d.o.Paths[in.path]
	started := got.Started
	if started.IsZero() {
		started = got.ActiveSince
	}
	alike := in.file != nil && meansTheSame(in.file, path)
	unchanged := !d.changes(in.path) || d.onlyAccess(in) || alike
	e, ours := d.o.Manifest.Find(hostdriver.KindFile, in.path)
	edited := ours && in.file != nil && e.SHA256 == in.file.SHA256
	switch {
	case path.Type == hostdriver.PathAbsent:
		return fmt.Sprintf("the process started without %s", in.what)
	case unchanged && in.link != nil:
		return "" // the running executable was looked at where it could be
	case unchanged && !started.Before(path.Changed):
		return ""
	case unchanged && !(alike && edited):
		return fmt.Sprintf("the process started before %s was last written", in.what)
	}
	if edited && started.Before(path.Changed) {
		return "" // it started with what is desired, before the hand edit
	}
	if edited {
		return fmt.Sprintf("the process took up the edited %s", in.what)
	}
	return fmt.Sprintf("%s changes", in.what)
}

// onlyAccess tells that the content at an input's path is as desired and only its
// owner or mode is being changed.
func (d *differ) onlyAccess(in input) bool {
	return in.file != nil && d.o.Paths[in.path].SHA256 == in.file.SHA256
}

// meansTheSame tells of a unit file or drop-in that what is on the host is another text,
// and that systemd makes the same of both for a process.
func meansTheSame(f *desired.File, got hostdriver.PathState) bool {
	if f.Meaning == "" || got.Type != hostdriver.PathFile || got.Content == nil {
		return false
	}
	had, _ := desired.ParseUnit(got.Content.Bytes())
	return had.Digest() == f.Meaning
}

// envBehind judges by the environment that the process really has.
func (d *differ) envBehind(inst *desired.Instance, u *desired.Unit, in input) (why string, keys []string, sure bool) {
	p, ok := d.o.Processes[u.Name]
	if !ok {
		return "", nil, false
	}
	switch p.Env {
	case hostdriver.EnvSame:
		// The variables meant are there. One that was taken away, or added by hand,
		// shows in the record of the start or in the times.
		got := d.o.Units[u.Name]
		rec, recorded := d.o.Started[u.Name]
		if recorded && rec.InvocationID == got.InvocationID {
			if had, ok := rec.Inputs[in.path]; ok && had != in.digest {
				return d.older(u, in), nil, true
			}
			return "", nil, true
		}
		path := d.o.Paths[in.path]
		if path.SHA256 != in.file.SHA256 && !got.Started.Before(path.Changed) && d.variablesDiffer(in) {
			return fmt.Sprintf("the process took up %s as it is on the host", in.what), nil, true
		}
		return "", nil, true
	case hostdriver.EnvDiffers:
		want := unitEnv(inst, u)
		for _, v := range in.file.Vars {
			w, sure := want[v.Key]
			if sure && p.Digests[v.Key] != hostdriver.EnvDigest(d.salt, map[string]string{v.Key: w}) {
				keys = append(keys, v.Key)
			}
		}
		if len(keys) == 0 {
			return "", nil, !slices.Contains(u.Uncertain, in.path) // another env file's keys
		}
		sort.Strings(keys)
		keys = slices.Compact(keys)
		return d.olderKeys(u, in, keys), keys, true
	}
	return "", nil, false
}

// origin tells, of a process whose input is on disk as desired already, of which revision
// what it has is, where evenkeel started it, and how long before the change it started.
func (d *differ) origin(u *desired.Unit, in input) (revision, started string) {
	if d.changes(in.path) {
		return "", ""
	}
	got := d.o.Units[u.Name]
	if rec, ok := d.o.Started[u.Name]; ok && rec.InvocationID != "" && rec.InvocationID == got.InvocationID {
		if of := d.o.Revisions[rec.Generation]; of != d.desired.Revision {
			revision = ShortRevision(of)
		}
	}
	if path := d.o.Paths[in.path]; !got.Started.IsZero() && got.Started.Before(path.Changed) {
		started = "started " + ago(path.Changed.Sub(got.Started)) + " before the change"
	}
	return revision, started
}

// older says of a process that it has not what is desired at an input.
func (d *differ) older(u *desired.Unit, in input) string {
	revision, started := d.origin(u, in)
	words := "the process runs with an older " + in.what
	if revision != "" {
		words += ", of revision " + revision
	}
	return words + inBrackets(started)
}

// olderKeys says it of variables.
func (d *differ) olderKeys(u *desired.Unit, in input, keys []string) string {
	revision, started := d.origin(u, in)
	verb := " is "
	if len(keys) > 1 {
		verb = " are "
	}
	what := "not what the process has"
	if revision != "" {
		what = "of revision " + revision
	}
	return strings.Join(keys, ", ") + verb + what + inBrackets(started)
}

func inBrackets(words string) string {
	if words == "" {
		return ""
	}
	return " (" + words + ")"
}

// ago is a duration in its largest unit.
func ago(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// exeBehind judges an artifact by the executable that really runs, and where that is
// another program (an interpreter), by the release that it works in.
func (d *differ) exeBehind(u *desired.Unit, in input) (why string, sure bool) {
	p, ok := d.o.Processes[u.Name]
	if !ok || p.Exe == "" {
		return "", false
	}
	dir := strings.TrimSuffix(in.link.Release, in.link.SHA256)
	if rest, ok := strings.CutPrefix(p.Exe, dir); ok {
		running, _, _ := strings.Cut(rest, "/")
		switch {
		case running != in.link.SHA256:
			return fmt.Sprintf("the process runs release %s of artifact %s", short(running), in.link.Name), true
		case p.Deleted:
			return fmt.Sprintf("the process runs a program of artifact %s that has been replaced since", in.link.Name), true
		}
		return "", true
	}
	if rest, ok := strings.CutPrefix(p.Cwd, dir); ok {
		if works, _, _ := strings.Cut(strings.TrimSuffix(rest, " (deleted)"), "/"); works != in.link.SHA256 {
			return fmt.Sprintf("the process works in release %s of artifact %s", short(works), in.link.Name), true
		}
	}
	return "", false // an interpreter, or another program of the bundle's user
}

// Stopped is ResultWords' answer for a unit that has not failed.
const Stopped = "stopped"

// ResultWords puts a unit's result into words, with systemd's name of an exit
// status that it sets itself.
func ResultWords(u hostdriver.UnitState) string {
	switch {
	case u.Result == "" || u.Result == "success":
		return Stopped
	case u.Result == "exit-code":
		return fmt.Sprintf("exit status %d%s", u.ExecStatus, exitName(u.ExecStatus))
	}
	return u.Result
}

// exitName is systemd's name of an exit status it sets itself (systemd.exec(5)).
func exitName(status int) string {
	names := map[int]string{200: "CHDIR", 201: "NICE", 202: "FDS", 203: "EXEC", 204: "MEMORY", 205: "LIMITS", 208: "STDIN",
		209: "STDOUT", 216: "GROUP", 217: "USER", 218: "CAPABILITIES", 219: "CGROUP", 226: "NAMESPACE", 233: "RUNTIME_DIRECTORY",
		234: "STATE_DIRECTORY", 235: "CACHE_DIRECTORY", 236: "LOGS_DIRECTORY", 237: "CONFIGURATION_DIRECTORY", 238: "STATE_DIRECTORY", 243: "CREDENTIALS"}
	if n, ok := names[status]; ok {
		return "/" + n
	}
	return ""
}
