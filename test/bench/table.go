package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is a Markdown table with a heading and remarks.
type table struct {
	title   string
	remarks []string // paragraphs before the table
	header  []string
	rows    [][]string
	after   []string // lines of a list after it: ratios and targets
}

// row adds a row; it must have as many cells as the header.
func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) conclude(format string, args ...any) {
	t.after = append(t.after, fmt.Sprintf(format, args...))
}

// write writes Markdown whose columns also line up as plain text. A table without rows
// writes nothing.
func (t *table) write(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n", t.title)
	for _, r := range t.remarks {
		fmt.Fprintf(&b, "%s\n\n", r)
	}
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string) {
		b.WriteByte('|')
		for i, cell := range cells {
			fmt.Fprintf(&b, " %s%s |", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteByte('\n')
	}
	rule := make([]string, len(widths))
	for i, n := range widths {
		rule[i] = strings.Repeat("-", max(3, n))
	}
	for i := range widths {
		widths[i] = max(3, widths[i])
	}
	line(t.header)
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	if len(t.after) > 0 {
		b.WriteByte('\n')
	}
	for _, a := range t.after {
		fmt.Fprintf(&b, "- %s\n", a)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
