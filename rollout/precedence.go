package rollout

import (
	"slices"
	"strings"
)

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
func inTurn(visits []Visit, after map[string][]string, rank func(i int) int) []Visit {
	out := make([]Visit, 0, len(visits))
	for from := 0; from < len(visits); {
		to := from + 1
		for to < len(visits) && rank(to) == rank(from) {
			to++
		}
		for _, i := range newMixtures(visits[from:to], after).order() {
			out = append(out, visits[from+i])
		}
		from = to
	}
	return out
}

// mixtures are visits gathered by the services that they change: which of them come
// after which depends on nothing else, and there are few.
type mixtures struct {
	waiting [][]int  // by mixture: its visits that are not in the order yet, first first
	after   [][]bool // whether visits of one mixture come after those of another
	later   [][]bool // by mixture, once asked for: those that come after it, by way of others too
}

func newMixtures(visits []Visit, after map[string][]string) *mixtures {
	m, of := &mixtures{}, map[string]int{}
	var services [][]string
	for i := range visits {
		key := strings.Join(visits[i].Services, "\x00")
		n, known := of[key]
		if !known {
			n = len(of)
			of[key] = n
			services, m.waiting = append(services, visits[i].Services), append(m.waiting, nil)
		}
		m.waiting[n] = append(m.waiting[n], i)
	}
	for _, x := range services {
		row := make([]bool, len(services))
		for y := range services {
			row[y] = comesAfter(x, services[y], after)
		}
		m.after = append(m.after, row)
	}
	m.later = make([][]bool, len(services))
	return m
}

// order is the visits' places, each in its turn.
func (m *mixtures) order() []int {
	var out []int
	for {
		n := m.soonest()
		if n < 0 {
			return out
		}
		out = append(out, m.waiting[n][0])
		if m.waiting[n] = m.waiting[n][1:]; len(m.waiting[n]) == 0 {
			clear(m.later) // by way of it, nothing comes later any more
		}
	}
}

// first is the mixture with the first of all visits that wait, among those wanted.
func (m *mixtures) first(wanted func(n int) bool) int {
	first := -1
	for n, visits := range m.waiting {
		if len(visits) > 0 && (first < 0 || visits[0] < m.waiting[first][0]) && wanted(n) {
			first = n
		}
	}
	return first
}

// soonest is the mixture whose first visit comes after no other, unless that other comes
// after it as well; -1 where none is left.
func (m *mixtures) soonest() int {
	at := m.first(func(int) bool { return true })
	for at >= 0 {
		later := m.behind(at)
		before := m.first(func(n int) bool { return m.after[at][n] && !later[n] })
		if before < 0 {
			return at
		}
		at = before
	}
	return at
}

// behind marks the mixtures that come after one, directly or by way of others.
func (m *mixtures) behind(at int) []bool {
	if m.later[at] != nil {
		return m.later[at]
	}
	marked := make([]bool, len(m.waiting))
	todo := []int{at}
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for n, visits := range m.waiting {
			if len(visits) > 0 && !marked[n] && m.after[n][v] {
				marked[n] = true
				todo = append(todo, n)
			}
		}
	}
	m.later[at] = marked
	return marked
}
