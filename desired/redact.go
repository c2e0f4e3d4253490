package desired

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// What counts as a secret in what a program says. Something shorter would be found in
// words that have nothing to do with it.
const (
	leastSecret = 6 // bytes of a value
	leastLine   = 8 // bytes of a line of a longer one, or of a value inside a file
)

const redactedWord = "[redacted]"

// Redaction hides the secrets that a revision gives to hosts in what a program says there: its
// log, the output of a hook. What it makes of them (a hash, half of one) cannot be known. The
// zero value hides nothing.
type Redaction struct{ values map[string]bool }

func (s *Redaction) add(value string, least int) {
	if len(value) >= least && utf8.ValidString(value) {
		if s.values == nil {
			s.values = map[string]bool{}
		}
		s.values[value] = true
	}
}

// Host adds the secrets of a host.
func (s *Redaction) Host(hs HostState) {
	for i := range hs.Instances {
		for j := range hs.Instances[i].Files {
			s.ofFile(&hs.Instances[i].Files[j])
		}
	}
}

func (s *Redaction) ofFile(f *File) {
	for _, v := range f.Vars {
		if v.Secret {
			s.lines(string(v.Value.Bytes()))
		}
	}
	switch {
	case !f.Secret || f.Kind == FileEnv:
	case f.Sealing != nil:
		s.lines(string(f.Sealing.Plain.Bytes()))
	default:
		s.lines(string(f.Content.Bytes()))
		s.inside(string(f.Content.Bytes()))
	}
}

// lines adds a value, and each of its lines, for a process that writes them to its
// output makes an entry of each.
func (s *Redaction) lines(value string) {
	value = strings.TrimSpace(value)
	s.add(value, leastSecret)
	if !strings.Contains(value, "\n") {
		return
	}
	for line := range strings.Lines(value) {
		// The frame of a PEM block is no secret.
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
			s.add(line, leastLine)
		}
	}
}

// inside adds what stands behind a colon or an equals sign, as in YAML, JSON and INI.
func (s *Redaction) inside(text string) {
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, ":="); i >= 0 {
			s.add(strings.Trim(line[i+1:], " \t\r\n,\"'{}[]"), leastLine)
		}
	}
}

// Replacer replaces them by "[redacted]", as they are and as they stand in JSON, in a URL or
// in base64. It is nil where there are none.
func (s *Redaction) Replacer() *strings.Replacer {
	if len(s.values) == 0 {
		return nil
	}
	forms := map[string]bool{}
	for v := range s.values {
		forms[v] = true
		forms[url.QueryEscape(v)], forms[url.PathEscape(v)] = true, true
		for _, html := range []bool{false, true} { // whether & < > are escaped, too
			forms[inJSON(v, html)] = true
		}
		forms[base64.RawStdEncoding.EncodeToString([]byte(v))] = true
		forms[base64.RawURLEncoding.EncodeToString([]byte(v))] = true
	}
	// A longer one wins over one that it begins with.
	ordered := make([]string, 0, len(forms))
	for f := range forms {
		ordered = append(ordered, f)
	}
	slices.SortFunc(ordered, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	pairs := make([]string, 0, 2*len(ordered))
	for _, f := range ordered {
		pairs = append(pairs, f, redactedWord)
	}
	return strings.NewReplacer(pairs...)
}

// inJSON is a text as it stands in JSON, without the quotes.
func inJSON(text string, html bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	if err := enc.Encode(text); err != nil {
		return text // a string is always encoded
	}
	quoted := strings.TrimSuffix(b.String(), "\n")
	return quoted[1 : len(quoted)-1]
}
