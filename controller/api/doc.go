// Package api is how the outside speaks with the controller: an HTTP API, the webhook,
// the metrics and the health endpoints, over TCP and over a local unix socket.
//
// All routes stand in one table (routes.go), each with the access that it needs; what is
// not in the table answers 401 to strangers. What is shown comes from the controller's
// snapshot; what is asked for becomes a controller.Action with the name of who asked.
// The package decides nothing about the fleet.
//
// Start reading at api.go, then routes.go and access.go.
package api
