package adopt

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// refs are what a unit names on its host.
type refs struct {
	envFiles    []string
	foreignEnv  []string // globs, and what only the host can tell
	files       []string // below /etc, in command lines, Environment= or env files
	programs    []string // what runs, where no package has put it
	directories []string
	users       []string
	groups      []string
}

// execKeys are the directives whose values are command lines.
var execKeys = []string{"ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost", "ExecCondition"}

// refs reads a unit's text, with what its env files say.
func (h *Host) refs(u *Unit) refs {
	var r refs
	for _, name := range u.names() {
		h.refsOf(&r, u, name)
	}
	for _, list := range []*[]string{&r.envFiles, &r.foreignEnv, &r.files, &r.programs, &r.directories, &r.users, &r.groups} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	known := map[string]bool{}
	for _, p := range slices.Concat(r.envFiles, []string{u.Path}, u.DropIns) {
		known[p] = true
	}
	for _, list := range []*[]string{&r.files, &r.programs} {
		*list = slices.DeleteFunc(*list, func(p string) bool {
			return known[p] || hostdriver.CheckPath(p) != nil || desired.CheckTargetPath(p) != ""
		})
	}
	r.directories = slices.DeleteFunc(r.directories, func(p string) bool { return hostdriver.CheckPath(p) != nil || desired.CheckTargetPath(p) != "" })
	return r
}

func (h *Host) refsOf(r *refs, u *Unit, name string) {
	const section = "Service"
	expand := func(s string) (string, bool) { return desired.ExpandSpecifiers(s, name) }
	for _, value := range u.Text.Values(section, "EnvironmentFile") {
		p, known := expand(strings.TrimPrefix(value, "-"))
		clean := path.Clean(p)
		switch {
		case !known || strings.ContainsAny(p, "*?[") || hostdriver.CheckPath(clean) != nil:
			r.foreignEnv = append(r.foreignEnv, value)
		case desired.CheckTargetPath(clean) == "":
			r.envFiles = append(r.envFiles, clean)
			for _, p := range h.inEnv(clean) {
				r.addFile(p)
			}
		}
	}
	for _, key := range execKeys {
		for _, value := range u.Text.Values(section, key) {
			for _, word := range desired.SplitExec(value) {
				if word, known := expand(word); known {
					r.addWord(word)
				}
			}
		}
	}
	for _, value := range u.Text.Values(section, "Environment") {
		words, _ := desired.UnitWords(value)
		for _, w := range words {
			if _, v, ok := strings.Cut(w, "="); ok {
				if v, known := expand(v); known {
					r.addFile(v)
				}
			}
		}
	}
	if dir, known := expand(strings.TrimPrefix(u.Text.Last(section, "WorkingDirectory"), "-")); known {
		r.addDirectory(dir)
	}
	for _, key := range []string{"ReadWritePaths", "BindPaths"} {
		for _, value := range u.Text.Values(section, key) {
			words, _ := desired.UnitWords(value)
			for _, w := range words {
				w, known := expand(strings.TrimLeft(w, "-+"))
				if w, _, _ = strings.Cut(w, ":"); known {
					r.addDirectory(w)
				}
			}
		}
	}
	if yes := u.Text.Last(section, "DynamicUser"); yes != "yes" && yes != "true" && yes != "1" {
		if user, known := expand(u.Text.Last(section, "User")); known && isAccount(user) {
			r.users = append(r.users, user)
		}
		if group, known := expand(u.Text.Last(section, "Group")); known && isAccount(group) {
			r.groups = append(r.groups, group)
		}
	}
}

func isAccount(name string) bool {
	return name != "" && name != "root" && strings.Trim(name, "0123456789") != "" && hostdriver.CheckAccount(name) == nil
}

// inEnv are the paths that are the values of an env file.
func (h *Host) inEnv(p string) []string {
	st, ok := h.file(p)
	if !ok || st.Content == nil {
		return nil
	}
	vars, _ := desired.ParseEnv(st.Content.Bytes())
	var out []string
	for _, v := range vars {
		out = append(out, v.Value)
	}
	return out
}

// addWord takes a word of a command line: a path, or one behind an equals sign or colon.
func (r *refs) addWord(word string) {
	if i := strings.IndexByte(word, '/'); i > 0 && strings.IndexByte("=:@", word[i-1]) >= 0 {
		word = word[i:]
	}
	if !strings.HasPrefix(word, "/") {
		return
	}
	word = path.Clean(word)
	switch {
	case under(word, programFolders):
		r.programs = append(r.programs, word)
	case under(word, stateFolders):
		r.addDirectory(word)
	default:
		r.addFile(word)
	}
}

var (
	// programFolders are where people put programs, and packages do not.
	programFolders = []string{"/usr/local", "/opt", "/srv", "/home"}
	// stateFolders are where services keep what is theirs.
	stateFolders = []string{"/var/lib", "/var/log", "/var/cache", "/var/opt", "/var/spool"}
	// commonFolders below /etc are the system's, or kept by something else than a service.
	commonFolders = []string{"/etc/systemd", "/etc/ssl", "/etc/ssh", "/etc/pam.d", "/etc/letsencrypt", "/etc/pki", "/etc/ca-certificates", "/etc/security",
		"/etc/alternatives", "/etc/apt", "/etc/init.d", "/etc/sudoers.d", "/etc/sysctl.d", "/etc/containers", "/etc/credstore", "/etc/credstore.encrypted"}
	// sharedFolders are folders below /etc in which services' files lie, and which no service has for its own.
	sharedFolders = []string{"/etc/default", "/etc/sysconfig", "/etc/conf.d", "/etc/cron.d", "/etc/logrotate.d", "/etc/profile.d"}
)

func under(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(p, f+"/") })
}

// addFile takes a path below a folder of /etc that is a service's.
func (r *refs) addFile(p string) {
	p = path.Clean(p)
	if strings.HasPrefix(p, "/etc/") && strings.Count(p, "/") >= 3 && !under(p, commonFolders) {
		r.files = append(r.files, p)
	}
}

// addDirectory takes a folder that a service may have for its own.
func (r *refs) addDirectory(p string) {
	p = path.Clean(p)
	if under(p, stateFolders) || under(p, []string{"/opt", "/srv", "/etc"}) && !under(p, commonFolders) && !slices.Contains(slices.Concat(commonFolders, sharedFolders), p) {
		r.directories = append(r.directories, p)
	}
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
