package controller

import "time"

// Event is something that happened, as an operator reads it later. It holds no secret:
// reasons of changes name keys only.
type Event struct {
	Seq      uint64    `json:"seq"` // ascending, without end
	At       time.Time `json:"at"`
	Type     EventType `json:"type"`
	Reason   string    `json:"reason"` // one word, such as RolloutBegan
	Host     string    `json:"host,omitempty"`
	Service  string    `json:"service,omitempty"`
	Revision string    `json:"revision,omitempty"`
	Rollout  string    `json:"rollout,omitempty"`
	By       string    `json:"by,omitempty"` // of an operator's action: who
	Message  string    `json:"message"`
}

// EventType is how much an Event wants a person.
type EventType string

// The types of events, as in Kubernetes.
const (
	Normal  EventType = "Normal"
	Warning EventType = "Warning"
)

// The reasons of events.
const (
	ReasonStarted          = "ControllerStarted"
	ReasonStopped          = "ControllerStopped"
	ReasonRevision         = "RevisionAccepted"
	ReasonRefused          = "RevisionRefused"
	ReasonSourceFailed     = "SourceFailed"
	ReasonSourceBack       = "SourceBack"
	ReasonDrift            = "DriftSeen"
	ReasonCorrected        = "DriftCorrected"
	ReasonProblem          = "ProblemSeen" // something keeps evenkeel from bringing a host to what is desired
	ReasonFlapping         = "DriftFlapping"
	ReasonRolloutBegan     = "RolloutBegan"
	ReasonRolloutEnded     = "RolloutEnded"
	ReasonHostDone         = "HostDone"
	ReasonHostFailed       = "HostFailed"
	ReasonHostReverted     = "HostReverted"
	ReasonHostLost         = "HostUnreachable"
	ReasonHostBack         = "HostReachable"
	ReasonLeftDrained      = "LeftDrained"
	ReasonOperator         = "OperatorAction"
	ReasonFenced           = "Fenced"
	ReasonStoreFailed      = "StoreFailed"
	ReasonQuarantined      = "ServiceQuarantined"
	ReasonRotation         = "SecretRotation"
	ReasonSecretOverdue    = "SecretOverdue"
	ReasonSuspensionLapsed = "SuspensionLapsed"
)

// RevisionEntry is one revision that was desired, in the history.
type RevisionEntry struct {
	Revision string    `json:"revision"`
	Subject  string    `json:"subject"`
	Author   string    `json:"author"`
	Signer   string    `json:"signer,omitempty"`
	Accepted time.Time `json:"accepted"`
	// Overridden names who let it in although it does not descend from the one before.
	Overridden string `json:"overridden,omitempty"`
}

// RolloutEntry is one rollout in the history.
type RolloutEntry struct {
	ID       string    `json:"id"`
	Revision string    `json:"revision"`
	Why      string    `json:"why"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Result   Result    `json:"result"`
	Words    string    `json:"words"` // the outcome in one line
	Hosts    []string  `json:"hosts"` // that were visited
}
