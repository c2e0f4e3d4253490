package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/evenkeel/evenkeel/desired"
)

func analyzed(t *testing.T, rules string) []desired.Fault {
	t.Helper()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	fs := fstest.MapFS{
		"fleet.yaml":       file("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: t}\nspec: {validate: {rules: {" + rules + "}}}\n"),
		"inventory/h.yaml": file("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: t}\nspec:\n  hosts: [{name: h, address: 192.0.2.1, labels: {r: a}}, {name: i, address: 192.0.2.2, labels: {r: a, s: b}}]\n"),
	}
	for service, selector := range map[string]string{"one": "r: a", "two": "s: b"} {
		fs["services/"+service+"/service.yaml"] = file("apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: " + service + "}\nspec:\n  selector: {matchLabels: {" + selector +
			"}}\n  units: [{source: " + service + ".service}, {source: x.conf, dropIn: " + service + ".service}, {source: " + service + "@.service}]\n")
		fs["services/"+service+"/"+service+".service"] = file("[Unit]\nRequires=none-such.service\n[Service]\nExecStart=/opt/none/such\nNice=loud\n")
		fs["services/"+service+"/x.conf"] = file("[Service]\nOOMScoreAdjust=high\n")
		fs["services/"+service+"/"+service+"@.service"] = file("[Service]\nExecStart=/bin/true\n")
	}
	rev, err := desired.Load(t.Context(), fs, desired.LoadOptions{})
	if err != nil || len(rev.Quarantined) > 0 {
		t.Fatal(err, rev.Quarantined)
	}
	a := newAnalyzer(&rev)
	desired.Validate(t.Context(), &rev, a.collect)
	return a.faults(t.Context(), []desired.Fault{{Pos: desired.Position{File: "services/two/x.conf", Line: 2}}})
}

// TestSystemdIsAsked: what the systemd at hand says of units is told, by place, and what
// it says of this machine is not.
func TestSystemdIsAsked(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("there is no systemd-analyze")
	}
	var got []string
	for _, f := range analyzed(t, "exposure: error") {
		if f.Message == "" || f.Mend == "" || f.IsError() != (f.Rule == "exposure") {
			t.Errorf("%+v", f)
		}
		got = append(got, f.Pos.String()+" "+f.Rule+" "+f.Service)
	}
	want := map[string]bool{
		"services/one/one.service:5:1 systemd-verify one": true, "services/two/two.service:5:1 systemd-verify two": true,
		"services/one/x.conf:2:1 systemd-verify one": true, "services/one/one.service:1:1 exposure one": true, "services/two/two.service:1:1 exposure two": true,
	}
	for _, g := range got {
		if !want[g] {
			t.Errorf("found %s", g)
		}
		delete(want, g)
	}
	for w := range want {
		t.Errorf("not found: %s", w)
	}
	for _, f := range analyzed(t, "exposure: off") {
		if f.Rule == "exposure" {
			t.Errorf("%+v", f)
		}
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "evenkeel-units-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %s %v", strings.Join(left, " "), err)
	}
}

func TestNoSystemdIsNeeded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if found := analyzed(t, ""); len(found) > 0 {
		t.Error(found)
	}
}
