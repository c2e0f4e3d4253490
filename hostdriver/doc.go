// Package hostdriver holds what can be said to and heard from one host, as
// values, and the ports through which it is said.
//
// Query and Observation are what is asked and what the host answered; Op is one
// thing to be done there; Manifest is what evenkeel manages on a host, kept on
// the host itself as numbered generations. Observer reads, Applier writes, and
// Dialer reaches a socket from the host's side.
//
// The package decides nothing: what differs, what follows from it and in which
// order is package rollout's. It does no I/O: package sshdriver is the one real
// driver, package drivertest a fake that behaves, and both pass the contract in
// drivertest.
//
// Start reading at driver.go, then observation.go and op.go.
package hostdriver
