// Package simhost simulates hosts for a fleet that no machine could hold: each is a real
// SSH server with a host key and a state of its own (manifest, files, units, processes),
// answers evenkeel's remote protocol out of it, and carries nothing out.
//
// They are as a revision wants them, so that a look at all of them finds nothing to do;
// Disturb makes one differ, by which a bench proves that its looks see what is there. What
// a real host's shell would do with a request is done here by reading the request's
// variables (request.go), so what it costs a host is not simulated: only the controller's
// side of a look is as it is in production, and the way there and back.
//
// All hosts share one listening socket, bound to the loopback interface: the address of
// 127.0.0.0/8 that was dialled tells which host is meant. So ten thousand hosts take one
// descriptor each.
//
// Start reading at hosts.go, then answer.go.
package simhost
