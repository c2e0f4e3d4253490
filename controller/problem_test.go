package controller

import (
	"strings"
	"testing"
)

// What cannot be put right is named at once, by the host's look alone, and is forgotten
// once somebody has mended it.
func TestProblemIsNamed(t *testing.T) {
	l := newLoop(t, 2, nil)
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	for range 2 {
		before := len(l.events(ReasonProblem))
		l.hosts.Host("h1").Systemctl("mask", "web.service")
		l.eventually("named", func(s *Snapshot) bool { // first it may be seen that the unit does not run
			for _, c := range []Condition{s.Conditions.Get(Reconciled), s.HostConditions["h1"].Get(SyncedType), s.ServiceConditions["web"].Get(SyncedType)} {
				if c.Status != False || !strings.Contains(c.Message, "web.service: is masked") {
					return false
				}
			}
			return true
		})
		l.eventually("told", func(*Snapshot) bool { return len(l.events(ReasonProblem)) == before+1 })
		l.hosts.Host("h1").Systemctl("unmask", "web.service")
		l.eventually("mended", reconciledAt("c1"))
	}
	l.hosts.Host("h2").Cut()
	l.eventually("away", func(s *Snapshot) bool {
		c := s.Conditions.Get(Reconciled)
		return c.Status == False && c.Message == "h2 does not answer"
	})
	l.hosts.Host("h2").Heal()
	l.eventually("back", reconciledAt("c1"))
}
