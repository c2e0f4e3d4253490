package desired

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/evenkeel/evenkeel/hostdriver"
)

var errUnitQuoting = errors.New("the quoting is not systemd's")

// unitWords splits a value into words as systemd does (systemd.syntax(7),
// "Quoting"): at white space, with single and double quotes anywhere in a word and
// C's escapes. The words before an error are returned with it, for systemd uses
// them as well.
func unitWords(s string) ([]string, error) {
	var words []string
	for i := 0; ; {
		for i < len(s) && in(envWhite, s[i]) {
			i++
		}
		if i >= len(s) {
			return words, nil
		}
		word, next, err := unitWord(s, i)
		if err != nil {
			return words, err
		}
		words = append(words, word)
		i = next
	}
}

// unitWord reads the word that begins at s[i].
func unitWord(s string, i int) (string, int, error) {
	var b strings.Builder
	quote := byte(0)
	for i < len(s) {
		c := s[i]
		switch {
		case c == '\\':
			n, err := unescapeOne(s[i+1:], &b)
			if err != nil {
				return "", i, err
			}
			i += n
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote == 0 && in(envWhite, c):
			return b.String(), i, nil
		default:
			b.WriteByte(c)
		}
		i++
	}
	if quote != 0 {
		return "", i, errUnitQuoting
	}
	return b.String(), i, nil
}

const unitEscapes = "abfnrtv\\\"'s"

// unescapeOne writes what a backslash and s stand for, and tells how many bytes of
// s it took.
func unescapeOne(s string, b *strings.Builder) (int, error) {
	if s == "" {
		return 0, errUnitQuoting
	}
	if i := strings.IndexByte(unitEscapes, s[0]); i >= 0 {
		b.WriteByte("\a\b\f\n\r\t\v\\\"' "[i])
		return 1, nil
	}
	number := func(from, digits, base int) (uint64, error) {
		if len(s) < from+digits {
			return 0, errUnitQuoting
		}
		v, err := strconv.ParseUint(s[from:from+digits], base, 32)
		if err != nil || v == 0 {
			return 0, errUnitQuoting
		}
		return v, nil
	}
	switch c := s[0]; {
	case c == 'x':
		v, err := number(1, 2, 16)
		b.WriteByte(byte(v))
		return 3, err
	case c == 'u' || c == 'U':
		digits := 4
		if c == 'U' {
			digits = 8
		}
		v, err := number(1, digits, 16)
		if err == nil && !utf8.ValidRune(rune(v)) {
			err = errUnitQuoting
		}
		b.WriteRune(rune(v))
		return digits + 1, err
	case c >= '0' && c <= '7':
		v, err := number(0, 3, 8)
		if v > 255 {
			err = errUnitQuoting
		}
		b.WriteByte(byte(v))
		return 3, err
	}
	return 0, errUnitQuoting
}

// expandSpecifiers puts in what systemd's specifiers (systemd.unit(5)) stand for in
// a unit of that name, as far as the name and fixed directories tell. It
// reports false where one is left, which only the host knows.
func expandSpecifiers(s, unit string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	user, unit := hostdriver.SplitUnit(unit)
	prefix, instance := unit, ""
	if dot := strings.LastIndexByte(unit, '.'); dot >= 0 {
		prefix = unit[:dot]
	}
	noSuffix := prefix
	if at := strings.IndexByte(prefix, '@'); at >= 0 {
		prefix, instance = prefix[:at], prefix[at+1:]
	}
	final := prefix[strings.LastIndexByte(prefix, '-')+1:]
	known := map[byte]string{
		'%': "%", 'n': unit, 'N': noSuffix, 'p': prefix, 'i': instance, 'j': final,
		'P': unescapeUnit(prefix), 'I': unescapeUnit(instance), 'J': unescapeUnit(final),
		't': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc", 'T': "/tmp", 'V': "/var/tmp",
		'h': "/root", 'u': "root", 'g': "root", 'U': "0", 'G': "0",
	}
	if user != "" { // in a user's systemd these are of that user, and most only the host can tell
		for _, c := range "tSCLEhgUG" {
			delete(known, byte(c))
		}
		known['u'] = user
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		v, ok := known[s[i]]
		if !ok {
			return s, false
		}
		b.WriteString(v)
	}
	return b.String(), true
}

// unescapeUnit undoes systemd-escape(1): "-" is "/", \xHH a byte.
func unescapeUnit(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			b.WriteByte('/')
		case s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x':
			v, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			if err != nil {
				return s
			}
			b.WriteByte(byte(v))
			i += 3
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
