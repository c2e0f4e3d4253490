// Package artifact fetches artifacts over https, from OCI registries and from git, into a cache on the controller's
// disk, by the SHA-256 that the fleet repo pins.
//
// A file in the cache is whole and right, or it is not there: it is written beside
// its place, digested while it arrives, synced and renamed. What is found damaged
// is fetched again. A commit is archived by package gitrepo (git.go). Start reading at store.go.
package artifact
