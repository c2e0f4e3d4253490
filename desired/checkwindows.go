package desired

import (
	"fmt"
	"slices"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// checkWindows finds windows that could never be, or that leave no time open; paths are
// relative to the spec that has them as "windows".
func checkWindows(ws Windows) []fault.Problem {
	var ps []fault.Problem
	add := func(at, message, mend string) {
		ps = append(ps, fault.Problem{Path: at, Rule: "impossible-window", Message: message, Mend: mend})
	}
	for i, w := range ws {
		if w.Kind == "" || w.Schedule == "" || w.Duration == nil {
			continue // the decoder has named what is missing
		}
		if _, key, message, mend := w.compile(); message != "" {
			add(fmt.Sprintf("windows[%d].%s", i, key), message, mend)
		}
	}
	if len(ps) == 0 && len(ws) > 0 && !ws.compile().everOpens() {
		add("windows", "the windows never leave a time open: deny covers all that is allowed", "shorten a deny window, or move an allow window out of it")
	}
	return ps
}

// checkOwnWindows is the same for a service's windows, which hold together with the
// fleet's.
func checkOwnWindows(own, fleet Windows) []fault.Problem {
	ps := checkWindows(own)
	if len(own) == 0 || len(ps) > 0 {
		return ps
	}
	if !slices.Concat(fleet, own).compile().everOpens() {
		ps = append(ps, fault.Problem{Path: "windows", Rule: "impossible-window",
			Message: "together with the fleet's windows these never leave a time open", Mend: "deny wins, wherever it stands: move an allow window out of it"})
	}
	return ps
}
