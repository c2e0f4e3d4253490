package drivertest

import (
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// Machine is a host as an administrator, a fault or a power cut gets at it: around
// evenkeel, never through it. Its methods end the test if they cannot do what they say.
type Machine interface {
	// WriteFile writes as an editor does: in place, owned by root, parents made.
	WriteFile(path, data string, mode uint32)
	ReadFile(path string) (data string, ok bool)
	Remove(path string)
	Symlink(target, path string)
	// Systemctl is an administrator's command: start, stop, restart, mask, unmask,
	// enable, disable, daemon-reload.
	Systemctl(words ...string)
	// QueueJob leaves a job of an administrator's on unit, which must be running,
	// until EndJob.
	QueueJob(unit string)
	EndJob(unit string)
	// Crash kills unit's main process.
	Crash(unit string)
	// Pass lets time pass.
	Pass(d time.Duration)
	Reboot()
	// Cut takes the host off the network; Heal brings it back.
	Cut()
	Heal()
	// FillDisk leaves no room on the filesystem of /var/lib and /etc; FreeDisk undoes it.
	FillDisk()
	FreeDisk()
	// Images puts a tool for containers (docker or podman) there which has some images, and
	// whose registry has others.
	Images(tool string, has, registry []string)
	// Fetcher leaves the host one tool to fetch with: curl, wget, busybox, or "" for none.
	Fetcher(tool string)
	// Publish has an https server that the host trusts serve data at path, from now on, and
	// returns the URL. Redirect has it send on who asks for path, Asked tells how often anybody has.
	Publish(path string, data []byte) (url string)
	Redirect(path, to string)
	Asked(path string) int
	// HideBus takes away what a watch needs that is yet to begin; ShowBus brings it back.
	HideBus()
	ShowBus()
	// CutNext cuts the next op off, see Moment.
	CutNext(m Moment)
}

// Moment is when an op is cut off. The error is of kind Unknown at each.
type Moment string

// The moments.
const (
	// CutBefore: the host never got the op.
	CutBefore Moment = "before"
	// CutDuring: the host was killed in the middle of it: of a switch between two
	// renames, of a start before its outcome was noted.
	CutDuring Moment = "during"
	// CutAfter: all was done, and the reply lost.
	CutAfter Moment = "after"
)

// Harness is one fresh host and a driver that reaches it.
type Harness struct {
	Driver  hostdriver.Driver
	Watcher hostdriver.Watcher
	Host    inventory.Host
	Machine Machine
	// Listening is an address on which something answers on the host's loopback with
	// one line and then closes: "tcp" and host:port. "" if the harness has none.
	Listening string
	// NoCreds: the host has no systemd-creds (before systemd 250), and so encrypts nothing.
	NoCreds bool
	// Stale is a second driver on the same host, which has not seen what the first did.
	Stale hostdriver.Driver
}

// NewHarness makes one for a test and ends it with the test.
type NewHarness func(t *testing.T) Harness
