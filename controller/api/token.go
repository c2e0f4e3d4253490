package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// Scope is what a token may be used for.
type Scope string

// The scopes. Operate includes the others. What services log is apart from Read: it may
// hold what nobody meant to be read by all who look at a dashboard.
const (
	ScopeRead    Scope = "read"
	ScopeLogs    Scope = "logs"
	ScopeOperate Scope = "operate"
)

// does is what a scope lets do, as a verb.
func (s Scope) does() string {
	if s == ScopeLogs {
		return "read logs"
	}
	return string(s)
}

// Token is one entry of the tokens file. The token itself is nowhere but with whoever
// uses it.
type Token struct {
	Name    string  `yaml:"name" jsonschema:"required"`
	Hash    string  `yaml:"hash" jsonschema:"required"` // sha256:HEX of the token
	Scopes  []Scope `yaml:"scopes" jsonschema:"required"`
	Expires string  `yaml:"expires"` // RFC 3339; "": never

	until time.Time
}

const (
	tokenPrefix = "ek_" // so that scanners for leaked secrets know one
	hashPrefix  = "sha256:"
	tokenBytes  = 32
	maxToken    = 256 // the longest that is even hashed
)

// NewToken makes a token of 256 random bits, and its entry.
func NewToken(name string, scopes []Scope, expires time.Time) (token string, entry Token, err error) {
	raw := make([]byte, tokenBytes)
	if _, err := rand.Read(raw); err != nil {
		return "", Token{}, fmt.Errorf("cannot make a token: %w", err)
	}
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	entry = Token{Name: name, Hash: hashPrefix + hashOf(token), Scopes: scopes}
	if !expires.IsZero() {
		entry.Expires = expires.UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	return token, entry, entry.check()
}

func hashOf(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// check tells what is wrong with an entry, and fills in what follows from it.
func (t *Token) check() error {
	hash, ok := strings.CutPrefix(t.Hash, hashPrefix)
	switch raw, err := hex.DecodeString(hash); {
	case t.Name == "" || len(t.Name) > 64 || strings.ContainsFunc(t.Name, oddInName):
		return fmt.Errorf("the name %s must be of letters, digits and . _ - @, at most 64", fault.Quote(t.Name))
	case !ok || err != nil || len(raw) != sha256.Size:
		return fmt.Errorf("the hash of token %s must be sha256: and 64 hex digits, as evenkeel token create prints it", t.Name)
	case len(t.Scopes) == 0:
		return fmt.Errorf("token %s has no scope: use read, logs or operate", t.Name)
	}
	for _, s := range t.Scopes {
		if s != ScopeRead && s != ScopeLogs && s != ScopeOperate {
			return fmt.Errorf("token %s has scope %s: use read, logs or operate", t.Name, fault.Quote(string(s)))
		}
	}
	if t.Expires == "" {
		return nil
	}
	until, err := time.Parse(time.RFC3339, t.Expires)
	if err != nil {
		return fmt.Errorf("token %s expires %s: write a time such as 2027-01-31T00:00:00Z", t.Name, fault.Quote(t.Expires))
	}
	t.until = until
	return nil
}

func oddInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-@", r)
}

// Until is when the token ends; zero: never.
func (t *Token) Until() time.Time { return t.until }

// may tells whether the token has a scope.
func (t *Token) may(s Scope) bool {
	return slices.Contains(t.Scopes, s) || slices.Contains(t.Scopes, ScopeOperate)
}

// live tells whether the token has not expired.
func (t *Token) live(now time.Time) bool { return t.until.IsZero() || now.Before(t.until) }

// ParseTokens reads a tokens file: a YAML list of entries.
func ParseTokens(file string, text []byte) ([]Token, error) { return parseTokens(file, text) }

func parseTokens(file string, text []byte) ([]Token, error) {
	docs, faults := strictyaml.Parse(file, text)
	if len(faults) > 0 {
		return nil, faults
	}
	switch len(docs) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, fmt.Errorf("%s: it must be one list of tokens", docs[1].Pos())
	}
	var tokens []Token
	pos, faults := strictyaml.Decode(docs[0], &tokens)
	if len(faults) > 0 {
		return nil, faults
	}
	names := map[string]bool{}
	for i := range tokens {
		t := &tokens[i]
		at := pos.At(fmt.Sprintf("[%d]", i))
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if names[t.Name] {
			return nil, fmt.Errorf("%s: there are two tokens named %s", at, t.Name)
		}
		names[t.Name] = true
	}
	return tokens, nil
}

// find is the entry of a token. Every entry is compared, in constant time.
func find(tokens []Token, token string) (Token, bool) {
	if len(token) > maxToken {
		return Token{}, false
	}
	hash := []byte(hashPrefix + hashOf(token))
	found := -1
	for i := range tokens {
		if subtle.ConstantTimeCompare(hash, []byte(strings.ToLower(tokens[i].Hash))) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Token{}, false
	}
	return tokens[found], true
}
