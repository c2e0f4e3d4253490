package desired

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// EnvAssignment is one assignment of an env file, as systemd reads it.
type EnvAssignment struct {
	Key, Value string
	Line       int
}

// EnvIssue is something in an env file that systemd does not read as its writer
// probably meant. It never holds a value.
type EnvIssue struct {
	Line int
	// Fatal tells that systemd would refuse the file, or that its versions differ
	// over what the file means.
	Fatal         bool
	Message, Mend string
}

// maxEnvString is the kernel's bound on one string of an environment
// (MAX_ARG_STRLEN, execve(2)), the closing NUL included.
const maxEnvString = 128 << 10

// ParseEnv reads an env file exactly as systemd's EnvironmentFile= does
// (systemd.exec(5); src/basic/env-file.c): not as a shell. Assignments are in the
// file's order, each key once, with the last value, for that is what a process
// gets; keys and values that systemd throws away are left out and told as issues.
func ParseEnv(data []byte) ([]EnvAssignment, []EnvIssue) {
	s := newEnvScanner(data, false)
	raw := s.scan()
	issues := s.issues
	if old := newEnvScanner(data, true).scan(); !sameAssignments(raw, old) {
		issues = append(issues, EnvIssue{Line: s.commentEscape, Fatal: true,
			Message: "the comment ends in a backslash, which makes systemd before 254 skip the next line",
			Mend:    "end the comment otherwise"})
	}
	out := make([]EnvAssignment, 0, len(raw))
	index := map[string]int{}
	for _, a := range raw {
		issue, drop := judgeAssignment(a)
		if issue.Message != "" {
			issues = append(issues, issue)
		}
		if drop {
			continue
		}
		if i, again := index[a.Key]; again {
			issues = append(issues, EnvIssue{Line: a.Line, Message: fmt.Sprintf("%s is assigned again: this one holds, not line %d", a.Key, out[i].Line),
				Mend: "drop one of them"})
			out[i].Value, out[i].Line = a.Value, a.Line
			continue
		}
		index[a.Key] = len(out)
		out = append(out, a)
	}
	slices.SortStableFunc(issues, func(a, b EnvIssue) int { return a.Line - b.Line })
	return out, issues
}

func sameAssignments(a, b []EnvAssignment) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || a[i].Value != b[i].Value {
			return false
		}
	}
	return true
}

// judgeAssignment says what systemd makes of one assignment.
func judgeAssignment(a EnvAssignment) (issue EnvIssue, drop bool) {
	switch {
	case !validUTF8(a.Key) || !validUTF8(a.Value):
		return EnvIssue{Line: a.Line, Fatal: true, Message: "the line is not UTF-8, for which systemd refuses the whole file"}, true
	case strings.HasPrefix(a.Key, "export "):
		return EnvIssue{Line: a.Line, Message: "systemd ignores the line, for this is not a shell script", Mend: "drop export"}, true
	case checkEnvKey(a.Key) != "": // and may be a piece of a secret: it is not shown
		return EnvIssue{Line: a.Line, Message: "systemd ignores the line, for what stands before = is not a variable's name",
			Mend: `use letters, digits and "_", not beginning with a digit`}, true
	case len(a.Key)+len(a.Value)+2 > maxEnvString:
		return EnvIssue{Line: a.Line, Fatal: true, Message: a.Key + " is longer than the 128 KiB that a process can be given", Mend: "deliver it as a file"}, true
	}
	return EnvIssue{}, false
}

// checkEnvKey says what is wrong with a variable's name.
func checkEnvKey(key string) string {
	if key == "" || strings.Trim(key, lowerDigits+upperLetters+"_") != "" || (key[0] >= '0' && key[0] <= '9') {
		return fault.Quote(key) + ` is not a variable's name: letters, digits and "_", not beginning with a digit`
	}
	return ""
}

// validUTF8 is systemd's idea of it: no surrogates and no noncharacters.
func validUTF8(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r&0xFFFE == 0xFFFE || (r >= 0xFDD0 && r <= 0xFDEF)
	})
}

// WriteEnv writes assignments so that systemd gives a process just those values,
// byte for byte: ParseEnv(WriteEnv(a)) is a. It fails on what no env file can say.
// The error names keys, never values.
func WriteEnv(assignments []EnvAssignment) ([]byte, error) {
	var b strings.Builder
	for _, a := range assignments {
		if why := checkEnvKey(a.Key); why != "" {
			return nil, fmt.Errorf("cannot write an env file: %s", why)
		}
		if strings.IndexByte(a.Value, 0) >= 0 || !validUTF8(a.Value) {
			return nil, fmt.Errorf("cannot write an env file: %s has a value that is not UTF-8 or has a NUL", a.Key)
		}
		if len(a.Key)+len(a.Value)+2 > maxEnvString {
			return nil, fmt.Errorf("cannot write an env file: %s is longer than the 128 KiB that a process can be given", a.Key)
		}
		b.WriteString(a.Key)
		b.WriteByte('=')
		writeEnvValue(&b, a.Value)
		b.WriteByte('\n')
	}
	return []byte(b.String()), nil
}

// plainEnvChars need no quotes anywhere in a value.
const plainEnvChars = lowerDigits + upperLetters + "_-./:,+@%^=~"

func writeEnvValue(b *strings.Builder, v string) {
	if strings.Trim(v, plainEnvChars) == "" {
		b.WriteString(v)
		return
	}
	b.WriteByte('"')
	for i := range len(v) {
		if strings.IndexByte(envEscapable, v[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	b.WriteByte('"')
}
