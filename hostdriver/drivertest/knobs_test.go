package drivertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

var fence = hostdriver.Fence{Epoch: 1, Holder: "knobs"}

// deployed is a host on which one unit was deployed and started.
func deployed(t *testing.T, f *Fake, unit string) (*FakeHost, func(hostdriver.Op) (hostdriver.Result, error)) {
	t.Helper()
	h := f.Host("h1")
	do := func(op hostdriver.Op) (hostdriver.Result, error) {
		return f.Apply(context.Background(), inventory.Host{Name: "h1"}, fence, op)
	}
	c := hostdriver.NewContent([]byte(unit))
	for _, op := range []hostdriver.Op{
		hostdriver.Stage{Blobs: map[string]hostdriver.Content{c.SHA256(): c}, Manifest: hostdriver.Manifest{Generation: 1, Revision: "r", Entries: []hostdriver.Entry{
			{Kind: hostdriver.KindFile, Name: "/etc/systemd/system/a.service", SHA256: c.SHA256(), Mode: 0o644}, {Kind: hostdriver.KindUnit, Name: "a.service"}}}},
		hostdriver.Switch{To: 1}, start("a.service"),
	} {
		if _, err := do(op); err != nil {
			t.Fatal(err)
		}
	}
	return h, do
}

func TestTimeIsTheClocks(t *testing.T) {
	now := Epoch
	f := New(func() time.Time { return now })
	deployed(t, f, "[Service]\nExecStart=/bin/sleep 60\nRestart=always\nRestartSec=10\n")
	state := func() hostdriver.UnitState {
		o, err := f.Observe(context.Background(), inventory.Host{Name: "h1"}, hostdriver.Query{Light: true})
		if err != nil {
			t.Fatal(err)
		}
		return o.Units["a.service"]
	}
	first := state()
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{59 * time.Second, "active running 0"}, {time.Second, "activating auto-restart 0"}, {9 * time.Second, "activating auto-restart 0"}, {time.Second, "active running 1"}} {
		now = now.Add(step.after)
		if u := state(); fmt.Sprint(u.Active, " ", u.Sub, " ", u.Restarts) != step.want {
			t.Fatalf("after %s: %s %s %d, want %s", now.Sub(Epoch), u.Active, u.Sub, u.Restarts, step.want)
		}
	}
	if u := state(); u.InvocationID == first.InvocationID || u.MainPID == first.MainPID || !u.Started.Equal(Epoch.Add(70*time.Second)) {
		t.Errorf("first %+v, then %+v", first, u)
	}
}

func TestBehaviourIsTheTests(t *testing.T) {
	f := New(nil)
	var seen Start
	f.Behave(func(s Start) Behaviour { seen = s; return Behaviour{StopAfter: time.Minute, HidesEnv: true} })
	h, do := deployed(t, f, "[Service]\nEnvironment=A=1\nExecStart=/bin/sh -x\n")
	if seen.Host != "h1" || seen.Unit != "a.service" || !slices.Equal(seen.Argv, []string{"/bin/sh", "-x"}) || seen.Env["A"] != "1" {
		t.Errorf("%+v", seen)
	}
	_, err := do(hostdriver.UnitOps{Actions: []hostdriver.UnitAction{{Unit: "a.service", Verb: hostdriver.VerbStop}}, Timeout: time.Second})
	if hostdriver.KindOf(err) != hostdriver.Unknown {
		t.Errorf("a stop that takes longer: %v", err)
	}
	o, err := f.Observe(context.Background(), inventory.Host{Name: "h1"}, hostdriver.Query{Env: []hostdriver.EnvQuery{{Unit: "a.service", Keys: []string{"A"}}}})
	if err != nil || o.Units["a.service"].Active != "deactivating" || o.Processes["a.service"].Env != hostdriver.EnvUnreadable {
		t.Errorf("%+v, %v", o, err)
	}
	h.Pass(time.Minute)
	o, _ = f.Observe(context.Background(), inventory.Host{Name: "h1"}, hostdriver.Query{Light: true})
	if o.Units["a.service"].Active != "inactive" {
		t.Errorf("a minute later: %+v", o.Units["a.service"])
	}
}

func TestFaultsAreTheTests(t *testing.T) {
	f := New(nil)
	h, do := deployed(t, f, runs)
	host := inventory.Host{Name: "h1"}
	h.Garble(errors.New("binary noise"))
	if _, err := f.Observe(context.Background(), host, hostdriver.Query{}); hostdriver.KindOf(err) != hostdriver.Unknown {
		t.Errorf("garbled: %v", err)
	}
	h.Garble(nil)
	h.Lock("somebody")
	if _, err := do(hostdriver.ClearStep{}); hostdriver.KindOf(err) != hostdriver.Refused {
		t.Errorf("locked: %v", err)
	}
	h.Lock("")
	h.SetReadOnly(true)
	if _, err := do(hostdriver.ClearStep{}); hostdriver.KindOf(err) != hostdriver.Failed {
		t.Errorf("read-only: %v", err)
	}
	h.SetReadOnly(false)
	if _, err := f.Observe(context.Background(), inventory.Host{Name: "other"}, hostdriver.Query{}); hostdriver.KindOf(err) != hostdriver.Unreachable {
		t.Errorf("a host that is not: %v", err)
	}
	if got := h.Mutations(); !slices.Equal(got, []string{"stage", "switch", "units", "start a.service"}) {
		t.Errorf("mutations: %v", got)
	}
}

func TestSocketsAreTheUnits(t *testing.T) {
	f := New(nil)
	f.Behave(func(Start) Behaviour { return Behaviour{ReadyAfter: time.Second} })
	h, _ := deployed(t, f, runs)
	h.Listen("tcp", "127.0.0.1:80", "a.service", func(c net.Conn) { fmt.Fprintln(c, "hello") })
	dial := func() error {
		c, err := f.DialHost(context.Background(), inventory.Host{Name: "h1"}, "tcp", "127.0.0.1:80")
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	if dial() == nil {
		t.Error("it answers before it is ready")
	}
	h.Pass(time.Second)
	if err := dial(); err != nil {
		t.Error(err)
	}
	h.Systemctl("stop", "a.service")
	if dial() == nil {
		t.Error("it answers although it was stopped")
	}
}

func TestManyAtOnce(t *testing.T) {
	f := New(nil)
	hosts := f.Inventory("h1", "h2", "h3")
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			h := hosts[i%3]
			_, _ = f.Observe(context.Background(), h, hostdriver.Query{Units: []string{"a.service"}})
			if _, err := f.Apply(context.Background(), h, fence, hostdriver.PutStep{Record: hostdriver.StepRecord{Epoch: 1}}); err != nil {
				t.Error(err)
			}
			f.Host(h.Name).WriteFile("/etc/x", "x", 0o644)
			f.Pass(time.Millisecond)
		})
	}
	all.Wait()
}
