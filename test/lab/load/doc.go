// Package load is a fleet's users: a steady rate of HTTP requests and a number of open WebSockets, which notice everything
// that a user would.
//
// Requests are sent at their times whether or not earlier ones were answered, and a request's latency counts from the time
// it was due, so a service that stalls can't hide it. A WebSocket says something every now and then and expects it back; one
// that is closed in order with "going away" (1001) or "service restart" (1012) comes back as a client would, and that is no
// failure; one that just breaks is.
//
// It doesn't search for a service's limits and doesn't verify answers beyond Config.Check. Everything is bounded: in time,
// in requests, in requests in flight. Start at Start.
package load
