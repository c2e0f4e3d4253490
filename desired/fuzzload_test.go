package desired

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func FuzzLoadService(f *testing.F) {
	for _, text := range plain {
		f.Add(text)
	}
	f.Add(service("a", "  units: [{source: a.service, dropIn: x@.service, state: started}, {name: a@1.service}]\n  env: [{path: /e, source: [a.env, \"{{ .Vars.version }}\"]}]\n  drain: [{none:}]\n"))
	f.Fuzz(func(t *testing.T, text string) {
		rev, err := Load(context.Background(), plain.with(files{"services/a/service.yaml": text + " "}).fs(), LoadOptions{})
		if err != nil {
			t.Fatalf("a service broke the fleet: %v", err)
		}
		for _, f := range Validate(context.Background(), &rev) {
			if strings.ContainsAny(f.String(), "\n\x1b\x00") {
				t.Errorf("a fault with control characters: %q", f.String())
			}
		}
		states, _ := rev.ResolveAll(context.Background())
		for _, st := range states {
			for _, in := range st.Instances {
				checkInstance(t, in)
			}
		}
	})
}

// checkInstance holds what must hold of whatever reaches a host.
func checkInstance(t *testing.T, in Instance) {
	t.Helper()
	for _, f := range in.Files {
		if message, _ := checkTarget(f.Path); message != "" {
			t.Errorf("a file passed: %s", message)
		}
		if f.SHA256 != f.Content.SHA256() {
			t.Errorf("%s has a digest that is not its content's", f.Path)
		}
	}
	for _, u := range in.Units {
		if message, _ := checkUnitName(u.Name); message != "" {
			t.Errorf("a unit passed: %s", message)
		}
	}
	for _, d := range in.Directories {
		if message, _ := checkTarget(d.Path); message != "" {
			t.Errorf("a directory passed: %s", message)
		}
	}
}

// FuzzLoadRepo: whatever stands in the fleet's own files, a repo is refused with faults
// that can be shown, or holds what is promised of what reaches a host.
func FuzzLoadRepo(f *testing.F) {
	f.Add(plain["fleet.yaml"], plain["inventory/hosts.yaml"], plain["services/a/a.env"])
	f.Add(fleetHead+"  include: [services, ../x]\n  ssh: {user: \"{{ .Vars.a }}\"}\n  rollout: {maxUnavailable: 50%, batches: [1, 25%]}\n  windows: [{allow: \"* * * * *\", duration: 1h}]\n",
		"apiVersion: evenkeel/v1\nkind: Inventory\nspec:\n  groups: {eu: {vars: {region: eu}}}\n  hosts:\n    - {name: h1, address: h1, labels: {role: web}, groups: [eu], vars: {a: {b: [1, ~, 2.5]}}, jump: h2}\n    - &h {name: h2, labels: {role: web}}\n", "A=\"b\nC=d")
	f.Add(fleetHead+"---\n"+fleetHead, "a: &a [*a]\n", "")
	f.Fuzz(func(t *testing.T, fleet, hosts, env string) {
		repo := plain.with(files{"fleet.yaml": fleet + " ", "inventory/hosts.yaml": hosts + " ", "services/a/a.env": env + " "})
		repo["services/a/service.yaml"] += "  env: [{path: /etc/a.env, source: a.env}]\n  files: [{path: /etc/a, source: a.env, template: true}]\n"
		rev, err := Load(context.Background(), repo.fs(), LoadOptions{})
		var faults Faults
		if err != nil {
			if !errors.As(err, &faults) {
				t.Fatalf("no faults: %v", err)
			}
			return
		}
		for _, f := range Validate(context.Background(), &rev) {
			if strings.ContainsAny(f.String(), "\n\x1b\x00") {
				t.Errorf("a fault with control characters: %q", f.String())
			}
		}
		seen := map[string]bool{}
		for _, h := range rev.Inventory.Hosts {
			if h.Name == "" || seen[h.Name] || strings.ContainsAny(h.Name, "\n\x1b\x00 /") {
				t.Errorf("a host named %q", h.Name)
			}
			seen[h.Name] = true
		}
		states, _ := rev.ResolveAll(context.Background())
		for _, st := range states {
			for _, in := range st.Instances {
				checkInstance(t, in)
			}
		}
	})
}
