package show

import (
	"fmt"
	"strings"
)

// suspensions is a line for each reason why something is left as it is, with the hosts
// and how much of it differs.
func (v *planView) suspensions(b *strings.Builder) {
	type group struct {
		service, reason string
		hosts           []string
		changes         int
	}
	var groups []*group
	for _, h := range v.asked {
		for _, s := range h.Suspended {
			g := find(groups, func(g *group) bool { return g.service == s.Service && g.reason == s.Reason })
			if g == nil {
				g = &group{service: s.Service, reason: s.Reason}
				groups = append(groups, g)
			}
			g.hosts, g.changes = append(g.hosts, h.Host), g.changes+s.Changes
		}
	}
	for _, g := range groups {
		who := Names(g.hosts)
		if g.service != "" {
			who = Clean(g.service) + " on " + who
		}
		b.WriteString(yellow.of(markWarn+" "+who) + ": " + Clean(g.reason) + faint.of("  "+leftUndone(g.changes)) + "\n")
	}
}

func leftUndone(changes int) string {
	if changes == 0 {
		return "nothing differs that is known of"
	}
	return fmt.Sprintf("%s left undone", count(changes, "change"))
}

func find[T any](all []*T, is func(*T) bool) *T {
	for _, x := range all {
		if is(x) {
			return x
		}
	}
	return nil
}
