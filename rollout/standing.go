package rollout

import "slices"

// standing is how all visits stand at one moment, counted once for a pass over them, so
// that no visit has to ask every other. It is kept up with what the pass begins.
type standing struct {
	s *State
	r *relations
	// active is, by host, how many visits are under way there; firstOpen the first one
	// that has not ended, or none.
	active, firstOpen []int
	// changing is, by service number, the first visit that changes it and has not ended.
	changing []int
	// inBatch is, by service, the place in loud of the first visit that has not ended and
	// does not settle.
	inBatch []int
	// flying are, by service, the visits under way that disturb it, but for those that settle.
	flying     [][]int
	recovering int // visits that recover, and have not ended
	trouble    *Visit
	underWay   int       // visits
	tallies    []*judged // by service, once asked for
	led        []*leaders
}

// none is above the place of every visit.
const none = int(^uint(0) >> 1)

func (s *State) standing() *standing {
	r := s.related()
	t := &standing{s: s, r: r, active: make([]int, len(r.onHost)), firstOpen: nones(len(r.onHost)), changing: nones(len(r.names)),
		inBatch: nones(len(s.Services)), flying: make([][]int, len(s.Services)), tallies: make([]*judged, len(s.Services)), led: make([]*leaders, len(s.Services))}
	for i := range s.Visits {
		v := &s.Visits[i]
		if v.Phase == PhaseEnded {
			continue
		}
		t.firstOpen[r.host[i]] = min(t.firstOpen[r.host[i]], i)
		for _, n := range r.changes[i] {
			t.changing[n] = min(t.changing[n], i)
		}
		if v.Recover {
			t.recovering++
		}
		if v.Active() {
			t.fly(i)
		}
		if t.trouble == nil && !v.Quiet && v.Active() && (v.Tries > 0 || v.Failing != "") {
			t.trouble = v
		}
	}
	for at, visits := range r.loud {
		for place, i := range visits {
			// One that yields to others is waited for by no batch: it would wait for them.
			if v := &s.Visits[i]; v.Phase != PhaseEnded && !v.Settling() && t.yields(at, v) == "" {
				t.inBatch[at] = place
				break
			}
		}
	}
	return t
}

func nones(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = none
	}
	return out
}

// fly notes that visit i is under way.
func (t *standing) fly(i int) {
	t.underWay++
	t.active[t.r.host[i]]++
	if t.s.Visits[i].Settling() {
		return
	}
	for _, at := range t.r.disturbs[i] {
		t.flying[at] = append(t.flying[at], i)
		if y := t.tallies[at]; y != nil {
			y.take(t.s.Visits[i].Host)
		}
	}
}

// inFlight is how many visits other than v are under way that disturb a service.
func (t *standing) inFlight(service int, v *Visit) int {
	if planted == "budget ignores what is in flight" {
		return 0
	}
	n := len(t.flying[service])
	if v.Active() && slices.Contains(t.r.disturbs[v.ID], service) {
		n--
	}
	return n
}

// moves tells whether a visit other than v is under way that disturbs a service, or changes it
// where it is down and so may bring it up, and that goes on by itself: one that waits for the
// budget, too, does not.
func (t *standing) moves(service int, v *Visit) bool {
	goesOn := func(i int) bool {
		w := &t.s.Visits[i]
		return w.ID != v.ID && w.Active() && w.Phase != PhaseBudget
	}
	if t.inFlight(service, v) > 0 && slices.ContainsFunc(t.flying[service], goesOn) {
		return true
	}
	number := t.r.names[t.s.Services[service].Service]
	return slices.ContainsFunc(t.tally(service).down, func(at int) bool {
		host, known := t.r.hostNumber[t.s.Services[service].Instances[at].Host]
		return known && t.active[host] > 0 && slices.ContainsFunc(t.r.onHost[host], func(i int) bool {
			return goesOn(i) && slices.Contains(t.r.changes[i], number)
		})
	})
}

// alone tells whether nothing but v is under way on its host.
func (t *standing) alone(v *Visit) bool {
	n := t.active[t.r.host[v.ID]]
	if v.Active() {
		n--
	}
	return n == 0
}

// firstOnHost tells whether v is the next one of its host.
func (t *standing) firstOnHost(v *Visit) bool { return t.firstOpen[t.r.host[v.ID]] >= v.ID }

// turn tells whether everything that must come before v is over: what its host has
// before it, what was left unfinished anywhere, the services that its own come after,
// and the batches before its own.
func (t *standing) turn(v *Visit) bool {
	switch {
	case !t.firstOnHost(v):
		return false
	case t.recovering > 0 && !v.Recover && !v.Quiet:
		return false
	}
	for _, n := range t.r.awaits[v.ID] {
		if t.changing[n] < v.ID {
			return false
		}
	}
	for i, at := range t.r.disturbs[v.ID] {
		if t.inBatch[at] < t.r.batch[v.ID][i] {
			return false
		}
	}
	return true
}

// judged is a service's tally, and what in it no budget makes good.
type judged struct {
	*tally
	fallen, lost *Instance // see holds
	spread       *spread   // nil: over nothing
}

// take notes that a visit has host in hand.
func (y *judged) take(host string) {
	y.fly(host)
	if y.spread != nil {
		y.spread.fly(host)
	}
}

// tally counts a service's instances, once a pass.
func (t *standing) tally(service int) *judged {
	if t.tallies[service] == nil {
		ss := &t.s.Services[service]
		y := &judged{tally: newTally(ss.Strategy, ss.Instances)}
		if ss.Strategy.Spread != "" {
			y.spread = newSpread(ss.Groups, y.tally)
		}
		for _, i := range t.flying[service] {
			y.take(t.s.Visits[i].Host)
		}
		y.fallen = t.fallen(service)
		if i := slices.IndexFunc(ss.Instances, func(is Instance) bool { return is.Unreachable }); i >= 0 {
			y.lost = &ss.Instances[i]
		}
		t.tallies[service] = y
	}
	return t.tallies[service]
}

// fallen is an instance that is down although this rollout has brought its host to the
// new revision: what was brought may be to blame.
func (t *standing) fallen(service int) *Instance {
	is := t.s.Services[service].Instances
	for i := range is {
		if !is[i].Up && planted != "fallen ignored" && t.changed(service, is[i].Host) {
			return &is[i]
		}
	}
	return nil
}

// changed tells whether this rollout has brought the service on that host to the new
// revision.
func (t *standing) changed(service int, host string) bool {
	n, known := t.r.hostNumber[host]
	return known && slices.ContainsFunc(t.r.onHost[n], func(i int) bool {
		return (t.s.Visits[i].Result == ResultDone || t.s.Visits[i].Settling()) && slices.Contains(t.r.disturbs[i], service)
	})
}
