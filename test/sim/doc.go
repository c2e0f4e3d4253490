// Command sim runs the real engine against simulated hosts, balancers, networks and
// operators (package world), on one virtual clock and in one goroutine, with faults from a
// seed, and checks the invariants of docs/reliability.md after every event:
//
//	go run ./test/sim -seeds 2000        that many; make sim SEEDS=…
//	go run ./test/sim -seed 48309        one again, with its events
//
// A scenario (generate.go) is data; what violates an invariant is shrunk (shrink.go) and
// printed. Bugs that are kept behind the build tag planted must be found (planted_test.go).
package main
