package inventory

import (
	"errors"
	"strings"
)

var errOpenQuote = errors.New("a quote is not closed")

// shellWords splits a line as Python's shlex.split(line, comments=True) does in
// POSIX mode, which is how Ansible reads the lines of its INI inventories: an
// unquoted # ends the line even in the middle of a word.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\r', '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case '#':
			i = len(line)
		case '\\':
			if i+1 >= len(line) {
				return nil, errors.New("nothing follows the last backslash")
			}
			i++
			word.WriteByte(line[i])
			inWord = true
		case '\'', '"':
			end, err := quoted(line, i, &word)
			if err != nil {
				return nil, err
			}
			i, inWord = end, true
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// quoted copies the quoted part that begins at line[i] and returns the index of
// its closing quote. A backslash counts within double quotes only, and there only
// before a quote or a backslash.
func quoted(line string, i int, word *strings.Builder) (int, error) {
	q := line[i]
	for i++; i < len(line); i++ {
		c := line[i]
		if c == q {
			return i, nil
		}
		if q == '"' && c == '\\' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\') {
			i++
			c = line[i]
		}
		word.WriteByte(c)
	}
	return i, errOpenQuote
}
