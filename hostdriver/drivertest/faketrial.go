package drivertest

import (
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// try finds what a start would trip over, with what a generation brings in its place. Of
// programs it knows scripts alone: they have no libraries. Unit files are all good to it.
func (h *FakeHost) try(t hostdriver.Trial, entries []hostdriver.Entry) []hostdriver.Finding {
	v := staged{h, entries}
	var found []hostdriver.Finding
	for _, n := range t.Needs {
		reason, detail := v.need(n)
		if reason != "" {
			found = append(found, n.Found(reason, detail))
		}
	}
	return found
}

// staged is a host as it will be with a generation's entries.
type staged struct {
	*FakeHost
	entries []hostdriver.Entry
}

func (v staged) need(n hostdriver.TrialNeed) (reason hostdriver.FindingReason, detail string) {
	switch n.Kind {
	case hostdriver.TryProgram:
		return v.program(n)
	case hostdriver.TryDirectory:
		if x := v.at(n.Name); x == nil || x.kind != hostdriver.PathDir {
			return hostdriver.DirectoryMissing, ""
		}
	case hostdriver.TryEnvFile:
		switch x := v.at(n.Name); {
		case x == nil:
			return hostdriver.EnvFileMissing, ""
		case x.kind == hostdriver.PathDir:
			return hostdriver.EnvFileUnreadable, "it is a directory"
		case !utf8.Valid(x.data.Bytes()):
			return hostdriver.EnvFileUnparsable, ""
		}
	case hostdriver.TryUser:
		if !v.brings(n.Name) && !v.users[n.Name].Exists {
			return hostdriver.UserMissing, ""
		}
	case hostdriver.TryGroup:
		if !v.brings(n.Name) && !v.groups[n.Name] {
			return hostdriver.GroupMissing, ""
		}
	case hostdriver.TryPort:
		for address, l := range v.listeners {
			if l.unit == "" && strings.HasSuffix(address, ":"+n.Name) {
				return hostdriver.PortTaken, ""
			}
		}
	}
	return "", ""
}

func (v staged) program(n hostdriver.TrialNeed) (hostdriver.FindingReason, string) {
	x := v.at(n.Name)
	switch {
	case x == nil:
		return hostdriver.ProgramMissing, ""
	case x.kind == hostdriver.PathDir || x.mode&0o111 == 0:
		return hostdriver.NotExecutable, ""
	case n.User != "" && n.User != x.owner && x.mode&0o001 == 0 && n.User != "root":
		return hostdriver.NotExecutable, ""
	}
	first, isScript := strings.CutPrefix(string(x.data.Bytes()), "#!")
	if !isScript {
		return "", ""
	}
	first, _, _ = strings.Cut(first, "\n")
	words := strings.Fields(first)
	if len(words) == 0 || v.at(words[0]) == nil {
		return hostdriver.InterpreterAbsent, strings.TrimSpace(first)
	}
	if path.Base(words[0]) == "env" && len(words) > 1 && v.at("/usr/bin/"+words[1]) == nil {
		return hostdriver.InterpreterAbsent, words[1]
	}
	return "", ""
}

// at is what will be at a path, links followed; nil where nothing will.
func (v staged) at(name string) *node {
	for range 20 {
		for _, e := range v.entries {
			switch {
			case e.Kind == hostdriver.KindLink && (name == e.Name || strings.HasPrefix(name, e.Name+"/")):
				target := e.Target
				if !path.IsAbs(target) {
					target = path.Join(path.Dir(e.Name), target)
				}
				name = target + strings.TrimPrefix(name, e.Name)
			case e.Kind == hostdriver.KindFile && e.Name == name:
				return &node{kind: hostdriver.PathFile, data: v.blobs[e.SHA256], mode: e.Mode, owner: orRoot(e.Owner)}
			case e.Kind == hostdriver.KindDirectory && (e.Name == name || strings.HasPrefix(e.Name, name+"/")):
				return &node{kind: hostdriver.PathDir, mode: e.Mode, owner: orRoot(e.Owner)}
			}
		}
		to := v.follow(name)
		if to == name {
			break
		}
		name = to
	}
	if x := v.nodes[name]; x != nil {
		return x
	}
	for _, e := range v.entries { // a folder that is made for what is in it
		if (e.Kind == hostdriver.KindFile || e.Kind == hostdriver.KindLink) && strings.HasPrefix(e.Name, name+"/") {
			return &node{kind: hostdriver.PathDir, mode: 0o755, owner: "root"}
		}
	}
	return nil
}

// brings tells whether the generation brings a user, and the group of that name.
func (v staged) brings(account string) bool {
	return slices.ContainsFunc(v.entries, func(e hostdriver.Entry) bool { return e.Kind == hostdriver.KindUser && e.Name == account })
}
