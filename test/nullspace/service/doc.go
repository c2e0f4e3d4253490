// Package service is the skeleton that the nullspace programs share: settings
// from the environment, a health route, a listener that stops gracefully, a
// small JSON client, and a type for secrets.
//
// It knows nothing of evenkeel: the programs are ordinary services of the kind
// that evenkeel keeps. It holds no business of any one program either.
//
// Start reading at Main, which every long-running program calls, then Server.
package service
