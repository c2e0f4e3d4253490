package rollout

import (
	"path"
	"slices"
)

// Ignore is a difference that is nobody's business, by globs as of path.Match; an empty
// one matches all. Where Key is set, only changes of an env file whose keys that differ
// all match are ignored.
type Ignore struct {
	Host    string `json:"host,omitempty" mapstructure:"host"`
	Service string `json:"service,omitempty" mapstructure:"service"`
	Path    string `json:"path,omitempty" mapstructure:"path"`
	Key     string `json:"key,omitempty" mapstructure:"key"`
}

func (g Ignore) matches(c Change) bool {
	fits := func(glob, s string) bool {
		ok, err := path.Match(glob, s)
		return glob == "" || err == nil && ok
	}
	if !fits(g.Host, c.Host) || !fits(g.Service, c.Service) || !fits(g.Path, c.Subject) {
		return false
	}
	return g.Key == "" || len(c.Keys) > 0 && !slices.ContainsFunc(c.Keys, func(k string) bool { return !fits(g.Key, k) })
}

// WithoutIgnored is changes without those of services whose every change a rule matches.
// Where a service has another change as well, all of it is brought to what is desired.
func WithoutIgnored(changes []Change, rules []Ignore) []Change {
	if len(rules) == 0 {
		return changes
	}
	counts := map[string]bool{}
	for _, c := range changes {
		if !slices.ContainsFunc(rules, func(g Ignore) bool { return g.matches(c) }) {
			counts[c.Service] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return !counts[c.Service] })
}
