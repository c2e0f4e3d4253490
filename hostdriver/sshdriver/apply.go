package sshdriver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// lockWait is how long a mutation waits on the host for the one before it to end.
const lockWait = 20 * time.Second

// maxEpoch is the largest epoch that every shell can compare.
const maxEpoch = 1 << 62

// opNames are what follows "cannot", by hostdriver.OpName.
var opNames = map[string]string{
	"obey": "take over", "precheck": "precheck", "stage": "stage on", "seal": "encrypt credentials on", "switch": "switch", "disarm": "disarm the dead man's timer of",
	"units": "act on units of", "put step": "save the step of", "clear step": "clear the step of", "claim": "claim", "run": "run a command on",
	"forget": "forget what was refused on", "hook": "run a hook on",
}

// change is one op on its way.
type change struct {
	request
	// result understands the records; it is not asked where the host reports a failure,
	// except by resultOfFailure.
	result func([]record) (hostdriver.Result, error)
	// failure betters the host's own error, if set.
	failure func(*hostdriver.Error, []record)
	// again tells that it may be tried once more, whatever the error is.
	again func([]record) bool
	// end lets go of what was at hand for it, if set.
	end func()
}

// Apply does op on the host; see hostdriver.Applier. Where the host reports a failure,
// the Result has what it could still tell.
func (d *Driver) Apply(ctx context.Context, host inventory.Host, f hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	name := opNames[hostdriver.OpName(op)]
	if _, disarms := op.(hostdriver.Disarm); disarms && d.pool != nil {
		// The timer may only be stopped by who can still log in.
		if _, err := d.pool.Renew(ctx, TargetFor(host)); err != nil {
			return hostdriver.Result{}, err
		}
	}
	c, err := d.change(f, op)
	if err != nil {
		return hostdriver.Result{}, &hostdriver.Error{Kind: hostdriver.Refused, Host: host.Name, Op: name, Err: err, Mend: "correct the fleet repo"}
	}
	if c.end != nil {
		defer c.end()
	}
	c.op = name
	records, err := exchange(ctx, d.line, host, c.request)
	if err != nil && c.again != nil && c.again(records) {
		// What was kept there of an earlier transfer was not as it should be, and is gone.
		if c, err = d.change(f, op); err != nil {
			return hostdriver.Result{}, err
		}
		c.op = name
		defer c.end()
		records, err = exchange(ctx, d.line, host, c.request)
	}
	if err != nil {
		var failed *hostdriver.Error
		if records == nil || !errors.As(err, &failed) {
			return hostdriver.Result{}, err
		}
		if c.failure != nil {
			c.failure(failed, records)
		}
		res, _ := c.result(records)
		return res, err
	}
	res, err := c.result(records)
	if err != nil && hostdriver.KindOf(err) == "" {
		err = &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: name, Err: err}
	}
	var e *hostdriver.Error
	if errors.As(err, &e) && e.Host == "" {
		if e.Host, e.Op = host.Name, name; len(e.Findings) > 0 {
			e.Op = opNames["precheck"]
		}
	}
	return res, err
}

func (d *Driver) change(f hostdriver.Fence, op hostdriver.Op) (*change, error) {
	if err := checkFence(f); err != nil {
		return nil, err
	}
	switch op := op.(type) {
	case hostdriver.Obey:
		return &change{request: request{script: d.mutation(f), call: "op_obey"}, result: obeyResult}, nil
	case hostdriver.Precheck:
		return d.precheck(f, op)
	case hostdriver.Stage:
		return d.stage(f, op)
	case hostdriver.Seal:
		return d.seal(f, op)
	case hostdriver.Switch:
		return d.switchTo(f, op)
	case hostdriver.Disarm:
		return d.simple(f, "op_disarm", func(*script) error { return nil }, "deadman")
	case hostdriver.UnitOps:
		return d.unitOps(f, op)
	case hostdriver.PutStep:
		return d.simple(f, "op_put_step", func(s *script) error { return s.setRecord(&op.Record) })
	case hostdriver.ClearStep:
		return d.simple(f, "op_clear_step", func(*script) error { return nil })
	case hostdriver.Claim:
		return d.simple(f, "op_claim", func(s *script) error { s.setFlag("RELEASE", op.Release); return nil })
	case hostdriver.Forget:
		return d.simple(f, "op_forget", func(s *script) error { return s.setForget(op.Services) }, "refused")
	case hostdriver.Run:
		return d.run(f, op)
	case hostdriver.Hook:
		return d.hook(f, op)
	}
	return nil, fmt.Errorf("an op of type %T is not known", op)
}

func checkFence(f hostdriver.Fence) error {
	switch {
	case f.Epoch == 0 || f.Epoch > maxEpoch:
		return fmt.Errorf("epoch %d is none: they count from 1", f.Epoch)
	case f.Holder == "" || len(f.Holder) > maxHolder || hostdriver.HasControl(f.Holder) || strings.TrimSpace(f.Holder) != f.Holder:
		return fmt.Errorf("the holder %.60q is not one line of at most %d bytes", f.Holder, maxHolder)
	}
	return nil
}

// mutation is a script with the fence in it.
func (d *Driver) mutation(f hostdriver.Fence, parts ...string) *script {
	s := newScript(d.places, append([]string{"fence"}, parts...)...)
	s.setFence(f, d.lockWait)
	return s
}

func (s *script) setFence(f hostdriver.Fence, wait time.Duration) {
	s.set("EPOCH", fmt.Sprint(f.Epoch))
	s.set("HOLDER", f.Holder)
	s.setFlag("CLAIMED", f.Claimed)
	s.setFlag("TAKEOVER", f.TakeOver)
	s.setInt("LOCKWAIT", seconds(wait))
}

// seconds rounds up, for a bound of 0 would be none.
func seconds(d time.Duration) int64 { return int64(max(time.Second, d+time.Second-1) / time.Second) }

// setRecord is the step's record as one line of JSON, or nothing.
func (s *script) setRecord(r *hostdriver.StepRecord) error {
	if r == nil {
		s.set("RECORD", "")
		s.set("OVER", "0")
		return nil
	}
	s.set("OVER", fmt.Sprint(r.Over))
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("the step's record: %w", err)
	}
	s.set("RECORD", string(b))
	return nil
}

// simple is an op whose success has nothing to tell.
func (d *Driver) simple(f hostdriver.Fence, call string, set func(*script) error, parts ...string) (*change, error) {
	s := d.mutation(f, parts...)
	if err := set(s); err != nil {
		return nil, err
	}
	return &change{request: request{script: s, call: call}, result: noResult}, nil
}

func noResult([]record) (hostdriver.Result, error) { return hostdriver.Result{}, nil }

// obeyResult reads the count of mutations.
func obeyResult(records []record) (hostdriver.Result, error) {
	for _, r := range records {
		if r.kind == "obeys" {
			n, err := parseCount(r.arg(0))
			return hostdriver.Result{Mutations: n}, err
		}
	}
	return hostdriver.Result{}, errors.New("the reply lacks the part obeys")
}

// unitsResult reads the records "units".
func unitsResult(records []record) (hostdriver.Result, error) {
	res := hostdriver.Result{Units: map[string]hostdriver.UnitState{}}
	for _, r := range records {
		if r.kind != "units" {
			continue
		}
		units, err := parseUnits(r)
		if err != nil {
			return res, fmt.Errorf("the reply's part units: %w", err)
		}
		for name, st := range units {
			res.Units[name] = st
		}
	}
	return res, nil
}
