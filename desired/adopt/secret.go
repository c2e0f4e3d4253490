package adopt

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/lint"
)

// Secrets tells what is a secret. A value that is taken for one by mistake is encrypted,
// which costs nothing; one that is missed stands in git. So it is taken wider than
// validate takes it.
type Secrets struct {
	Also  []string // globs of keys whose values are secrets as well
	Plain []string // globs of keys whose values are none
}

var (
	// secretWord are parts of names that stand for secrets.
	secretWord = regexp.MustCompile(`(?i)(?:^|[_.-])(?:token|password|passwd|passphrase|pass|pwd|secret|secrets|salt|cookie|credential|credentials|auth|jwt|hmac|psk|apikey|privatekey)(?:$|[_.-])|(?i)(?:[_.-]key|^key|secretkey|accesskey|apikey|signingkey|encryptionkey|privatekey)$`)
	// aboutSecret are ends of names that tell something of a secret, and not it.
	aboutSecret = regexp.MustCompile(`(?i)[_.-](?:file|path|dir|ttl|timeout|url|uri|issuer|type|mode|method|enabled|name|header|expiry|length|size|algorithm|domain|max|min|id)$`)
	// secretValue are forms that only secrets have.
	secretValue = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAGE-SECRET-KEY-1|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abeprs]-[A-Za-z0-9-]{10,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|\bhv[sb]\.[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@`)
	// randomValue is a long run that nobody types: hex or base64 with digits among letters.
	randomValue = regexp.MustCompile(`^(?:[0-9a-fA-F]{32,}|[A-Za-z0-9+/_-]{32,}={0,2})$`)
	// harmless are values that stand for a switch or a number, not a secret.
	harmless = regexp.MustCompile(`(?i)^(?:true|false|yes|no|on|off|none|null|basic|bearer|[0-9]{1,4}|[0-9]+(?:ms|s|m|h|d))$`)
)

// Is tells whether the value of a key is a secret.
func (s Secrets) Is(key, value string) bool {
	value = strings.TrimSpace(value)
	switch {
	case value == "" || named(s.Plain, key):
		return false
	case named(s.Also, key) || secretValue.MatchString(value):
		return true
	case lint.LooksSecret(key, value):
		return true
	case secretWord.MatchString(key) && !aboutSecret.MatchString(key):
		return !harmless.MatchString(value) && !path.IsAbs(value)
	}
	return randomValue.MatchString(value) && strings.ContainsAny(value, "0123456789") && strings.ContainsAny(value, "abcdefghijklmnopqrstuvwxyzABCDEF") && !path.IsAbs(value)
}

func named(globs []string, key string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := path.Match(g, key)
		return err == nil && ok
	})
}

// assignment is a line of a configuration file that gives something a value, in most of
// their languages.
var assignment = regexp.MustCompile(`^[\s#;/*-]*["']?([A-Za-z][A-Za-z0-9_.-]*)["']?\s*(?::=|=>|[:=\s])\s*["']?([^"',\s][^"']*?)["']?[,;]?\s*$`)

// InFile tells whether a file of any language holds what looks like a secret.
func (s Secrets) InFile(data []byte) bool { return s.inText(data) }

// inText tells whether a file of any language holds what looks like a secret.
func (s Secrets) inText(data []byte) bool {
	if secretValue.Match(data) {
		return true
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return false // a program: there is no line in it
	}
	for line := range strings.Lines(string(data)) {
		if m := assignment.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil && len(line) < 4096 && s.Is(m[1], m[2]) {
			return true
		}
	}
	return false
}

// inUnit is the key of the first secret in a unit's Environment=, or "".
func (s Secrets) inUnit(text desired.UnitFile) string {
	for _, d := range text.Directives {
		if d.Key != "Environment" && !strings.HasPrefix(d.Key, "Exec") {
			continue
		}
		words, _ := desired.UnitWords(d.Value)
		for i, w := range words {
			key, value, ok := strings.Cut(strings.TrimLeft(w, "-"), "=")
			if !ok && strings.HasPrefix(w, "-") && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
				value, ok = words[i+1], true // --password VALUE
			}
			if ok && s.Is(key, value) || secretValue.MatchString(w) {
				return d.Key + "= (line " + itoa(d.Line) + ")"
			}
		}
	}
	return ""
}

// inComment is the same of what somebody has put behind a #.
func (s Secrets) inComment(data []byte) string {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		bare := strings.TrimLeft(strings.TrimSpace(line), "#; ")
		if bare == strings.TrimSpace(line) {
			continue
		}
		old, _ := desired.ParseUnit([]byte("[Service]\n" + bare + "\n"))
		if s.inUnit(old) != "" || secretValue.MatchString(bare) {
			return "a comment (line " + itoa(n) + ")"
		}
	}
	return ""
}
