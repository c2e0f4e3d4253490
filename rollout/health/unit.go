package health

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// unitCheck asks that units are active.
type unitCheck struct {
	names []string
	sub   string
	unit  func(context.Context, string) (hostdriver.UnitState, error)
}

func newUnit(spec desired.UnitHealth, deps Deps) (*unitCheck, error) {
	names := deps.Started
	if spec.Name != "" {
		names = []string{spec.Name}
	}
	if len(names) == 0 {
		return nil, errors.New("unit: there is none to look at: the check has no name, and the service has no unit with state: started")
	}
	if deps.Unit == nil {
		return nil, errors.New("unit: there is no SSH connection to hosts here")
	}
	return &unitCheck{names: names, sub: spec.Sub, unit: deps.Unit}, nil
}

func (c *unitCheck) Check(ctx context.Context) Result {
	return look(ctx, defaultTimeout, func(ctx context.Context) Result {
		for _, name := range c.names {
			u, err := c.unit(ctx, name)
			if err != nil {
				return Result{Unknown: true, Reason: peer.Line(name + ": " + err.Error()), Mend: hostdriver.MendOf(err)}
			}
			if fault := unitFault(name, u, c.sub); fault != "" {
				return Result{Reason: peer.Line(name + " " + fault)}
			}
		}
		if len(c.names) == 1 {
			return Result{OK: true, Reason: peer.Line(c.names[0] + " is active")}
		}
		return Result{OK: true, Reason: fmt.Sprintf("all %d units are active", len(c.names))}
	})
}

// wellSubs are the sub states in which an active unit of a kind is well (systemctl
// --state=help, systemd 252). The list of sub states is open: one that is not known
// is not well.
var wellSubs = map[string]string{
	"service": "running", "socket": "listening running", "timer": "waiting running elapsed", "path": "waiting running",
	"mount": "mounted", "automount": "waiting running", "swap": "active", "target": "active", "slice": "active", "scope": "running",
	"device": "plugged",
}

// unitFault says what keeps a unit from being well, or nothing.
func unitFault(name string, u hostdriver.UnitState, sub string) string {
	is := "is " + u.Active + " (" + u.Sub + ")"
	switch {
	case u.Load != "loaded":
		return "is " + u.Load
	case u.Active == "failed":
		return is + ": " + result(u)
	case sub != "":
		if u.Active == "active" && u.Sub == sub {
			return ""
		}
		return is + ", want active (" + sub + ")"
	case u.Active == "active" && wellSub(name, u):
		return ""
	case u.Type == "oneshot" && u.Active == "inactive" && u.Result == "success" && !u.Started.IsZero():
		return "" // it has run, and well
	case u.Active == "active" && u.Sub == "exited":
		return is + ": its process has ended"
	}
	return is
}

// wellSub tells whether the sub state is that of a unit that is well. Services that
// end and stay active are those made to: oneshot ones with RemainAfterExit=, and
// forking ones such as init scripts become.
func wellSub(name string, u hostdriver.UnitState) bool {
	kind := name[strings.LastIndexByte(name, '.')+1:]
	if u.Sub == "exited" {
		return u.Type == "oneshot" || u.Type == "forking"
	}
	for subs := range strings.FieldsSeq(wellSubs[kind]) {
		if subs == u.Sub {
			return true
		}
	}
	return false
}

func result(u hostdriver.UnitState) string {
	switch {
	case u.Result == "exit-code":
		return fmt.Sprintf("exit status %d", u.ExecStatus)
	case u.Result == "":
		return "result unknown"
	}
	return u.Result
}
