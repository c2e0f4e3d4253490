package rollout

import "slices"

// Who is a canary is the plan's choice: the first in order. Two things that only show
// while it is carried out make another one of it, for else nobody could ever go on: one
// that is lost and left out, and a host that is down and is kept from being mended
// because it follows a canary that its being down keeps from beginning.

// pendingCanary is the last of a service's canaries that has not begun, or nil.
func (s *State) pendingCanary(service string) *Visit {
	for i := len(s.Visits) - 1; i >= 0; i-- {
		if v := &s.Visits[i]; v.Phase == PhasePending && slices.Contains(v.Canary, service) {
			return v
		}
	}
	return nil
}

// mayStandIn tells whether v, which waits for canaries and for nothing else, could be
// one in the place of one that has not begun, in each service.
func (s *State) mayStandIn(v *Visit) bool {
	return v.Phase == PhasePending && s.Paused == nil && !slices.ContainsFunc(v.Follows, func(name string) bool {
		ss := s.service(name)
		return ss != nil && ss.Canary.Phase == CanaryWaiting || s.pendingCanary(name) == nil
	})
}

// awaitsPromotion tells whether nothing but canaries that wait for promotion keeps v from
// beginning.
func (s *State) awaitsPromotion(v *Visit) bool {
	return v.Phase == PhasePending && s.Paused == nil && !slices.ContainsFunc(v.Follows, func(name string) bool {
		ss := s.service(name)
		return ss != nil && ss.Canary.Phase == CanaryRolling
	})
}

// standIn makes v a canary where it follows some that have not begun.
func (s *State) standIn(v *Visit) {
	for _, name := range v.Follows {
		if w, ss := s.pendingCanary(name), s.service(name); w != nil && ss != nil && ss.Canary.Phase == CanaryRolling {
			s.handOver(ss, w, v)
			w.Follows = append(slices.Clone(w.Follows), name)
		}
	}
	s.shareOut()
}

// leaveOut gives what a lost host was a canary of to the first that follows it.
func (s *State) leaveOut(v *Visit) {
	for _, name := range v.Canary {
		ss := s.service(name)
		if ss == nil {
			continue
		}
		var next *Visit
		for i := range s.Visits {
			if w := &s.Visits[i]; w.Phase == PhasePending && slices.Contains(w.Follows, name) {
				next = w
				break
			}
		}
		s.handOver(ss, v, next)
	}
	s.shareOut()
}

// handOver takes a service's canary v out of its role and, where there is one, puts w in it.
func (s *State) handOver(ss *ServiceState, v, w *Visit) {
	without := func(names []string, name string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
	}
	v.Canary = without(v.Canary, ss.Service)
	ss.Canary.Hosts = without(ss.Canary.Hosts, v.Host)
	if w != nil {
		w.Follows, w.Canary = without(w.Follows, ss.Service), append(slices.Clone(w.Canary), ss.Service)
		ss.Canary.Hosts = append(ss.Canary.Hosts, w.Host)
	}
}

// shareOut reckons batches anew, of which canaries are no part.
func (s *State) shareOut() {
	for i := range s.Services {
		ss := &s.Services[i]
		ss.Batches = batchesOf(ss.Service, ss.Strategy, s.Visits)
	}
	s.relations = nil
}
