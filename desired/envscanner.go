package desired

import "strings"

// envEscapable are the characters before which a backslash counts within double
// quotes (systemd's SHELL_NEED_ESCAPE).
const envEscapable = "\"\\`$"

// envScanner is the state machine by which systemd reads env files.
type envScanner struct {
	data   string
	legacy bool // as before v254: a backslash carries a comment over the line's end

	state      envState
	line       int
	keyLine    int
	key, value []byte
	keyEnd     int // length of key without trailing white space, or -1
	valueEnd   int
	out        []EnvAssignment

	issues        []EnvIssue
	commentEscape int // the first line whose comment ends in a backslash
	quoteLine     int
	escapeLine    int // the last assignment that was told of its backslash
}

type envState int

const (
	envPreKey envState = iota
	envKey
	envPreValue
	envValue
	envValueEscape
	envSingle
	envDouble
	envDoubleEscape
	envComment
	envCommentEscape
)

const (
	envWhite   = " \t\n\r"
	envNewline = "\n\r"
)

func newEnvScanner(data []byte, legacy bool) *envScanner {
	s := &envScanner{data: string(data), legacy: legacy, line: 1, keyEnd: -1, valueEnd: -1}
	if i := strings.IndexByte(s.data, 0); i >= 0 {
		s.issues = append(s.issues, EnvIssue{Line: 1 + strings.Count(s.data[:i], "\n"), Fatal: true,
			Message: "there is a NUL in the file: systemd reads no further"})
		s.data = s.data[:i]
	}
	return s
}

func (s *envScanner) scan() []EnvAssignment {
	for i := range len(s.data) {
		c := s.data[i]
		s.step(c)
		if c == '\n' {
			s.line++
		}
	}
	switch s.state {
	case envSingle, envDouble, envDoubleEscape:
		s.issues = append(s.issues, EnvIssue{Line: s.quoteLine, Fatal: true,
			Message: "the quote is never closed: the value takes in the rest of the file", Mend: "close it"})
		s.push()
	case envPreValue, envValue, envValueEscape:
		s.push()
	case envKey:
		s.noEquals()
	}
	return s.out
}

func in(set string, c byte) bool { return strings.IndexByte(set, c) >= 0 }

func (s *envScanner) step(c byte) {
	switch s.state {
	case envPreKey:
		s.preKey(c)
	case envKey:
		s.inKey(c)
	case envPreValue:
		s.preValue(c)
	case envValue:
		s.inValue(c)
	case envValueEscape:
		s.state = envValue
		if !in(envNewline, c) {
			s.value = append(s.value, c)
		}
		if in("abfnrtvx01234567", c) && s.escapeLine != s.keyLine {
			s.escapeLine = s.keyLine
			s.issues = append(s.issues, EnvIssue{Line: s.line, Message: "systemd drops a backslash outside quotes and keeps what follows it: \\n becomes n",
				Mend: "put the value in double quotes, where \\n stays as it is and a line may be broken"})
		}
	case envSingle:
		if c == '\'' {
			s.state = envPreValue
		} else {
			s.value = append(s.value, c)
		}
	case envDouble:
		s.inDouble(c)
	case envDoubleEscape:
		s.state = envDouble
		if in(envEscapable, c) {
			s.value = append(s.value, c)
		} else if c != '\n' {
			s.value = append(s.value, '\\', c)
		}
	case envComment:
		if c == '\\' {
			s.state = envCommentEscape
		} else if in(envNewline, c) {
			s.state = envPreKey
		}
	case envCommentEscape:
		s.escapedComment(c)
	}
}

func (s *envScanner) preKey(c byte) {
	switch {
	case in("#;", c):
		s.state = envComment
	case !in(envWhite, c):
		s.state = envKey
		s.keyEnd, s.keyLine = -1, s.line
		s.key = append(s.key[:0], c)
	}
}

func (s *envScanner) inKey(c byte) {
	switch {
	case in(envNewline, c):
		s.noEquals()
		s.state = envPreKey
		s.key = s.key[:0]
	case c == '=':
		s.state = envPreValue
		s.valueEnd = -1
		s.value = s.value[:0]
	default:
		if !in(envWhite, c) {
			s.keyEnd = -1
		} else if s.keyEnd < 0 {
			s.keyEnd = len(s.key)
		}
		s.key = append(s.key, c)
	}
}

func (s *envScanner) preValue(c byte) {
	switch {
	case in(envNewline, c):
		s.push()
	case c == '\'':
		s.state, s.quoteLine = envSingle, s.line
	case c == '"':
		s.state, s.quoteLine = envDouble, s.line
	case c == '\\':
		s.state = envValueEscape
	case !in(envWhite, c):
		s.state = envValue
		s.value = append(s.value, c)
	}
}

func (s *envScanner) inValue(c byte) {
	switch {
	case in(envNewline, c):
		s.push()
	case c == '\\':
		s.state = envValueEscape
		s.valueEnd = -1
	default:
		if !in(envWhite, c) {
			s.valueEnd = -1
		} else if s.valueEnd < 0 {
			s.valueEnd = len(s.value)
		}
		s.value = append(s.value, c)
	}
}

func (s *envScanner) inDouble(c byte) {
	switch c {
	case '"':
		s.state = envPreValue
	case '\\':
		s.state = envDoubleEscape
	default:
		s.value = append(s.value, c)
	}
}

func (s *envScanner) escapedComment(c byte) {
	if in(envNewline, c) {
		if s.commentEscape == 0 {
			s.commentEscape = s.line
		}
		if !s.legacy {
			s.state = envPreKey
			return
		}
	}
	s.state = envComment
}

// push ends an assignment.
func (s *envScanner) push() {
	key, value := s.key, s.value
	if s.keyEnd >= 0 {
		key = key[:s.keyEnd]
	}
	if s.state == envValue && s.valueEnd >= 0 {
		value = value[:s.valueEnd]
	}
	s.out = append(s.out, EnvAssignment{Key: string(key), Value: string(value), Line: s.keyLine})
	s.state = envPreKey
	s.key, s.value = s.key[:0], s.value[:0]
}

func (s *envScanner) noEquals() {
	s.issues = append(s.issues, EnvIssue{Line: s.keyLine, Message: "systemd ignores the line, for it has no =", Mend: "write KEY=VALUE, or # before it"})
}
