package rollout

import "slices"

// relations are what follows from a plan alone and stays so for all of a rollout: who is
// on which host, who changes or disturbs which service, whom each visit must wait for.
// Every State of a rollout shares them; nothing in them is written to once made.
type relations struct {
	visits, services int
	service          map[string]int // by name: its place in State.Services
	host             []int          // by visit: its host's number
	onHost           [][]int        // by host: its visits, in order
	hostNumber       map[string]int
	// disturbs are, by visit, the services (by place) that it disturbs.
	disturbs [][]int
	// changes are, by visit, the services (by number) that it changes; awaits are those
	// that one of them comes after and that the visit does not itself change.
	changes, awaits [][]int
	names           map[string]int // of services, also of those that go away: their numbers
	// touching are, by service, all visits that disturb it, in order.
	touching [][]int
	// loud are, by service, the visits of which batches are made, in order. batch is, by visit and as disturbs has them, where in loud
	// the visit's own batch begins.
	loud  [][]int
	batch [][]int
}

// related makes the relations, or takes those that are there.
func (s *State) related() *relations {
	if s.relations != nil && s.relations.visits == len(s.Visits) && s.relations.services == len(s.Services) {
		return s.relations
	}
	r := &relations{visits: len(s.Visits), services: len(s.Services), service: map[string]int{}, hostNumber: map[string]int{}, names: map[string]int{},
		touching: make([][]int, len(s.Services)), loud: make([][]int, len(s.Services))}
	after := map[string][]string{}
	for i := range s.Services {
		r.service[s.Services[i].Service] = i
		after[s.Services[i].Service] = s.Services[i].After
	}
	for i := range s.Visits {
		r.add(i, &s.Visits[i], after)
	}
	for i := range s.Visits {
		r.batch = append(r.batch, r.batches(s, i))
	}
	s.relations = r
	return r
}

func (r *relations) add(i int, v *Visit, after map[string][]string) {
	n, known := r.hostNumber[v.Host]
	if !known {
		n = len(r.hostNumber)
		r.hostNumber[v.Host] = n
		r.onHost = append(r.onHost, nil)
	}
	r.host = append(r.host, n)
	r.onHost[n] = append(r.onHost[n], i)
	var disturbs, changes, awaits []int
	for _, name := range v.Disturbs {
		if at, ok := r.service[name]; ok {
			disturbs = append(disturbs, at)
			r.touching[at] = append(r.touching[at], i)
			if v.inBatches(name) {
				r.loud[at] = append(r.loud[at], i)
			}
		}
	}
	for _, name := range v.Services {
		changes = append(changes, r.number(name))
		for _, a := range after[name] {
			if !slices.Contains(v.Services, a) && planted != "after ignored" {
				awaits = append(awaits, r.number(a))
			}
		}
	}
	r.disturbs, r.changes, r.awaits = append(r.disturbs, disturbs), append(r.changes, changes), append(r.awaits, awaits)
}

// number is a service's own number, also of one that the revision no longer has.
func (r *relations) number(service string) int {
	n, known := r.names[service]
	if !known {
		n = len(r.names)
		r.names[service] = n
	}
	return n
}

// batches are where the batches of visit i begin, in each service that it disturbs.
func (r *relations) batches(s *State, i int) []int {
	var out []int
	for _, at := range r.disturbs[i] {
		begin := 0
		if place, found := slices.BinarySearch(r.loud[at], i); found && planted != "batches ignored" {
			begin = batchOf(s.Services[at].Batches, place)
		}
		out = append(out, begin)
	}
	return out
}

// batchOf is where the batch begins that the visit at place is in; the last size holds
// for all that is left.
func batchOf(sizes []int, place int) int {
	begin := 0
	for i, size := range sizes {
		if i == len(sizes)-1 || place < begin+size {
			break
		}
		begin += size
	}
	return begin
}
