package controller

import (
	"errors"
	"time"
)

// Verb is what an operator asks of the controller.
type Verb string

// The verbs.
const (
	VerbReconcile Verb = "reconcile" // fetch and look now
	VerbPause     Verb = "pause"     // the rollout: finish the host in hand, begin no other
	VerbResume    Verb = "resume"
	VerbPromote   Verb = "promote" // the canaries are accepted
	VerbAbort     Verb = "abort"   // end the rollout; it is not tried again until git moves or somebody retries
	VerbUndo      Verb = "undo"    // back to the generation before, host by host
	VerbRetry     Verb = "retry"   // forget that the revision was reverted or aborted
	VerbSuspend   Verb = "suspend" // a host or service is not touched
	VerbUnsuspend Verb = "unsuspend"
	VerbDrain     Verb = "drain" // a host out of traffic
	VerbUndrain   Verb = "undrain"
	VerbAccept    Verb = "accept"    // a revision that does not descend from the last one
	VerbTakeOver  Verb = "take-over" // the hosts' word counts, not that of an old store
)

// Action is an operator's word. Each is recorded, with who and why.
type Action struct {
	Verb     Verb      `json:"verb"`
	Host     string    `json:"host,omitempty"`
	Service  string    `json:"service,omitempty"`
	Revision string    `json:"revision,omitempty"` // of accept
	Reason   string    `json:"reason,omitempty"`
	Until    time.Time `json:"until"` // of suspend and drain; zero: until taken back
	By       string    `json:"by"`    // set by the API from the token, never by the request
}

// ErrNothingToDo answers an Action that has no object: no rollout is under way, no
// canary waits. ErrUnknownObject one whose host or service the fleet does not have;
// ErrUnknownRollout answers who asks for a rollout that is not in the history, and
// ErrNotLooked who asks before the fleet was looked at.
var (
	ErrNothingToDo    = errors.New("nothing to do")
	ErrUnknownObject  = errors.New("no such host or service")
	ErrUnknownRollout = errors.New("no such rollout")
	ErrNotLooked      = errors.New("the fleet was not looked at yet")
)

// unknownObject is an ErrUnknownObject in words of its own.
type unknownObject string

func (e unknownObject) Error() string { return string(e) }

// Is tells that it is one.
func (unknownObject) Is(target error) bool { return target == ErrUnknownObject }
