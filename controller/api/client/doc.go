// Package client speaks with a controller's API: over https, over http on this machine,
// or over the controller's local socket. The token goes nowhere else: no redirect is
// followed, and no proxy's word is taken.
//
// Start reading at client.go; follow.go has the stream of events.
package client
