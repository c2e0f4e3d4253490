// Package rollout decides. It compares what a Revision wants with what hosts said
// (Diff), orders the differences into a Plan with the budget's arithmetic, and
// carries a Plan out as a persisted state machine: Step(State, Event) (State,
// []Command).
//
// It is pure: no I/O, no clock, no logger, no randomness. Time is in the events;
// effects are Commands, carried out by package controller, whose outcomes come
// back as Events with one of three outcomes: success, failure, unknown.
//
// Start reading at change.go and diff.go (what differs), plan.go (in which order),
// state.go and step.go (how it is carried out).
package rollout
