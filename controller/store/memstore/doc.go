// Package memstore is a store in memory: for tests, and for work that needs no memory
// beyond its own end. It passes the contract of package storetest, and can be told to
// fail as real ones do.
package memstore
