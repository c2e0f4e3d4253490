package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/drivertest"
)

// fakeFleet is a fleet repo with one service on two hosts and another on a third, and
// hosts that behave.
func fakeFleet(t *testing.T) (*Fleet, *drivertest.Fake) {
	t.Helper()
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	service := func(name string) *fstest.MapFile {
		return text("apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: " + name + "}\nspec:\n  selector: {matchLabels: {role: " + name + "}}\n  units: [{source: " + name + ".service, state: started}]\n  rollout: {minHealthyTime: 0s}\n")
	}
	unit := text("[Service]\nExecStart=/bin/sleep infinity\n")
	rev, err := desired.Load(context.Background(), fstest.MapFS{
		"fleet.yaml": text("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: f}\nspec: {}\n"),
		"inventory/hosts.yaml": text("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: i}\nspec:\n  hosts:\n" +
			"    - {name: web-1, address: web-1, labels: {role: web}}\n    - {name: web-2, address: web-2, labels: {role: web}}\n    - {name: db-1, address: db-1, labels: {role: db}}\n"),
		"services/web/service.yaml": service("web"), "services/web/web.service": unit,
		"services/db/service.yaml": service("db"), "services/db/db.service": unit,
	}, desired.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fake := drivertest.New(nil)
	fake.Inventory("web-1", "web-2", "db-1")
	return &Fleet{Revision: rev, Driver: fake, Log: zerolog.Nop(), Holder: "apply one"}, fake
}

func TestSeize(t *testing.T) {
	ctx := context.Background()
	another := func(t *testing.T, fake *drivertest.Fake, host string, epoch uint64, op hostdriver.Op) {
		t.Helper()
		hosts := fake.Inventory(host)
		if _, err := fake.Apply(ctx, hosts[0], hostdriver.Fence{Epoch: epoch, Holder: "apply two"}, op); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name      string
		before    func(*testing.T, *Fleet, *drivertest.Fake) // the first look
		meanwhile func(*testing.T, *Fleet, *drivertest.Fake) // after it
		overtaken string                                     // a part of the error; "" where there is none
		obeying   string                                     // the hosts that obey one in the end
		visits    string                                     // to which hosts, and what they are
	}{
		{name: "nobody else", obeying: "web-1 web-2 db-1", visits: "web-1 web-2 db-1"},
		{name: "a host on which nothing is to be done is not asked", before: func(_ *testing.T, f *Fleet, _ *drivertest.Fake) { f.Services = []string{"web"} },
			obeying: "web-1 web-2", visits: "web-1 web-2"},
		{name: "another was there and has begun a step meanwhile: its record is seen", before: func(t *testing.T, _ *Fleet, fake *drivertest.Fake) {
			another(t, fake, "web-2", 4, hostdriver.ClearStep{})
		},
			meanwhile: func(t *testing.T, _ *Fleet, fake *drivertest.Fake) {
				another(t, fake, "web-2", 4, hostdriver.PutStep{Record: hostdriver.StepRecord{Epoch: 4, Services: []string{"web"}}})
			}, obeying: "web-1 web-2 db-1", visits: "web-2 recovered web-1 db-1"},
		{name: "another came first", meanwhile: func(t *testing.T, _ *Fleet, fake *drivertest.Fake) { another(t, fake, "web-2", 1, hostdriver.Obey{}) },
			overtaken: "another is at work on web-2", obeying: "web-1 db-1"},
		{name: "another came first to the host that decides", meanwhile: func(t *testing.T, _ *Fleet, fake *drivertest.Fake) { another(t, fake, "web-1", 1, hostdriver.Obey{}) },
			overtaken: "another is at work on web-1"},
		{name: "another holds a lock for long", meanwhile: func(_ *testing.T, _ *Fleet, fake *drivertest.Fake) { fake.Host("web-1").Lock("apply two") },
			overtaken: "its lock is held by apply two"},
		{name: "a host stops answering", meanwhile: func(_ *testing.T, _ *Fleet, fake *drivertest.Fake) { fake.Host("web-1").Cut() },
			obeying: "web-2 db-1", visits: "web-2 db-1"},
		{name: "a host answers only at the second look: it was not taken over, and is left alone",
			before: func(t *testing.T, _ *Fleet, fake *drivertest.Fake) {
				fake.Host("web-1").Cut()
				another(t, fake, "db-1", 4, hostdriver.ClearStep{})
			},
			meanwhile: func(t *testing.T, _ *Fleet, fake *drivertest.Fake) {
				fake.Host("web-1").Heal()
				another(t, fake, "db-1", 4, hostdriver.ClearStep{})
			}, obeying: "web-2 db-1", visits: "web-2 db-1"},
		{name: "a host cannot write", meanwhile: func(_ *testing.T, _ *Fleet, fake *drivertest.Fake) { fake.Host("web-2").SetReadOnly(true) },
			obeying: "web-1 db-1", visits: "web-1 db-1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, fake := fakeFleet(t)
			if c.before != nil {
				c.before(t, f, fake)
			}
			v, err := f.Look(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if c.meanwhile != nil {
				c.meanwhile(t, f, fake)
			}
			seized, err := f.Seize(ctx, nil, v)
			var o *Overtaken
			if c.overtaken != "" {
				if !errors.As(err, &o) || !strings.Contains(err.Error(), c.overtaken) {
					t.Fatalf("got %v, want %q", err, c.overtaken)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			fake.Host("web-1").Heal()
			fake.Host("web-1").Lock("")
			var obeying, visits []string
			for _, h := range fake.Inventory("web-1", "web-2", "db-1") {
				obs, err := fake.Observe(ctx, h, hostdriver.Query{Light: true})
				if err != nil {
					t.Fatal(err)
				}
				if obs.Holder == f.Holder {
					obeying = append(obeying, h.Name)
				}
			}
			if got := strings.Join(obeying, " "); got != c.obeying {
				t.Errorf("%q obey, want %q", got, c.obeying)
			}
			if seized == nil {
				return
			}
			for _, v := range seized.Plan.Visits {
				visits = append(visits, v.Host)
				if v.Recover {
					visits = append(visits, "recovered")
				}
			}
			if got := strings.Join(visits, " "); got != c.visits {
				t.Errorf("visits %q, want %q", got, c.visits)
			}
		})
	}
}

// Who plans again after another took a host over does not take it back.
func TestSeizeAgain(t *testing.T) {
	ctx := context.Background()
	f, fake := fakeFleet(t)
	v, err := f.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first, err := f.Seize(ctx, nil, v)
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.LookAgain(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	if second, err = f.Seize(ctx, first, second); err != nil {
		t.Fatalf("own work is no other's: %v", err)
	}
	if _, err := fake.Apply(ctx, fake.Inventory("db-1")[0], hostdriver.Fence{Epoch: 100, Holder: "apply two"}, hostdriver.Obey{}); err != nil {
		t.Fatal(err)
	}
	third, err := f.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var o *Overtaken
	if _, err := f.Seize(ctx, second, third); !errors.As(err, &o) || o.Host != "db-1" {
		t.Errorf("got %v", err)
	}
}

// Who did not answer when the plan was made, and does now, obeys whoever was there before: it
// counts as down, and not as one that is left out.
func TestAwayCountsAsDown(t *testing.T) {
	ctx := context.Background()
	f, fake := fakeFleet(t)
	fake.Host("web-1").Cut()
	v, err := f.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	fx := newEffects(f, v)
	how := func() string {
		for _, is := range fx.instances(ctx, "web") {
			if is.Host == "web-1" {
				return fmt.Sprintf("up=%t unreachable=%t definite=%t %s", is.Up, is.Unreachable, is.Definite, is.Reason)
			}
		}
		return "not looked at"
	}
	if got := how(); got != "up=false unreachable=true definite=true unreachable" {
		t.Error(got)
	}
	fake.Host("web-1").Heal()
	if got := how(); got != "up=false unreachable=false definite=true answers again, and was not taken over" {
		t.Error(got)
	}
}

// Two applies, each to hosts of its own, share the budget of a service: a host that another
// has in hand counts as down as soon as its record says so, though it still serves.
func TestInHandElsewhereCountsAsDown(t *testing.T) {
	ctx := context.Background()
	f, fake := fakeFleet(t)
	v, err := f.Look(ctx)
	if err == nil {
		_, err = f.Apply(ctx, nil, v, nil) // all run
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Hosts = []string{"web-2"}
	if v, err = f.Look(ctx); err != nil {
		t.Fatal(err)
	}
	fx := newEffects(f, v)
	how := func() string {
		for _, is := range fx.instances(ctx, "web") {
			if is.Host == "web-1" {
				return fmt.Sprintf("up=%t %s", is.Up, is.Reason)
			}
		}
		return "not looked at"
	}
	if got := how(); got != "up=true " {
		t.Error(got)
	}
	put := func(services ...string) {
		if _, err := fake.Apply(ctx, fake.Inventory("web-1")[0], hostdriver.Fence{Epoch: 9, Holder: "apply two"},
			hostdriver.PutStep{Record: hostdriver.StepRecord{Epoch: 9, Holder: "apply two", Services: services}}); err != nil {
			t.Fatal(err)
		}
	}
	put("db")
	if got := how(); got != "up=true " {
		t.Errorf("a step of another service: %s", got)
	}
	put("web")
	if got := how(); got != "up=false is in the hands of apply two" {
		t.Error(got)
	}
}
