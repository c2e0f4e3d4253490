package health

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func (e elsewhere) DialHost(ctx context.Context, _ inventory.Host, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, e.to)
}

// answers is a host whose command comes to what it is told.
type answers struct {
	result hostdriver.Result
	err    error
	run    hostdriver.Run
}

func (a *answers) Apply(_ context.Context, _ inventory.Host, _ hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	a.run = op.(hostdriver.Run)
	return a.result, a.err
}

func TestCommand(t *testing.T) {
	failed := &hostdriver.Error{Kind: hostdriver.Failed, Host: "web-1", Op: "run", Err: errors.New("no such user: nobody-here")}
	tests := []struct {
		name   string
		result hostdriver.Result
		err    error
		want   Result
	}{
		{"well", hostdriver.Result{Output: []byte("all well, and the token is hunter2\n")}, nil, Result{OK: true, Reason: "/usr/bin/check exits 0"}},
		{"fails", hostdriver.Result{Exit: 2, Output: []byte("\n\x1b[31mqueue is full\nand more\n")}, nil, Result{Reason: "/usr/bin/check exits 2: [31mqueue is full"}},
		{"fails in the driver's words", hostdriver.Result{Exit: 2}, failed, Result{Reason: "/usr/bin/check exits 2"}},
		{"is not there", hostdriver.Result{Exit: 127}, nil, Result{Reason: "/usr/bin/check exits 127", Mend: "is the program installed on the host, executable, and named by its whole path?"}},
		{"never ends", hostdriver.Result{Exit: 124}, nil, Result{Reason: "/usr/bin/check ran longer than 3s"}},
		{"cannot be begun", hostdriver.Result{}, failed, Result{Reason: "/usr/bin/check: cannot run web-1: no such user: nobody-here"}},
		{"host unreachable", hostdriver.Result{}, lost, Result{Unknown: true, Reason: "/usr/bin/check: cannot connect to web-1: no route to host", Mend: "is it up?"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host := &answers{result: tt.result, err: tt.err}
			deps := Deps{Applier: host, Fence: func() hostdriver.Fence { return hostdriver.Fence{Epoch: 1} }}
			spec := desired.CommandHealth{Run: "/usr/bin/check --token hunter2", User: "gateway", Timeout: desired.Duration(3 * time.Second)}
			c, err := New(desired.HealthSpec{Command: &spec}, web1, deps)
			if err != nil {
				t.Fatal(err)
			}
			wantResult(t, c, tt.want)
			if host.run.Line != spec.Run || host.run.User != "gateway" || host.run.Timeout != 3*time.Second {
				t.Errorf("it ran %+v", host.run)
			}
		})
	}
}

func TestUnit(t *testing.T) {
	ran := time.Unix(1, 0)
	service := func(active, sub string) hostdriver.UnitState {
		return hostdriver.UnitState{Load: "loaded", Active: active, Sub: sub, Type: "notify", Result: "success", Started: ran}
	}
	with := func(u hostdriver.UnitState, change func(*hostdriver.UnitState)) hostdriver.UnitState {
		change(&u)
		return u
	}
	oneshot := func(u *hostdriver.UnitState) { u.Type = "oneshot" }
	tests := []struct {
		name, unit string
		state      hostdriver.UnitState
		sub        string
		want       string // the fault
	}{
		{"running", "gw.service", service("active", "running"), "", ""},
		{"the sub state wanted", "gw.service", service("active", "running"), "running", ""},
		{"another sub state than wanted", "gw.service", service("active", "running"), "exited", "gw.service is active (running), want active (exited)"},
		{"a timer", "gw.timer", service("active", "waiting"), "", ""},
		{"a service that waits", "gw.service", service("active", "waiting"), "", "gw.service is active (waiting)"},
		{"a sub state of tomorrow", "gw.service", service("active", "hovering"), "", "gw.service is active (hovering)"},
		{"starting", "gw.service", service("activating", "start-pre"), "", "gw.service is activating (start-pre)"},
		{"stopped", "gw.service", service("inactive", "dead"), "", "gw.service is inactive (dead)"},
		{"failed", "gw.service", with(service("failed", "failed"), func(u *hostdriver.UnitState) { u.Result, u.ExecStatus = "exit-code", 203 }), "", "gw.service is failed (failed): exit status 203"},
		{"failed otherwise", "gw.service", with(service("failed", "failed"), func(u *hostdriver.UnitState) { u.Result = "oom-kill" }), "", "gw.service is failed (failed): oom-kill"},
		{"masked yet running", "gw.service", with(service("active", "running"), func(u *hostdriver.UnitState) { u.Load = "masked" }), "", "gw.service is masked"},
		{"ended and called active", "gw.service", service("active", "exited"), "", "gw.service is active (exited): its process has ended"},
		{"a oneshot that remains", "gw.service", with(service("active", "exited"), oneshot), "", ""},
		{"a oneshot that has run", "gw.service", with(service("inactive", "dead"), oneshot), "", ""},
		{"a oneshot that never ran", "gw.service", with(service("inactive", "dead"), func(u *hostdriver.UnitState) { u.Type, u.Started = "oneshot", time.Time{} }), "", "gw.service is inactive (dead)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			deps := Deps{Unit: func(_ context.Context, name string) (hostdriver.UnitState, error) {
				if name != tt.unit {
					return hostdriver.UnitState{}, errors.New("asked for " + name)
				}
				return tt.state, nil
			}}
			c, err := New(desired.HealthSpec{Unit: &desired.UnitHealth{Name: tt.unit, Sub: tt.sub}}, web1, deps)
			if err != nil {
				t.Fatal(err)
			}
			want := Result{OK: tt.want == "", Reason: tt.want}
			if want.OK {
				want.Reason = tt.unit + " is active"
			}
			wantResult(t, c, want)
		})
	}
}

func TestUnitLooksAtEveryStartedOne(t *testing.T) {
	states := map[string]hostdriver.UnitState{
		"gw.service": {Load: "loaded", Active: "active", Sub: "running"},
		"gw.socket":  {Load: "loaded", Active: "active", Sub: "listening"},
	}
	var broken error
	deps := Deps{Started: []string{"gw.service", "gw.socket"}, Unit: func(_ context.Context, name string) (hostdriver.UnitState, error) {
		return states[name], broken
	}}
	c, err := New(desired.HealthSpec{Unit: &desired.UnitHealth{}}, web1, deps)
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, c, Result{OK: true, Reason: "all 2 units are active"})
	states["gw.socket"] = hostdriver.UnitState{Load: "loaded", Active: "failed", Sub: "failed", Result: "service-start-limit-hit"}
	wantResult(t, c, Result{Reason: "gw.socket is failed (failed): service-start-limit-hit"})
	broken = lost
	wantResult(t, c, Result{Unknown: true, Reason: "gw.service: cannot connect to web-1: no route to host", Mend: "is it up?"})
}

// fixed is a check whose outcome is known.
type fixed Result

func (f fixed) Check(context.Context) Result { return Result(f) }

func TestAll(t *testing.T) {
	well := fixed{OK: true, Reason: "status 200"}
	sick := fixed{Reason: "status 503, want 200", Mend: "wait"}
	unknown := fixed{Unknown: true, Reason: "no route to host", Mend: "is it up?"}
	tests := []struct {
		checks []Checker
		want   Result
	}{
		{nil, Result{OK: true, Reason: "every check passes"}},
		{[]Checker{well, well}, Result{OK: true, Reason: "every check passes"}},
		{[]Checker{well, sick}, Result{Reason: "status 503, want 200", Mend: "wait"}},
		{[]Checker{well, unknown}, Result{Unknown: true, Reason: "no route to host", Mend: "is it up?"}},
		{[]Checker{unknown, sick}, Result{Reason: "no route to host; status 503, want 200", Mend: "is it up?"}},
		{[]Checker{sick, unknown}, Result{Reason: "status 503, want 200; no route to host", Mend: "wait"}},
	}
	for _, tt := range tests {
		wantResult(t, All(tt.checks...), tt.want)
	}
}

func TestNewRefusesSettings(t *testing.T) {
	full := Deps{Dialer: direct{}, Applier: &answers{}, Fence: func() hostdriver.Fence { return hostdriver.Fence{} },
		Unit: func(context.Context, string) (hostdriver.UnitState, error) { return hostdriver.UnitState{}, nil }}
	tests := []struct {
		spec desired.HealthSpec
		deps Deps
		want string
	}{
		{desired.HealthSpec{}, full, "set exactly one"},
		{desired.HealthSpec{TCP: &desired.TCPHealth{Port: 1}, Unit: &desired.UnitHealth{Name: "a.service"}}, full, "the check sets 2"},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Path: "/"}}, full, "http: port 0 is none"},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Path: "healthz"}}, full, `path "healthz"`},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Path: "/%zz"}}, full, "does not parse"},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Host: "evil/x@"}}, full, "neither a name nor an address"},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Scheme: "ftp"}}, full, `scheme "ftp"`},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Status: 100}}, full, "status 100"},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Timeout: -1}}, full, "timeout -1ns is negative"},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Headers: map[string]string{"X Y": "hunter2"}}}, full, `header "X Y"`},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1, Headers: map[string]string{"X-Y": "hunter2\r\nZ: 1"}}}, full, "header X-Y has a value"},
		{desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: 1}}, Deps{}, "no SSH connection"},
		{desired.HealthSpec{TCP: &desired.TCPHealth{Port: 70000}}, full, "tcp: port 70000"},
		{desired.HealthSpec{TCP: &desired.TCPHealth{Port: 1}}, Deps{}, "no SSH connection"},
		{desired.HealthSpec{Command: &desired.CommandHealth{Run: "\n"}}, full, "command: run is empty"},
		{desired.HealthSpec{Command: &desired.CommandHealth{Run: "a\x00"}}, full, "zero byte"},
		{desired.HealthSpec{Command: &desired.CommandHealth{Run: "true"}}, Deps{}, "no SSH connection"},
		{desired.HealthSpec{Unit: &desired.UnitHealth{}}, full, "no unit with state: started"},
		{desired.HealthSpec{Journal: &desired.JournalHealth{Want: "x"}}, full, "journal: unit is empty"},
		{desired.HealthSpec{Journal: &desired.JournalHealth{Unit: "a.service"}}, full, "it looks for nothing"},
		{desired.HealthSpec{Journal: &desired.JournalHealth{Unit: "a.service", Want: "(x"}}, full, "want: not a regular expression: missing closing )"},
		{desired.HealthSpec{Journal: &desired.JournalHealth{Unit: "a.service", Want: "x", Refuse: "x*"}}, full, "refuse: it matches an empty line"},
		{desired.HealthSpec{Journal: &desired.JournalHealth{Unit: "a.service", Want: "x", Timeout: -1}}, full, "is negative"},
		{desired.HealthSpec{Journal: &desired.JournalHealth{Unit: "a.service", Want: "x"}}, Deps{}, "no SSH connection"},
		{desired.HealthSpec{Unit: &desired.UnitHealth{Name: "a.service"}}, Deps{}, "no SSH connection"},
	}
	for _, tt := range tests {
		_, err := New(tt.spec, web1, tt.deps)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "cannot check web-1: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v; want %s", tt.spec, err, tt.want)
		}
	}
}

func TestDescribeHidesWhatMayBeSecret(t *testing.T) {
	for want, spec := range map[string]desired.HealthSpec{
		"http 127.0.0.1:8080/healthz": {HTTP: &desired.HTTPHealth{Port: 8080, Path: "/healthz?token=hunter2"}},
		"tcp [::1]:22":                {TCP: &desired.TCPHealth{Host: "::1", Port: 22}},
		"command /usr/bin/check":      {Command: &desired.CommandHealth{Run: "/usr/bin/check --token hunter2"}},
		"command the command":         {Command: &desired.CommandHealth{Run: "TOKEN=hunter2 check"}},
		"journal of gw.service":       {Journal: &desired.JournalHealth{Unit: "gw.service", Refuse: "hunter2"}},
		"unit gw.service":             {Unit: &desired.UnitHealth{Name: "gw.service"}},
		"unit: every started one":     {Unit: &desired.UnitHealth{}},
	} {
		if got := Describe(spec); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
