// Package lab makes real hosts on one machine: systemd as PID 1, their own sshd, their own address, their own disk.
//
// A Lab is a bridge with its own /24 and up to 240 Hosts h1, h2, … on it. A Host is systemd-nspawn over an overlay of a
// shared Debian image, in its own network namespace and its own control group, and answers SSH within about a second. What
// a test does to a machine can be done to it: power cut (Kill, Boot), orderly reboot (Reboot), partition (Cut, Heal), hang
// (Freeze, Thaw), a disk that fills up (Options.DiskSize). Lab.HAProxy puts a real load balancer in front.
//
// A lab leaves nothing behind. Its record is on disk before the first thing is made, everything it makes is named after its
// prefix, and every process it starts lives in its control group: Close, the next New, or `go run ./test/lab down --all` on
// behalf of an owner that was killed, removes all of it and nothing else. No process is ever looked for by name or by an
// old pid.
//
// It does not isolate hostile code: the hosts share the machine's kernel, and root in them is root. It needs root, Linux
// with a cgroup v2 mount (unified or hybrid) and overlayfs, and Debian or Ubuntu for the packages, which it installs where
// they are absent. Memory and CPU limits of units are enforced only where the machine's cgroup v2 has these controllers.
//
// Start reading at New (lab.go), then Host (host.go); teardown.go is how it all goes away.
package lab
