package sshdriver

import (
	"context"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// unprivileged is a line that can also run a script as whoever logged in. A budget asks
// every instance before each step, and sudo costs a host more than the question.
type unprivileged interface {
	runUnprivileged(ctx context.Context, host inventory.Host, rq request) (Result, error)
}

// glance answers a query of units alone without becoming root. ok tells whether that
// worked; where it did not, err tells that the host did not answer at all, and without
// an err the usual reading may still learn what is asked.
func (d *Driver) glance(ctx context.Context, host inventory.Host, q hostdriver.Query) (o hostdriver.Observation, ok bool, err error) {
	l, can := d.line.(unprivileged)
	if !can || checkNames(nil, nil, q.Units, nil) != nil || slices.ContainsFunc(q.Units, ofUser) {
		return o, false, nil
	}
	s := newScript(d.places, "facts", "glance")
	s.setList("UNITS", q.Units)
	if s.err != nil {
		return o, false, nil
	}
	begun := time.Now()
	res, err := l.runUnprivileged(ctx, host, request{op: opObserve, script: s, call: "op_glance"})
	if err != nil {
		return o, false, renameOp(err, opObserve)
	}
	units, ok := glanced(res.Stdout, s.nonce, q.Units)
	if !ok {
		return o, false, nil
	}
	now := time.Now()
	return hostdriver.Observation{Host: host.Name, At: now, Took: now.Sub(begun), Units: units}, true, nil
}

// ofUser tells of a unit that only root can ask of its systemd.
func ofUser(unit string) bool {
	user, _ := hostdriver.SplitUnit(unit)
	return user != ""
}

// glanced reads the reply: every unit that was asked for, or nothing.
func glanced(reply []byte, nonce string, asked []string) (map[string]hostdriver.UnitState, bool) {
	records, err := parseReply(reply, nonce)
	if err == nil && len(records) == 0 && len(asked) == 0 {
		return map[string]hostdriver.UnitState{}, true
	}
	if err != nil || len(records) != 1 || records[0].kind != "units" {
		return nil, false
	}
	units, err := parseUnits(records[0])
	if err != nil {
		return nil, false
	}
	for _, u := range asked {
		if _, ok := units[u]; !ok {
			return nil, false
		}
	}
	return units, true
}

// runUnprivileged asks root's shell if there is one that is free: it costs less than to
// start another.
func (p poolLine) runUnprivileged(ctx context.Context, host inventory.Host, rq request) (Result, error) {
	c, err := p.pool.Conn(ctx, TargetFor(host))
	if err != nil {
		return Result{}, err
	}
	if s := c.shells.free(); s != nil {
		return c.askKept(ctx, s, "", rq)
	}
	script := rq.script.pieces(rq.call)
	words, err := Line(shellWords(script.len())...)
	if err != nil {
		return Result{}, err
	}
	return c.Exec(ctx, Command{Line: words, Stdin: &script, MaxStdout: maxReply})
}
