package progress

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/rollout"
)

// Size is a terminal's, in cells.
type Size struct{ Width, Height int }

// View draws a state: a line a host, those that matter first to be kept where there
// is no room for all, then the sum and what is waited for. No line is wider and
// there are no more of them than fit. now is on the rollout's own clock.
func View(st rollout.State, now time.Duration, size Size) string {
	var tail []string
	if st.Halted != nil {
		tail = append(tail, show.Red("halted: "+show.Clean(st.Halted.Reason)))
	} else if st.Stopping != "" {
		tail = append(tail, show.Yellow("no further host is begun: "+show.Clean(st.Stopping)))
	} else {
		if st.Paused != nil {
			tail = append(tail, show.Yellow(show.Clean(st.Paused.String())))
		}
		for _, s := range st.Services {
			if text := s.Canary.Words(s.Service, now); text != "" && s.Canary.Phase == rollout.CanaryWaiting {
				tail = append(tail, show.Yellow(show.Clean(text)))
			}
			if w := s.Window; w.Known && !w.Open {
				tail = append(tail, show.Yellow(show.Clean(w.Words(s.Service))+" → waits"))
			}
			if s.Sum != "" {
				tail = append(tail, show.Yellow(show.Clean(s.Sum)+" → waits"))
			}
		}
	}
	tail = append(tail, sum(st, now))
	// The cursor's own line at the end is left free.
	room := size.Height - 1
	if len(tail) > max(1, room/2) {
		tail = tail[len(tail)-max(1, room/2):]
	}
	lines := append(rows(st, now, room-len(tail)), tail...)
	for i := range lines {
		lines[i] = show.Fit(lines[i], size.Width)
	}
	return strings.Join(lines, "\n")
}

// rows are the header and at most n-1 visits, in their order.
func rows(st rollout.State, now time.Duration, n int) []string {
	if n < 2 || len(st.Visits) == 0 {
		return nil
	}
	shown := choose(st.Visits, n-1)
	header := [4]string{"HOST", "SERVICE", "PHASE", "FOR"}
	cells := make([][4]string, len(shown))
	var width [4]int
	for i := range header {
		width[i] = len(header[i])
	}
	for i, v := range shown {
		cells[i] = [4]string{show.Clean(v.Host), show.Clean(strings.Join(v.Services, ", ")), phase(v), lasted(v, now)}
		for j, c := range cells[i] {
			width[j] = min(max(width[j], show.Width(c)), 24)
		}
	}
	line := func(mark string, c [4]string, paint func(string) string, rest string) string {
		text := fmt.Sprintf("%s  %s  %s  %s", cell(c[0], width[0]), cell(c[1], width[1]), paint(cell(c[2], width[2])), cell(c[3], width[3]))
		return mark + " " + text + "  " + rest
	}
	plain := func(s string) string { return s }
	out := []string{show.Faint(strings.TrimRight(line(" ", header, plain, ""), " "))}
	for i, v := range shown {
		mark, paint := look(v, now)
		out = append(out, strings.TrimRight(line(mark, cells[i], paint, show.Faint(show.Clean(whyNow(v)))), " "))
	}
	return out
}

// cell fits s into just so many cells.
func cell(s string, width int) string { return show.Pad(show.Fit(s, width), width) }

// choose picks the n visits that matter most now: what is under way, what went
// wrong, what comes next, what was done last.
func choose(visits []rollout.Visit, n int) []rollout.Visit {
	if len(visits) <= n {
		return visits
	}
	rank := func(v rollout.Visit) int {
		switch {
		case v.Active():
			return 0
		case v.Phase == rollout.PhaseEnded && v.Result != rollout.ResultDone:
			return 1
		case v.Phase == rollout.PhasePending:
			return 2
		}
		return 3
	}
	chosen := slices.Clone(visits)
	slices.SortStableFunc(chosen, func(a, b rollout.Visit) int {
		if by := rank(a) - rank(b); by != 0 {
			return by
		}
		if rank(a) == 3 {
			return int(b.Since - a.Since)
		}
		return a.ID - b.ID
	})
	chosen = chosen[:n]
	slices.SortFunc(chosen, func(a, b rollout.Visit) int { return a.ID - b.ID })
	return chosen
}

func phase(v rollout.Visit) string {
	switch v.Phase {
	case rollout.PhasePending:
		return "waits"
	case rollout.PhaseEnded:
		return string(v.Result)
	}
	return string(v.Phase)
}

// lasted is how long a visit's phase lasts already, or the whole visit lasted.
func lasted(v rollout.Visit, now time.Duration) string {
	switch {
	case v.Active():
		return show.Duration(now - v.Since)
	case v.Phase == rollout.PhaseEnded:
		return show.Duration(v.Since - v.Began)
	}
	return ""
}

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

func look(v rollout.Visit, now time.Duration) (mark string, paint func(string) string) {
	switch {
	case v.Active() && v.Failing != "":
		return show.Red(spin(now)), show.Red
	case v.Active():
		return show.Cyan(spin(now)), show.Cyan
	case v.Phase == rollout.PhasePending:
		return " ", show.Faint
	case v.Result == rollout.ResultDone:
		return show.Green("✔"), show.Green
	case v.Result == rollout.ResultStopped:
		return show.Yellow("!"), show.Yellow
	}
	return show.Red("✘"), show.Red
}

func spin(now time.Duration) string { return spinner[int(now/(100*time.Millisecond))%len(spinner)] }

// sum is how far the rollout is: "3 of 20 done, 1 in hand, 1 not done; 12s".
func sum(st rollout.State, now time.Duration) string {
	done, active, bad := 0, 0, 0
	for _, v := range st.Visits {
		switch {
		case v.Active():
			active++
		case v.Phase == rollout.PhaseEnded && v.Result == rollout.ResultDone:
			done++
		case v.Phase == rollout.PhaseEnded:
			bad++
		}
	}
	text := fmt.Sprintf("%d of %d done", done, len(st.Visits))
	if active > 0 {
		text += fmt.Sprintf(", %d in hand", active)
	}
	text = show.Bold(text)
	if bad > 0 {
		text += show.Red(fmt.Sprintf(", %d not done", bad))
	}
	return text + show.Faint("  "+show.Duration(now))
}
