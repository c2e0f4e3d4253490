package adopt

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// plainYAML are texts that YAML takes for just that, also within [] and {}.
var plainYAML = regexp.MustCompile(`^[A-Za-z/_][A-Za-z0-9_./@+-]*$`)

// quote writes a text as a YAML scalar. JSON's strings are YAML's.
func quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null":
	default:
		if plainYAML.MatchString(s) {
			return s
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be
	return strings.TrimSuffix(b.String(), "\n")
}

// pair is a key of a flow mapping with its value, written.
type pair struct{ key, value string }

// flow writes {key: value, …}, without those that have no value.
func flow(pairs ...pair) string {
	var parts []string
	for _, p := range pairs {
		if p.value != "" {
			parts = append(parts, p.key+": "+p.value)
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func text(key, value string) pair {
	if value == "" {
		return pair{key, ""}
	}
	return pair{key, quote(value)}
}

// list writes [a, b].
func list(items []string) string {
	quoted := make([]string, len(items))
	for i, it := range items {
		quoted[i] = quote(it)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// comment writes lines as comments, indented.
func comment(b *strings.Builder, indent string, lines ...string) {
	for _, l := range lines {
		b.WriteString(strings.TrimRight(indent+"# "+clean(l), " ") + "\n")
	}
}

// clean keeps a comment one line, whatever a host has said.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// jsonText is a text in quotes, whatever it is like.
func jsonText(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
