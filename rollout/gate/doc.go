// Package gate asks somebody outside whether a host may be touched now: one small
// interface, Gate, and one file an adapter (command, prometheus). Each is made from a
// desired.GateSpec and the host that is next.
//
// A Gate is asked before each host, in addition to the budget, never in its place. It
// asks once and says in words what it heard; it does not wait, repeat or remember. What
// could not be asked is an error, and counts as closed: nothing begins on a host because
// nobody answered.
//
// A gate holds back what has not begun. It is not asked in the middle of a host's step,
// nor before a revert or an undrain.
//
// Start reading at gate.go. docs/add-a-gate.md lists what a new gate needs.
package gate
