// Package desired turns a fleet repo into what each host should be: it decodes
// and validates the files of one Revision, strictly, and resolves Revision and
// Host to a HostState.
//
// It is pure over fs.FS: no network, no clock, no logger. What it cannot do itself
// it is handed: a Decrypter for SOPS files (package secrets), an ArtifactStore for
// artifacts from elsewhere (package artifact) and a Runner for executable
// inventories (inventory.ExecRunner). The file system's root is the repo's; nothing
// outside it, and nothing behind a symbolic link in it, is read.
//
// Everything wrong is a Fault with a place, a rule and a mend. A fault of the fleet
// or its inventory makes Load fail; one of a service quarantines that service; one
// that only shows on a host holds the service there. What is held is neither
// changed nor pruned.
//
// Start reading at service.go (what users write), then load.go, compile.go (what
// is made once for all hosts), resolve.go and hoststate.go (what comes out).
package desired
