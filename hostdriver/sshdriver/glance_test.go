package sshdriver

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// glanceLine runs unprivileged scripts with this machine's shell, and nothing else.
type glanceLine struct {
	t      *testing.T
	err    error // of every script
	became int   // scripts that were to be run as root
}

var errNotHere = errors.New("only root could tell")

func (l *glanceLine) run(context.Context, inventory.Host, request) (Result, error) {
	l.became++
	return Result{}, &hostdriver.Error{Kind: hostdriver.Become, Op: opRun, Err: errNotHere}
}

func (l *glanceLine) dial(context.Context, inventory.Host, string, string) (net.Conn, error) {
	return nil, errNotHere
}

func (l *glanceLine) refusal(context.Context, inventory.Host, Result) error { return nil }

func (l *glanceLine) runUnprivileged(ctx context.Context, _ inventory.Host, rq request) (Result, error) {
	if l.err != nil {
		return Result{}, l.err
	}
	script := rq.script.text(rq.call)
	words := shellWords(len(script))
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.Output()
	if err != nil {
		l.t.Logf("the script ended with %v", err)
	}
	return Result{Stdout: out}, nil
}

// glanceDriver is a driver on a host whose systemctl is that shell script.
func glanceDriver(t *testing.T, systemctl string) (*Driver, *glanceLine) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\n"+systemctl), 0o755); err != nil {
		t.Fatal(err)
	}
	l := &glanceLine{t: t}
	return newDriver(l, places{state: dir + "/state", run: dir + "/run", path: dir + ":/usr/bin:/bin"}), l
}

const glanceAnswer = `printf 'MainPID=7\nId=a.service\nLoadState=loaded\nActiveState=active\nInvocationID=5f\n\n'
printf 'MainPID=0\nId=b.service\nLoadState=loaded\nActiveState=failed\n'
`

var glanceQuery = hostdriver.Query{Light: true, UnitsOnly: true, Units: []string{"a.service", "b.service"}}

func TestUnitsOnlyNeedsNoRoot(t *testing.T) {
	d, l := glanceDriver(t, glanceAnswer)
	o, err := d.Observe(t.Context(), inventory.Host{Name: "web-1"}, glanceQuery)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := o.Units["a.service"], o.Units["b.service"]; a.Active != "active" || a.MainPID != 7 || a.InvocationID != "5f" || b.Active != "failed" {
		t.Errorf("units read as %+v", o.Units)
	}
	if o.Host != "web-1" || o.At.IsZero() || o.Took <= 0 || l.became > 0 {
		t.Errorf("host %q at %s in %s, root asked %d times", o.Host, o.At, o.Took, l.became)
	}
}

// An answer that is not whole is none: root is asked, as for any other reading.
func TestUnitsOnlyFallsBackToRoot(t *testing.T) {
	for name, systemctl := range map[string]string{
		"refused":          "echo 'Access denied' >&2; exit 1\n",
		"one unit missing": "printf 'Id=a.service\\nLoadState=loaded\\nActiveState=active\\n'\n",
		"no state":         "printf 'Id=a.service\\n\\nId=b.service\\n'\n",
		"killed":           "kill -9 $PPID\n",
	} {
		t.Run(name, func(t *testing.T) {
			d, l := glanceDriver(t, systemctl)
			_, err := d.Observe(t.Context(), inventory.Host{Name: "web-1"}, glanceQuery)
			if hostdriver.KindOf(err) != hostdriver.Become || l.became != 1 {
				t.Errorf("%v; root asked %d times", err, l.became)
			}
		})
	}
}

// A host that does not answer is not asked a second time.
func TestUnitsOnlyOfSilentHost(t *testing.T) {
	d, l := glanceDriver(t, glanceAnswer)
	l.err = &hostdriver.Error{Kind: hostdriver.Unreachable, Host: "web-1", Op: opRun, Err: errors.New("no route to host")}
	_, err := d.Observe(t.Context(), inventory.Host{Name: "web-1"}, glanceQuery)
	var e *hostdriver.Error
	if !errors.As(err, &e) || e.Kind != hostdriver.Unreachable || e.Op != opObserve || l.became > 0 {
		t.Errorf("%v; root asked %d times", err, l.became)
	}
}

// Anything more than units is read by root, as before.
func TestLightReadingIsRoots(t *testing.T) {
	d, l := glanceDriver(t, glanceAnswer)
	q := glanceQuery
	q.UnitsOnly = false
	if _, err := d.Observe(t.Context(), inventory.Host{Name: "web-1"}, q); err == nil || l.became != 1 {
		t.Errorf("%v; root asked %d times", err, l.became)
	}
}
