package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sort"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// input is one thing that a unit's process reads at its start or reload.
type input struct {
	path   string
	digest string // what a process that read it as desired has read
	exact  string // of a unit file, the digest of its bytes: older records of starts have that
	mode   desired.ChangeMode
	what   string // for reasons: "its unit file", "/etc/x/x.env"
	env    bool
	file   *desired.File
	link   *desired.Artifact
}

// inputsOf lists what unit u of inst reads, sorted by path.
func inputsOf(inst *desired.Instance, u *desired.Unit) []input {
	var ins []input
	for i := range inst.Files {
		f := &inst.Files[i]
		switch {
		case f.Kind == desired.FileUnit && (f.Path == u.File || f.Unit == u.Name),
			f.Kind == desired.FileDropIn && dropsInto(f.Unit, u.Name):
			ins = append(ins, input{path: f.Path, digest: orElse(f.Meaning, f.SHA256), exact: f.SHA256, mode: f.ChangeMode, what: f.Path, file: f})
		case f.Kind == desired.FileEnv && slices.Contains(u.EnvFiles, f.Path):
			ins = append(ins, input{path: f.Path, digest: varsDigest(f.Vars), mode: f.ChangeMode, what: f.Path, env: true, file: f})
		case slices.Contains(u.Reads, f.Path):
			d := f.Identity()
			if f.Kind == desired.FileEnv {
				d = varsDigest(f.Vars)
			}
			ins = append(ins, input{path: f.Path, digest: d, mode: f.ChangeMode, what: f.Path, file: f})
		}
	}
	for i := range inst.Artifacts {
		if a := &inst.Artifacts[i]; slices.Contains(u.Reads, a.Link) {
			ins = append(ins, input{path: a.Link, digest: a.SHA256, mode: a.ChangeMode, what: "artifact " + a.Name, link: a})
		}
	}
	for i := range ins {
		if ins[i].mode == "" {
			ins[i].mode = desired.ChangeRestart
		}
	}
	sort.Slice(ins, func(i, j int) bool { return ins[i].path < ins[j].path })
	return ins
}

// dropsInto tells whether a drop-in of the unit named applies to u: it is u's, or of
// the template that u is an instance of (systemd.unit(5)).
func dropsInto(of, u string) bool {
	whose, of := hostdriver.SplitUnit(of)
	whom, u := hostdriver.SplitUnit(u)
	if (whose == "") != (whom == "") {
		return false // those of users are for all users
	}
	if of == u {
		return true
	}
	at, dot := strings.IndexByte(u, '@'), strings.LastIndexByte(u, '.')
	return at >= 0 && dot > at && of == u[:at+1]+u[dot:]
}

// StartInputs is what is recorded beside the InvocationID when u is started.
func StartInputs(inst *desired.Instance, u *desired.Unit) map[string]string {
	m := map[string]string{}
	for _, in := range inputsOf(inst, u) {
		m[in.path] = in.digest
	}
	return m
}

// varsDigest is a digest of what systemd makes of an env file, so that comments
// and order do not mean a restart.
func varsDigest(vars []desired.EnvVar) string {
	last := map[string]string{}
	for _, v := range vars {
		last[v.Key] = string(v.Value.Bytes())
	}
	keys := make([]string, 0, len(last))
	for k := range last {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	h := sha256.New()
	for _, k := range keys {
		h.Write([]byte(k + "=" + last[k] + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// unitEnv is what the process of u surely has in its environment, by key.
func unitEnv(inst *desired.Instance, u *desired.Unit) map[string]string {
	vars := map[string]string{}
	if len(u.EnvFiles) == 0 {
		return vars
	}
	for _, v := range inst.Environ(u.Name) {
		vars[v.Key] = string(v.Value.Bytes())
	}
	return vars
}

// maxContent bounds how much of a differing file is read back for a diff.
const maxContent = 64 << 10

// Query is what must be read from a host to compare it with hs. salt keys the
// digests of process environments; use a new random one for each reading.
func Query(hs desired.HostState, salt string) hostdriver.Query {
	q := hostdriver.Query{Salt: salt}
	users, groups := map[string]bool{}, map[string]bool{}
	for i := range hs.Instances {
		inst := &hs.Instances[i]
		for _, u := range inst.Users {
			users[u.Name] = true
		}
		for _, d := range inst.Directories {
			q.Paths = append(q.Paths, hostdriver.PathQuery{Path: d.Path})
			users[d.Owner], groups[d.Group] = true, true
		}
		for _, f := range inst.Files {
			q.Paths = append(q.Paths, pathQueries(&f, salt)...)
			for _, k := range f.KernelParameters() {
				q.Paths = append(q.Paths, hostdriver.PathQuery{Path: k.Path, SHA256: k.SHA256(), MaxContent: 4096})
			}
			for _, name := range f.SystemUsers() {
				users[name] = true
			}
			for _, made := range f.MadeDirectories() {
				q.Paths = append(q.Paths, hostdriver.PathQuery{Path: made.Path})
			}
			users[f.Owner], groups[f.Group] = true, true
		}
		for _, a := range inst.Artifacts {
			q.Paths = append(q.Paths, hostdriver.PathQuery{Path: a.Link}, hostdriver.PathQuery{Path: a.Release})
		}
		for _, user := range inst.UnitUsers() {
			users[user] = true
		}
		for j := range inst.Units {
			u := &inst.Units[j]
			q.Units = append(q.Units, u.Name)
			for _, n := range u.Needs {
				switch n.Kind {
				case desired.NeedUser:
					users[n.Name] = true
				case desired.NeedGroup:
					groups[n.Name] = true
				default:
					q.Paths = append(q.Paths, hostdriver.PathQuery{Path: n.Name, Bare: true})
				}
			}
			if vars := unitEnv(inst, u); len(vars) > 0 && strings.HasSuffix(u.Name, ".service") {
				q.Env = append(q.Env, hostdriver.EnvQuery{Unit: u.Name, Keys: sortedKeys(vars), Digest: hostdriver.EnvDigest(salt, vars)})
			}
		}
	}
	delete(users, "")
	delete(groups, "")
	q.Users, q.Groups = sortedKeys(users), sortedKeys(groups)
	return q
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
