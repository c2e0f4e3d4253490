package sshdriver

import (
	"fmt"
	"slices"
	"strings"
)

// hostConfig is what ssh_config says about one host. Single values are those set
// first; lists of files gather over all blocks that match.
type hostConfig struct {
	single       map[string][]string // keyword -> arguments of the first line that set it
	identities   []string
	certificates []string
	skipped      []string // Match blocks that could not be judged: "file:line: Match exec"
	proxyCommand bool     // a ProxyCommand was set before any ProxyJump
}

// value returns the first argument of a keyword, "" where it is not set.
func (h hostConfig) value(keyword string) string {
	if args := h.single[keyword]; len(args) > 0 {
		return args[0]
	}
	return ""
}

// configQuery is what Host and Match lines are compared with.
type configQuery struct {
	names     []string // what the host is called: the inventory's name, its address
	user      string   // the user that flags or inventory chose, "" if neither did
	localUser string
}

// lookup evaluates the files for one host. A Host line matches if any of its
// names does and none is negated.
func (c *sshConfig) lookup(q configQuery) hostConfig {
	e := configEvaluation{query: q, found: hostConfig{single: map[string][]string{}}}
	e.walk(c.directives, true)
	if e.wantsFinal {
		// "Match final" asks for a second pass, which only adds: ssh_config(5).
		e.final, e.found.skipped = true, nil
		e.walk(c.directives, true)
	}
	return e.found
}

type configEvaluation struct {
	query      configQuery
	found      hostConfig
	wantsFinal bool
	final      bool // this is the second pass
}

// walk applies directives. Those before the first Host or Match line count if
// outer does; an included file's blocks count only where the Include itself did.
func (e *configEvaluation) walk(all []directive, outer bool) {
	active := outer
	for _, d := range all {
		switch d.keyword {
		case endOfFile:
			active = outer
		case "host":
			active = outer && matchHostLine(d.args, e.query.names)
		case "match":
			active = outer && e.matches(d)
		case "include":
			e.walk(d.included, active)
		default:
			if active {
				e.set(d)
			}
		}
	}
}

func (e *configEvaluation) set(d directive) {
	if len(d.args) == 0 {
		return
	}
	f := &e.found
	switch d.keyword {
	case "identityfile":
		f.identities = appendNew(f.identities, d.args[0])
		return
	case "certificatefile":
		f.certificates = appendNew(f.certificates, d.args[0])
		return
	case "proxycommand":
		if f.single["proxyjump"] == nil && f.single["proxycommand"] == nil {
			f.proxyCommand = !strings.EqualFold(d.args[0], "none")
		}
	case "proxyjump":
		// Whichever of the two comes first counts: ssh_config(5).
		if f.single["proxycommand"] != nil && f.proxyCommand {
			return
		}
	}
	if f.single[d.keyword] == nil {
		f.single[d.keyword] = d.args
	}
}

// matches judges a Match line. A criterion that would run a command, or that
// depends on what only ssh itself knows, cannot be judged: the block is skipped,
// and the skip is remembered so that errors can name it.
func (e *configEvaluation) matches(d directive) bool {
	args := d.args
	if len(args) == 0 {
		return false
	}
	for len(args) > 0 {
		criterion, negated := strings.CutPrefix(args[0], "!")
		args = args[1:]
		// criterion=pattern is one word to the splitter.
		if name, value, ok := strings.Cut(criterion, "="); ok {
			criterion, args = name, append([]string{value}, args...)
		}
		var values []string
		criterion = strings.ToLower(criterion)
		switch criterion {
		case "all":
			if negated {
				return false
			}
			continue
		case "final", "canonical":
			e.wantsFinal = e.wantsFinal || criterion == "final"
			if (criterion == "final" && e.final) == negated {
				return false
			}
			continue
		}
		switch criterion {
		case "host":
			values = e.query.names
			if name := e.found.value("hostname"); name != "" {
				values = []string{name}
			}
		case "originalhost":
			values = e.query.names
		case "user":
			values = []string{firstOf(e.query.user, e.found.value("user"), e.query.localUser)}
		case "localuser":
			values = []string{e.query.localUser}
		default:
			e.found.skipped = append(e.found.skipped, fmt.Sprintf("%s: Match %s", d.place(), criterion))
			return false
		}
		if len(args) == 0 {
			return false
		}
		if matchPatternList(args[0], values) == negated {
			return false
		}
		args = args[1:]
	}
	return true
}

// matchHostLine judges the patterns of a Host line.
func matchHostLine(patterns, names []string) bool {
	found := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		if !slices.ContainsFunc(names, func(name string) bool { return matchPattern(strings.ToLower(p), strings.ToLower(name)) }) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// matchPatternList judges a comma separated list, where a negated match wins.
func matchPatternList(list string, values []string) bool {
	return matchHostLine(strings.Split(list, ","), values)
}

// matchPattern matches the whole of s: * is any run of characters, ? any one.
// It takes time in proportion to len(pattern)*len(s).
func matchPattern(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
