package drivertest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// apply is one op on a host that is up to date; the fleet is locked throughout, as the
// real host's lock would be held.
func (h *FakeHost) apply(f hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	if f.Epoch == 0 || f.Holder == "" {
		return hostdriver.Result{}, failure(hostdriver.Refused, "", "epoch %d of %q is none", f.Epoch, f.Holder)
	}
	_, readsOnly := op.(hostdriver.Precheck)
	if h.locked != "" && !readsOnly {
		return hostdriver.Result{}, failure(hostdriver.Refused, "wait until that has ended", "its lock is held by %s", h.locked)
	}
	if err := h.checkFence(f); err != nil {
		return hostdriver.Result{}, err
	}
	if readsOnly {
		return hostdriver.Result{}, h.precheck(op.(hostdriver.Precheck))
	}
	if h.readOnly {
		return hostdriver.Result{}, failure(hostdriver.Failed, "see why its filesystem is read-only", "cannot write /var/lib/evenkeel: read-only file system")
	}
	h.epoch, h.holder = f.Epoch, f.Holder
	switch {
	case f.Claimed:
		h.claim = f.Holder
	case h.claim != f.Holder:
		h.claim = ""
	}
	h.mutations = append(h.mutations, hostdriver.OpName(op))
	before := h.changes
	h.changes += 2
	switch op := op.(type) {
	case hostdriver.Obey:
		return hostdriver.Result{Mutations: before}, nil
	case hostdriver.Stage:
		return h.stage(op)
	case hostdriver.Seal:
		return h.seal(op)
	case hostdriver.Switch:
		return h.switchTo(f, op)
	case hostdriver.Disarm:
		return hostdriver.Result{}, h.disarm()
	case hostdriver.UnitOps:
		return h.unitOps(f, op)
	case hostdriver.PutStep:
		return hostdriver.Result{}, h.putStep(f, &op.Record)
	case hostdriver.ClearStep:
		h.step = nil
	case hostdriver.Claim:
		h.claim = f.Holder
		if op.Release {
			h.claim = ""
		}
	case hostdriver.Forget:
		h.forget(op.Services)
	case hostdriver.Run:
		return h.run(op)
	case hostdriver.Hook:
		return h.hook(f, op)
	default:
		return hostdriver.Result{}, fmt.Errorf("drivertest: op %T is not emulated", op)
	}
	return hostdriver.Result{}, nil
}

func (h *FakeHost) checkFence(f hostdriver.Fence) error {
	switch {
	case f.Epoch < h.epoch:
		return failure(hostdriver.Refused, "observe again", "it has obeyed epoch %d of %s, and this is epoch %d", h.epoch, h.holder, f.Epoch)
	case f.Epoch == h.epoch && f.Holder != h.holder:
		return failure(hostdriver.Refused, "observe again", "epoch %d was used there by %s before", h.epoch, h.holder)
	case h.claim != "" && h.claim != f.Holder && !f.TakeOver:
		return failure(hostdriver.Refused, "let that controller do it, or pass --take-over", "it belongs to the controller %s", h.claim)
	}
	return nil
}

func (h *FakeHost) precheck(op hostdriver.Precheck) error {
	if err := op.Trial.Check(); err != nil {
		return failure(hostdriver.Refused, "correct the fleet repo", "%w", err)
	}
	var found []hostdriver.Finding
	add := func(reason hostdriver.FindingReason, place, mend, format string, a ...any) {
		found = append(found, hostdriver.Finding{Reason: reason, Place: place, What: fmt.Sprintf(format, a...), Mend: mend})
	}
	var bytes, inodes int64
	for _, n := range op.NeedBytes {
		bytes += n
	}
	for _, n := range op.NeedInodes {
		inodes += n
	}
	if h.readOnly && len(op.NeedBytes)+len(op.NeedInodes) > 0 {
		add(hostdriver.ReadOnly, "/", "mount -o remount,rw /", "the filesystem / is read-only")
	}
	if bytes > h.freeBytes {
		add(hostdriver.DiskFull, "/", "make room on /", "the filesystem / has %d bytes free, and %d are needed", h.freeBytes, bytes)
	}
	if inodes > h.freeInodes {
		add(hostdriver.InodesUsedUp, "/", "remove files from /", "the filesystem / has %d inodes free, and %d are needed", h.freeInodes, inodes)
	}
	for _, u := range op.Units {
		st := h.state(u)
		if st.Load == "masked" {
			add(hostdriver.UnitMasked, u, "systemctl unmask "+u+" there", "%s is masked", u)
		}
		if st.Job != "0" && !ownJob(st.Job) {
			add(hostdriver.JobQueued, u, "see systemctl list-jobs there", "%s has a job queued, number %s", u, st.Job)
		}
	}
	for _, r := range op.Pulls {
		if err := r.Pull.Check(); err != nil {
			return failure(hostdriver.Refused, "correct the fleet repo", "%w", err)
		}
		if f := h.cannotPull(r); f != "" {
			found = append(found, r.PullFinding(f))
		}
	}
	return hostdriver.FindingsError(append(found, h.try(op.Trial, nil)...))
}

const defaultTimeout = 90 * time.Second

// putStep keeps a record, never over one that its writer has not seen.
func (h *FakeHost) putStep(f hostdriver.Fence, r *hostdriver.StepRecord) error {
	if r == nil {
		return nil
	}
	if h.step != nil && h.step.Epoch != f.Epoch && h.step.Epoch != r.Over {
		return failure(hostdriver.Conflict, "observe again, and finish or undo it first", "a step of epoch %d is in hand there", h.step.Epoch)
	}
	kept := *r
	kept.Over = 0
	h.step = &kept
	return nil
}

// Jobs that were waited for in vain.
const (
	ownStop  = "1001"
	ownStart = "1002"
)

func ownJob(job string) bool { return job == ownStop || job == ownStart }

func (h *FakeHost) unitOps(f hostdriver.Fence, op hostdriver.UnitOps) (hostdriver.Result, error) {
	res := hostdriver.Result{Units: map[string]hostdriver.UnitState{}}
	for _, a := range op.Actions {
		st := h.state(a.Unit)
		switch {
		case ownJob(st.Job) && st.Active == "deactivating":
			return hostdriver.Result{}, failure(hostdriver.Failed, "see systemctl status there", "%s has not stopped yet, for a job of ours, number %s; nothing was done", a.Unit, st.Job)
		case st.Job != "0" && !ownJob(st.Job):
			return hostdriver.Result{}, failure(hostdriver.Refused, "see systemctl list-jobs there", "%s has a job queued already, number %s; nothing was done", a.Unit, st.Job)
		case a.Verb != hostdriver.VerbStop && st.Load != "loaded":
			return hostdriver.Result{}, failure(hostdriver.Failed, "", "%s is %s; nothing was done", a.Unit, st.Load)
		}
	}
	if err := h.putStep(f, op.Record); err != nil {
		return hostdriver.Result{}, err
	}
	if op.Timeout <= 0 {
		op.Timeout = defaultTimeout
	}
	for _, a := range op.Actions {
		err := h.act(a, op.Timeout)
		res.Units[a.Unit] = h.state(a.Unit)
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

func (h *FakeHost) act(a hostdriver.UnitAction, timeout time.Duration) error {
	u, now := h.unit(a.Unit), h.fleet.now()
	if a.OnlyIf != "" && a.OnlyIf != u.invocation {
		if w, ok := h.wanted[a.Unit]; ok && w.InvocationID != u.invocation {
			w.InvocationID = u.invocation
			h.started[a.Unit] = w
			delete(h.wanted, a.Unit)
		}
		return nil
	}
	h.mutations = append(h.mutations, string(a.Verb)+" "+a.Unit)
	before := u.invocation
	as := hostdriver.StartedAs{InvocationID: before, Generation: a.Generation, Inputs: maps.Clone(a.Inputs)}
	if a.Verb != hostdriver.VerbStop {
		h.wanted[a.Unit] = as
	}
	if a.Verb == hostdriver.VerbStart || a.Verb == hostdriver.VerbRestart {
		u.starts, u.restarts = nil, 0 // systemctl reset-failed
	}
	u.job = ""
	err := h.verb(u, a.Verb, now, timeout)
	if h.interrupted || err != nil && hostdriver.KindOf(err) == hostdriver.Unknown {
		return err
	}
	delete(h.wanted, a.Unit)
	switch {
	case a.Verb == hostdriver.VerbStop && err == nil:
		delete(h.started, a.Unit)
	case err == nil && (u.invocation != before || a.Verb == hostdriver.VerbReload):
		as.InvocationID = u.invocation
		h.started[a.Unit] = as
	}
	if err != nil {
		return failure(hostdriver.Failed, "look at systemctl status "+a.Unit+" there", "systemctl %s %s: %w; it is %s (%s), result %s", a.Verb, a.Unit, err, u.active, u.sub, u.result)
	}
	return nil
}

func (h *FakeHost) verb(u *unit, verb hostdriver.UnitVerb, now time.Time, timeout time.Duration) error {
	switch verb {
	case hostdriver.VerbReload:
		if !u.file.reload || u.active != "active" {
			return fmt.Errorf("reload is not applicable")
		}
		return nil
	case hostdriver.VerbStart:
		if u.active == "active" {
			return nil
		}
	default:
		if !h.stop(u, now, timeout) {
			return failure(hostdriver.Unknown, "look at systemctl status "+u.name+" there", "systemctl %s %s has not ended within %s", verb, u.name, timeout)
		}
	}
	if verb == hostdriver.VerbStop {
		return nil
	}
	err := h.start(u, now)
	if err == nil && u.proc != nil && u.file.kind != "simple" && u.proc.does.ReadyAfter > timeout {
		u.active, u.sub, u.job = "activating", "start", ownStart
		return failure(hostdriver.Unknown, "look at systemctl status "+u.name+" there", "systemctl %s %s has not ended within %s", verb, u.name, timeout)
	}
	return err
}

func (h *FakeHost) run(op hostdriver.Run) (hostdriver.Result, error) {
	if op.User != "" && !h.users[op.User].Exists {
		return hostdriver.Result{}, failure(hostdriver.Failed, "make it, or name another", "there is no user %s", op.User)
	}
	var res hostdriver.Result
	if h.commands != nil {
		res.Output, res.Exit = h.commands(op)
	}
	res.Output = slices.Clone(res.Output[:min(len(res.Output), 64<<10)])
	return res, nil
}
