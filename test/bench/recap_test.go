package main

import (
	"maps"
	"strings"
	"testing"
)

const recapText = `
TASK [healthy] *****************************************************************
ok: [h1]

PLAY RECAP *********************************************************************
h1                         : ok=5    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
h2                         : ok=5    changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0

`

func TestParseRecap(t *testing.T) {
	got, err := parseRecap(recapText)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]recap{"h1": {ok: 5}, "h2": {ok: 5, changed: 2}}; !maps.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCheckRecap(t *testing.T) {
	failed := strings.Replace(recapText, "failed=0", "failed=1", 1)
	lost := strings.Replace(recapText, "unreachable=0", "unreachable=1", 1)
	for _, c := range []struct {
		name, text string
		hosts      []string
		changes    bool
		ok         bool
	}{
		{"no change, as expected", recapText, []string{"h1"}, false, true},
		{"a change, as expected", recapText, []string{"h2"}, true, true},
		{"a change where none was to be", recapText, []string{"h1", "h2"}, false, false},
		{"a host that was not changed", recapText, []string{"h1", "h2"}, true, false},
		{"a host that is not there", recapText, []string{"h1", "h3"}, false, false},
		{"a failed task", failed, []string{"h1"}, false, false},
		{"an unreachable host", lost, []string{"h1"}, false, false},
		{"no recap", "ERROR! the playbook could not be found", []string{"h1"}, false, false},
		{"a recap without counts", "\nPLAY RECAP ***\nh1 : ok=1\n", []string{"h1"}, false, false},
	} {
		if err := checkRecap(c.text, c.hosts, c.changes); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzParseRecap(f *testing.F) {
	f.Add(recapText)
	f.Add("\nPLAY RECAP \n:ok=99999999999999999999")
	f.Fuzz(func(t *testing.T, text string) {
		hosts, err := parseRecap(text)
		if err != nil {
			return
		}
		for name, r := range hosts {
			if r.ok < 0 || r.changed < 0 || r.failed < 0 || r.unreachable < 0 {
				t.Errorf("%q: %+v", name, r)
			}
		}
	})
}
