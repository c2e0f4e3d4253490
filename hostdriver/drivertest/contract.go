package drivertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// contractCase holds the driver to one sentence of package hostdriver.
type contractCase struct {
	name string
	run  func(k *kit)
}

// Contract runs every case against a host of its own.
func Contract(t *testing.T, newHarness NewHarness) {
	groups := []struct {
		name  string
		cases []contractCase
	}{
		{"observe", observeCases}, {"fence", fenceCases}, {"stage", stageCases}, {"pull", pullCases}, {"switch", switchCases}, {"generations", generationCases},
		{"units", unitCases}, {"users", userCases}, {"ops", opCases}, {"hooks", hookCases}, {"trial", trialCases}, {"faults", faultCases}, {"watch", watchCases},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.run(newKit(t, newHarness(t))) })
			}
		})
	}
}

// kit is a harness with short ways of saying things.
type kit struct {
	*testing.T
	Harness
	fence hostdriver.Fence
}

func newKit(t *testing.T, h Harness) *kit {
	return &kit{T: t, Harness: h, fence: hostdriver.Fence{Epoch: 1, Holder: "contract pid 1"}}
}

func (k *kit) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	k.Cleanup(cancel)
	return ctx
}

func (k *kit) observe(q hostdriver.Query) hostdriver.Observation {
	k.Helper()
	o, err := k.Driver.Observe(k.context(), k.Host, q)
	if err != nil {
		k.Fatalf("observe: %v", err)
	}
	return o
}

// records is what the host says of itself.
func (k *kit) records() hostdriver.Observation {
	k.Helper()
	return k.observe(hostdriver.Query{Light: true})
}

func (k *kit) path(name string) hostdriver.PathState {
	k.Helper()
	return k.observe(hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: name}}}).Paths[name]
}

func (k *kit) unit(name string) hostdriver.UnitState {
	k.Helper()
	return k.observe(hostdriver.Query{Light: true, Units: []string{name}}).Units[name]
}

// reboot reboots the host and waits until the driver reaches it again.
func (k *kit) reboot() {
	k.Helper()
	k.Machine.Reboot()
	k.reached()
}

func (k *kit) reached() {
	k.Helper()
	var err error
	for range 100 {
		if _, err = k.Driver.Observe(k.context(), k.Host, hostdriver.Query{Light: true}); err == nil {
			return
		}
		k.Machine.Pass(200 * time.Millisecond)
	}
	k.Fatalf("not reached again: %v", err)
}

// eventually waits until the unit is as said.
func (k *kit) eventually(name, what string, is func(hostdriver.UnitState) bool) hostdriver.UnitState {
	k.Helper()
	for range 100 {
		if u := k.unit(name); is(u) {
			return u
		}
		k.Machine.Pass(100 * time.Millisecond)
	}
	k.Fatalf("%s does not become %s: %+v", name, what, k.unit(name))
	panic("unreachable")
}

func (k *kit) apply(op hostdriver.Op) hostdriver.Result {
	k.Helper()
	r, err := k.Driver.Apply(k.context(), k.Host, k.fence, op)
	if err != nil {
		k.Fatalf("%s: %v (%s)", hostdriver.OpName(op), err, hostdriver.MendOf(err))
	}
	return r
}

// refused applies op, which must fail with that kind.
func (k *kit) refused(kind hostdriver.ErrorKind, op hostdriver.Op) (hostdriver.Result, error) {
	k.Helper()
	r, err := k.Driver.Apply(k.context(), k.Host, k.fence, op)
	if err == nil {
		k.Fatalf("%s: no error, want one of kind %s", hostdriver.OpName(op), kind)
	}
	if got := hostdriver.KindOf(err); got != kind {
		k.Fatalf("%s: error of kind %q, want %q: %v", hostdriver.OpName(op), got, kind, err)
	}
	return r, err
}

// says wants words in an error.
func (k *kit) says(err error, words string) {
	k.Helper()
	if !strings.Contains(err.Error(), words) {
		k.Fatalf("the error does not say %q: %v", words, err)
	}
}

// content is what the file at path holds, by the machine's own eyes.
func (k *kit) content(path string) string {
	k.Helper()
	s, ok := k.Machine.ReadFile(path)
	if !ok {
		k.Fatalf("%s is not there", path)
	}
	return s
}

func (k *kit) gone(path string) {
	k.Helper()
	if s, ok := k.Machine.ReadFile(path); ok {
		k.Fatalf("%s is there: %q", path, s)
	}
}

func equal[T comparable](k *kit, what string, got, want T) {
	k.Helper()
	if got != want {
		k.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// draft is a generation being made.
type draft struct {
	k        *kit
	manifest hostdriver.Manifest
	blobs    map[string]hostdriver.Content
	releases []hostdriver.Release
}

func (k *kit) draft(generation uint64) *draft {
	return &draft{k: k, manifest: hostdriver.Manifest{Generation: generation, Revision: "deadbeef"}, blobs: map[string]hostdriver.Content{}}
}

func (d *draft) add(e hostdriver.Entry) *draft {
	e.Service = "contract"
	d.manifest.Entries = append(d.manifest.Entries, e)
	return d
}

func (d *draft) file(path, text string) *draft { return d.fileAs(path, text, "root", "root", 0o644) }

func (d *draft) fileAs(path, text, owner, group string, mode uint32) *draft {
	c := hostdriver.NewContent([]byte(text))
	d.blobs[c.SHA256()] = c
	return d.add(hostdriver.Entry{Kind: hostdriver.KindFile, Name: path, SHA256: c.SHA256(), Owner: owner, Group: group, Mode: mode})
}

// unit is a unit with its file.
func (d *draft) unit(name, text, enabled string) *draft {
	return d.file("/etc/systemd/system/"+name, text).add(hostdriver.Entry{Kind: hostdriver.KindUnit, Name: name, Enabled: enabled})
}

func (d *draft) stage() *draft {
	d.k.Helper()
	d.k.apply(d.op())
	return d
}

func (d *draft) op() hostdriver.Stage {
	return hostdriver.Stage{Manifest: d.manifest, Blobs: d.blobs, Releases: d.releases}
}

// deploy stages and switches.
func (d *draft) deploy() hostdriver.Result {
	d.k.Helper()
	d.stage()
	return d.k.apply(hostdriver.Switch{To: d.manifest.Generation})
}

// Unit files that do on a real host what they do on a fake one.
const (
	runs        = "[Service]\nExecStart=/bin/sleep 86400\n[Install]\nWantedBy=multi-user.target\n"
	runsWithEnv = "[Service]\nEnvironmentFile=/etc/contract/env\nExecStart=/bin/sleep 86400\n[Install]\nWantedBy=multi-user.target\n"
	reloads     = "[Service]\nExecReload=/bin/true\nExecStart=/bin/sleep 86400\n[Install]\nWantedBy=multi-user.target\n"
	crashes     = "[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n"
	static      = "[Service]\nExecStart=/bin/sleep 86400\n"
	unitName    = "contract.service"
)

func digest(text string) string { return hostdriver.NewContent([]byte(text)).SHA256() }

func restart(unit string) hostdriver.UnitOps {
	return hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unit, Verb: hostdriver.VerbRestart}}}
}

func start(unit string) hostdriver.UnitOps {
	return hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: unit, Verb: hostdriver.VerbStart}}}
}
