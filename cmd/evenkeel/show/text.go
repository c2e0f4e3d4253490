package show

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/evenkeel/evenkeel/rollout"
)

// Clean makes one line of text out of what a host or a repo said: control
// characters, invisible ones that reorder text (Unicode's format class) and bytes
// that are not UTF-8 stand there escaped, as in a Go string. A tab becomes spaces.
func Clean(s string) string {
	if !strings.ContainsFunc(s, needsEscape) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\t':
			b.WriteString("    ")
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case needsEscape(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case needsEscape(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func needsEscape(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// CleanJSON escapes, in an encoded JSON document, the characters that Clean
// escapes and that encoding/json leaves as they are. The document means the same.
func CleanJSON(doc []byte) []byte {
	raw := func(r rune) bool { return needsEscape(r) && r != '\n' }
	if !strings.ContainsFunc(string(doc), raw) {
		return doc
	}
	var b strings.Builder
	for _, r := range string(doc) {
		switch {
		case raw(r) && r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		case raw(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return []byte(b.String())
}

// Plain takes all styling out of rendered text.
func Plain(s string) string { return ansi.Strip(s) }

// Fit cuts a rendered line to width cells, with an ellipsis; 0: as it is.
func Fit(line string, width int) string {
	if width <= 0 {
		return line
	}
	return ansi.Truncate(line, width, "…")
}

// Width is how many cells a line takes, styling not counted.
func Width(line string) int { return ansi.StringWidth(line) }

// Pad fills a line with spaces up to width cells.
func Pad(line string, width int) string { return pad(line, width) }

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// count is "1 host", "2 hosts".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Revision is a revision's name short enough for a line.
func Revision(id string) string { return Clean(rollout.ShortRevision(id)) }

// lines splits text into lines, without an empty last one.
func lines(s string) []string {
	s = strings.TrimSuffix(s, "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
