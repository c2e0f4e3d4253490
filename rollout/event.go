package rollout

import (
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Event is what happened: an operator's word, a look at the instances, or the
// outcome of a Command.
type Event struct {
	At   time.Duration `json:"at"`
	Kind EventKind     `json:"kind"`

	// Of a result: which command it answers.
	Visit   int         `json:"visit,omitempty"`
	Attempt int         `json:"attempt,omitempty"`
	Command CommandKind `json:"command,omitempty"`

	Outcome Outcome `json:"outcome,omitempty"`
	Reason  string  `json:"reason,omitempty"`
	Mend    string  `json:"mend,omitempty"`
	// Conflict tells, of a failure, that the host changed under us and nothing was done.
	Conflict bool `json:"conflict,omitempty"`
	// Refused tells, of a failure, that another job or a newer controller is there.
	Refused bool `json:"refused,omitempty"`

	From     uint64                   `json:"from,omitempty"`     // of stage
	To       uint64                   `json:"to,omitempty"`       // of stage
	Drains   []hostdriver.DrainRecord `json:"drains,omitempty"`   // of precheck and drain, and where it was forgotten: what will have to be undone
	Before   map[string]string        `json:"before,omitempty"`   // of precheck and switch: InvocationIDs now
	Sessions int                      `json:"sessions,omitempty"` // of wait
	Closed   string                   `json:"closed,omitempty"`   // of precheck: why a gate holds the host back
	Forgot   bool                     `json:"forgot,omitempty"`   // the balancer no longer has it drained
	Sample   *Sample                  `json:"sample,omitempty"`   // of probe
	// InRotation tells, of undrain, that all balancers were seen to send it traffic again; of
	// precheck, that there is none.
	InRotation bool `json:"inRotation,omitempty"`

	// By is, of an operator's word, whose it is.
	By string `json:"by,omitempty"`

	// Of window.
	Window *Opening `json:"window,omitempty"`

	// Of observed and window; of promote: the only service meant, "" for all.
	Service   string     `json:"service,omitempty"`
	Instances []Instance `json:"instances,omitempty"`
}

// EventKind is what kind of event it is.
type EventKind string

// The kinds of events.
const (
	EventBegin    EventKind = "begin"
	EventResult   EventKind = "result"
	EventObserved EventKind = "observed"
	EventWindow   EventKind = "window"  // whether a service's windows are open
	EventStop     EventKind = "stop"    // finish or undrain the hosts in hand, begin no other
	EventReplan   EventKind = "replan"  // likewise, because a newer revision is there
	EventAbort    EventKind = "abort"   // likewise, for good: State.Aborted says so
	EventPause    EventKind = "pause"   // begin nothing new; the hosts in hand are finished
	EventResume   EventKind = "resume"  // go on
	EventPromote  EventKind = "promote" // the canaries that wait for it are accepted
	EventBlock    EventKind = "block"   // nobody is there to wait for: halt where everything waits for a word or a window
)

// FromOperator tells whether events of this kind are for others than the loop to send.
func (k EventKind) FromOperator() bool {
	switch k {
	case EventStop, EventReplan, EventAbort, EventPause, EventResume, EventPromote, EventBlock:
		return true
	}
	return false
}

// Outcome is what is known of a command's effect.
type Outcome string

// The outcomes. Unknown means that the reply was lost: the effect may have
// happened. Every Command looks before it acts, so that it can be sent again.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Unknown Outcome = "unknown"
)

// Command is one effect to be carried out, whose outcome comes back as an Event.
type Command struct {
	Kind    CommandKind   `json:"kind"`
	Visit   int           `json:"visit"`
	Host    string        `json:"host,omitempty"`
	Phase   Phase         `json:"phase,omitempty"`
	Attempt int           `json:"attempt,omitempty"`
	After   time.Duration `json:"after,omitempty"`   // not before this long from now
	Service string        `json:"service,omitempty"` // of observe and window
}

// CommandKind is what is to be done.
type CommandKind string

// The commands. Each is safe to repeat: it looks before it acts, or the host does.
const (
	CmdObserve     CommandKind = "observe"  // look at every instance of Service, live
	CmdWindow      CommandKind = "window"   // are the windows of Service open, by the clock on the wall
	CmdPrecheck    CommandKind = "precheck" // would the step trip over something
	CmdStage       CommandKind = "stage"    // bring the new generation to the host
	CmdHooks       CommandKind = "hooks"    // run commands in what was staged; the host knows which have ended well
	CmdRecord      CommandKind = "record"   // save the step in hand on the host
	CmdDrain       CommandKind = "drain"
	CmdWait        CommandKind = "wait"   // ask once how many sessions are left
	CmdStop        CommandKind = "stop"   // stop units that go away
	CmdSwitch      CommandKind = "switch" // to To; on the way back, to From
	CmdUnits       CommandKind = "units"  // start, restart, reload; checks first that it is still drained
	CmdProbe       CommandKind = "probe"  // one Sample
	CmdRevertUnits CommandKind = "revert units"
	CmdUndrain     CommandKind = "undrain"
	CmdClear       CommandKind = "clear"  // remove the step's record
	CmdVerify      CommandKind = "verify" // nothing differs on this host for these services
)
