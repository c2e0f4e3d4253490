package inventory

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxExpansion is the most hosts that one line of an inventory may stand for.
const maxExpansion = 20_000

// expandHostPattern unfolds what Ansible takes for a host: a name, an address,
// ranges such as web[01:20].example.com, [a:f] and [0:10:2], and a port at the end.
func expandHostPattern(pattern string) (names []string, port int, err error) {
	pattern, port, err = cutPort(pattern)
	if err != nil {
		return nil, 0, err
	}
	if _, err := netip.ParseAddr(pattern); err == nil {
		return []string{pattern}, port, nil
	}
	names = []string{""}
	rest := pattern
	for {
		open := strings.IndexByte(rest, '[')
		if open < 0 {
			break
		}
		end := strings.IndexByte(rest[open:], ']')
		if end < 0 {
			return nil, 0, fmt.Errorf("host range %q lacks its ]", pattern)
		}
		items, err := rangeItems(rest[open+1 : open+end])
		if err != nil {
			return nil, 0, fmt.Errorf("host range %q: %w", pattern, err)
		}
		if len(names)*len(items) > maxExpansion {
			return nil, 0, fmt.Errorf("host range %q stands for more than %d hosts", pattern, maxExpansion)
		}
		names = cross(names, rest[:open], items)
		rest = rest[open+end+1:]
	}
	for i := range names {
		names[i] += rest
	}
	return names, port, nil
}

func cross(prefixes []string, between string, items []string) []string {
	out := make([]string, 0, len(prefixes)*len(items))
	for _, p := range prefixes {
		for _, it := range items {
			out = append(out, p+between+it)
		}
	}
	return out
}

// cutPort takes :PORT off the end, where it is not part of an IPv6 address or a range.
func cutPort(s string) (string, int, error) {
	if strings.HasPrefix(s, "[") {
		if inner, rest, ok := strings.Cut(s[1:], "]"); ok {
			if _, err := netip.ParseAddr(inner); err == nil {
				if rest == "" {
					return inner, 0, nil
				}
				port, err := parsePort(strings.TrimPrefix(rest, ":"))
				return inner, port, err
			}
		}
	}
	colon := strings.LastIndexByte(s, ':')
	inRange := colon >= 0 && strings.LastIndexByte(s[:colon], '[') > strings.LastIndexByte(s[:colon], ']')
	if colon < 0 || inRange {
		return s, 0, nil
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return s, 0, nil
	}
	port, err := parsePort(s[colon+1:])
	return s[:colon], port, err
}

func parsePort(s string) (int, error) {
	port, err := strconv.Atoi(s)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%q is not a port", s)
	}
	return port, nil
}

// rangeItems unfolds BEGIN:END[:STEP] of numbers or of single letters. Leading
// zeros of the beginning are kept.
func rangeItems(spec string) ([]string, error) {
	parts := strings.Split(spec, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, fmt.Errorf("write [BEGIN:END] or [BEGIN:END:STEP]")
	}
	step := 1
	if len(parts) == 3 {
		s, err := strconv.Atoi(parts[2])
		if err != nil || s < 1 {
			return nil, fmt.Errorf("%q is not a step", parts[2])
		}
		step = s
	}
	begin, end := parts[0], parts[1]
	if isLetter(begin) && isLetter(end) {
		return letterRange(begin[0], end[0], step)
	}
	if begin == "" {
		begin = "0"
	}
	return numberRange(begin, end, step)
}

func isLetter(s string) bool { return len(s) == 1 && strings.Contains(lettersDigits[:52], s) }

func letterRange(begin, end byte, step int) ([]string, error) {
	letters := lettersDigits[:52]
	from, to := strings.IndexByte(letters, begin), strings.IndexByte(letters, end)
	if from > to {
		return nil, fmt.Errorf("it ends before it begins")
	}
	var out []string
	for i := from; i <= to; i += step {
		out = append(out, letters[i:i+1])
	}
	return out, nil
}

func numberRange(begin, end string, step int) ([]string, error) {
	from, err1 := strconv.Atoi(begin)
	to, err2 := strconv.Atoi(end)
	if err1 != nil || err2 != nil || from < 0 {
		return nil, fmt.Errorf("write two numbers or two letters")
	}
	if from > to {
		return nil, fmt.Errorf("it ends before it begins")
	}
	if (to-from)/step >= maxExpansion {
		return nil, fmt.Errorf("it stands for more than %d hosts", maxExpansion)
	}
	width := 1
	if len(begin) > 1 && begin[0] == '0' {
		if len(begin) != len(end) {
			return nil, fmt.Errorf("both ends must have the same number of digits")
		}
		width = len(begin)
	}
	var out []string
	for i := from; i <= to; i += step {
		out = append(out, fmt.Sprintf("%0*d", width, i))
	}
	return out, nil
}
