// Package peer is for talking to programs that are not ours and not trusted: one HTTP
// request on one connection, the reason why a connection did not come about, one command
// line on this machine, and their words made fit for a message. Health checks, drains and
// gates use it.
//
// net/http's own client is not used, because it answers for more than one request: it
// keeps goroutines behind, and prints what an unexpected peer says on standard error.
//
// Start reading at ask.go, then dial.go and local.go.
package peer
