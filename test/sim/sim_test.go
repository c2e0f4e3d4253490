package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(1600)
	goleak.VerifyTestMain(m)
}

// someSeeds is how many seeds TestSeeds runs; EVENKEEL_SIM_SEEDS says otherwise.
const someSeeds = 2500

// Every run keeps the invariants, and ends.
func TestSeeds(t *testing.T) {
	n := uint64(someSeeds)
	if v := os.Getenv("EVENKEEL_SIM_SEEDS"); v != "" {
		var err error
		if n, err = strconv.ParseUint(v, 10, 32); err != nil {
			t.Fatalf("EVENKEEL_SIM_SEEDS: %v", err)
		}
	}
	if testing.Short() || raced {
		n = 200
	}
	report(t, campaign(seeds(1, n), 0, 0))
}

// Every crash, every lost message and every power cut, at every effect of small fleets.
func TestEveryBoundary(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("takes half a minute")
	}
	report(t, campaign(everyBoundary, 0, 0))
}

func report(t *testing.T, tally Tally) {
	t.Helper()
	var table strings.Builder
	tally.write(&table)
	t.Log("\n" + table.String())
	for _, f := range tally.Failures[:min(shown, len(tally.Failures))] {
		t.Errorf("%s (%s)\n%s", f.Name, f.Scenario, f.Violation)
	}
}

// The same scenario runs the same way, to the last line of its trace.
func TestReplay(t *testing.T) {
	for _, seed := range []uint64{3, 7, 64, 128} {
		var first, second bytes.Buffer
		Run(Generate(seed), &first)
		Run(Generate(seed), &second)
		if diff := cmp.Diff(first.String(), second.String()); diff != "" {
			t.Errorf("seed %d ran otherwise the second time:\n%.3000s", seed, diff)
		}
	}
}

// A scenario survives being written down.
// What the simulation once found stays found: each file is the smallest scenario of a
// mended fault.
func TestOnceViolated(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := ReadScenario(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if v, _ := Run(sc, nil); v != nil {
			t.Errorf("%s: %v", file, v)
		}
	}
}

func TestReadScenario(t *testing.T) {
	for seed := range uint64(200) {
		sc := Generate(seed)
		b, err := json.Marshal(sc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadScenario(b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if b2, _ := json.Marshal(again); !bytes.Equal(b, b2) {
			t.Errorf("seed %d reads back otherwise:\n%s\n%s", seed, b, b2)
		}
	}
}

func TestReadScenarioRefuses(t *testing.T) {
	good, err := json.Marshal(canonical(2, plainService("auth"), plainService("web")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"a key it does not know", `"seed":1`, `"sead":1`, "unknown field"},
		{"no hosts", `"hosts":2,`, `"hosts":0,`, "0 hosts"},
		{"a host that there is not", `"hosts":[0,1]`, `"hosts":[0,2]`, "on host 2"},
		{"a name twice", `"name":"web"`, `"name":"auth"`, "must be another one"},
		{"an order that cannot be", `"name":"auth",`, `"name":"auth","after":["web"],`, "not declared before"},
		{"a count that is none", `"maxUnavailable":"1"`, `"maxUnavailable":"some"`, `the count "some"`},
		{"too few revisions", `"revisions":[`, `"revisions":[],"profile":"`, "cannot read"},
		{"a fault out of range", `"faults":null`, `"faults":[{"kind":"kill","at":0,"host":9}]`, "out of range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := strings.Replace(string(good), c.old, c.new, 1)
			if bad == string(good) {
				t.Fatalf("%q is not in %s", c.old, good)
			}
			if _, err := ReadScenario([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// Shrinking keeps what matters and drops the rest.
func TestShrink(t *testing.T) {
	var sc *Scenario
	for seed := uint64(1); sc == nil; seed++ {
		if g := Generate(seed); g.Hosts > 5 && len(g.Services) > 2 && len(g.Faults) > 3 && slices.ContainsFunc(g.Faults, func(f Fault) bool { return f.Kind == faultKill }) {
			sc = g
		}
	}
	fails := func(x *Scenario) bool {
		return slices.ContainsFunc(x.Faults, func(f Fault) bool { return f.Kind == faultKill })
	}
	small := Shrink(sc, fails)
	if !fails(small) {
		t.Fatal("what was looked for is gone")
	}
	got := fmt.Sprintf("%d hosts, %d services, %d revisions, %d faults", small.Hosts, len(small.Services), len(small.Revisions), len(small.Faults))
	if want := "1 hosts, 1 services, 2 revisions, 1 faults"; got != want {
		t.Errorf("shrunk to %s, want %s", got, want)
	}
}

func FuzzReadScenario(f *testing.F) {
	for seed := range uint64(8) {
		b, err := json.Marshal(Generate(seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"hosts":1,"services":[{"name":"web","hosts":[0]}],"revisions":[{},{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		sc, err := ReadScenario(data)
		if err != nil {
			return
		}
		sc.clone().dropHost(0)
		if len(sc.Services) > 1 {
			n := sc.clone()
			n.dropService(0)
			if err := n.Validate(); err != nil {
				t.Errorf("without its first service: %v", err)
			}
		}
	})
}
