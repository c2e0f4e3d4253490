package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// Faults that take minutes, for nothing but waiting helps: each has a stage of its own, and
// all are played at the same time, however few tests may run side by side.
func TestFaultsLong(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	side := func(name string, play func(*testing.T)) {
		all.Go(func() { t.Run(strings.ReplaceAll(name, " ", "-"), play) })
	}
	for _, a := range []act{
		{name: "13 session hangs in mid-step", play: sessionHangs},
		{name: "24 the change itself fills the disk", play: fillsDisk},
		{name: "28 daemon-reload hangs", play: hungReload},
		{name: "31 stuck activating for ever", play: stuckActivating},
		{name: "32 stuck deactivating", play: stuckDeactivating, cut: true},
	} {
		side(a.name, func(t *testing.T) { playOn(t, lab.Options{Hosts: 2, DiskSize: 128 << 20}, []act{a}) })
	}
	side("17 breaks the network", func(t *testing.T) { cutOff(t, "ip link set eth0 down\n") })
	side("17 fills the disk and breaks the network", func(t *testing.T) {
		cutOff(t, "dd if=/dev/zero of=/var/greedy bs=64k\ndd if=/dev/zero of=/var/greedy2 bs=1\nip link set eth0 down\n")
	})
	all.Wait()
}

// Fault 17: a change by which the host cannot be reached any more is taken back by the host
// itself; here it is a script of the network's. (TestSSHBroken and TestCutOffByAChange do it
// to sshd.)
func cutOff(t *testing.T, bad string) {
	s := newStageOf(t, lab.Options{Hosts: 1, DiskSize: 96 << 20, Network: true})
	h := s.hosts[0]
	s.network("")
	good := fmt.Sprintf("ip link set eth0 up\nip route replace default via %s\n", s.lab.Gateway())
	s.file("services/net/extra.sh", good)
	s.run(0, "apply", "--yes", "--service", "net")
	s.file("services/net/extra.sh", bad+"true\n")
	began := time.Now()
	out := s.begin("--service", "net").ends(4)
	contains(t, out, "not done: h1")
	t.Logf("apply gave up after %s", time.Since(began).Round(time.Second))
	s.eventually(3*time.Minute, "the host is back", func() bool {
		return exec.Command("ssh", "-i", s.lab.IdentityFile(), "-o", "UserKnownHostsFile="+s.lab.KnownHostsFile(), "-o", "BatchMode=yes",
			"-o", "ConnectTimeout=2", "-F", "none", "deploy@"+h.Address(), "true").Run() == nil
	})
	t.Logf("the host was back after %s", time.Since(began).Round(time.Second))
	if got := s.on(h, "cat /etc/network/extra.sh"); got+"\n" != good {
		t.Errorf("the bad file is still there: %s", got)
	}
	if got := s.on(h, "systemctl is-active networking-extra.service"); got != "active" {
		t.Errorf("the unit is %s", got)
	}
	if strings.Contains(bad, "/var/greedy") {
		if room := s.on(h, "df --output=avail -B1 / | tail -n 1"); len(room) > 7 {
			t.Errorf("the disk was not full: %s bytes are free", room)
		}
		s.on(h, "rm /var/greedy*")
	}
	s.file("services/net/extra.sh", good+"# again\n")
	s.run(0, "apply", "--yes", "--service", "net")
	s.run(0, "plan", "--service", "net")
	s.on(h, "! test -e /var/lib/evenkeel/deadman && ! test -e /var/lib/evenkeel/step")
}
