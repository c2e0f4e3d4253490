// Package boltstore keeps a store.Store in one file, with go.etcd.io/bbolt.
//
// Every write is fsynced before it is acknowledged. The file is for its owner alone,
// and one process at a time has it (lock.go). Opening reads the whole file through:
// bbolt's pages carry no checksums, so each record has one, and the sum over all
// records is kept and compared (format.go); a file that is torn, truncated, overwritten,
// not ours or of a newer format is refused and left as it is (inspect.go, pages.go,
// check.go).
//
// It is not repaired here. SetAside moves a damaged file out of the way, and a backup
// (Backup) is restored by copying it to the file's place while no controller runs.
//
// Start reading at boltstore.go.
package boltstore
