package rollout

import (
	"fmt"
	"slices"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// managers compares the systemds of users whose units the instance has: each runs from boot
// on, whether its user is logged in or not.
func (d *differ) managers(inst *desired.Instance) {
	for _, user := range inst.UnitUsers() {
		m, told := d.o.Managers[user]
		switch {
		case !told:
			d.problem(user, "the host did not say anything of this user's systemd", "run with --log-level debug")
		case m.Lacks != "":
			d.problem(user, "its systemd cannot be asked: the host has no "+m.Lacks, "install it there, or have the host's own systemd run the units, with User="+user)
		case !declares(inst, user) && !d.o.Users[user].Exists:
			d.problem(user, "does not exist on the host, and units are to run as it", fmt.Sprintf("declare it under users of service %s, or create it", inst.Service))
		case !m.Lingers:
			d.add(Change{Kind: KindLinger, Action: ActionEnable, Subject: user, From: "off", To: "on", Reason: "its units run only while it is logged in (loginctl enable-linger)"})
		case !m.Up:
			d.add(Change{Kind: KindLinger, Action: ActionStart, Subject: user, From: "stopped", To: "running", Reason: fmt.Sprintf("its systemd does not run (user@%d.service)", d.o.Users[user].UID)})
		}
	}
}

// lingersNoMore adds what is switched off with the last unit of a user's that goes away, if
// evenkeel had switched it on. gone are the units of the service in hand that go.
func (d *differ) lingersNoMore(gone []hostdriver.Entry, reason string) {
	if slices.Contains(d.desired.Held, d.service) {
		return
	}
	for _, e := range gone {
		user, _ := hostdriver.SplitUnit(e.Name)
		if e.Kind != hostdriver.KindUnit || user == "" || !d.o.Managers[user].Ours || d.stays(user, gone) {
			continue
		}
		c := Change{Kind: KindLinger, Action: ActionDisable, Subject: user, From: "on", To: "off", Reason: reason}
		if !slices.ContainsFunc(d.Changes, func(o Change) bool { return o.Kind == c.Kind && o.Subject == user && o.Action == c.Action }) {
			d.add(c)
		}
	}
}

// stays tells whether some unit of a user's is left once gone is.
func (d *differ) stays(user string, gone []hostdriver.Entry) bool {
	for i := range d.desired.Instances {
		if slices.Contains(d.desired.Instances[i].UnitUsers(), user) {
			return true
		}
	}
	for i := range d.o.Manifest.Entries {
		e := &d.o.Manifest.Entries[i]
		of, _ := hostdriver.SplitUnit(e.Name)
		leaves := slices.Contains(d.Removed, e.Service) && !slices.Contains(d.desired.Held, e.Service)
		if e.Kind == hostdriver.KindUnit && of == user && !leaves && !slices.ContainsFunc(gone, func(g hostdriver.Entry) bool { return g.Name == e.Name && g.Kind == e.Kind }) {
			return true
		}
	}
	return false
}
