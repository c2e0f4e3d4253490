// Package health proves that an instance serves: one small interface, Checker, and
// one file a check (http, tcp, command, unit, journal). Each is made from the rendered
// desired.HealthSpec of an instance.
//
// A Checker looks once, on a connection of its own, from the side of the instance's
// host, and says in words what it saw. It does not repeat, wait or remember: for how
// long an instance must be well before it counts as healthy, and that it is still the
// same process, is the rule of rollout.Soak.
//
// Start reading at health.go. docs/add-a-health-check.md lists what a new check needs.
package health
