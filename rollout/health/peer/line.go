package peer

import (
	"strings"
	"unicode"
)

// maxLine caps what of another program's words gets into a message.
const maxLine = 200

// Line makes one printable line of at most maxLine bytes out of text that another
// program wrote.
func Line(text string) string {
	if len(text) > 4*maxLine {
		text = text[:4*maxLine] // what follows is cut off anyway
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.TrimSpace(text))
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}

// FirstLine is the first line of text that is not blank, as Line gives it.
func FirstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = Line(line); line != "" {
			return line
		}
	}
	return ""
}

// Program is what of a command line may be shown: the name of its program. It is ""
// where the line begins with something else, such as an assignment, which may be secret.
func Program(line string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	if strings.ContainsAny(name, "=\"'$`\n") {
		return ""
	}
	return Line(name)
}
