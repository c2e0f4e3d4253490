package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// UnitDirective is one assignment of a unit file.
type UnitDirective struct {
	Section, Key, Value string
	Line, Column        int
	File                string // in the fleet repo, where whoever has read it says
}

// UnitFile is a unit file, or a unit file and its drop-ins behind it, as
// assignments in order.
type UnitFile struct {
	Directives []UnitDirective
}

// UnitIssue is a line that systemd does not take. Fatal tells that it would not
// load the unit at all.
type UnitIssue struct {
	Line, Column  int
	Fatal         bool
	Message, Mend string
}

// ParseUnit reads a unit file by systemd.syntax(7): comments begin with # or ; and
// may stand within a continued line, a backslash at the end joins the next line
// with a space, white space around key and value is dropped. Values are not
// unquoted. It reads what it can and tells the rest as issues. Where the manual is silent it
// is as systemd's config_parse does it: a carriage return and a NUL end a line, too, a byte
// order mark is dropped once, and what is not UTF-8 fails the whole file.
func ParseUnit(data []byte) (UnitFile, []UnitIssue) {
	p := &unitParser{}
	number, mark := 1, false
	for rest := string(data); ; {
		line, next, ends := cutLine(rest)
		if !mark && !isUnitComment(line) {
			line, mark = strings.CutPrefix(line, "\ufeff")
		}
		p.line(line, number)
		if next == "" {
			break
		}
		number += ends
		rest = next
	}
	if p.joined != "" {
		p.statement()
	}
	return p.unit, p.issues
}

// cutLine is the first line, what follows it, and how many newlines are between the two. As
// in systemd's read_line, a newline, a carriage return or both, and then a NUL, or one of
// these, end a line.
func cutLine(s string) (line, rest string, newlines int) {
	const ends = "\n\r\x00"
	at := strings.IndexAny(s, ends)
	if at < 0 {
		return s, "", 0
	}
	to := at
	for to < len(s) && in(ends, s[to]) && strings.IndexByte(s[at:to], s[to]) < 0 {
		if s[to] == '\n' {
			newlines++
		}
		to++
		if s[to-1] == 0 {
			break
		}
	}
	return s[:at], s[to:], newlines
}

func isUnitComment(line string) bool {
	trimmed := strings.TrimLeft(line, envWhite)
	return trimmed != "" && in("#;", trimmed[0])
}

type unitParser struct {
	unit    UnitFile
	issues  []UnitIssue
	section string
	joined  string // what continued lines have given so far
	start   int    // where it began
	column  int
}

func (p *unitParser) issue(fatal bool, message, mend string) {
	p.issues = append(p.issues, UnitIssue{Line: p.start, Column: p.column, Fatal: fatal, Message: message, Mend: mend})
}

func (p *unitParser) line(line string, number int) {
	if isUnitComment(line) {
		return
	}
	if p.joined == "" {
		p.start = number
		p.column = 1 + len(line) - len(strings.TrimLeft(line, envWhite))
	}
	if n := len(line) - len(strings.TrimRight(line, `\`)); n%2 == 1 {
		p.joined += line[:len(line)-1] + " "
		return
	}
	p.joined += line
	p.statement()
}

// statement takes a whole line, continuations joined.
func (p *unitParser) statement() {
	s := strings.Trim(p.joined, envWhite)
	p.joined = ""
	switch {
	case s == "":
		return
	case !validUTF8(s):
		p.issue(true, "systemd does not load the unit, for the line is not UTF-8", "save the file as UTF-8")
		return
	case s[0] == '[':
		if !strings.HasSuffix(s, "]") || len(s) < 2 {
			p.issue(true, "the section header is not closed", "write [Section] on a line of its own")
			return
		}
		p.section = s[1 : len(s)-1]
		if strings.ContainsFunc(p.section, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune("\"'\\", r) }) {
			p.issue(true, "the section header has a quote, a backslash or a control character in it", "write [Section] on a line of its own")
			return
		}
		if p.section == "" {
			p.section = "[]" // no section that systemd knows either
			p.issue(false, "systemd ignores the section, for it has no name", "write [Unit], [Service] or [Install]")
		}
		return
	}
	key, value, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		p.issue(false, "systemd ignores the line, for it has no =", "write Key=value, or # before it")
	case p.section == "":
		p.issue(false, "systemd ignores the line, for it stands before any section", "write [Unit], [Service] or [Install] above it")
	case strings.Trim(key, envWhite) == "":
		p.issue(false, "systemd ignores the line, for nothing stands before =", "")
	default:
		p.unit.Directives = append(p.unit.Directives, UnitDirective{
			Section: p.section, Key: strings.Trim(key, envWhite), Value: strings.Trim(value, envWhite), Line: p.start, Column: p.column})
	}
}

// Digest is a digest of what systemd makes of the file for a process that runs by it:
// comments, white space around keys and values, and how lines are continued do not count,
// nor do Description= and Documentation=, nor what only systemctl enable reads ([Install]).
func (u UnitFile) Digest() string {
	h := sha256.New()
	for _, d := range u.Directives {
		if d.Section == "Install" || d.Section == "Unit" && (d.Key == "Description" || d.Key == "Documentation") {
			continue
		}
		h.Write([]byte(d.Section + "\x00" + d.Key + "\x00" + d.Value + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// With is the unit with a drop-in behind it.
func (u UnitFile) With(dropIn UnitFile) UnitFile {
	return UnitFile{Directives: append(u.Directives[:len(u.Directives):len(u.Directives)], dropIn.Directives...)}
}

// Values are the values of a list such as EnvironmentFile=: an empty assignment
// drops those before it.
func (u UnitFile) Values(section, key string) []string {
	var out []string
	for _, d := range u.Directives {
		if d.Section != section || d.Key != key {
			continue
		}
		if d.Value == "" {
			out = nil
			continue
		}
		out = append(out, d.Value)
	}
	return out
}

// Last is the value of a setting that has one, or "".
func (u UnitFile) Last(section, key string) string {
	for i := len(u.Directives) - 1; i >= 0; i-- {
		if d := u.Directives[i]; d.Section == section && d.Key == key {
			return d.Value
		}
	}
	return ""
}

// Installs tells whether systemctl enable would do something for the unit itself: whether
// [Install] says into what. Also= enables others alone ("indirect" in UnitFileState).
func (u UnitFile) Installs() bool {
	for _, key := range []string{"WantedBy", "RequiredBy", "UpheldBy", "Alias"} {
		if len(u.Values("Install", key)) > 0 {
			return true
		}
	}
	return false
}

// Links is what systemctl enable makes of [Install] under /etc/systemd/system, sorted:
// TARGET.wants and the like, and names (Alias=). ok is false where only the host can tell:
// of templates, and where a value has a specifier.
func (u UnitFile) Links(unit string) (links []string, ok bool) {
	if isTemplateUnit(unit) {
		return nil, false
	}
	for _, kind := range [][2]string{{"WantedBy", ".wants"}, {"RequiredBy", ".requires"}, {"UpheldBy", ".upholds"}, {"Alias", ""}} {
		for _, value := range u.Values("Install", kind[0]) {
			if strings.Contains(value, "%") {
				return nil, false
			}
			for name := range strings.FieldsSeq(value) {
				if name == unit && kind[1] == "" {
					continue
				}
				if at, there := slices.BinarySearch(links, name+kind[1]); !there {
					links = slices.Insert(links, at, name+kind[1])
				}
			}
		}
	}
	return links, true
}

// notEnabled says why systemctl enable would fail, or would do nothing for the unit itself,
// and how to mend it in the file named.
func (u UnitFile) notEnabled(unit, file string) (message, mend string) {
	also, target := u.Values("Install", "Also"), "multi-user.target"
	if user, _ := hostdriver.SplitUnit(unit); user != "" {
		target = "default.target"
	}
	switch {
	case !u.Installs() && len(also) > 0:
		return unit + " cannot be enabled, for its [Install] only names others: Also=" + strings.Join(also, " "),
			"write WantedBy=" + target + " into " + file + ", or enable " + strings.Join(also, " ") + " instead"
	case !u.Installs():
		return unit + " cannot be enabled, for its file says nothing under [Install]",
			"write [Install] and WantedBy=" + target + " into " + file + ", or drop enabled"
	case isTemplateUnit(unit) && u.Last("Install", "DefaultInstance") == "" && len(u.Values("Install", "Alias")) == 0:
		return unit + " is a template without DefaultInstance=, so systemd does not know which instance to enable",
			"enable an instance in a further entry: name: " + strings.Replace(unit, "@", "@1", 1) + ", or write DefaultInstance= into " + file
	}
	return "", ""
}

// Paths are all absolute paths that stand anywhere in the unit's values.
func (u UnitFile) Paths() []string {
	var out []string
	for _, d := range u.Directives {
		if strings.IndexByte(d.Value, '/') < 0 || d.Key == "Documentation" || d.Key == "Description" {
			continue
		}
		for _, word := range strings.FieldsFunc(d.Value, isPathBoundary) {
			if i := strings.IndexByte(word, '/'); i >= 0 {
				out = append(out, strings.TrimRight(word[i:], "/"))
			}
		}
	}
	return out
}

func isPathBoundary(r rune) bool {
	return strings.ContainsRune(" \t\n\r\"'=:,;|&<>()", r)
}
