package fault

import (
	"sort"
	"strconv"
	"strings"
)

// Position is a place in the fleet repo, for messages. Line and Column count from
// 1; 0 is unknown.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is FILE:LINE:COLUMN without the parts that are unknown, as compilers
// write it.
func (p Position) String() string {
	s := p.File
	if p.Line == 0 {
		return s
	}
	s += ":" + strconv.Itoa(p.Line)
	if p.Column > 0 {
		s += ":" + strconv.Itoa(p.Column)
	}
	return s
}

// Severity is how much a Fault matters.
type Severity string

// The severities. The zero value is an Error.
const (
	Error   Severity = "error"   // what it concerns is not used
	Warning Severity = "warning" // used as it stands; a person should look
)

// Fault is one thing wrong in a fleet repo. It never holds a secret value.
type Fault struct {
	Pos      Position `json:"position"`
	Severity Severity `json:"severity,omitempty"`
	Rule     string   `json:"rule,omitempty"`    // the check's name, such as "unknown-key"
	Service  string   `json:"service,omitempty"` // "" where it is the fleet's or the inventory's
	Host     string   `json:"host,omitempty"`    // the host it is so on, or several in words; "" where on all
	Message  string   `json:"message"`
	Mend     string   `json:"mend,omitempty"`
}

// IsError tells whether the fault is more than a warning.
func (f Fault) IsError() bool { return f.Severity != Warning }

// String is one line: place, message and mend.
func (f Fault) String() string {
	var b strings.Builder
	if p := f.Pos.String(); p != "" {
		b.WriteString(p)
		b.WriteString(": ")
	}
	if !f.IsError() {
		b.WriteString("warning: ")
	}
	b.WriteString(f.Message)
	if f.Host != "" {
		b.WriteString(" (on " + f.Host + ")")
	}
	if f.Mend != "" {
		b.WriteString(": ")
		b.WriteString(f.Mend)
	}
	return b.String()
}

// Faults is every fault found, as one error.
type Faults []Fault

// Error is one line a fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Errors are those that are not warnings.
func (fs Faults) Errors() Faults { return fs.where(Fault.IsError) }

// Warnings are those that are not errors.
func (fs Faults) Warnings() Faults {
	return fs.where(func(f Fault) bool { return !f.IsError() })
}

func (fs Faults) where(keep func(Fault) bool) Faults {
	var out Faults
	for _, f := range fs {
		if keep(f) {
			out = append(out, f)
		}
	}
	return out
}

// Err is the faults as an error, or nil where there is nothing but warnings.
func (fs Faults) Err() error {
	if errs := fs.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}

// Sort orders by file, line, column and message, in place.
func (fs Faults) Sort() {
	sort.SliceStable(fs, func(i, j int) bool {
		a, b := fs[i], fs[j]
		switch {
		case a.Pos.File != b.Pos.File:
			return a.Pos.File < b.Pos.File
		case a.Pos.Line != b.Pos.Line:
			return a.Pos.Line < b.Pos.Line
		case a.Pos.Column != b.Pos.Column:
			return a.Pos.Column < b.Pos.Column
		}
		return a.Message < b.Message
	})
}

// Merge joins faults that are the same but for their host into one that names the
// first host and counts the others. The order is that of their first.
func (fs Faults) Merge() Faults {
	index := map[Fault]int{}
	hosts := map[int][]string{}
	var out Faults
	for _, f := range fs {
		key := f
		key.Host = ""
		i, seen := index[key]
		if !seen {
			i = len(out)
			index[key] = i
			out = append(out, f)
		}
		if f.Host != "" && !contains(hosts[i], f.Host) {
			hosts[i] = append(hosts[i], f.Host)
		}
	}
	for i := range out {
		switch h := hosts[i]; len(h) {
		case 0, 1:
		case 2:
			out[i].Host = h[0] + " and " + h[1]
		default:
			out[i].Host = h[0] + " and " + strconv.Itoa(len(h)-1) + " other hosts"
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
