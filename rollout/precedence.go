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
// that run several services make that impossible, the first in order goes first.
func inTurn(visits []Visit, after map[string][]string, rank func(*Visit) int) []Visit {
	left := slices.Clone(visits)
	out := make([]Visit, 0, len(left))
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(v Visit) bool {
			return rank(&v) == rank(&left[0]) && !slices.ContainsFunc(left, func(w Visit) bool {
				return rank(&w) == rank(&v) && comesAfter(v.Services, w.Services, after)
			})
		})
		next = max(next, 0)
		out = append(out, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return out
}
