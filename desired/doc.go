// Package desired turns a fleet repo into what each host should be: it decodes
// and validates the files of one Revision, strictly, and resolves Revision and
// Host to a HostState.
//
// It is pure over fs.FS: no network, no clock, no logger. The one effect it is
// handed is a Decrypter for SOPS files (package secrets has the real one).
//
// Start reading at service.go (what users write), then revision.go (Load),
// resolve.go and hoststate.go (what comes out).
package desired
