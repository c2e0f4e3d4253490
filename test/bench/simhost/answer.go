package simhost

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// reply is one on its way, in the form of the remote protocol.
type reply struct {
	nonce   string
	records int
	b       []byte
}

func (a *reply) rec(words ...string) {
	a.records++
	a.b = append(a.b, '\n')
	a.b = append(a.b, a.nonce...)
	for _, w := range words {
		a.b = append(a.b, ' ')
		a.b = append(a.b, w...)
	}
	a.b = append(a.b, '\n')
}

func (a *reply) line(s string) { a.b = append(append(a.b, s...), '\n') }

// lines are a record's body; one without any is an empty line, as printf leaves it.
func (a *reply) lines(all []string) {
	for _, l := range all {
		a.line(l)
	}
	if len(all) == 0 {
		a.line("")
	}
}

// answer is what the host says to a request, from the begin record to the end.
func (h *host) answer(r request) []byte {
	a := &reply{nonce: r.nonce, b: make([]byte, 0, 8<<10)}
	a.rec("begin", "1")
	switch r.call {
	case "op_observe":
		h.observe(a, r)
	case "op_glance":
		h.showUnits(a, r.list("UNITS"))
	default:
		a.rec("error", "refused")
		a.line(r.call + ": a simulated host carries nothing out")
		a.rec("mend")
		a.line("use real hosts: go run ./test/lab")
	}
	a.rec("end", strconv.Itoa(a.records+1))
	return a.b
}

// observe is script/observe.sh.
func (h *host) observe(a *reply, r request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.rec("own")
	a.line(h.own)
	a.rec("kept", "1")
	paths, units, users := r.list("PATHS"), r.list("UNITS"), r.list("USERS")
	if r.vars["KNOWN"] != h.header {
		paths, units, users = h.named(paths, units, users)
	}
	if len(units) > 0 {
		h.showUnits(a, units)
	}
	if r.vars["TEMPLATES"] != "" {
		a.rec("templates")
	}
	a.rec("host", h.boot, "252", "0")
	if r.vars["LIGHT"] == "1" {
		a.rec("clock")
		a.line(clock())
		return
	}
	sums := h.stats(a, paths, r.list("BARE"), units)
	a.rec("torn")
	a.line("")
	a.rec("sum")
	a.lines(sums)
	h.contents(a, r.list("WANT"))
	for _, env := range r.list("ENVS") {
		h.compareEnv(a, r.vars["SALT"], strings.Split(env, "\t"))
	}
	h.accounts(a, users, r.list("GROUPS_"))
}

// named adds what the host's own manifest names.
func (h *host) named(paths, units, users []string) (allPaths, allUnits, allUsers []string) {
	add := func(to *[]string, name string) {
		if !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	for _, e := range h.entries {
		switch e.Kind {
		case hostdriver.KindUnit:
			add(&units, e.Name)
		case hostdriver.KindUser:
			add(&users, e.Name)
		default:
			add(&paths, e.Name)
		}
	}
	return paths, units, users
}

func (h *host) showUnits(a *reply, names []string) {
	a.rec(append([]string{"units"}, names...)...)
	for i, name := range names {
		if i > 0 {
			a.line("")
		}
		if u, ok := h.units[name]; ok {
			a.line(u.text)
		} else {
			a.line("Id=" + name + "\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0")
		}
	}
}

func clock() string {
	now := time.Now()
	return fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond())
}

// stats tells of processes and paths, and returns the digests of regular files, as
// sha256sum prints them.
func (h *host) stats(a *reply, paths, bare, units []string) (sums []string) {
	a.rec("procs")
	var links []string
	for _, name := range units {
		if u, ok := h.units[name]; ok && u.pid != 0 {
			a.line(strconv.Itoa(u.pid) + " " + name)
			links = append(links, u.links)
		}
	}
	a.rec("stat")
	now := clock()
	a.line("8124 444 0 root 0 root 0 " + now + " " + now + " 1 /proc/self/status //\"/proc/self/status\"")
	a.lines(links)
	for i, name := range slices.Concat(paths, bare) {
		p, ok := h.paths[name]
		if !ok {
			a.line("stat: cannot statx '" + name + "': No such file or directory")
			continue
		}
		a.line(p.stat)
		if p.sum != "" && !p.sealed && i < len(paths) {
			sums = append(sums, p.sum+"  "+name)
		}
	}
	return sums
}

// contents tells what stands in files that are not what was expected. A line of WANT is
// the largest size, what sha256sum should have printed, and the path.
func (h *host) contents(a *reply, want []string) {
	for _, w := range want {
		most, rest, _ := strings.Cut(w, "\t")
		sum, name, _ := strings.Cut(rest, "\t")
		p, ok := h.paths[name]
		if n, _ := strconv.Atoi(most); !ok || p.sum == "" || strings.HasPrefix(sum, p.sum+" ") || p.content.Len() > n {
			continue
		}
		a.rec("content")
		a.line(name)
		a.b = base64.StdEncoding.AppendEncode(a.b, p.content.Bytes())
	}
}

// compareEnv compares a process' environment: f is the unit, a digest, and the keys.
func (h *host) compareEnv(a *reply, salt string, f []string) {
	u, ok := h.units[f[0]]
	if !ok || u.pid == 0 || len(f) < 3 {
		a.rec("env", f[0], "0", "unreadable")
		return
	}
	found := map[string]string{}
	for _, k := range f[2:] {
		if v, ok := u.environ[k]; ok {
			found[k] = v
		}
	}
	pid := strconv.Itoa(u.pid)
	if hostdriver.EnvDigest(salt, found) == f[1] {
		a.rec("env", f[0], pid, "same")
		return
	}
	a.rec("env", f[0], pid, "differs")
	for _, k := range sortedKeys(found) {
		a.line(hostdriver.EnvDigest(salt, map[string]string{k: found[k]}) + " " + k)
	}
}

// accounts tells of users and groups: root's, and those that the manifest names.
func (h *host) accounts(a *reply, users, groups []string) {
	known := []string{"root"}
	for _, e := range h.entries {
		if e.Kind == hostdriver.KindUser {
			known = append(known, e.Name)
		}
	}
	var passwd, group []string
	for id, name := range known {
		if slices.Contains(users, name) {
			passwd = append(passwd, fmt.Sprintf("%s:x:%d:%d::/:/usr/sbin/nologin", name, id, id))
		}
		if slices.Contains(users, name) || slices.Contains(groups, name) {
			group = append(group, fmt.Sprintf("%s:x:%d:", name, id))
		}
	}
	a.rec("passwd")
	a.lines(passwd)
	a.rec("group")
	a.lines(group)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
