package sshdriver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// maxQuery bounds what one reading may ask for: the names must fit into one
// execve(2), whose limit is 2 MiB on Linux with the usual stack.
const maxQuery = 1 << 20

// reading is one query on its way: what was asked for, to understand the answer by.
type reading struct {
	query hostdriver.Query
	known ownManifest
	// What the host may tell of, beside what its own manifest names: nothing else of its
	// answer is taken.
	paths, units, users map[string]bool
	script
}

// newReading makes the script for q. known is the manifest that the host had when it
// was last read, with its first line: if it still has that one, the host need not
// look up again what the manifest names.
func newReading(p places, q hostdriver.Query, known ownManifest) (*reading, error) {
	r := &reading{query: q, known: known, script: *newScript(p, "facts", "manager", "observe", "environ")}
	paths := newNames()
	units, templates, users, groups := newNames(), newNames(), newNames(), newNames()
	addUnit := func(name string) {
		if hostdriver.IsTemplate(name) {
			templates.add(name)
		} else {
			units.add(name)
		}
	}
	bare := newNames()
	for _, p := range q.Paths {
		if !p.Bare {
			paths.add(p.Path)
		}
	}
	for _, p := range q.Paths {
		if p.Bare && !paths.seen[p.Path] {
			bare.add(p.Path)
		}
	}
	for _, u := range q.Units {
		addUnit(u)
	}
	for _, e := range q.Env {
		addUnit(e.Unit)
	}
	users.add(q.Users...)
	groups.add(q.Groups...)
	for _, e := range known.Entries {
		switch e.Kind {
		case hostdriver.KindUnit:
			addUnit(e.Name)
		case hostdriver.KindUser:
			users.add(e.Name)
		default:
			paths.add(e.Name)
		}
	}
	r.paths, r.units, r.users = paths.seen, units.seen, users.seen
	for _, p := range bare.list {
		r.paths[p] = true
	}
	for _, t := range templates.list {
		r.units[t] = true
	}
	r.setFlag("LIGHT", q.Light)
	r.setFlag("GENERATIONS", q.Generations)
	r.set("KNOWN", known.header)
	r.setList("PATHS", paths.list)
	r.setList("BARE", bare.list)
	r.setList("UNITS", units.list)
	r.setList("TEMPLATES", templates.list)
	r.setList("USERS", users.list)
	r.setList("GROUPS_", groups.list)
	r.setList("DISK", q.Disk)
	r.set("SALT", q.Salt)
	r.set("WANT", r.wants())
	r.set("ENVS", r.envs())
	r.set("SEALS", r.seals())
	if err := checkNames(append(slices.Clone(paths.list), bare.list...), q.Disk, append(slices.Clone(units.list), templates.list...), append(slices.Clone(users.list), groups.list...)); err != nil {
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}
	if n := r.vars.Len(); n > maxQuery {
		return nil, fmt.Errorf("the query takes %d bytes, and %d are possible: manage fewer paths on one host", n, maxQuery)
	}
	return r, nil
}

// names is a list without repetition.
type names struct {
	list []string
	seen map[string]bool
}

func newNames() *names { return &names{seen: map[string]bool{}} }

func (n *names) add(all ...string) {
	for _, s := range all {
		if !n.seen[s] {
			n.seen[s] = true
			n.list = append(n.list, s)
		}
	}
}

// wants lists the files whose content is wanted if it is another, see look_contents.
func (r *reading) wants() string {
	var lines []string
	for _, p := range r.query.Paths {
		if p.Seal != nil { // it comes back in any case
			r.check(p.Path)
			lines = append(lines, strconv.Itoa(maxSealed)+"\t"+sumLine("-", p.Path)+"\t"+p.Path)
		} else if p.MaxContent > 0 {
			r.check(p.Path)
			lines = append(lines, strconv.FormatInt(p.MaxContent, 10)+"\t"+sumLine(p.SHA256, p.Path)+"\t"+p.Path)
		}
	}
	return strings.Join(lines, "\n")
}

// maxSealed bounds an encrypted credential, which is base64.
const maxSealed = 2 * maxCredential

// seals lists the encrypted credentials asked for, see look_seals.
func (r *reading) seals() string {
	var lines []string
	for _, p := range r.query.Paths {
		if p.Seal == nil {
			continue
		}
		r.check(p.Path)
		if err := hostdriver.CheckCredential(p.Seal.Name); err != nil && r.err == nil {
			r.err = err
		}
		lines = append(lines, p.Seal.Name+"\t"+firstOf(p.Seal.Digest, "-")+"\t"+p.Path)
	}
	return strings.Join(lines, "\n")
}

// sumLine is how sha256sum(1) prints a digest.
func sumLine(digest, path string) string {
	if strings.Contains(path, `\`) {
		return `\` + digest + "  " + strings.ReplaceAll(path, `\`, `\\`)
	}
	return digest + "  " + path
}

// envs lists the environments asked for. EnvDigest sorts whole lines, and as each key
// is there once that is the order of the keys with their equals sign.
func (r *reading) envs() string {
	var lines []string
	for _, e := range r.query.Env {
		keys := slices.Clone(e.Keys)
		slices.SortFunc(keys, func(a, b string) int { return strings.Compare(a+"=", b+"=") })
		for _, k := range append([]string{e.Unit}, keys...) {
			r.check(k)
			if strings.Contains(k, "=") && k != e.Unit && r.err == nil {
				r.err = fmt.Errorf("%q cannot be the name of a variable", k)
			}
		}
		lines = append(lines, e.Unit+"\t"+firstOf(e.Digest, "-")+"\t"+strings.Join(slices.Compact(keys), "\t"))
	}
	return strings.Join(lines, "\n")
}

// checkNames refuses what cannot be asked of a host, whoever wrote it.
func checkNames(paths, disk, units, accounts []string) error {
	for _, p := range slices.Concat(paths, disk) {
		if err := hostdriver.CheckPath(p); err != nil {
			return err
		}
	}
	for _, u := range units {
		if err := hostdriver.CheckUnit(u); err != nil {
			return err
		}
	}
	for _, a := range accounts {
		if err := hostdriver.CheckAccount(a); err != nil {
			return err
		}
	}
	return nil
}
