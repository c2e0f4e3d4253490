package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedianAndRatio(t *testing.T) {
	r := newResults()
	for _, ms := range []int{900, 100, 300} {
		r.add(passPlan, sample{wall: time.Duration(ms) * time.Millisecond, cpu: time.Duration(ms) * time.Microsecond})
	}
	r.add(passFloor, sample{wall: 200 * time.Millisecond})
	got, ok := r.median(passPlan)
	if !ok || got.wall != 300*time.Millisecond || got.cpu != 300*time.Microsecond {
		t.Errorf("median %+v: it must be one whole run", got)
	}
	if x, ok := r.ratio(passPlan, passFloor); !ok || x != 1.5 {
		t.Errorf("ratio %v, %v", x, ok)
	}
	if _, ok := r.ratio(passPlan, rollFloor); ok {
		t.Error("a ratio over nothing")
	}
	if got := r.spread(passPlan); got != "0.100 s to 0.900 s, 3 runs" {
		t.Errorf("spread %q", got)
	}
}

func TestSecondsHasThreeDigits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Microsecond: "0.001 s", 305 * time.Millisecond: "0.305 s", 999600 * time.Microsecond: "1.00 s",
		9996 * time.Millisecond: "10.0 s", 18900 * time.Millisecond: "18.9 s", 2 * time.Minute: "120 s",
	} {
		if got := seconds(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// A target that is missed must say so, and one that was not measured must say nothing.
func TestPassTable(t *testing.T) {
	r := newResults()
	r.add(passPlan, sample{wall: 800 * time.Millisecond})
	r.add(passFloor, sample{wall: 400 * time.Millisecond})
	r.add(passPeerCheck, sample{wall: 40 * time.Second})
	var b strings.Builder
	if err := passTable(r, 20).write(&b); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(b.String(), "\n")
	for _, want := range []string{
		"| `evenkeel plan`, as deploy with sudo            | 0.800 s | 2.00 ×      | -       | -          | -      |",
		"| `ansible-playbook --check`, as deploy with sudo | 40.0 s  | 100 ×       | -       | -          | -      |",
		"- evenkeel over the floor, with sudo: 2.00 ×; target at most 1.5 ×: **missed**",
		"- `ansible-playbook --check` over evenkeel: 50 ×; target at least 40 ×: met",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no line %s in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "root") {
		t.Errorf("tells of what was not measured:\n%s", b.String())
	}
}

func TestEmptyTableWritesNothing(t *testing.T) {
	var b strings.Builder
	if err := deployTable(newResults(), 20).write(&b); err != nil || b.Len() > 0 {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-hosts", "3", "rolling"})
	if err != nil || o.hosts != 3 || !o.wants("rolling") || o.wants("pass") {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parseOptions(nil); err != nil || !o.wants("pass") || !o.wants("drained") || o.hosts != 20 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"-hosts", "0"}, {"speed"}, {"-rounds", "0"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
