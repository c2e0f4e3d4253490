package simhost

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout"
)

// stateDir is where a host keeps evenkeel's records.
const stateDir = "/var/lib/evenkeel"

// host is one simulated host: what it would print of itself.
type host struct {
	addr netip.Addr
	key  ssh.Signer
	boot string

	entries []hostdriver.Entry // of the manifest
	header  string             // its first line
	own     string             // its own records, as head -v prints them

	mu    sync.Mutex // of what Disturb changes
	paths map[string]path
	units map[string]unit
}

// path is one thing on its disk.
type path struct {
	stat    string // a line of facts, see script/facts.sh
	sum     string // of a regular file; "" where nothing else is looked at
	sealed  bool   // a release whose facts are those in its record
	content hostdriver.Content
}

// unit is one of its systemd's.
type unit struct {
	pid     int
	text    string // as systemctl show prints it
	environ map[string]string
	links   string // the facts of /proc/PID/exe and cwd
}

const (
	deployed = "1758362400.123456789" // when it was deployed
	shown    = "Sat 2025-09-20 10:00:01.234567 UTC"
)

// newHost makes a host on which everything is as it should be, by one switch.
func newHost(st desired.HostState, claim string) *host {
	h := &host{boot: uuid(), paths: map[string]path{}, units: map[string]unit{}}
	var names []string
	for i := range st.Instances {
		names = append(names, st.Instances[i].Service)
	}
	m := rollout.Target(hostdriver.Manifest{}, st, names, nil, 1)
	h.entries = m.Entries
	h.header = strings.Join([]string{"evenkeel", "1", "1", m.Revision, random(16)}, "\t")
	for i := range st.Instances {
		h.install(&st.Instances[i], i)
	}
	h.records(st, claim)
	return h
}

// install puts files, releases and running units of a service in place.
func (h *host) install(inst *desired.Instance, n int) {
	for _, d := range inst.Directories {
		h.paths[d.Path] = path{stat: facts(typeDir, d.Mode, 4096, d.Owner, d.Group, d.Path, "")}
	}
	for _, f := range inst.Files {
		h.paths[f.Path] = path{stat: facts(typeFile, f.Mode, f.Content.Len(), f.Owner, f.Group, f.Path, ""), sum: f.SHA256, content: f.Content}
	}
	for _, a := range inst.Artifacts {
		h.paths[a.Link] = path{stat: facts(typeLink, 0o777, 0, "root", "root", a.Link, a.Release)}
		h.paths[a.Release] = path{stat: facts(typeFile, 0o755, int(a.Size), "root", "root", a.Release, ""), sealed: true}
	}
	for j := range inst.Units {
		u := &inst.Units[j]
		for _, need := range u.Needs {
			if _, there := h.paths[need.Name]; !there && need.Kind == desired.NeedDirectory {
				h.paths[need.Name] = path{stat: facts(typeDir, 0o755, 4096, "root", "root", need.Name, "")}
			}
		}
		one := unit{pid: 1000 + 10*n + j, environ: map[string]string{"PATH": "/usr/bin", "LANG": "C.UTF-8"}}
		for _, v := range inst.Environ(u.Name) {
			one.environ[v.Key] = string(v.Value.Bytes())
		}
		exe := "/usr/bin/app"
		if len(inst.Artifacts) > 0 {
			exe = inst.Artifacts[0].Release
		}
		link := func(name, target string) string {
			return facts(typeLink, 0o777, 0, "root", "root", fmt.Sprintf("/proc/%d/%s", one.pid, name), target)
		}
		one.links = link("exe", exe) + "\n" + link("cwd", "/")
		one.text = showUnit(u, one.pid, random(16))
		h.units[u.Name] = one
	}
}

// records makes evenkeel's own records.
func (h *host) records(st desired.HostState, claim string) {
	file := func(name, text string) {
		if h.own != "" {
			h.own += "\n"
		}
		h.own += "==> " + stateDir + "/" + name + " <==\n" + text
	}
	if claim != "" {
		file("epoch", "1\t"+claim+"\n")
		file("claim", claim+"\n")
	}
	for i := range st.Instances {
		inst := &st.Instances[i]
		for j := range inst.Units {
			u := &inst.Units[j]
			inputs := rollout.StartInputs(inst, u)
			text := h.units[u.Name].invocation() + "\t1\n"
			for _, p := range sortedKeys(inputs) {
				text += inputs[p] + "\t" + p + "\n"
			}
			file("started/"+u.Name, text)
		}
		for _, a := range inst.Artifacts {
			file("releases/"+a.Name+"-"+a.SHA256[:16], "released\t"+a.SHA256+"\tfile\t"+a.Release+"\nstat\t"+h.paths[a.Release].stat+"\n")
		}
	}
	text := h.header + "\n"
	for _, e := range h.entries {
		text += entryLine(e)
	}
	file("current/manifest", text)
}

// entryLine is a line of a manifest, as a host keeps it.
func entryLine(e hostdriver.Entry) string {
	mode := ""
	if e.Mode != 0 || e.Kind == hostdriver.KindFile || e.Kind == hostdriver.KindDirectory {
		mode = fmt.Sprintf("%o", e.Mode)
	}
	fields := []string{string(e.Kind), e.Service, e.Name, e.SHA256, e.Owner, e.Group, mode, e.Target, e.Enabled, e.State}
	for i, f := range fields {
		if f == "" {
			fields[i] = "-"
		}
	}
	return strings.Join(fields, "\t") + "\n"
}

// The types of paths, as in st_mode.
const (
	typeDir  = 0x4000
	typeFile = 0x8000
	typeLink = 0xa000
)

// facts is what stat(1) prints of a path.
func facts(kind, mode uint32, size int, owner, group, name, target string) string {
	quoted := `"` + name + `"`
	if target != "" {
		quoted += ` -> "` + target + `"`
	}
	return fmt.Sprintf("%x %o %d %s 0 %s 0 %s %s 4711 %s //%s", kind|mode, mode, size, owner, group, deployed, deployed, name, quoted)
}

// showUnit is what systemctl show prints of a unit.
func showUnit(u *desired.Unit, pid int, invocation string) string {
	state, sub, file := "active", "running", "disabled"
	if u.Enabled != nil && *u.Enabled {
		file = "enabled"
	}
	if u.State == "stopped" {
		state, sub, pid, invocation = "inactive", "dead", 0, ""
	}
	text := fmt.Sprintf("Type=simple\nRestart=on-failure\nNRestarts=0\nMainPID=%d\nExecMainStartTimestamp=%s\nExecMainCode=0\nExecMainStatus=0\nResult=success\nStatusText=\n",
		pid, shown)
	for _, f := range u.EnvFiles {
		text += "EnvironmentFiles=" + f + " (ignore_errors=no)\n"
	}
	return text + fmt.Sprintf("Id=%s\nLoadState=loaded\nActiveState=%s\nSubState=%s\nFragmentPath=%s\nSourcePath=\nDropInPaths=\nUnitFileState=%s\nActiveEnterTimestamp=%s\nInactiveEnterTimestamp=\n"+
		"CanReload=no\nJob=0\nConditionResult=yes\nNeedDaemonReload=no\nInvocationID=%s", u.Name, state, sub, u.File, file, shown, invocation)
}

func (u unit) invocation() string {
	_, id, _ := strings.Cut(u.text, "InvocationID=")
	return id
}

// disturb edits the first file that is not a unit's.
func (h *host) disturb() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.entries, func(e hostdriver.Entry) bool {
		return e.Kind == hostdriver.KindFile && !strings.HasSuffix(e.Name, ".service")
	})
	if i < 0 {
		return errors.New("it has no file that somebody would edit")
	}
	e := h.entries[i]
	edited := hostdriver.NewContent(append(slices.Clone(h.paths[e.Name].content.Bytes()), "# edited\n"...))
	h.paths[e.Name] = path{stat: facts(typeFile, e.Mode, edited.Len(), e.Owner, e.Group, e.Name, ""), sum: edited.SHA256(), content: edited}
	return nil
}

func uuid() string {
	s := random(16)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand.Read
	return hex.EncodeToString(b)
}
