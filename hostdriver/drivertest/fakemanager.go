package drivertest

import (
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// userUnitDirs are where a user's systemd looks for unit files, as far as they are for all users.
var userUnitDirs = []string{"/etc/systemd/user/", "/run/systemd/user/", "/usr/local/lib/systemd/user/", "/usr/lib/systemd/user/", "/lib/systemd/user/"}

// unitPlaces are where the systemd of a unit looks for its file, and as what.
func unitPlaces(name string) (dirs []string, bare string) {
	user, bare := hostdriver.SplitUnit(name)
	if user != "" {
		return userUnitDirs, bare
	}
	return unitDirs, bare
}

// Linger switches on or off, by hand, that a user's systemd runs without a login.
func (h *FakeHost) Linger(user string, on bool) { h.do(func() { h.setLinger(user, on, false) }) }

// setLinger ends with lingering what runs by it.
func (h *FakeHost) setLinger(user string, on, ours bool) {
	if on {
		h.lingers[user] = true
		h.ourLingers[user] = h.ourLingers[user] || ours
		return
	}
	delete(h.lingers, user)
	if ours {
		delete(h.ourLingers, user)
	}
	for name, u := range h.units {
		if of, _ := hostdriver.SplitUnit(name); of == user {
			h.stopped(u, h.fleet.now())
			delete(h.units, name)
		}
	}
}

// hears tells whether the systemd that a unit belongs to runs.
func (h *FakeHost) hears(name string) bool {
	user, _ := hostdriver.SplitUnit(name)
	return user == "" || h.lingers[user] && h.users[user].Exists
}

// observeManagers tells of the users whose units are among o's.
func (h *FakeHost) observeManagers(o *hostdriver.Observation) {
	for name := range o.Units {
		if user, _ := hostdriver.SplitUnit(name); user != "" {
			if o.Managers == nil {
				o.Managers = map[string]hostdriver.ManagerState{}
			}
			o.Managers[user] = hostdriver.ManagerState{Lingers: h.lingers[user], Ours: h.ourLingers[user], Up: h.hears(name)}
		}
	}
}

// lingerFor switches lingering on for the users of a generation's units.
func (h *FakeHost) lingerFor(g *generation, leave []string) {
	for _, e := range entriesOf(g) {
		user, _ := hostdriver.SplitUnit(e.Name)
		if e.Kind == hostdriver.KindUnit && user != "" && !slices.Contains(leave, e.Name) && !h.lingers[user] {
			h.setLinger(user, true, true)
		}
	}
}

// lingerNoMore switches off what lingerFor had switched on for the other generation alone.
func (h *FakeHost) lingerNoMore(target, other *generation) {
	for _, e := range entriesOf(other) {
		user, _ := hostdriver.SplitUnit(e.Name)
		used := slices.ContainsFunc(entriesOf(target), func(t hostdriver.Entry) bool {
			return t.Kind == hostdriver.KindUnit && strings.HasPrefix(t.Name, user+"~")
		})
		if e.Kind == hostdriver.KindUnit && user != "" && !used && h.ourLingers[user] {
			h.setLinger(user, false, true)
		}
	}
}
