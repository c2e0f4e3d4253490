package controller

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// patient is one unit whose state is to be explained, with all that is known of it.
type patient struct {
	unit    *desired.Unit
	state   hostdriver.UnitState
	entries []hostdriver.JournalEntry // of the unit alone, oldest first; none where no journal was read
	paths   map[string]hostdriver.PathState
	changes []rollout.Change // of the service
	foreign []string         // drop-ins that are not ours
	behind  string           // in what way the process is not what it should be
	back    bool             // what is desired was gone back from, and is not tried again
	drain   time.Duration    // how long the service's own drains may take
	at      time.Time        // now, on the host's clock
}

// diagnose tells why a unit is as it is: causeOf made sharper by what systemd and the
// program said, and by what is on the host. ok is false where nothing is wrong.
func (p *patient) diagnose() (c Cause, ok bool) {
	c, ok = p.diagnosis()
	c.Mend = hostdriver.Typed(c.Mend, p.unit.Name)
	return c, ok
}

func (p *patient) diagnosis() (c Cause, ok bool) {
	c, ok = causeOf(p.unit.Name, p.state)
	if !ok || p.state.Active == "active" && p.state.NeedReload { // that it came back once says less
		return p.hidden()
	}
	if p.state.Restarts > 0 && p.state.Job != "" && p.state.Job != "0" { // the next try is on its way: that is not what is wrong
		c.Cause, c.Mend = fmt.Sprintf("it does not stay up: systemd has restarted it %d times", p.state.Restarts), "journalctl -u "+p.unit.Name+" -n 50"
	}
	if p.state.Load == "not-found" && p.unit.Quadlet() && p.paths[p.unit.File].Type == hostdriver.PathFile {
		c.Cause, c.Mend = "no unit is made of "+p.unit.File+", which is there: podman before 4.4 has no generator for it, or refuses it", "podman --version; journalctl -b -t podman-system-generator -t quadlet-generator; then systemctl daemon-reload"
	}
	failing := p.state.Active != "active" && p.state.Result != "" && p.state.Result != "success" || p.state.Restarts > 0
	switch {
	case p.state.Load != "loaded" || p.state.Masked():
	case p.unmet(&c), p.inExec(&c), p.timedOut(&c), p.ofJournal(failing, &c), p.bySignal(&c), p.ofSystemd(&c):
	}
	switch {
	case p.gaveUp():
		if !strings.Contains(c.Cause, "gave up") {
			c.Cause += "; systemd started it again and again, and gave up (start limit)"
		}
		if !strings.Contains(c.Mend, "reset-failed") {
			c.Mend += "; once it is mended: systemctl reset-failed " + p.unit.Name
		}
	case failing && p.state.Restarts > 0 && !strings.Contains(c.Cause, "restart"):
		c.Cause += fmt.Sprintf("; it goes round: systemd has restarted it %d times", p.state.Restarts)
	}
	if len(p.foreign) > 0 && (failing || p.state.Load != "loaded") {
		c.Cause += "; and a drop-in changes the unit that is not evenkeel's: " + strings.Join(p.foreign, ", ")
		c.Mend += "; look at it with systemctl cat " + p.unit.Name
	}
	return c, true
}

// hidden is what may be wrong with a unit that looks well.
func (p *patient) hidden() (c Cause, ok bool) {
	c.Subject = p.unit.Name
	u := p.state
	switch {
	case u.NeedReload:
		c.Cause, c.Mend = "its file was edited, and systemd was not told: it runs by the older one", "systemctl daemon-reload, then systemctl restart "+p.unit.Name+"; or evenkeel apply"
	case p.unit.Enabled != nil && *p.unit.Enabled && u.File != "enabled" && p.notOfItself(&c):
	case p.unit.Enabled != nil && *p.unit.Enabled && u.File == "disabled":
		c.Cause, c.Mend = "it runs, and after a reboot it will not: it is not enabled", "systemctl enable "+p.unit.Name+", or evenkeel apply"
	case p.unit.Enabled != nil && !*p.unit.Enabled && u.File == "enabled":
		c.Cause, c.Mend = "it is enabled, which the fleet repo does not want: a reboot starts it", "systemctl disable "+p.unit.Name+", or evenkeel apply"
	case strings.HasSuffix(p.unit.Name, ".timer") && p.noRun(&c):
	case p.behind != "" && p.back:
		c.Cause, c.Mend = "it runs with what was gone back to: "+p.behind, "commit a change of it, or evenkeel apply --retry"
	case p.behind != "":
		c.Cause, c.Mend = "it runs with something older than what it should: "+p.behind, "evenkeel apply restarts it, by the safe path"
	default:
		return c, false
	}
	return c, true
}

// notOfItself is about a unit that is to be enabled, and that systemctl enable does nothing
// for: its file has the wrong name, or says nothing under [Install].
func (p *patient) notOfItself(c *Cause) bool {
	name := p.unit.Name
	_, bare := hostdriver.SplitUnit(name)
	switch other := path.Base(p.state.Fragment); {
	case p.state.Fragment != "" && other != bare && !strings.Contains(other, "@"):
		c.Cause, c.Mend = "its name is an alias of "+other+", which alone can be enabled: after a reboot it will not run", "systemctl enable "+other+"; and name that one in the fleet repo"
		return true
	}
	switch p.state.File {
	case "static":
		c.Cause, c.Mend = "it runs, and after a reboot it will only if another unit starts it: it is static, for its file says nothing under [Install]", "systemctl cat "+name+"; write WantedBy= under [Install], or drop enabled"
	case "indirect":
		c.Cause, c.Mend = "it runs, and after a reboot it may not: its [Install] only names others (Also=)", "systemctl cat "+name+"; write WantedBy= under [Install], or enable those"
	default:
		return false
	}
	return true
}

// gaveUp tells whether systemd starts a unit no more, which it does by itself otherwise:
// its Result may still be that of the last try.
func (p *patient) gaveUp() bool {
	if p.state.Active != "failed" {
		return false
	}
	if p.state.Result == "start-limit-hit" || p.state.Restarts > 0 {
		return true
	}
	return slices.ContainsFunc(p.sinceStart(), func(e hostdriver.JournalEntry) bool {
		return bySystemd(e) && strings.Contains(e.Message, "Start request repeated too quickly")
	})
}

// sinceStart are the entries since systemd last began to start the unit. journald gets
// what several processes say at the same moment in any order.
func (p *patient) sinceStart() []hostdriver.JournalEntry {
	for _, e := range slices.Backward(p.entries) {
		if e.Identifier == "systemd" && strings.HasPrefix(e.Message, "Starting ") {
			from := slices.IndexFunc(p.entries, func(o hostdriver.JournalEntry) bool { return o.At.After(e.At.Add(-2 * time.Second)) })
			return p.entries[max(0, from):]
		}
	}
	return p.entries
}

// unmet is about a unit whose start waited for another one, which failed.
func (p *patient) unmet(c *Cause) bool {
	if n := len(p.entries); p.state.Active != "inactive" || n == 0 || !strings.HasPrefix(p.entries[n-1].Message, "Dependency failed for ") && !strings.Contains(p.entries[n-1].Message, "failed with result 'dependency'") {
		return false
	}
	c.Cause, c.Mend = resultCauses["dependency"][0], "systemctl --failed; "+fmt.Sprintf(resultCauses["dependency"][1], p.unit.Name)
	return true
}

// signals are those by which processes die, as signal(7) numbers them on Linux.
var signals = map[int]string{1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE", 15: "TERM", 24: "XCPU", 25: "XFSZ", 31: "SYS"}

// bySignal names the signal that has ended the process.
func (p *patient) bySignal(c *Cause) bool {
	if p.state.Result != "signal" && p.state.Result != "core-dump" {
		return false
	}
	switch name := signals[p.state.ExecStatus]; name {
	case "":
		return false
	case "KILL":
		c.Cause, c.Mend = "SIGKILL ended it: the kernel for want of memory, or a person", "journalctl -k | grep -i 'out of memory'; journalctl -u "+p.unit.Name+" -n 50"
	case "SYS":
		c.Cause, c.Mend = "it made a system call that the unit forbids (SIGSYS)", "look at SystemCallFilter= of the unit: systemctl cat "+p.unit.Name
	case "ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV":
		c.Cause, c.Mend = "it crashed (SIG"+name+")", "coredumpctl info "+p.unit.Name+"; journalctl -u "+p.unit.Name+" -n 50"
	default:
		c.Cause = "SIG" + name + " ended it"
	}
	return true
}

// stepLine is systemd's word on a step before the program ran (exec_child in systemd's
// source); the paths in it are the unit's own.
var stepLine = regexp.MustCompile(`Failed at step [A-Z_]+ spawning (\S+): (.+)$|Failed to (?:execute|locate executable) (\S+?):? ?(No such file or directory|Permission denied|Exec format error|Is a directory|.{0,40})$`)

// inExec is about a program that could not be started (203/EXEC): it is missing, or may
// not be run, or what would run it is missing.
func (p *patient) inExec(c *Cause) bool {
	if p.state.ExecStatus != 203 || !slices.Contains([]string{"exit-code", "start-limit-hit"}, p.state.Result) {
		return false
	}
	program, why := "", ""
	for _, e := range slices.Backward(p.entries) {
		if m := stepLine.FindStringSubmatch(e.Message); m != nil {
			program, why = m[1]+m[3], m[2]+m[4]
			break
		}
	}
	if program == "" && len(p.foreign) == 0 { // a drop-in may have named another
		for _, n := range p.unit.Needs {
			if n.Kind == desired.NeedProgram {
				program = n.Name
			}
		}
	}
	if program == "" {
		return false
	}
	there, mode := p.paths[program].Type, p.paths[program].Mode
	switch {
	case p.hides(program) != "" && why != "Exec format error":
		key := p.hides(program)
		c.Cause, c.Mend = program+" is hidden from it by "+key+"= of the unit (203/EXEC)", "systemctl show -p "+key+" "+p.unit.Name+"; put the program elsewhere (/usr/local, /opt), or write "+key+"=no"
	case why == "Exec format error":
		c.Cause, c.Mend = program+" is no program of this machine: built for another architecture, or a script without #! (203/EXEC)", "file "+program+"; uname -m"
	case why == "Permission denied", why == "" && there == hostdriver.PathFile && mode != 0 && mode&0o111 == 0:
		c.Cause, c.Mend = program+" may not be executed: its mode, or a folder above it (203/EXEC)", "namei -l "+program+"; then chmod a+x "+program
	case there == hostdriver.PathFile && (why == "" || strings.HasPrefix(why, "No such file")):
		c.Cause, c.Mend = program+" is there, and what would run it is not: the interpreter of its first line (#!), or its loader (203/EXEC)", "head -c 100 "+program+"; install that interpreter"
	case there == hostdriver.PathAbsent, strings.HasPrefix(why, "No such file"):
		c.Cause, c.Mend = "the program "+program+" is missing (203/EXEC)", "ls -l "+program+"; declare it under artifacts, install its package, or correct ExecStart="
	default:
		return false
	}
	return true
}

// hides is the setting by which the unit does not see a path that others see, or "".
func (p *patient) hides(name string) string {
	below := func(folders ...string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(name, f+"/") })
	}
	yes := func(key string, values ...string) bool {
		return slices.Contains(append(values, "yes", "true", "1", "on"), strings.ToLower(p.unit.Text.Last("Service", key)))
	}
	switch {
	case below("/home", "/root", "/run/user") && yes("ProtectHome", "tmpfs"):
		return "ProtectHome"
	case below("/tmp", "/var/tmp") && yes("PrivateTmp", "disconnected"):
		return "PrivateTmp"
	}
	return ""
}

// timedOut tells a start that took too long from a stop that did.
func (p *patient) timedOut(c *Cause) bool {
	if p.state.Result != "timeout" {
		return false
	}
	name := p.unit.Name
	for _, e := range slices.Backward(p.entries) {
		switch m := e.Message; {
		case e.Identifier != "systemd":
		case strings.Contains(m, "start operation timed out") && p.state.Type == "forking":
			c.Cause, c.Mend = "it never went into the background, which Type=forking waits for (start timeout)", "write Type=exec, or Type=notify where the program says that it is ready"
			return true
		case strings.Contains(m, "start operation timed out") && strings.HasPrefix(p.state.Type, "notify"):
			c.Cause, c.Mend = "it never said that it is ready, which Type=notify waits for (start timeout)", "journalctl -u "+name+" -n 50; does the program call sd_notify? If not: Type=exec"
			return true
		case strings.Contains(m, "start operation timed out"):
			c.Cause, c.Mend = "it did not start in time (TimeoutStartSec=)", "journalctl -u "+name+" -n 50"
			return true
		case strings.Contains(m, "stop-sig") && strings.Contains(m, "timed out"):
			limit := p.unit.Text.Last("Service", "TimeoutStopSec")
			c.Cause, c.Mend = "it did not stop in time, and systemd killed it (TimeoutStopSec="+limit+"): what was under way was cut off", "journalctl -u "+name+" -n 50; then raise TimeoutStopSec= above what it needs to drain"
			if stop := p.stopLimit(); stop < p.drain {
				c.Cause += fmt.Sprintf("; its drain may take %s, and systemd waits %s", p.drain, stop)
				c.Mend = fmt.Sprintf("write TimeoutStopSec=%d or more, or a shorter timeout of the drain; journalctl -u %s -n 50", int((p.drain+time.Second-1)/time.Second), name)
			}
			return true
		}
	}
	return false
}

// stopLimit is how long systemd waits for its end: its default is 90 s.
func (p *patient) stopLimit() time.Duration {
	for _, key := range []string{"TimeoutStopSec", "TimeoutSec"} {
		if d, ok := desired.ParseSpan(p.unit.Text.Last("Service", key)); ok {
			return d
		}
	}
	return 90 * time.Second
}

// words are what programs say of their troubles, whatever they are written in.
var words = []struct {
	says        *regexp.Regexp
	cause, mend string // %s: the unit; $1: what the first group has
}{
	{regexp.MustCompile(`(?:Unable to find image '|[Nn]o such image: |pull access denied for |initializing source docker://|manifest for )([^\s',]+?):?(?:[\s',]|$)|short-name "([^"]+)" did not resolve`), "the container image $1 is not on the host, and cannot be pulled", "docker pull $1, or podman pull $1, on the host tells why: a wrong name, a registry that does not answer, or no login"},
	{regexp.MustCompile(`Cannot connect to the Docker daemon at (\S+/podman\.sock)`), "podman does not listen where Compose asks it ($1)", "systemctl enable --now podman.socket; then write Requires=podman.socket and After=podman.socket into %s"},
	{regexp.MustCompile(`Cannot connect to the Docker daemon at ([^\s]+?)\.?(?:\s|$)`), "Docker does not run on the host ($1)", "systemctl status docker; then write Requires=docker.service and After=docker.service into %s"},
	{regexp.MustCompile(`[Tt]he (?:container )?name "/?([^"]+)" is already in use`), "a container of that name is left over: $1", "docker rm -f $1, or podman rm -f $1; then write --replace into ExecStart= of %s, or ExecStartPre=-/usr/bin/docker rm -f $1 before it: --rm alone may come too late"},
	{regexp.MustCompile(`(?i)\btoo many open files\b|\bEMFILE\b|shared object file: Error 24\b`), "it has run out of open files, connections among them", "systemctl show -p LimitNOFILE %s; then raise LimitNOFILE= in the unit"},
	{regexp.MustCompile(`error while loading shared libraries: ([^:\s]+)`), "a library that it needs is missing: $1", "systemctl show -p ExecStart %s; ldd that program; install the package, or bring it as an artifact"},
	{regexp.MustCompile(`(?i)\baddress already in use\b|\bEADDRINUSE\b`), "another process has its port", "ss -ltnp, on the host, tells which"},
	{regexp.MustCompile(`(?i)\bread-only file system\b|\bEROFS\b`), "it may not write where it wants to: ProtectSystem= of the unit, or a filesystem that is read-only", "systemctl cat %s; write ReadWritePaths= or StateDirectory=, or see findmnt"},
	{regexp.MustCompile(`(?i)\bno space left on device\b|\bENOSPC\b`), "a filesystem is full, or out of inodes", "df -h; df -i"},
	{regexp.MustCompile(`(?i)\bcannot allocate memory\b|\bout of memory\b|\bENOMEM\b`), "it gets no more memory", "systemctl show -p MemoryMax,MemoryCurrent %s; free -m"},
	{regexp.MustCompile(`(?i)"?no new privileges"? flag is set|effective uid is not 0, is .*(?:nosuid|no new privileges)|must be setuid root`), "it wants more rights than it was given, which NoNewPrivileges= of the unit forbids (sudo, setuid programs)", "systemctl show -p NoNewPrivileges,User %s; do without sudo: give the unit its own User= or AmbientCapabilities=, or write NoNewPrivileges=no"},
	{regexp.MustCompile(`(?i)\bpermission denied\b|\bEACCES\b|\boperation not permitted\b`), "it may not do what it wants to: a file's owner or mode, or the unit's confinement", "systemctl cat %s; namei -l FILE"},
}

// ofJournal finds the trouble in what the program itself said since it was started last.
func (p *patient) ofJournal(failing bool, c *Cause) bool {
	if !failing || (p.state.ExecStatus >= 200 && p.state.ExecStatus < 250 && p.state.Result == "exit-code") || !slices.Contains([]string{"", "exit-code", "start-limit-hit", "success", "signal", "core-dump"}, p.state.Result) {
		return false
	}
	for _, e := range slices.Backward(p.sinceStart()) {
		if bySystemd(e) {
			continue
		}
		if p.unseen(e.Message, c) {
			return true
		}
		for _, w := range words {
			m := w.says.FindStringSubmatch(e.Message)
			if m == nil {
				continue
			}
			what := clipped(strings.Join(m[1:], ""), 100)
			c.Cause = strings.ReplaceAll(w.cause, "$1", what)
			c.Mend = strings.ReplaceAll(strings.ReplaceAll(w.mend, "%s", p.unit.Name), "$1", what)
			p.wrongOwner(c)
			return true
		}
	}
	return p.wrongOwner(c) || p.readOtherwise(c)
}

// hiddenPath is a path in what a program says of something that it cannot find or enter.
var hiddenPath = regexp.MustCompile(`((?:/home|/root|/run/user|/tmp|/var/tmp)/[^\s:'",;)]*).*(?i:no such file|permission denied|ENOENT|EACCES)|(?i:no such file|permission denied|ENOENT|EACCES).*?((?:/home|/root|/run/user|/tmp|/var/tmp)/[^\s:'",;)]*)`)

// unseen is about a file that is there for all others.
func (p *patient) unseen(said string, c *Cause) bool {
	m := hiddenPath.FindStringSubmatch(said)
	if m == nil {
		return false
	}
	name := clipped(m[1]+m[2], 100)
	key := p.hides(name)
	if key == "" {
		return false
	}
	c.Cause = name + " is hidden from it by " + key + "= of the unit, whether or not it is there"
	c.Mend = "ls -l " + name + "; if it is there: put it elsewhere (/run, /var/lib, /srv), or write " + key + "=no into " + p.unit.Name
	return true
}

// readOtherwise is about an env file on the host that systemd does not read as whoever has
// edited it meant it. What the fleet repo has was looked at before.
func (p *patient) readOtherwise(c *Cause) bool {
	for _, file := range p.unit.EnvFiles {
		got := p.paths[file]
		if got.Content == nil {
			continue
		}
		if _, issues := desired.ParseEnv(got.Content.Bytes()); len(issues) > 0 {
			c.Cause = fmt.Sprintf("systemd does not read %s as it was meant, line %d: %s", file, issues[0].Line, issues[0].Message)
			c.Mend = issues[0].Mend + "; evenkeel apply puts back what the fleet repo has"
			return true
		}
	}
	return false
}

// wrongOwner names files whose owner or mode is not what the repo has: the likely cause of
// a program that may not read or write.
func (p *patient) wrongOwner(c *Cause) bool {
	for _, ch := range p.changes {
		if (strings.HasPrefix(ch.Subject, "/")) && (strings.Contains(ch.Reason, "owner") || strings.Contains(ch.Reason, "mode")) {
			c.Cause = "it may not read or write " + ch.Subject + ", whose owner or mode is not what the fleet repo says"
			c.Mend = "ls -ld " + ch.Subject + "; evenkeel apply puts it right"
			return true
		}
	}
	return false
}

// bySystemd tells what systemd says about the unit from what the unit says.
func bySystemd(e hostdriver.JournalEntry) bool {
	return e.Identifier == "systemd" || strings.HasPrefix(e.Identifier, "(")
}

// details are what systemd adds to an exit status: what it could not find, and where.
var details = regexp.MustCompile(`Failed to load environment files: .+|Changing to the requested working directory failed: .+|Failed to determine user credentials: .+|Failed to set up mount namespacing: .+|Failed to determine group credentials: .+|Failed to set up (?:standard output|standard input|special execution directory[^:]*): .+|Watchdog timeout \(.+\)!?|A process of this unit has been killed by the OOM killer|Failed to load unit .+`)

// ofSystemd adds systemd's own words to a cause that has none of them, with the name of
// what is missing where the unit says which.
func (p *patient) ofSystemd(c *Cause) bool {
	for _, e := range slices.Backward(p.entries) {
		if !bySystemd(e) {
			continue
		}
		said := details.FindString(e.Message)
		if said == "" {
			continue
		}
		c.Cause += " (systemd: " + clipped(strings.TrimSuffix(said, "."), 200) + ")"
		break
	}
	if missing := p.missing(); missing != "" && !strings.Contains(c.Cause, missing) {
		c.Cause += ": " + missing
	}
	return true
}

// missing is what the unit needs and the host has not, of the kind that its exit is about.
func (p *patient) missing() string {
	kind := map[int]desired.NeedKind{200: desired.NeedDirectory, 217: desired.NeedUser, 216: desired.NeedGroup}[p.state.ExecStatus]
	if p.state.Result == "resources" {
		kind = desired.NeedFile
	}
	for _, n := range p.unit.Needs {
		if n.Kind != kind || kind == "" {
			continue
		}
		if kind == desired.NeedUser || kind == desired.NeedGroup || p.paths[n.Name].Type == hostdriver.PathAbsent {
			return n.Key + n.Name
		}
		return path.Clean(n.Name) + " is there, but cannot be used as that"
	}
	return ""
}

func clipped(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// LogLine is one entry of a journal that tells something about an instance.
type LogLine struct {
	At         time.Time `json:"at"` // the host's own clock
	Unit       string    `json:"unit"`
	Identifier string    `json:"identifier"`
	Priority   int       `json:"priority"`
	Message    string    `json:"message"` // what a service logs may hold secrets: shown to who asked, and kept nowhere
}

const (
	explainRead  = 200 // entries of all units that are looked at
	explainShown = 12  // and of those, that are shown
)

// lastOwn is where the last words of a unit in trouble itself are; -1 where there are none.
// Of one that goes round quickly, journald may have what systemd says of it long before.
func lastOwn(entries []hostdriver.JournalEntry, trouble map[string]bool) int {
	for i, e := range slices.Backward(entries) {
		if trouble[e.Unit] && !bySystemd(e) {
			return i
		}
	}
	return -1
}

// tellingLines are those entries that say most: of units that are in trouble, else of all;
// what was logged at warning or worse, and what came last.
func tellingLines(entries []hostdriver.JournalEntry, trouble map[string]bool) []LogLine {
	var chosen []hostdriver.JournalEntry
	most := explainShown
	if len(trouble) == 0 {
		most = explainShown / 3
	}
	for i, e := range slices.Backward(entries) {
		if len(chosen) == most {
			break
		}
		recent := len(entries)-i <= most
		if len(trouble) > 0 && !trouble[e.Unit] || !recent && (e.Priority > 4 || e.Priority < 0) {
			continue
		}
		chosen = append(chosen, e)
	}
	if own := lastOwn(entries, trouble); own >= 0 && !slices.ContainsFunc(chosen, func(e hostdriver.JournalEntry) bool { return !bySystemd(e) }) {
		chosen[len(chosen)-1] = entries[own]
	}
	slices.Reverse(chosen)
	lines := []LogLine{}
	for _, e := range chosen {
		lines = append(lines, LogLine{At: e.At, Unit: e.Unit, Identifier: e.Identifier, Priority: e.Priority, Message: clipped(e.Message, 400)})
	}
	return lines
}
