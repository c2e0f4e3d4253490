package show

import (
	"fmt"
	"strings"

	"github.com/evenkeel/evenkeel/controller"
)

// Status shows a report as a table, an instance a line, and counts in the last
// line.
func Status(r controller.Report) string {
	var b strings.Builder
	if len(r.Instances) > 0 {
		var rows [][]string
		for _, i := range r.Instances {
			stale := ""
			if i.Stale {
				stale = yellow.of("stale")
			}
			reason := Clean(i.Reason)
			if i.Rollout != "" {
				reason = "step in hand: " + Clean(i.Rollout) + "; " + reason
			}
			rows = append(rows, []string{Clean(i.Host), Clean(i.Service), syncPaint(i.Sync).of(string(i.Sync)), healthPaint(i.Health).of(string(i.Health)),
				orDash(Revision(i.Revision)), orDash(stale), strings.TrimSuffix(reason, "; ")})
		}
		b.WriteString(columns([]string{"host", "service", "sync", "health", "revision", "stale", "reason"}, rows))
		b.WriteString("\n")
	}
	var held, away []said
	for _, h := range r.Hosts {
		if h.Suspended {
			held = append(held, said{host: h.Name, text: h.Reason})
		} else if !h.Reachable {
			away = append(away, said{host: h.Name, text: h.Reason})
		}
	}
	for _, g := range groupSaid(held) {
		b.WriteString(yellow.of(markWarn+" "+g.title()) + ": " + Clean(g.text) + faint.of(g.after()) + "\n")
	}
	for _, g := range groupSaid(away) {
		b.WriteString(red.of(markBad+" "+g.title()) + ": " + Clean(g.text) + faint.of(g.after()) + "\n")
	}
	b.WriteString(statusSum(r) + "\n")
	return b.String()
}

func statusSum(r controller.Report) string {
	synced, healthy, stale := 0, 0, 0
	for _, i := range r.Instances {
		if i.Sync == controller.Synced {
			synced++
		}
		if i.Health == controller.Healthy {
			healthy++
		}
		if i.Stale {
			stale++
		}
	}
	n := len(r.Instances)
	parts := []string{portion(synced, n, "synced"), portion(healthy, n, "healthy")}
	if n == 0 {
		parts = []string{yellow.of("no service runs there, or should")}
	}
	if stale > 0 {
		parts = append(parts, yellow.of(fmt.Sprintf("%d stale", stale)))
	}
	down, suspended := 0, 0
	for _, h := range r.Hosts {
		if !h.Reachable {
			down++
		}
		if h.Suspended {
			suspended++
		}
	}
	if suspended > 0 {
		parts = append(parts, yellow.of(fmt.Sprintf("%d suspended", suspended)))
	}
	if down > 0 {
		parts = append(parts, red.of(fmt.Sprintf("%d unreachable", down)))
	}
	return fmt.Sprintf("%s, %s at %s: %s", count(len(r.Hosts), "host"), count(n, "instance"), Revision(r.Revision), strings.Join(parts, ", "))
}

func portion(n, of int, word string) string {
	if n == of {
		return green.of("all " + word)
	}
	return yellow.of(fmt.Sprintf("%d %s", n, word))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func syncPaint(s controller.Sync) paint {
	switch s {
	case controller.Synced:
		return green
	case controller.OutOfSync:
		return yellow
	}
	return red
}

func healthPaint(h controller.Health) paint {
	switch h {
	case controller.Healthy:
		return green
	case controller.Progressing, controller.HealthSuspended, controller.Missing:
		return yellow
	}
	return red
}
