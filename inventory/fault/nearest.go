package fault

import (
	"sort"
	"strings"
)

// Nearest finds the candidate that word was most likely meant to be. It reports
// false where none is near enough to be a misspelling.
func Nearest(word string, candidates []string) (string, bool) {
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	best, bestCost := "", len(word)/3+2
	for _, c := range sorted {
		if c == word || len(c) > 4*len(word)+8 {
			continue
		}
		cost := distance(strings.ToLower(word), strings.ToLower(c))
		if limit := max(len(word), len(c))/3 + 1; cost > limit || cost >= len(word) {
			continue
		}
		if cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best, best != ""
}

// DidYouMean is the mend that names the nearest candidate, or else, where they
// are few, all of them. It is "" where there is nothing to name.
func DidYouMean(word string, candidates []string) string {
	if n, ok := Nearest(word, candidates); ok {
		return "did you mean " + Quote(n) + "?"
	}
	if len(candidates) == 0 || len(candidates) > 16 {
		return ""
	}
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	if len(sorted) == 1 {
		return "there is " + sorted[0]
	}
	return "there are " + strings.Join(sorted, ", ")
}

// distance is the optimal string alignment distance: inserted, deleted, replaced
// and swapped neighbouring bytes cost 1 each.
func distance(a, b string) int {
	const longest = 200
	if len(a) > longest || len(b) > longest {
		return longest
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// Quote puts s in double quotes for a message: control characters are escaped and
// very long text is cut.
func Quote(s string) string {
	const longest = 120
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	return quoteEscaped(s)
}

func quoteEscaped(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0):
			const hex = "0123456789abcdef"
			b.WriteString(`\x`)
			b.WriteByte(hex[(r>>4)&0xf])
			b.WriteByte(hex[r&0xf])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
