package show

import (
	"fmt"
	"strings"

	"github.com/evenkeel/evenkeel/rollout"
)

// hostMark and addressMark stand for each host's own name and address where hosts
// differ in nothing else.
const (
	hostMark    = "‹host›"
	addressMark = "‹address›"
)

// hostGroup is hosts of which one text says all there is to say.
type hostGroup struct {
	plans     []rollout.HostPlan
	addresses map[string]string
	// named tells that the hosts' texts differ by the hosts' own names, so that
	// hostMark has to stand for them.
	named bool
}

// of is the plan to render for the whole group.
func (g *hostGroup) of() rollout.HostPlan {
	if g.named {
		return neutral(g.plans[0], g.addresses)
	}
	return g.plans[0]
}

func (g *hostGroup) names() []string {
	names := make([]string, len(g.plans))
	for i, h := range g.plans {
		names[i] = h.Host
	}
	return names
}

// groupHosts puts hosts together whose plans read the same, also where only the
// host's own name or address (by host) differs in them, in the order of each group's
// first host.
func groupHosts(plans []rollout.HostPlan, addresses map[string]string) []*hostGroup {
	var groups []*hostGroup
	exact, alike := map[string]*hostGroup{}, map[string]*hostGroup{}
	for _, h := range plans {
		key := fingerprint(h)
		g := exact[key]
		if g == nil {
			same := fingerprint(neutral(h, addresses))
			if g = alike[same]; g == nil {
				g = &hostGroup{addresses: addresses}
				alike[same] = g
				groups = append(groups, g)
			} else {
				g.named = true
			}
			exact[key] = g
		}
		g.plans = append(g.plans, h)
	}
	return groups
}

// fingerprint holds all that is shown of a host's plan.
func fingerprint(h rollout.HostPlan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\x00%s\x00", h.Reachable, h.Reason)
	for _, c := range h.Changes {
		from, to := fromTo(c)
		fmt.Fprintf(&b, "%s\x00%s\x00%s\x00%s\x00%s\x00%s\x00%s\x00%s\x00%v\x00", c.Service, c.Kind, c.Action, c.Subject, from, to, c.Diff, c.Reason, c.Disruption)
		for _, x := range c.Secrets {
			fmt.Fprintf(&b, "%s\x00%s\x00%s\x00", x.Key, x.From, x.To)
		}
	}
	for _, p := range h.Problems {
		fmt.Fprintf(&b, "%s\x00%s\x00%s\x00%s\x00", p.Service, p.Subject, p.Reason, p.Mend)
	}
	if r := h.Recover; r != nil {
		fmt.Fprintf(&b, "%s\x00%s\x00%s", r.Holder, r.Phase, r.Services)
	}
	return b.String()
}

// fromTo is what is shown of a change's two sides: of content, the diff says more.
func fromTo(c rollout.Change) (from, to string) {
	if c.Diff != "" || len(c.Keys) > 0 {
		return "", ""
	}
	switch c.Kind {
	case rollout.KindProcess, rollout.KindEnable, rollout.KindLinger, rollout.KindHook:
		return "", ""
	}
	return c.From, c.To
}

// neutral is the plan with marks in place of the host's own name and address.
func neutral(h rollout.HostPlan, addresses map[string]string) rollout.HostPlan {
	name, address := h.Host, addresses[h.Host]
	own := func(s string) string { return replaceWord(replaceWord(s, name, hostMark), address, addressMark) }
	h.Reason = own(h.Reason)
	changes := make([]rollout.Change, len(h.Changes))
	for i, c := range h.Changes {
		c.Host, c.Subject, c.Reason, c.Diff = "", own(c.Subject), own(c.Reason), own(c.Diff)
		changes[i] = c
	}
	problems := make([]rollout.Problem, len(h.Problems))
	for i, p := range h.Problems {
		p.Host, p.Subject, p.Reason, p.Mend = "", own(p.Subject), own(p.Reason), own(p.Mend)
		problems[i] = p
	}
	h.Changes, h.Problems = changes, problems
	return h
}

// replaceWord puts mark for word where that stands alone: not within another name.
func replaceWord(s, word, mark string) string {
	if word == "" || !strings.Contains(s, word) {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, word)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		end := i + len(word)
		alone := (i == 0 || !nameByte(s[i-1])) && (end == len(s) || !nameByte(s[end]))
		b.WriteString(s[:i])
		if alone {
			b.WriteString(mark)
		} else {
			b.WriteString(word)
		}
		s = s[end:]
		if !alone && s != "" {
			// What follows within the same name is no beginning of another.
			n := 0
			for n < len(s) && nameByte(s[n]) {
				n++
			}
			b.WriteString(s[:n])
			s = s[n:]
		}
	}
}

func nameByte(c byte) bool {
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
