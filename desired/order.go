package desired

import (
	"encoding/json"
	"fmt"

	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// orderWords are the words that an Order may be.
var orderWords = []string{OrderUnhealthyFirst, OrderInventory}

// UnmarshalWord reads an order that is a word.
func (o *Order) UnmarshalWord(word string) error {
	for _, w := range orderWords {
		if w == word {
			*o = Order{Word: word}
			return nil
		}
	}
	mend := fault.DidYouMean(word, orderWords)
	if _, near := fault.Nearest(word, orderWords); !near {
		mend += "; or a map: {byLabel: LABEL}, {leaderLast: {command: LINE}}"
	}
	return &strictyaml.Invalid{Message: "cannot be " + fault.Quote(word), Mend: mend}
}

// orderJSON is an Order as JSON has it: a word or an object, as in the repo.
type orderJSON Order

// MarshalJSON writes a word or an object.
func (o Order) MarshalJSON() ([]byte, error) {
	if o.ByLabel == "" && o.LeaderLast == nil {
		return json.Marshal(o.Word)
	}
	return json.Marshal(orderJSON(o))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Order) UnmarshalJSON(b []byte) error {
	var word string
	if json.Unmarshal(b, &word) == nil {
		*o = Order{Word: word}
		return nil
	}
	return json.Unmarshal(b, (*orderJSON)(o))
}

// order is the strategy's order as it is written in the repo.
func (s Strategy) order() Order {
	o := Order{ByLabel: s.ByLabel, LeaderLast: s.LeaderLast}
	if s.Order != OrderByLabel {
		o.Word = s.Order
	}
	return o
}

// setOrder takes an order, with every default in place.
func (s *Strategy) setOrder(o Order) {
	s.Order, s.ByLabel, s.LeaderLast = o.Word, o.ByLabel, nil
	switch {
	case o.ByLabel != "":
		s.Order = OrderByLabel
	case o.Word == "":
		s.Order = OrderUnhealthyFirst
	}
	if o.LeaderLast != nil {
		l := *o.LeaderLast
		if l.Timeout == 0 {
			l.Timeout = Duration(DefaultLeaderTimeout)
		}
		s.LeaderLast = &l
	}
}

// checkOrder finds orders that could never be kept; at is where the spec has it.
func checkOrder(at string, o Order) []fault.Problem {
	c := &serviceCheck{}
	if o.ByLabel != "" {
		c.addIf(at+".byLabel", "bad-label", inventory.CheckLabelKey(o.ByLabel), "")
	}
	l := o.LeaderLast
	if l == nil {
		return c.problems
	}
	c.line(at+".leaderLast.command", l.Command, "write a command that exits 0 on the host that leads")
	if isTemplate(l.Command) {
		c.add(at+".leaderLast.command", "wrong-value", "this command is not a template", "it runs on the host in question, so let it find out by itself")
	}
	if l.User != "" {
		c.addIf(at+".leaderLast.user", "bad-owner", checkOwner(l.User), "")
	}
	if l.Timeout.D() > maxLeaderTimeout {
		c.add(at+".leaderLast.timeout", "impossible-rollout", fmt.Sprintf("timeout %s: after that the answers of the other hosts are too old to go by", l.Timeout),
			fmt.Sprintf("the most is %s", maxLeaderTimeout))
	}
	return c.problems
}

// checkLabels finds labels which none of the service's hosts has, so that nothing would
// be ordered by them or kept apart.
func checkLabels(r RolloutSpec, hosts []inventory.Host) []fault.Problem {
	var ps []fault.Problem
	known := map[string]bool{}
	for _, h := range hosts {
		for k := range h.Labels {
			known[k] = true
		}
	}
	for key, label := range map[string]string{"order.byLabel": r.Order.ByLabel, "spread": r.Spread} {
		if len(hosts) > 0 && !known[label] && inventory.CheckLabelKey(label) == "" {
			ps = append(ps, fault.Problem{Path: "rollout." + key, Rule: "impossible-rollout", Message: "no host of the service has the label " + fault.Quote(label),
				Mend: fault.DidYouMean(label, sortedNames(known))})
		}
	}
	return ps
}
