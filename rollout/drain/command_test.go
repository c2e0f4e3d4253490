package drain

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

func commandSpec(on, dir string) desired.DrainSpec {
	return desired.DrainSpec{Command: &desired.CommandDrain{
		On:      on,
		Drain:   "touch " + dir + "/out",
		Undrain: "rm -f " + dir + "/out",
		Drained: "test ! -e " + dir + "/session",
	}}
}

// shellHost runs what a host would.
func shellHost() *localHost {
	return &localHost{answer: func(r hostdriver.Run) (hostdriver.Result, error) {
		out, err := peer.RunLocal(context.Background(), r.Line, time.Minute)
		return hostdriver.Result{Output: out.Text, Exit: out.Exit}, err
	}}
}

func TestCommandDrains(t *testing.T) {
	for _, on := range []string{"host", "", "controller", "lb-1"} {
		t.Run("on "+on, func(t *testing.T) {
			dir := t.TempDir()
			hosts := shellHost()
			d, err := New(commandSpec(on, dir), web1, hosts.deps())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/session", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			wantStatus(t, d, Status{Sessions: 1, Up: true, State: "drained exits 1"})
			mustDrain(t, d, true)
			if _, err := os.Stat(dir + "/out"); err != nil {
				t.Error("not drained")
			}
			os.Remove(dir + "/session")
			wantStatus(t, d, Status{Up: true, State: "drained exits 0"})
			mustUndrain(t, d)
			mustUndrain(t, d)
			if _, err := os.Stat(dir + "/out"); err == nil {
				t.Error("not undrained")
			}
			if want := map[bool]int{true: 0, false: 5}[on == "controller"]; len(hosts.runs) != want {
				t.Errorf("%d commands on the host, want %d", len(hosts.runs), want)
			}
			for _, name := range hosts.ran {
				if want := map[bool]string{true: "lb-1", false: web1.Name}[on == "lb-1"]; name != want {
					t.Errorf("a command was run on %s, want %s", name, want)
				}
			}
		})
	}
}

func TestCommandFaultsSpeak(t *testing.T) {
	lost := &hostdriver.Error{Kind: hostdriver.Unknown, Host: "web-1", Op: "run", Err: errors.New("the connection is gone")}
	tests := []struct {
		name       string
		result     hostdriver.Result
		err        error
		want, mend string
	}{
		{"fails", hostdriver.Result{Exit: 3, Output: []byte("\n  pool is \x1b[1mlocked\nmore")}, nil,
			"cannot drain web-1: command lb on the host: exit status 3: pool is [1mlocked", ""},
		{"fails in the driver's words", hostdriver.Result{Exit: 3, Output: []byte("locked")},
			&hostdriver.Error{Kind: hostdriver.Failed, Host: "web-1", Op: "run", Err: errors.New("exit status 3")}, "exit status 3: locked", ""},
		{"is not there", hostdriver.Result{Exit: 127}, nil, "exit status 127", "is the program installed"},
		{"never ends", hostdriver.Result{Exit: 124}, nil, "it ran longer than 1m0s", "let `drained` say"},
		{"outcome unknown", hostdriver.Result{}, lost, "the connection is gone", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts := &localHost{answer: func(hostdriver.Run) (hostdriver.Result, error) { return tt.result, tt.err }}
			d, err := New(desired.DrainSpec{Command: &desired.CommandDrain{Drain: "lb out", Undrain: "lb in", Drained: "lb left"}}, web1, hosts.deps())
			if err != nil {
				t.Fatal(err)
			}
			ours, err := d.Drain(t.Context())
			if err == nil || !ours || !strings.Contains(err.Error(), tt.want) || !strings.Contains(MendOf(err), tt.mend) {
				t.Errorf("ours %v, %v, mend %q; want %s", ours, err, MendOf(err), tt.want)
			}
			if _, err := d.Status(t.Context()); (err == nil) != (tt.result.Exit == 3) {
				t.Errorf("status: %v", err) // only a plain failure means that sessions are left
			}
		})
	}
}

func TestCommandWithoutDrained(t *testing.T) {
	d, err := New(desired.DrainSpec{Command: &desired.CommandDrain{On: "controller", Drain: "true", Undrain: "true"}}, web1, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, d, Status{Sessions: SessionsUnknown, Up: true, State: "not asked"})
}

func TestCommandRefusesSettings(t *testing.T) {
	for want, spec := range map[string]desired.CommandDrain{
		"drain is empty":    {On: "controller", Undrain: "b"},
		"undrain is empty":  {On: "controller", Drain: "a", Undrain: " \n"},
		"zero byte":         {On: "controller", Drain: "a\x00", Undrain: "b"},
		"no SSH connection": {Drain: "a", Undrain: "b"},
	} {
		if _, err := New(desired.DrainSpec{Command: &spec}, web1, Deps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	elsewhere := desired.DrainSpec{Command: &desired.CommandDrain{On: "lb-2", Drain: "a", Undrain: "b"}}
	if _, err := New(elsewhere, web1, shellHost().deps()); err == nil || !strings.Contains(err.Error(), `on is "lb-2": set host, controller, or the name of a host of the inventory`) {
		t.Errorf("%v", err)
	}
}
