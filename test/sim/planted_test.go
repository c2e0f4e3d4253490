//go:build planted

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// plantBudget is within how many seeds a planted bug must be found.
const plantBudget = 2000

// Each planted bug is found, by the invariant that it breaks. testdata/planted.txt says by
// which seed; one that no longer finds it is searched for.
func TestPlanted(t *testing.T) {
	defer plant("")
	known := knownSeeds(t)
	var table strings.Builder
	for _, bug := range plantable {
		plant(bug)
		seed, v := known[bug], (*Violation)(nil)
		if seed > 0 {
			v, _ = Run(Generate(seed), nil)
		}
		if v == nil {
			seed, v = firstFailure(plantBudget)
			t.Logf("testdata/planted.txt: %q was not found by seed %d, but is by %d", bug, known[bug], seed)
		}
		if v == nil {
			t.Errorf("%q was not found in %d seeds", bug, plantBudget)
			continue
		}
		fmt.Fprintf(&table, "%-36s seed %5d  %-9s %.110s\n", bug, seed, v.Code, v.Text)
	}
	t.Log("\n" + table.String())
}

// knownSeeds are those of testdata/planted.txt, in lines of "SEED BUG".
func knownSeeds(t *testing.T) map[string]uint64 {
	t.Helper()
	text, err := os.ReadFile("testdata/planted.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		number, bug, _ := strings.Cut(strings.TrimSpace(line), " ")
		seed, err := strconv.ParseUint(number, 10, 32)
		if err != nil || !slices.Contains(plantable, bug) {
			t.Fatalf("testdata/planted.txt: %q is no seed with a bug that can be planted", line)
		}
		known[bug] = seed
	}
	return known
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
