package main

import (
	"time"

	"github.com/evenkeel/evenkeel/test/sim/world"
)

// instance is one service on one host as it really stands.
type instance struct {
	host    *world.Host
	service string
	shape   *Service
	unit    *world.Unit // the one that serves
	units   []*world.Unit
	server  *world.Server

	serving bool          // users are served by it
	up      bool          // serving, and controllers can reach it
	since   time.Duration // since when it is up, or is not
	by      int           // the controller that took it down; 0: nobody of ours
	touched bool          // we have started, stopped or reloaded a unit of it since it was drained
}

func (s *simulation) instanceOn(h *world.Host, service int) *instance {
	if service < 0 || service >= len(s.sc.Services) {
		service = 0
	}
	if in := s.by[[2]string{h.Name, s.sc.Services[service].Name}]; in != nil {
		return in
	}
	for _, in := range s.instances {
		if in.host == h {
			return in
		}
	}
	return nil
}

// of lists the instances of a service.
func (s *simulation) of(service string) []*instance {
	var out []*instance
	for _, in := range s.instances {
		if in.service == service {
			out = append(out, in)
		}
	}
	return out
}

// Touched is world.Watcher's.
func (s *simulation) Touched(h *world.Host) {
	for _, d := range s.dirty {
		if d == h {
			return
		}
	}
	s.dirty = append(s.dirty, h)
}

// settle brings what is known of the instances on touched hosts up to now.
func (s *simulation) settle() {
	for len(s.dirty) > 0 {
		h := s.dirty[0]
		s.dirty = s.dirty[1:]
		for _, in := range s.instances {
			if in.host == h {
				s.evaluate(in)
			}
		}
		s.checkDrainsRecorded(h)
	}
	s.dirty = nil
}

func (s *simulation) evaluate(in *instance) {
	if in.server != nil {
		in.server.Check(false)
	}
	serving := in.host.Powered
	for _, u := range in.units {
		serving = serving && u.Active == "active"
	}
	if in.server != nil {
		serving = serving && in.server.Serving()
	} else {
		serving = serving && in.unit.Healthy()
	}
	up := serving && in.host.Answers()
	if up != in.up {
		in.up, in.since = up, s.world.Now()
		if up {
			in.by = 0
		}
	}
	if serving != in.serving {
		in.serving = serving
		if !serving {
			s.checkServing(in)
		}
	}
}
