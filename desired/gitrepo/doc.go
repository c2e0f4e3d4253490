// Package gitrepo fetches a fleet repo with git's own protocol into a bare repository,
// and reads commits, trees and blobs from there. There is never a checkout: nothing that
// a repository says becomes a path on the controller's disk.
//
// A Repo (repo.go) knows one branch of one remote. Fetch asks for its tip and brings what
// is missing (fetch.go), over SSH, HTTPS or from a folder (remote_ssh.go, remote_http.go,
// remote_dir.go). How SSH servers are reached is not its business: it is handed a port,
// SSH. What a server sends is kept within Limits before anything else looks at it
// (pack.go), and whole before it counts (complete.go); each object is compared with its
// name whenever it is read (objects.go). So a server that is down, lies, or sends too
// much leaves the last tip in force, which Last returns with the time it was fetched.
//
// What a caller decides on is read from a commit: FS for package desired (fs.go), where
// links and submodules are refused by name; Descends and LastTouching (history.go).
// Neither the branch's tip nor a commit is judged by the package: that a new tip descends
// from the one in force is asked by the loop.
//
// Start reading at repo.go, then fetch.go and fs.go.
package gitrepo
