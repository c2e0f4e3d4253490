package rollout

import "slices"

// comesAfter tells whether one of services comes after one of earlier which services
// does not itself contain.
func comesAfter(services, earlier []string, after map[string][]string) bool {
	for _, name := range services {
		for _, a := range after[name] {
			if slices.Contains(earlier, a) && !slices.Contains(services, a) {
				return true
			}
		}
	}
	return false
}

// inTurn moves visits behind those that they come after, and otherwise leaves them in
// their order; only visits of the same rank are moved past one another. Where hosts
// that run several services contradict one another, the first of those goes first.
func inTurn(visits []Visit, after map[string][]string, rank func(*Visit) int) []Visit {
	left := slices.Clone(visits)
	out := make([]Visit, 0, len(left))
	for len(left) > 0 {
		n := 0 // how many have the rank that is next
		for n < len(left) && rank(&left[n]) == rank(&left[0]) {
			n++
		}
		next := soonest(left[:n], after)
		out = append(out, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return out
}

// soonest is the first visit that comes after no other, unless that other comes after
// it as well.
func soonest(visits []Visit, after map[string][]string) int {
	at := 0
	for {
		first := func(w Visit) bool { return comesAfter(visits[at].Services, w.Services, after) }
		if !slices.ContainsFunc(visits, first) {
			return at
		}
		later := behind(visits, at, after)
		w := 0
		for w < len(visits) && (later[w] || !first(visits[w])) {
			w++
		}
		if w == len(visits) {
			return at
		}
		at = w
	}
}

// behind marks the visits that come after the one at i, directly or by way of others.
func behind(visits []Visit, i int, after map[string][]string) []bool {
	marked := make([]bool, len(visits))
	todo := []int{i}
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for w := range visits {
			if !marked[w] && w != i && comesAfter(visits[w].Services, visits[v].Services, after) {
				marked[w] = true
				todo = append(todo, w)
			}
		}
	}
	return marked
}
