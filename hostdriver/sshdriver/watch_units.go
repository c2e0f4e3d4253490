package sshdriver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// property is one of a transient unit.
type property struct {
	Name  string
	Value dbus.Variant
}

// auxiliary is a unit that StartTransientUnit makes beside the one it starts.
type auxiliary struct {
	Name       string
	Properties []property
}

// execLine is a command in systemd's words.
type execLine struct {
	Path   string
	Argv   []string
	Ignore bool // how it ends
}

func prop(name string, value any) property { return property{name, dbus.MakeVariant(value)} }

func transient(name string, properties []property, aux ...auxiliary) busCall {
	if aux == nil {
		aux = []auxiliary{}
	}
	return busCall{systemdService, systemdPath, systemdManager + ".StartTransientUnit", []any{name, "replace", properties, aux}}
}

// watchPaths makes the path unit. Where the host has no room for all paths, fewer are
// watched.
func (s *systemdWatch) watchPaths(busName string, l layout) error {
	var specs []string
	specs, s.unwatched = planPaths(s.query.Paths, maxPathSpecs, l)
	switch {
	case l == none && len(s.unwatched) > 0:
		s.why = errNoisy
	case len(s.unwatched) > 0:
		s.why = fmt.Errorf("they are in more than %d places", maxPathSpecs)
	}
	if len(specs) == 0 {
		return nil
	}
	if err := s.holdBridge(busName); err != nil {
		return err
	}
	for room := len(specs); ; room /= 2 {
		if room < len(specs) {
			specs, s.unwatched = planPaths(s.query.Paths, room, l)
		}
		failed, err := s.startPathUnit(specs)
		if err != nil || failed == nil {
			return err
		}
		s.why = fmt.Errorf("systemd cannot watch more: %w (see fs.inotify.max_user_instances there)", failed)
		if room < 2 {
			_, s.unwatched = planPaths(s.query.Paths, 0, l)
			return nil
		}
		s.unit = s.base + nonceOf()
		r, err := s.one(match(propertiesRule + ",path='" + unitPath(s.unit+".path") + "'"))
		if err != nil || r.err != nil {
			return errors.Join(err, r.err)
		}
	}
}

// holdBridge puts the bridge into a scope of its own, which ends with it, where the host
// can do that. What is bound to the scope does not outlive the bridge, however it ends.
func (s *systemdWatch) holdBridge(busName string) error {
	r, err := s.one(busCall{busService, busPath, busService + ".GetConnectionUnixProcessID", []any{busName}})
	if err != nil || r.err != nil || len(r.body) == 0 {
		return err
	}
	pid, _ := r.body[0].(uint32)
	if pid <= 1 {
		return nil
	}
	scope := s.unit + ".scope"
	r, err = s.one(transient(scope, []property{prop("Description", "evenkeel watches: its way in"), prop("PIDs", []uint32{pid}),
		prop("CollectMode", "inactive-or-failed")}))
	if err == nil && r.err == nil {
		s.scope = scope
	}
	return err
}

// startPathUnit makes the unit and waits until it watches. failed is why it does not.
//
// The service that it triggers does nothing; while that is so, systemd does not watch.
// Both are without limits, for a limit would end the watch in a burst of changes.
func (s *systemdWatch) startPathUnit(specs []string) (failed, err error) {
	must := []property{prop("Description", "evenkeel watches"), pathsOf(specs)}
	service := []property{prop("Description", "evenkeel has seen a change"), prop("Type", "oneshot"), prop("StartLimitIntervalUSec", uint64(0)),
		prop("ExecStart", []execLine{{"/bin/true", []string{"/bin/true"}, true}})}
	collect := prop("CollectMode", "inactive-or-failed")
	may := []property{collect, prop("TriggerLimitIntervalUSec", uint64(0)), prop("TriggerLimitBurst", uint32(0))}
	if s.scope != "" {
		must = append(must, prop("BindsTo", []string{s.scope}), prop("After", []string{s.scope}))
	}
	quiet := append(slices.Clone(service), collect, prop("LogLevelMax", int32(4)))
	s.path = pathState{}
	r, err := s.one(transient(s.unit+".path", append(slices.Clone(must), may...), auxiliary{s.unit + ".service", quiet}))
	if err == nil && r.err != nil { // an older systemd lacks a property (before 250), and does not see links (before 249)
		if s.layout == compact {
			must[1] = pathsOf(withParents(specs, s.query.Paths, maxPathSpecs))
		}
		r, err = s.one(transient(s.unit+".path", must, auxiliary{s.unit + ".service", service}))
	}
	if err != nil {
		return nil, err
	}
	if r.err != nil {
		return r.err, nil
	}
	return s.awaitPathUnit()
}

func pathsOf(specs []string) property {
	type watchSpec struct{ Type, Path string }
	var paths []watchSpec
	for _, p := range specs {
		paths = append(paths, watchSpec{"PathChanged", p})
	}
	return prop("Paths", paths)
}

func (s *systemdWatch) awaitPathUnit() (failed, err error) {
	r, err := s.one(busCall{systemdService, unitPath(s.unit + ".path"), busProperties + ".Get", []any{systemdService + ".Unit", "ActiveState"}})
	if err != nil {
		return nil, err
	}
	if len(r.body) > 0 && s.path.active == "" {
		if v, ok := r.body[0].(dbus.Variant); ok {
			active, _ := v.Value().(string)
			s.path.active = strings.Clone(active)
		}
	}
	for s.path.active != "active" && s.path.active != "failed" { // it begins as inactive
		if _, err := s.bus.receive(); err != nil {
			return nil, err
		}
	}
	if s.path.active == "failed" {
		return fmt.Errorf("its path unit has ended with %s", printable(firstOf(s.path.result, "no result"), 40)), nil
	}
	return nil, nil
}

// pathChanged takes what systemd says of the path unit. Both the trigger and the return
// to waiting are signalled: what changes in between is not seen by itself. systemd says
// the path's own properties first, and then those of any unit, which may be 40 ms later
// here: sshd sends a second packet only once the first is acknowledged.
func (s *systemdWatch) pathChanged(iface string, properties map[string]dbus.Variant) {
	text := func(name string, was string) string {
		if v, ok := properties[name].Value().(string); ok && v != was {
			return strings.Clone(v)
		}
		return was
	}
	began := s.path.sub != ""
	s.path.active, s.path.sub = text("ActiveState", s.path.active), text("SubState", s.path.sub)
	s.path.result = text("Result", s.path.result)
	if iface == systemdService+".Path" && began {
		s.changed("", true, false)
	}
	at, ok := properties["StateChangeTimestampMonotonic"].Value().(uint64)
	if !ok || at == s.path.at {
		return
	}
	s.path.at = at
	switch {
	case s.path.sub == "running":
		if now := time.Now(); now.Sub(s.path.since) >= busWindow {
			s.path.since, s.path.cycles = now, 0
		}
		s.path.cycles++
		s.changed("", true, false)
	case s.path.sub == "waiting" && began:
		s.changed("", true, false)
	}
}

// check tells, after each message, whether the watch goes on.
func (s *systemdWatch) check() error {
	switch {
	case s.path.cycles > maxPathCycles:
		return errNoisy
	case s.path.active == "failed" || s.path.active == "inactive":
		return fmt.Errorf("its unit %s.path was stopped (%s)", s.unit, printable(firstOf(s.path.result, "no result"), 40))
	}
	return nil
}

// removeLeftovers stops what earlier watches of this owner have left: a controller that
// was killed, behind a connection that the host still thinks is up.
func (s *systemdWatch) removeLeftovers() error {
	r, err := s.one(busCall{systemdService, systemdPath, systemdManager + ".ListUnitsByPatterns", []any{[]string{}, []string{s.base + "*"}}})
	if err != nil || r.err != nil || len(r.body) == 0 {
		return err // an old systemd without that call: the units go with their bridge
	}
	rows, _ := r.body[0].([][]any)
	var calls []busCall
	for _, row := range rows {
		if len(row) == 0 {
			continue
		}
		name, ok := row[0].(string)
		if !ok || !strings.HasPrefix(name, s.base) || name == s.scope || strings.HasPrefix(name, s.unit+".") {
			continue
		}
		calls = append(calls, busCall{systemdService, systemdPath, systemdManager + ".StopUnit", []any{name, "replace"}})
	}
	_, err = s.bus.call(calls...)
	return err
}

// stopUnits sends for the end of what this watch has made, and returns the last call's
// serial number.
func (s *systemdWatch) stopUnits() (uint32, error) {
	return s.bus.send(busCall{systemdService, systemdPath, systemdManager + ".StopUnit", []any{s.unit + ".path", "replace"}})
}
