//go:build planted

package main

import (
	"fmt"
	"strings"
	"testing"
)

// plantBudget is within how many seeds a planted bug must be found.
const plantBudget = 2000

// Each planted bug is found, by the invariant that it breaks.
func TestPlanted(t *testing.T) {
	defer plant("")
	var table strings.Builder
	for _, bug := range plantable {
		plant(bug)
		seed, v := firstFailure(plantBudget)
		if v == nil {
			t.Errorf("%q was not found in %d seeds", bug, plantBudget)
			continue
		}
		fmt.Fprintf(&table, "%-36s seed %5d  %-9s %.110s\n", bug, seed, v.Code, v.Text)
	}
	t.Log("\n" + table.String())
}

// firstFailure is the lowest seed that fails, whatever the number of workers.
func firstFailure(budget uint64) (uint64, *Violation) {
	const batch = 64
	for from := uint64(1); from <= budget; from += batch {
		tally := campaign(seeds(from, batch), 0, 0)
		if len(tally.Failures) > 0 {
			f := tally.Failures[0]
			return f.Scenario.Seed, f.Violation
		}
	}
	return 0, nil
}

// Without a planted bug, the binary that can plant them finds nothing either.
func TestNothingPlanted(t *testing.T) {
	plant("")
	if seed, v := firstFailure(300); v != nil {
		t.Errorf("seed %d: %s", seed, v)
	}
}
