// Package e2e holds what an operator does, on real hosts: a fleet repo, the real
// binary, HAProxy and a load of users, and the faults that production has. Each
// test says which promise it is about.
//
// stage_test.go sets the stage; start reading there.
package e2e
