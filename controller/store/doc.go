// Package store is what the controller remembers over its restarts: records with
// versions, written by compare-and-swap, and watched.
//
// It is the contract only. boltstore is the embedded default, memstore keeps records
// in memory for tests and for work that needs no memory beyond itself; storetest holds
// what both must do, and what a store that several controllers share must do as well.
// Nothing here is of one machine or one file: keys are flat, a transaction is one
// record, and outcomes that were never heard are part of the contract.
//
// A store holds no secrets, and nothing that the hosts could not tell again: a store
// that is lost or damaged costs history, not safety. It is never taken for an empty
// one, for that would read as "nothing is in progress"; see Kind.
//
// Start reading at store.go; epoch.go and history.go are built on nothing but the
// contract.
package store
