// Package drivertest says what a hostdriver.Driver must do, twice: as a contract that
// tests one (contract.go: each case holds a sentence of package hostdriver to its word),
// and as a Fake, a fleet of hosts in memory that passes the same contract as the real
// driver does on real hosts.
//
// The Fake behaves: units have jobs, start limits, InvocationIDs, restart delays and
// crash loops; a process keeps the environment it was started with; generations,
// lock, epoch and claim are kept as on a host; disks fill, hosts reboot, become
// unreachable, lose replies after the op was done or are cut in the middle of a switch.
// It never sleeps: time is whatever its Clock says, and what was due happens when the
// host is next looked at. It is safe for concurrent use, and with one goroutine and a
// Clock of the caller's it is the same at each run.
//
// It does not emulate a filesystem's every corner, systemd's dependencies between
// units, or a shell: Run answers what the test has planted.
//
// Start reading at fake.go, then machine.go and contract.go.
package drivertest
