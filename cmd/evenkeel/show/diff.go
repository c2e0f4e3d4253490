package show

import (
	"fmt"
	"strings"
)

// DiffSize is how much of each diff is shown.
type DiffSize string

// The sizes.
const (
	DiffShort DiffSize = "short" // the first lines, and how many there are
	DiffFull  DiffSize = "full"
	DiffNone  DiffSize = "none"
)

// shortDiff is how many lines of a diff DiffShort shows. One line more is shown
// rather than counted.
const shortDiff = 16

// diff renders a unified diff, each line after indent, without the file names,
// which stand above it already.
func diff(text, indent string, size DiffSize) string {
	if size == DiffNone || text == "" {
		return ""
	}
	all := lines(text)
	if len(all) >= 2 && strings.HasPrefix(all[0], "--- ") && strings.HasPrefix(all[1], "+++ ") {
		all = all[2:]
	}
	shown := all
	if size != DiffFull && len(all) > shortDiff+1 {
		shown = all[:shortDiff]
	}
	var b strings.Builder
	for _, l := range shown {
		b.WriteString(indent + diffLine(l) + "\n")
	}
	if left := all[len(shown):]; len(left) > 0 {
		added, removed := changed(left)
		b.WriteString(indent + faint.of(fmt.Sprintf("… %d more lines (+%d -%d), with --diff=full", len(left), added, removed)) + "\n")
	}
	return b.String()
}

func diffLine(l string) string {
	text := Clean(l)
	switch {
	case strings.HasPrefix(l, "@@"):
		return cyan.of(text)
	case strings.HasPrefix(l, "+"):
		return green.of(text)
	case strings.HasPrefix(l, "-"):
		return red.of(text)
	case strings.HasPrefix(l, `\`):
		return faint.of(text)
	}
	return text
}

func changed(ls []string) (added, removed int) {
	for _, l := range ls {
		switch {
		case strings.HasPrefix(l, "+"):
			added++
		case strings.HasPrefix(l, "-"):
			removed++
		}
	}
	return added, removed
}
