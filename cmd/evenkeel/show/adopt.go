package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired/adopt"
	"github.com/evenkeel/evenkeel/rollout"
)

// Adoption is what adopt has done.
type Adoption struct {
	Out      string           `json:"out"`
	Hosts    []string         `json:"hosts"`
	Services []*adopt.Service `json:"services"`
	Alone    []adopt.Foreign  `json:"leftAlone"`
	AgeKey   string           `json:"ageKey,omitempty"` // the file of the key that opens the secrets
	NewKey   bool             `json:"newKey,omitempty"` // it was made
	Errors   int              `json:"errors"`           // of validate
	Warnings int              `json:"warnings"`
	Exit     int              `json:"planExit"` // as plan's: 0 there is nothing to change
	Plan     *rollout.Plan    `json:"plan,omitempty"`
	PlanText string           `json:"-"` // where it is not empty
}

// Adopted shows what was taken over, what was not, and what the proof says.
func Adopted(a Adoption) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From %s into %s:\n", Names(a.Hosts), bold.of(Clean(a.Out)))
	for _, s := range a.Services {
		fmt.Fprintf(&b, "\n  %s  %s\n", bold.of(Clean(s.Name)), Names(s.Hosts))
		adoptedLine(&b, "units", s.Units)
		adoptedLine(&b, "encrypted", s.Encrypted)
		adoptedLine(&b, "in plain", byFile(s.Open))
		adoptedLine(&b, "differs", s.Differs)
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "    %s %s\n", yellow.of(markWarn), Clean(n))
		}
	}
	if len(a.Services) == 0 {
		b.WriteString("\n  nothing was adopted: what was asked for is not there, or the fleet repo has it already\n")
	}
	if len(a.Alone) > 0 {
		b.WriteString("\nLeft alone:\n")
		for _, l := range leftAlone(a.Alone) {
			b.WriteString("  " + l + "\n")
		}
	}
	if a.AgeKey != "" {
		made := "the age key is"
		if a.NewKey {
			made = "a new age key is"
		}
		fmt.Fprintf(&b, "\nSecrets are encrypted: %s in %s (only you can read it). Keep it outside of git, with a\ncopy in a safe place, and name it: export SOPS_AGE_KEY_FILE=%s\n", made, Clean(a.AgeKey), Clean(a.AgeKey))
	}
	if len(a.Services) == 0 {
		return b.String()
	}
	b.WriteString("\n")
	switch {
	case a.Errors > 0:
		b.WriteString(red.of(fmt.Sprintf("%s validate: %s", markBad, count(a.Errors, "error"))) + ", " + count(a.Warnings, "warning") + "\n")
	default:
		fmt.Fprintf(&b, "%s validate: no error, %s\n", green.of(markGood), count(a.Warnings, "warning"))
	}
	if a.Exit == 0 {
		fmt.Fprintf(&b, "%s plan: nothing to change on %s\n", green.of(markGood), count(len(a.Hosts), "host"))
	} else {
		b.WriteString(red.of(markBad+" plan: it is not empty") + "\n\n" + a.PlanText)
	}
	fmt.Fprintf(&b, "\nNext: look at what stands in plain text, add drain and health to each service.yaml, then\n  cd %s && git init -b main && git add -A && git commit -m 'as it runs'\n", Clean(a.Out))
	return b.String()
}

func adoptedLine(b *strings.Builder, what string, items []string) {
	if len(items) == 0 {
		return
	}
	var clean []string
	for _, it := range items {
		clean = append(clean, Clean(it))
	}
	sep := ", "
	if slices.ContainsFunc(clean, func(s string) bool { return strings.Contains(s, ", ") }) {
		sep = "; "
	}
	fmt.Fprintf(b, "    %s  %s\n", faint.of(pad(what, 9)), strings.Join(clean, sep))
}

// byFile joins "PATH: KEY" of one file to "PATH: KEY, KEY".
func byFile(items []string) []string {
	var out []string
	for _, it := range items {
		file, key, _ := strings.Cut(it, ": ")
		if n := len(out) - 1; n >= 0 && strings.HasPrefix(out[n], file+": ") {
			out[n] += ", " + key
			continue
		}
		out = append(out, it)
	}
	return out
}

// leftAlone are lines of what several hosts have in common.
func leftAlone(all []adopt.Foreign) []string {
	type thing struct{ what, reason, mend string }
	hosts := map[thing][]string{}
	var order []thing
	for _, f := range all {
		t := thing{f.What, f.Reason, f.Mend}
		if len(all) > 1 { // the command names one host, and is one for all
			t.mend = strings.ReplaceAll(t.mend, " "+f.Host, " HOST")
		}
		if hosts[t] == nil {
			order = append(order, t)
		}
		hosts[t] = append(hosts[t], f.Host)
	}
	var out []string
	for _, t := range order {
		out = append(out, fmt.Sprintf("%s  %s %s", bold.of(Clean(t.what)), Clean(t.reason), faint.of("("+Names(hosts[t])+")")))
		if t.mend != "" {
			out = append(out, "  "+mend(t.mend))
		}
	}
	return out
}
