package inventory

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// AddINI takes an Ansible inventory in INI form.
func (b *Builder) AddINI(file string, data []byte) {
	p := &iniParser{b: b, file: file, group: groupUngrouped, kind: iniHosts}
	for i, line := range strings.Split(string(data), "\n") {
		p.pos = fault.Position{File: file, Line: i + 1, Column: 1 + len(line) - len(strings.TrimLeft(line, " \t"))}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		p.line(line)
	}
}

type iniKind string

const (
	iniHosts    iniKind = "hosts"
	iniVars     iniKind = "vars"
	iniChildren iniKind = "children"
	iniSkip     iniKind = "" // after a section header that is wrong
)

type iniParser struct {
	b     *Builder
	file  string
	pos   fault.Position
	group string
	kind  iniKind
}

var (
	iniSection = regexp.MustCompile(`^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$`)
	iniChild   = regexp.MustCompile(`^([^:\]\s=]+)\s*(?:#.*)?$`)
)

func (p *iniParser) fault(rule, message, mend string) { p.b.fault(p.pos, rule, message, mend) }

func (p *iniParser) line(line string) {
	if m := iniSection.FindStringSubmatch(line); m != nil {
		p.section(m[1], m[2])
		return
	}
	// Among hosts a line may begin with an address in brackets.
	if line[0] == '[' && (p.kind != iniHosts || (strings.HasSuffix(line, "]") && !strings.Contains(line, ":"))) {
		p.fault("ini-syntax", "the section header "+fault.Quote(line)+" is not [group], [group:vars] or [group:children]", "")
		p.kind = iniSkip
		return
	}
	switch p.kind {
	case iniHosts:
		p.hosts(line)
	case iniVars:
		p.variable(line)
	case iniChildren:
		p.child(line)
	}
}

func (p *iniParser) section(name, kind string) {
	if !validGroupName(name) {
		p.fault("bad-name", "group name "+fault.Quote(name)+" has other than letters, digits, \"-\", \"_\" and \".\"", "")
		p.kind = iniSkip
		return
	}
	p.group = name
	switch kind {
	case "", "hosts":
		p.kind = iniHosts
		p.b.ansibleGroup(name, p.pos)
	case "children":
		p.kind = iniChildren
		p.b.ansibleGroup(name, p.pos)
	case "vars":
		p.kind = iniVars
		g := p.b.group(name, p.pos)
		g.ansible = true
		if name == groupAll || name == groupUngrouped {
			g.declared = true
		}
		p.b.varsSections = append(p.b.varsSections, reference{name, p.pos})
	default:
		p.kind = iniSkip
		p.fault("ini-syntax", "the section ["+name+":"+kind+"] is unknown", fault.DidYouMean(kind, []string{"vars", "children", "hosts"}))
	}
}

func (p *iniParser) hosts(line string) {
	words, err := shellWords(line)
	if err != nil {
		p.fault("ini-syntax", "the line cannot be read: "+err.Error(), "")
		return
	}
	if len(words) == 0 {
		return
	}
	vars := map[string]any{}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			p.fault("ini-syntax", "after the host come only KEY=VALUE, not "+fault.Quote(w), "one host a line")
			return
		}
		vars[key] = pythonValue(value)
	}
	names, port, err := expandHostPattern(words[0])
	if err != nil {
		p.fault("ini-syntax", err.Error(), "")
		return
	}
	for _, name := range names {
		p.b.ansibleHost(name, p.group, port, vars, p.pos)
	}
}

func (p *iniParser) variable(line string) {
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		p.fault("ini-syntax", fmt.Sprintf("in [%s:vars] stand only KEY=VALUE, not %s", p.group, fault.Quote(line)), "")
		return
	}
	if strings.HasPrefix(strings.TrimSpace(value), "!vault") {
		p.fault("vault", fault.Quote(key)+" is encrypted with Ansible Vault, which evenkeel does not open",
			"keep it in a SOPS file that a service's env names")
		return
	}
	p.b.group(p.group, p.pos).vars[key] = pythonValue(strings.TrimSpace(value))
}

func (p *iniParser) child(line string) {
	m := iniChild.FindStringSubmatch(line)
	if m == nil {
		p.fault("ini-syntax", fmt.Sprintf("in [%s:children] stand only names of groups, not %s", p.group, fault.Quote(line)), "")
		return
	}
	p.b.group(p.group, p.pos).children[m[1]] = p.pos
}
