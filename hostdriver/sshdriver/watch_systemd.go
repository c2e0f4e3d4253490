package sshdriver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const (
	busService     = "org.freedesktop.DBus"
	busPath        = "/org/freedesktop/DBus"
	systemdService = "org.freedesktop.systemd1"
	systemdPath    = "/org/freedesktop/systemd1"
	systemdManager = "org.freedesktop.systemd1.Manager"
	busProperties  = "org.freedesktop.DBus.Properties"
)

// watchPrefix begins the names of all units that a watch makes on a host.
const watchPrefix = "evenkeel-watch-"

// maxUnitRules is up to how many units are matched one by one: a bus allows 512 rules a
// connection. Above it all units' signals come, and most are dropped here.
const maxUnitRules = 200

// systemdWatch is one host's systemd, told to signal what q asks for. It is used by one
// goroutine.
type systemdWatch struct {
	bus   *bus
	query hostdriver.WatchQuery
	base  string // of its units' names: the owner's
	unit  string // without its suffix: this watch's alone
	scope string // that the bridge is in, or ""

	watched map[string]string // object path to the unit that was asked for
	all     bool              // signals of other units come too
	states  map[string]uint64 // what was last said, by object path and interface

	layout    layout
	path      pathState
	unwatched []string
	why       error // of unwatched

	// changed is called with what has changed: a unit's name, or "".
	changed func(unit string, files, reloaded bool)
}

// pathState is what systemd has said of the path unit.
type pathState struct {
	active, sub, result string
	at                  uint64 // when, on the host's clock
	cycles              int
	since               time.Time
}

// errNoisy is the end of a watch whose paths change without end.
var errNoisy = errors.New("watched paths change all the time")

// maxPathCycles is how often a host may signal files, in a busWindow.
const maxPathCycles = 100

func newSystemdWatch(b *bus, q hostdriver.WatchQuery) *systemdWatch {
	base := watchBase(q.Owner)
	s := &systemdWatch{bus: b, query: q, base: base, unit: base + nonceOf(), watched: map[string]string{}, states: map[string]uint64{}}
	b.signal = s.heard
	return s
}

// watchBase is how the names of an owner's units begin: readable, and no other owner's.
func watchBase(owner string) string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, owner)
	sum := sha256.Sum256([]byte(owner))
	return watchPrefix + readable[:min(len(readable), 32)] + "-" + hex.EncodeToString(sum[:4]) + "-"
}

func nonceOf() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// begin sets everything up. Once it returns without error, changes are signalled.
func (s *systemdWatch) begin(l layout) error {
	name, err := s.hello()
	if err != nil {
		return err
	}
	if err := s.subscribe(); err != nil {
		return err
	}
	if err := s.watchPaths(name, l); err != nil {
		return err
	}
	return s.removeLeftovers()
}

// hello enters the bus and returns the name that it gives.
func (s *systemdWatch) hello() (string, error) {
	r, err := s.one(busCall{busService, busPath, busService + ".Hello", nil})
	if err != nil {
		return "", err
	}
	return strings.Clone(oneString(r)), r.err
}

func (s *systemdWatch) one(c busCall) (busReply, error) {
	r, err := s.bus.call(c)
	if err != nil {
		return busReply{}, err
	}
	return r[0], nil
}

func oneString(r busReply) string {
	if len(r.body) == 0 {
		return ""
	}
	text, _ := r.body[0].(string)
	return text
}

// subscribe asks for the signals of units and of the manager.
func (s *systemdWatch) subscribe() error {
	var units []string
	for _, u := range s.query.Units {
		if !hostdriver.IsTemplate(u) && !ofUser(u) { // of users' units the files in /run tell
			units = append(units, u)
			s.watched[unitPath(u)] = u
		}
	}
	r, err := s.bus.call(busCall{systemdService, systemdPath, systemdManager + ".Subscribe", nil},
		busCall{systemdService, systemdPath, systemdManager + ".ListUnitsByNames", []any{units}})
	if err != nil {
		return err
	}
	if r[0].err != nil {
		return fmt.Errorf("systemd does not signal: %w", r[0].err)
	}
	s.aliases(units, r[1])
	rules := []busCall{match("interface='" + systemdManager + "',member='Reloading'"), match("interface='" + systemdManager + "',member='UnitFilesChanged'"),
		match(propertiesRule + ",path='" + unitPath(s.unit+".path") + "'")}
	if s.all = len(s.watched) > maxUnitRules; s.all {
		rules = append(rules, match(propertiesRule+",path_namespace='"+systemdPath+"/unit'"))
	} else {
		for _, p := range slices.Sorted(maps.Keys(s.watched)) {
			rules = append(rules, match(propertiesRule+",path='"+p+"'"))
		}
	}
	replies, err := s.bus.call(rules...)
	if err != nil {
		return err
	}
	for _, r := range replies {
		if r.err != nil {
			return fmt.Errorf("the bus does not pass signals on: %w", r.err)
		}
	}
	return nil
}

const propertiesRule = "interface='" + busProperties + "',member='PropertiesChanged'"

func match(rule string) busCall {
	return busCall{busService, busPath, busService + ".AddMatch", []any{"type='signal',sender='" + systemdService + "'," + rule}}
}

// aliases adds where systemd has units that were asked for by another of their names.
func (s *systemdWatch) aliases(units []string, r busReply) {
	if r.err != nil || len(r.body) == 0 {
		return
	}
	rows, _ := r.body[0].([][]any)
	if len(rows) != len(units) {
		return
	}
	for i, row := range rows {
		if len(row) > 6 {
			if p, ok := row[6].(dbus.ObjectPath); ok && strings.HasPrefix(string(p), systemdPath+"/unit/") && p.IsValid() {
				s.watched[strings.Clone(string(p))] = units[i] // as it is decoded it keeps 4 KiB in memory
			}
		}
	}
}

// unitPath is where systemd has a unit on the bus: sd_bus_path_encode(3).
func unitPath(unit string) string {
	var b strings.Builder
	b.WriteString(systemdPath + "/unit/")
	for i := range len(unit) {
		c := unit[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// heard takes a signal.
func (s *systemdWatch) heard(m *dbus.Message) {
	switch header(m, dbus.FieldMember) {
	case "Reloading":
		// Before it systemd says true, and what it then loads is not there yet.
		if len(m.Body) == 1 && m.Body[0] == false {
			s.changed("", false, true)
		}
	case "UnitFilesChanged":
		s.changed("", false, true)
	case "PropertiesChanged":
		if len(m.Body) < 2 {
			return
		}
		iface, _ := m.Body[0].(string)
		properties, _ := m.Body[1].(map[string]dbus.Variant)
		at := header(m, dbus.FieldPath)
		if at == unitPath(s.unit+".path") {
			s.pathChanged(iface, properties)
		} else if unit, ok := s.watched[at]; ok && s.isNew(at+" "+iface, properties) {
			s.changed(unit, false, false)
		}
	}
}

// isNew tells whether systemd says something else than the last time. It says all of a
// unit when any of it changes, such as the text that a service sets as its status.
func (s *systemdWatch) isNew(key string, properties map[string]dbus.Variant) bool {
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if strings.HasPrefix(name, "Status") || strings.Contains(name, "Timestamp") {
			continue
		}
		_, _ = fmt.Fprintf(h, "%s=%v\n", name, properties[name].Value())
	}
	sum := h.Sum64()
	last, known := s.states[key]
	s.states[key] = sum
	return !known || last != sum
}
