package desired

import "github.com/evenkeel/evenkeel/inventory/fault"

// What is wrong in a fleet repo: see package fault.
type (
	// Position is a place in the fleet repo, for messages.
	Position = fault.Position
	// Fault is one thing wrong in a fleet repo: where, what, and how to mend it.
	Fault = fault.Fault
	// Faults is every fault found, as one error.
	Faults = fault.Faults
	// Severity is how much a Fault matters.
	Severity = fault.Severity
)

// The severities.
const (
	SeverityError   = fault.Error
	SeverityWarning = fault.Warning
)
