// Command demo shows evenkeel at work on this machine: three real hosts with
// their own systemd, HAProxy before them, the gateway and the website of
// examples/nullspace, a load of requests and open WebSockets, and a change rolled
// through it host by host. At the end it counts what the users noticed.
//
// It drives the real binary, bin/evenkeel, as an operator would, and takes its
// hosts down when it ends.
package main
