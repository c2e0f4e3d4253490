// Package metrics tells Prometheus what the controller knows: a collector that reads one
// snapshot at each scrape. Nothing is counted here, so nothing can go out of step with
// what the API and the command line show.
//
// Names and units follow Prometheus' conventions; docs/monitoring has rules and a
// dashboard made of them, and a test holds those to what this package says.
package metrics
