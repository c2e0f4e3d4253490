package rollout

import (
	"maps"
	"slices"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Visit is all that one revision does on one host in one go. A host has at most
// one visit that disturbs nothing and one that does; in the latter, changes of
// several services share one drain.
type Visit struct {
	ID       int      `json:"id"`
	Host     string   `json:"host"`
	Quiet    bool     `json:"quiet"`    // disturbs nothing: needs no budget and no drain
	Recover  bool     `json:"recover"`  // finishes or undoes a step that was left on the host
	Services []string `json:"services"` // what it brings to the desired state, in order
	Removed  []string `json:"removed,omitempty"`
	// Proves are services of the step that was left which are not to be touched now,
	// suspended or with problems: they must be healthy before they are undrained.
	Proves []string `json:"proves,omitempty"`
	// Disturbs are the services that are restarted, stopped or reloaded: each must
	// stay within its budget. Drains are those of them that leave traffic first.
	Disturbs []string     `json:"disturbs,omitempty"`
	Drains   []string     `json:"drains,omitempty"`
	Actions  []UnitAction `json:"actions,omitempty"`
	// Hooks are what it runs before anything is disturbed.
	Hooks []HookRun `json:"hooks,omitempty"`
	// Watch are the units that must be proven healthy.
	Watch []string `json:"watch,omitempty"`
	// Before is each watched unit's InvocationID as the plan saw it.
	Before map[string]string `json:"before,omitempty"`
	// Former is the same before the step that was left, of a visit that recovers it.
	Former map[string]string `json:"former,omitempty"`
	// WentBack tells, of one that recovers a step and brings nothing, that the step was on
	// its way back, as far as the disk goes: what runs may still be what it had brought.
	WentBack bool `json:"wentBack,omitempty"`
	// Brings are the services, of those that go by way of canaries, that get new content
	// here. Of those in Canary the visit is a canary; the canaries of those in Follows
	// must be promoted before it begins.
	Brings  []string `json:"brings,omitempty"`
	Canary  []string `json:"canary,omitempty"`
	Follows []string `json:"follows,omitempty"`
	// Undo, where set, is that it brings what a kept generation had.
	Undo *Undone `json:"undo,omitempty"`
	// Kept, where set, is that it starts what the host's own generation wants to run, and
	// brings nothing of what is desired.
	Kept bool `json:"kept,omitempty"`
	// Written tells that files, links or enablement change, too.
	Written bool `json:"written"`

	Progress
}

// UnitAction is one verb on one unit of a service.
type UnitAction struct {
	Service string              `json:"service"`
	Unit    string              `json:"unit"`
	Verb    hostdriver.UnitVerb `json:"verb"`
}

// Progress is where a visit stands.
type Progress struct {
	Phase   Phase         `json:"phase,omitempty"`
	Attempt int           `json:"attempt,omitempty"` // numbers the commands sent; a result of another one is ignored
	Began   time.Duration `json:"began,omitempty"`
	Since   time.Duration `json:"since,omitempty"` // of the phase
	Tries   int           `json:"tries,omitempty"` // of the phase, with an unknown outcome
	Result  Result        `json:"result,omitempty"`
	Reason  string        `json:"reason,omitempty"` // of the result, or of what it waits for
	Mend    string        `json:"mend,omitempty"`
	Refused bool          `json:"refused,omitempty"` // the last command met another controller, or a job of an admin

	From      uint64 `json:"from,omitempty"`
	To        uint64 `json:"to,omitempty"`
	Recorded  bool   `json:"recorded,omitempty"` // a step record is on the host
	Switched  bool   `json:"switched,omitempty"`
	Restarted bool   `json:"restarted,omitempty"` // a unit command was sent
	// Drained holds what to undo, from before the first drain is sent until the
	// last undrain is confirmed.
	Drained  []hostdriver.DrainRecord `json:"drained,omitempty"`
	Draining bool                     `json:"draining,omitempty"`
	// Mends tells that its host was down itself when it began, so that it took nobody down.
	Mends bool `json:"mends,omitempty"`
	// InRotation tells that, undrained, it was seen to get traffic again.
	InRotation bool `json:"inRotation,omitempty"`
	Reverting  bool `json:"reverting,omitempty"`
	// Replace is each unit's InvocationID when the former generation was back on disk:
	// what runs under another one has read that generation already.
	Replace map[string]string `json:"replace,omitempty"`
	// Failing is why the visit is on its way out: what remains is to leave the
	// host as it was.
	Failing string `json:"failing,omitempty"`
	Outcome Result `json:"outcome,omitempty"` // the result it will have once out
	Soak    Soak   `json:"soak"`
	// SeenAt is when its health was last looked at, and Unseen for how long of the phase that
	// was not possible: healthyDeadline does not count it.
	SeenAt time.Duration `json:"seenAt,omitempty"`
	Unseen time.Duration `json:"unseen,omitempty"`
	// ProvenAt is when the soak was over.
	ProvenAt time.Duration `json:"provenAt,omitempty"`
}

// Phase is a visit's place in the host's step.
type Phase string

// The phases in their order. Those after PhaseUnits whose names begin with
// "revert" stand in for their namesakes on the way back.
const (
	PhasePending       Phase = ""
	PhasePrecheck      Phase = "precheck"
	PhaseStage         Phase = "stage"
	PhaseHooks         Phase = "hooks"
	PhaseRecord        Phase = "record"
	PhaseBudget        Phase = "budget" // the look that let it begin is too old by now
	PhaseDrain         Phase = "drain"
	PhaseWait          Phase = "wait"
	PhaseStop          Phase = "stop"
	PhaseSwitch        Phase = "switch"
	PhaseUnits         Phase = "restart"
	PhaseHealthy       Phase = "healthy"
	PhaseRevertSwitch  Phase = "revert switch"
	PhaseRevertUnits   Phase = "revert restart"
	PhaseRevertHealthy Phase = "revert healthy"
	PhaseUndrain       Phase = "undrain"
	PhaseClear         Phase = "clear"
	PhaseVerify        Phase = "verify"
	PhaseEnded         Phase = "ended"
)

// Result is how a visit ended.
type Result string

// The results.
const (
	ResultDone     Result = "done"
	ResultFailed   Result = "failed"   // nothing was disturbed, or it could not be put right: see Reason
	ResultReverted Result = "reverted" // back on the previous generation, proven healthy
	ResultStopped  Result = "stopped"  // by an operator, before anything was disturbed
	ResultConflict Result = "conflict" // the host changed under us: plan again
	ResultLost     Result = "lost"     // the host or the balancer no longer answers; see LeftDrained
)

// Active tells whether the visit has begun and not ended.
func (v *Visit) Active() bool { return v.Phase != PhasePending && v.Phase != PhaseEnded }

// Settling tells that the visit takes nobody down any more: what it changed is proven
// healthy and serves, its record is being removed, and the host is looked at once more.
// Others need not wait for that.
func (v *Visit) Settling() bool {
	switch {
	case v.Phase != PhaseClear && v.Phase != PhaseVerify, v.Failing != "", v.Recover, v.LeftDrained():
		return false
	case len(v.Drains) > 0 && !v.InRotation && planted != "next before in rotation":
		return false
	}
	return len(v.Watch) == 0 || v.ProvenAt > 0
}

// LeftDrained tells whether something that the visit drained was not undrained.
func (v *Visit) LeftDrained() bool { return v.Draining || len(v.Drained) > 0 }

// inBatches tells whether the visit is counted in the batches of a service.
func (v *Visit) inBatches(service string) bool {
	return !v.Quiet && slices.Contains(v.Disturbs, service) && !slices.Contains(v.Canary, service)
}

// Concerns are the services that the visit has in hand: those it changes and those it
// only proves healthy. The step's record names them all.
func (v *Visit) Concerns() []string { return slices.Concat(v.Services, v.Proves) }

// take adds the changes of one service to the visit.
func (v *Visit) take(service string, changes []Change, removed bool) {
	if removed {
		v.Removed = append(v.Removed, service)
	}
	if worst(changes) > None {
		v.Disturbs = append(v.Disturbs, service)
	}
	if worst(changes) == Restart {
		v.Drains = append(v.Drains, service)
	}
	for _, c := range changes {
		switch c.Kind {
		case KindProcess:
		case KindHook:
			continue
		default:
			v.Written = true
			continue
		}
		v.Actions = append(v.Actions, UnitAction{Service: service, Unit: c.Subject, Verb: hostdriver.UnitVerb(c.Action)})
	}
}

// watch fills in what must be proven healthy and how it is now.
func (v *Visit) watch(h *HostInput) {
	v.Before = map[string]string{}
	for i := range h.Desired.Instances {
		inst := &h.Desired.Instances[i]
		if !slices.Contains(v.Concerns(), inst.Service) {
			continue
		}
		acts := v.Recover || slices.ContainsFunc(v.Actions, func(a UnitAction) bool { return a.Service == inst.Service })
		for _, u := range inst.Units {
			if u.State != "started" || !acts {
				continue
			}
			v.Watch = append(v.Watch, u.Name)
			v.Before[u.Name] = h.Observation.Units[u.Name].InvocationID
		}
	}
	if step := h.Observation.Step; v.Recover && step != nil {
		v.Recorded = true
		if step.To > 0 && step.To == h.Observation.Manifest.Generation && (step.From == 0 || slices.Contains(h.Observation.Kept, step.From)) {
			// What is on disk is what that step brought: it can be taken back.
			v.From, v.To, v.Switched = step.From, step.To, !v.Written
		}
		if step.To > 0 && step.From == h.Observation.Manifest.Generation && !v.Written && len(v.Actions) == 0 {
			v.From, v.WentBack = step.From, true
		}
		if current := h.Observation.Manifest.Generation; step.To == current || step.From == current {
			v.Former = step.Before
		}
	}
}

// RanBefore is each watched unit's InvocationID before anything of this step was done,
// by this visit or by the one that it recovers: what runs under another one is replaced
// on the way back. The step's record keeps it.
func (v *Visit) RanBefore() map[string]string {
	m := maps.Clone(v.Before)
	for unit := range m {
		if id, known := v.Former[unit]; known {
			m[unit] = id
		}
	}
	return m
}
