package drain

import (
	"bytes"
	"errors"
)

// nginxIsWord is what next answers for a word; ';', '{' and '}' stand for themselves,
// and nginxIsEnd for the file's end.
const (
	nginxIsWord byte = 'w'
	nginxIsEnd  byte = 0
)

// nginxWord is a word of a directive: its text, with quotes and escapes resolved, and
// where it ends in the file.
type nginxWord struct {
	text string
	to   int
}

// nginxScanner reads a file of nginx's word by word.
type nginxScanner struct {
	text []byte
	at   int
	word nginxWord // after nginxIsWord
}

func (s *nginxScanner) line() int { return 1 + bytes.Count(s.text[:s.at], []byte("\n")) }

// next reads over white space and comments to the next word or sign.
func (s *nginxScanner) next() (byte, error) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case isNginxSpace(c):
			s.at++
		case c == '#':
			n := bytes.IndexByte(s.text[s.at:], '\n')
			if n < 0 {
				n = len(s.text) - s.at
			}
			s.at += n
		case c == ';', c == '{', c == '}':
			s.at++
			return c, nil
		case c == '"', c == '\'':
			return nginxIsWord, s.quoted(c)
		default:
			return nginxIsWord, s.plain()
		}
	}
	return nginxIsEnd, nil
}

func isNginxSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// quoted reads a word in quotes, behind which there must be space or a sign.
func (s *nginxScanner) quoted(quote byte) error {
	var text []byte
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\\' && i+1 < len(s.text):
			i++
			text = appendEscaped(text, s.text[i])
		case c == quote:
			s.word = nginxWord{string(text), i + 1}
			s.at = i + 1
			if s.at < len(s.text) && !isNginxSpace(s.text[s.at]) && bytes.IndexByte([]byte(";{)"), s.text[s.at]) < 0 {
				return errors.New("something follows a quote at once")
			}
			return nil
		default:
			text = append(text, c)
		}
	}
	return errors.New("a quote does not end")
}

// plain reads a word without quotes. "${" does not end it, and neither does "}" or "#".
func (s *nginxScanner) plain() error {
	var text []byte
	i := s.at
	for variable := false; i < len(s.text); i++ {
		c := s.text[i]
		if c == '{' && variable {
			variable = false
			text = append(text, c)
			continue
		}
		variable = c == '$'
		if isNginxSpace(c) || c == ';' || c == '{' {
			break
		}
		if c == '\\' && i+1 < len(s.text) {
			i++
			text = appendEscaped(text, s.text[i])
			continue
		}
		text = append(text, c)
	}
	s.word = nginxWord{string(text), i}
	s.at = i
	return nil
}

// appendEscaped resolves what follows a backslash.
func appendEscaped(text []byte, c byte) []byte {
	switch c {
	case '"', '\'', '\\':
		return append(text, c)
	case 't':
		return append(text, '\t')
	case 'r':
		return append(text, '\r')
	case 'n':
		return append(text, '\n')
	}
	return append(text, '\\', c)
}
