// Command bench measures evenkeel beside its peer, Ansible, and beside the floor, on the
// same real hosts in the same run, and prints the tables of docs/benchmarks.md.
//
//	go run ./test/bench [-hosts 20] [-rounds 3] [-release 200] [-disks DIR] [pass deploy rolling soaked drained rotation artifacts watch fleet loop…]
//
// The floor is what the work costs at least: golang.org/x/crypto/ssh, and the bare commands
// that read or restart. Every run of either side is checked, not only timed: that a pass
// with nothing to do changed nothing, and that after a deployment every host serves what
// was deployed. A run that did not do its work ends the bench.
//
// The peer is Debian's ansible-core as a careful user has it: pipelining, ControlPersist,
// 50 forks, no facts, and playbooks with no task that could be spared (folder ansible). It
// is installed where it is absent, and the hosts get the Python that it needs; evenkeel
// uses none of it. Both sides log in as the same user and become root with sudo.
//
// What it costs to have ten thousand hosts is measured on simulated ones, by the names fleet
// and loop (fleet.go): that needs neither a lab nor root.
//
// All else needs what the lab needs (package test/lab/lab), bin/evenkeel (`make build`), and to
// be started in the module's root. It measures nothing under `go test`: timings are no
// pass or fail. Start reading at run (main.go), then round.go, which is one round.
package main
