// Package script holds transcripts of the evenkeel command: what a user types, and
// what comes of it, for all that needs no real host. The transcripts are in
// testdata, in the language of testscript, with one word more:
//
//	exits N evenkeel ARGS…    runs it and expects just that exit code
//
// test/e2e does the same on real hosts.
package script
