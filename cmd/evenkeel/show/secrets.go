package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/rollout"
)

// Secrets shows secrets, how old they are, how far rotations are, and what the processes of
// each instance hold.
func Secrets(secrets []controller.SecretStatus, now time.Time) string {
	if len(secrets) == 0 {
		return "the fleet declares no secrets that rotate (spec.secrets in fleet.yaml)\n"
	}
	var b strings.Builder
	for i, s := range secrets {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(secretLine(s, now))
		if s.Fault != "" {
			b.WriteString(red.of(markBad+" "+Clean(s.Fault)) + "\n")
		}
		for _, w := range s.Waits {
			b.WriteString(yellow.of("waits: "+Clean(w)) + "\n")
		}
		var rows [][]string
		for _, h := range s.Holdings {
			words, colour := holdingWords(s, h)
			since := ""
			if !h.Since.IsZero() {
				since = Duration(now.Sub(h.Since).Truncate(time.Second))
			}
			rows = append(rows, []string{Clean(h.Host), Clean(h.Service), string(h.Role), colour.of(words), orDash(since), Clean(h.Reason)})
		}
		if len(rows) > 0 {
			b.WriteString(columns([]string{"host", "service", "role", "holds", "for", "reason"}, rows))
		}
	}
	return b.String()
}

// secretLine is a secret's first line.
func secretLine(s controller.SecretStatus, now time.Time) string {
	parts := []string{}
	switch {
	case s.Active():
		parts = append(parts, yellow.of("rotation: "+string(s.Phase)))
		if n := len(s.Behind()); n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %s behind", n, count(len(s.Holdings), "instance")))
		}
	case s.Rotates:
		parts = append(parts, green.of("rotation: done"))
	default:
		parts = append(parts, "no rotation under way")
	}
	age := "of unknown age"
	if !s.Made.IsZero() {
		age = Duration(now.Sub(s.Made).Truncate(time.Second)) + " old"
	}
	parts = append(parts, age)
	switch {
	case s.Overdue && !s.Due.IsZero():
		parts = append(parts, red.of("overdue since "+s.Due.Format(time.DateOnly)))
	case s.Overdue:
		parts = append(parts, red.of("overdue"))
	case !s.Due.IsZero():
		parts = append(parts, "due "+s.Due.Format(time.DateOnly))
	}
	return Clean(s.Secret) + ": " + strings.Join(parts, ", ") + "\n"
}

func holdingWords(s controller.SecretStatus, h rollout.Holding) (string, paint) {
	words := h.Words()
	switch {
	case !h.Known:
		return words, red
	case h.Fresh, words == "current":
		return words, green
	case s.Rotates:
		return words, yellow
	}
	return "another", yellow // there is but one value to compare with
}
