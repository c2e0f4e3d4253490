// Package world is a fleet that does not exist: hosts under systemd, a balancer
// before them, and one virtual clock. It behaves as far as a rollout can tell:
// invocations, restart delays and start limits; a disk that keeps after a power cut
// only what was synced; generations, the journal of a switch, the record of a step
// and an epoch that refuses older ones; servers that drain, forget, and count
// sessions.
//
// The package knows nothing of rollouts. It answers hostdriver's Query and Op with
// the contract that those types state, and tells a Watcher what really happened, so
// that others can judge it. It is single-threaded: nothing in it may be called from
// two goroutines at once. Every choice comes from its caller, so the same calls give
// the same world.
//
// Start reading at world.go, then host.go, unit.go and balancer.go.
package world
