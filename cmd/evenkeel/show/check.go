package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/controller"
)

// Check shows what was found on the way to each host, a line each; then those with
// something bad, or a warning, together where it is the same, and under them what it is with its mend.
// The addresses are the hosts', for telling equal ones.
func Check(hosts []controller.HostCheck, addresses map[string]string) string {
	var b strings.Builder
	name, good := 0, 0
	for _, h := range hosts {
		name = max(name, len(h.Host))
	}
	var faulty []said
	at := map[string]controller.HostCheck{}
	for _, h := range hosts {
		if h.OK() {
			good++
		}
		faults := checkFaults(h)
		if faults == "" {
			b.WriteString(checkMark(h) + " " + bold.of(pad(Clean(h.Host), name)) + "  " + strings.Join(checkWords(h, true), "  ") + "\n")
			continue
		}
		at[h.Host] = h
		faulty = append(faulty, said{host: h.Host, address: addresses[h.Host], text: strings.Join(checkWords(h, false), "  ") + "\n" + faults})
	}
	for _, g := range groupSaid(faulty) {
		h := at[g.hosts[0]]
		b.WriteString(checkMark(h) + " " + bold.of(pad(g.title(), name)) + "  " + strings.Join(checkWords(h, len(g.hosts) == 1), "  ") + "\n")
		if note := g.note(); note != "" {
			b.WriteString("    " + faint.of(note) + "\n")
		}
		_, faults, _ := strings.Cut(g.text, "\n")
		b.WriteString(faults)
	}
	last := red.of(fmt.Sprintf("%s: %d ready, %d not", count(len(hosts), "host"), good, len(hosts)-good))
	if good == len(hosts) {
		last = green.of(count(good, "host") + ": all ready")
	}
	b.WriteString("\n" + last + "\n")
	return b.String()
}

// checkMark is whether a host is ready.
func checkMark(h controller.HostCheck) string {
	if h.OK() {
		return green.of(markGood)
	}
	return red.of(markBad)
}

// checkFaults are what is bad at a host, and what may be, each with its mend.
func checkFaults(h controller.HostCheck) string {
	var b strings.Builder
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
	return b.String()
}

// checkWords are a host's checks on one line, each with its mark; with details of those
// that are well, or without.
func checkWords(h controller.HostCheck, details bool) []string {
	var words []string
	for _, c := range h.Items {
		text := c.Name
		if details && c.Verdict == controller.Good && c.Detail != "" {
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
