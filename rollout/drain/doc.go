// Package drain takes one instance out of a load balancer's rotation and puts it
// back: one small interface, Drainer, and one file an adapter (haproxy, nginx,
// http, command, none). Each is made from the rendered desired.DrainSpec of an instance,
// or from the record of a drain that was left on a host.
//
// An adapter asks and acts, once a call. It does not wait for sessions to end, nor
// retry, nor decide whether an instance may be drained: that is the rollout's, and
// so is the order in which a drain is made safe against a crash:
//
//  1. Status: does the balancer answer, and is the instance in rotation? One that is
//     out already was taken out by somebody else; it is not recorded as ours.
//  2. Record: what is about to be drained is saved on the host.
//  3. Drain, and if its answer is that it was not ours after all, forget the record.
//  4. Status until its sessions are gone, and once more just before the restart, for
//     a balancer that reloads forgets its drains.
//  5. Undrain, until it succeeds; then Status until Up; then the record is removed.
//
// Start reading at drain.go, then haproxy.go and record.go. docs/add-a-drain-adapter.md
// lists what a new adapter needs.
package drain
