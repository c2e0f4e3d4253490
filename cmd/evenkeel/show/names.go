package show

import (
	"fmt"
	"strconv"
	"strings"
)

// Names lists names in their order, short enough for a line: three or more whose
// numbers follow one another become a range, and beyond most parts only their
// number is told.
//
//	web-1, web-2
//	web-1 … web-20, db-1
func Names(names []string) string { return nameList(names, ", ", 8) }

func nameList(names []string, sep string, most int) string {
	var parts []string
	shown := 0
	for i := 0; i < len(names); {
		if len(parts) == most {
			return strings.Join(parts, sep) + fmt.Sprintf(" and %d more", len(names)-shown)
		}
		n := run(names[i:])
		switch {
		case n >= 3:
			parts = append(parts, Clean(names[i])+" … "+Clean(names[i+n-1]))
		default:
			n = 1
			parts = append(parts, Clean(names[i]))
		}
		i, shown = i+n, shown+n
	}
	return strings.Join(parts, sep)
}

// run is how many names, from the first on, differ only in a last number that
// counts up by one. Numbers with leading zeros keep their width.
func run(names []string) int {
	prefix, digits, value := numbered(names[0])
	if digits == "" {
		return 1
	}
	n := 1
	for n < len(names) {
		p, d, v := numbered(names[n])
		padded := digits[0] == '0' || d != "" && d[0] == '0'
		if d == "" || p != prefix || v != value+n || padded && len(d) != len(digits) {
			break
		}
		n++
	}
	return n
}

// numbered splits "web-12" into "web-", "12" and 12; digits is "" where a name
// does not end in a number of sensible length.
func numbered(name string) (prefix, digits string, value int) {
	prefix = strings.TrimRight(name, "0123456789")
	digits = name[len(prefix):]
	value, err := strconv.Atoi(digits)
	if err != nil || prefix == "" || len(digits) > 9 {
		return name, "", 0
	}
	return prefix, digits, value
}
