// Package storetest is the contract of package store, as tests that every store must
// pass.
package storetest
