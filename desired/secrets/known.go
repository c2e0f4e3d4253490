package secrets

import (
	"fmt"
	"slices"
	"strings"

	"github.com/getsops/sops/v3"

	"github.com/evenkeel/evenkeel/desired"
)

// StillKnown are the encrypted keys of a file whose values are what they were in an
// older version of it: who could read that one knows them. Where no key here opens
// both, only values whose ciphertext is the same are told.
func (d *Decrypter) StillKnown(name string, then, now []byte) []string {
	sealed, err := load(name, now)
	if err != nil {
		return nil
	}
	encrypted := leaves(sealed.Branches)
	plain := encrypted
	var before map[string]string
	switch old, err := load(name, then); {
	case err != nil: // it was not encrypted
		branches, err := storeFor(name).LoadPlainFile(then)
		if err != nil {
			return nil
		}
		before = leaves(branches)
		if open, _, _, err := d.open(name, now); err == nil {
			plain = leaves(open.Branches)
		}
	default:
		before = leaves(old.Branches)
		oldOpen, _, _, err1 := d.open(name, then)
		open, _, _, err2 := d.open(name, now)
		if err1 == nil && err2 == nil {
			before, plain = leaves(oldOpen.Branches), leaves(open.Branches)
		}
	}
	var known []string
	for key, value := range encrypted {
		if was, ok := before[key]; ok && strings.HasPrefix(value, "ENC[") && was == plain[key] {
			known = append(known, key)
		}
	}
	slices.Sort(known)
	return known
}

// leaves are the values of a tree by their path, without comments. That of a binary
// file has the path "data".
func leaves(branches sops.TreeBranches) map[string]string {
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		below := func(name any) string { return strings.TrimPrefix(fmt.Sprintf("%s.%v", path, name), ".") }
		switch v := v.(type) {
		case sops.TreeBranch:
			for _, item := range v {
				if _, comment := item.Key.(sops.Comment); !comment {
					walk(below(item.Key), item.Value)
				}
			}
		case []any:
			for i, item := range v {
				walk(below(i), item)
			}
		case sops.Comment, nil:
		default:
			out[path] = fmt.Sprint(v)
		}
	}
	for _, b := range branches {
		walk("", b)
	}
	return out
}

// Version is one version of a SOPS file, as git has it.
type Version struct {
	Commit, Date string
	Data         []byte
}

// RuleKnownSecret is the rule of the warnings of Forgotten.
const RuleKnownSecret = "known-secret"

// Forgotten warns of those who once could open a file (or everybody, while it was plain
// text), cannot now, and still know values of it, as far as the older versions tell:
// newest first.
func (d *Decrypter) Forgotten(name string, now []byte, older []Version) []desired.Fault {
	current, err := Recipients(name, now)
	if err != nil {
		return nil
	}
	told := map[string]bool{}
	for _, r := range current {
		told[r.Kind+r.Key] = true
	}
	var faults []desired.Fault
	warn := func(who string, v Version) {
		keys := d.StillKnown(name, v.Data, now)
		if len(keys) == 0 {
			return
		}
		faults = append(faults, desired.Fault{Pos: desired.Position{File: name}, Severity: desired.SeverityWarning, Rule: RuleKnownSecret,
			Message: fmt.Sprintf("%s in commit %s (%s), and %s still what it was", who, v.Commit, v.Date, isAre(keys)),
			Mend:    "give it another value, with evenkeel secret set, and take the old one out of use"})
	}
	plain := false
	for _, v := range older {
		was, err := Recipients(name, v.Data)
		if err != nil && !plain {
			plain = true
			warn("it was plain text", v)
		}
		for _, r := range was {
			if !told[r.Kind+r.Key] {
				told[r.Kind+r.Key] = true
				warn(r.Key+", which was removed since, could open it", v)
			}
		}
	}
	return faults
}

func isAre(keys []string) string {
	if len(keys) == 1 {
		return "the value of " + keys[0] + " is"
	}
	const most = 5
	if n := len(keys); n > most {
		keys = append(slices.Clone(keys[:most]), fmt.Sprintf("%d more", n-most))
	}
	return "each value of " + strings.Join(keys, ", ") + " is"
}
