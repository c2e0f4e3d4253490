package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/controller"
)

// Check shows what was found on the way to each host, a line each, and under it
// what is bad with its mend.
func Check(hosts []controller.HostCheck) string {
	var b strings.Builder
	name, good := 0, 0
	for _, h := range hosts {
		name = max(name, len(h.Host))
	}
	for _, h := range hosts {
		mark := red.of(markBad)
		if h.OK() {
			mark = green.of(markGood)
			good++
		}
		b.WriteString(mark + " " + bold.of(pad(Clean(h.Host), name)) + "  " + strings.Join(checkWords(h), "  ") + "\n")
		for _, c := range append(slices.Clone(h.Items), h.Balancers...) {
			if c.Verdict != controller.Bad && c.Verdict != controller.Warn {
				continue
			}
			sign := red.of(markBad)
			if c.Verdict == controller.Warn {
				sign = yellow.of(markWarn)
			}
			fmt.Fprintf(&b, "    %s %s: %s\n", sign, Clean(c.Name), Clean(c.Detail))
			if c.Mend != "" {
				b.WriteString("      " + mend(c.Mend) + "\n")
			}
		}
	}
	last := red.of(fmt.Sprintf("%s: %d ready, %d not", count(len(hosts), "host"), good, len(hosts)-good))
	if good == len(hosts) {
		last = green.of(count(good, "host") + ": all ready")
	}
	b.WriteString("\n" + last + "\n")
	return b.String()
}

// checkWords are a host's checks on one line, each with its mark.
func checkWords(h controller.HostCheck) []string {
	var words []string
	for _, c := range h.Items {
		text := c.Name
		if c.Verdict == controller.Good && c.Detail != "" {
			text += " " + Clean(c.Detail)
		}
		words = append(words, verdict(c.Verdict, text))
	}
	balancers := controller.Good
	for _, c := range h.Balancers {
		if c.Verdict == controller.Bad || c.Verdict == controller.Warn && balancers == controller.Good {
			balancers = c.Verdict
		}
	}
	if n := len(h.Balancers); n == 1 {
		words = append(words, verdict(balancers, "balancer"))
	} else if n > 1 {
		words = append(words, verdict(balancers, count(n, "balancer")))
	}
	return words
}

func verdict(v controller.Verdict, text string) string {
	switch v {
	case controller.Good:
		return green.of(markGood) + " " + text
	case controller.Warn:
		return yellow.of(markWarn + " " + text)
	case controller.Bad:
		return red.of(markBad + " " + text)
	}
	return faint.of("· " + text)
}
