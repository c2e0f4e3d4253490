package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller"
)

// Past is what was: revisions and rollouts, newest first.
type Past struct {
	Revisions []controller.RevisionEntry `json:"revisions"`
	Rollouts  []controller.RolloutEntry  `json:"rollouts"`
}

// History shows both as tables.
func History(p Past) string {
	var rows [][]string
	for _, r := range p.Revisions {
		note := ""
		if r.Signer != "" {
			note = "signed by " + Clean(r.Signer)
		}
		if r.Overridden != "" {
			note = yellow.of("let in by " + Clean(r.Overridden) + ", for it does not descend from the one before")
		}
		rows = append(rows, []string{When(r.Accepted), Revision(r.Revision), Clean(r.Author), Clean(r.Subject), note})
	}
	var b strings.Builder
	b.WriteString(bold.of("Revisions") + "\n")
	b.WriteString(columnsOr([]string{"since", "revision", "author", "subject", ""}, rows, "none yet"))
	rows = nil
	for _, r := range p.Rollouts {
		took := "under way"
		if !r.Ended.IsZero() {
			took = Duration(r.Ended.Sub(r.Began))
		}
		rows = append(rows, []string{Clean(r.ID), When(r.Began), took, Revision(r.Revision), resultPaint(r.Result).of(Clean(string(r.Result))), Clean(r.Why), Clean(r.Words)})
	}
	b.WriteString("\n" + bold.of("Rollouts") + "\n")
	b.WriteString(columnsOr([]string{"id", "began", "took", "revision", "result", "why", "outcome"}, rows, "none yet"))
	return b.String()
}

func columnsOr(header []string, rows [][]string, none string) string {
	if len(rows) == 0 {
		return faint.of(none) + "\n"
	}
	return columns(header, rows)
}

func resultPaint(r controller.Result) paint {
	switch r {
	case controller.Converged:
		return green
	case controller.Stopped, controller.Unreachable, "":
		return yellow
	}
	return red
}

// When is a moment, in UTC; "-" for one that never was.
func When(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(timeForm)
}

// Events are events, one a line.
func Events(list []controller.Event) string {
	if len(list) == 0 {
		return faint.of("nothing happened yet") + "\n"
	}
	var b strings.Builder
	for _, e := range list {
		b.WriteString(Event(e))
	}
	return b.String()
}

// Event is one event as a line.
func Event(e controller.Event) string {
	colour, object := paint(""), e.Host
	if e.Type == controller.Warning {
		colour = yellow
	}
	switch {
	case e.Host != "" && e.Service != "":
		object = e.Host + "/" + e.Service
	case e.Service != "":
		object = "service/" + e.Service
	}
	line := faint.of(When(e.At)) + "  " + colour.of(pad(Clean(e.Reason), 18)) + "  "
	if object != "" {
		line += bold.of(Clean(object)) + "  "
	}
	line += Clean(e.Message)
	if e.By != "" {
		line += faint.of("  by " + Clean(e.By))
	}
	if e.Revision != "" {
		line += faint.of(fmt.Sprintf("  (%s)", Revision(e.Revision)))
	}
	return line + "\n"
}
