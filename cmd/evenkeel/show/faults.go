package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// Faults shows what is wrong in a fleet repo, a line each as compilers write it,
// and their number in the last line.
func Faults(faults []desired.Fault) string {
	var b strings.Builder
	errors, warnings := 0, 0
	for _, f := range faults {
		severity := red.of("error")
		if f.IsError() {
			errors++
		} else {
			severity = yellow.of("warning")
			warnings++
		}
		where := Clean(f.Pos.String())
		if where != "" {
			where += ": "
		}
		b.WriteString(bold.of(where) + severity + ": " + Clean(f.Message))
		if f.Host != "" {
			b.WriteString(" (on " + Clean(f.Host) + ")")
		}
		if f.Rule != "" {
			b.WriteString(faint.of(" [" + Clean(f.Rule) + "]"))
		}
		if f.Mend != "" {
			b.WriteString(faint.of(" — " + Clean(f.Mend)))
		}
		b.WriteString("\n")
	}
	switch {
	case errors+warnings == 0:
		b.WriteString(green.of(markGood+" no faults") + "\n")
	case errors == 0:
		b.WriteString(fmt.Sprintf("%s, no error\n", count(warnings, "warning")))
	case warnings == 0:
		b.WriteString(red.of(count(errors, "error")) + "\n")
	default:
		b.WriteString(red.of(count(errors, "error")) + ", " + count(warnings, "warning") + "\n")
	}
	return b.String()
}

// heldBack are the services that faults leave out.
func heldBack(faults []desired.Fault) []string {
	var names []string
	for _, f := range faults {
		if f.Service != "" && !slices.Contains(names, f.Service) {
			names = append(names, f.Service)
		}
	}
	return names
}
