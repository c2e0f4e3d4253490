package inventory

import (
	"fmt"
	"sort"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// Selector is Kubernetes' label selector: all parts must hold. An empty one
// matches nothing here, so that a forgotten selector never means every host.
type Selector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`      // labels that the host has with just this value
	MatchExpressions []Requirement     `yaml:"matchExpressions"` // expressions over labels; all must hold
}

// Requirement is one expression over one label. NotIn and DoesNotExist also hold
// where the host has no such label.
type Requirement struct {
	Key      string   `yaml:"key" jsonschema:"required"`                                                       // the label
	Operator string   `yaml:"operator" jsonschema:"required,enum=In,enum=NotIn,enum=Exists,enum=DoesNotExist"` // how it is compared
	Values   []string `yaml:"values"`                                                                          // of In and NotIn
}

// The operators of a Requirement.
const (
	OpIn           = "In"
	OpNotIn        = "NotIn"
	OpExists       = "Exists"
	OpDoesNotExist = "DoesNotExist"
)

// IsEmpty tells whether nothing is asked, which matches nothing.
func (s Selector) IsEmpty() bool { return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 }

// Matches tells whether all parts hold for a host with these labels.
func (s Selector) Matches(labels map[string]string) bool {
	if s.IsEmpty() {
		return false
	}
	for k, v := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for _, r := range s.MatchExpressions {
		if !r.Matches(labels) {
			return false
		}
	}
	return true
}

// Matches tells whether the expression holds. An unknown operator never does.
func (r Requirement) Matches(labels map[string]string) bool {
	got, has := labels[r.Key]
	switch r.Operator {
	case OpIn:
		return has && r.lists(got)
	case OpNotIn:
		return !has || !r.lists(got)
	case OpExists:
		return has
	case OpDoesNotExist:
		return !has
	}
	return false
}

func (r Requirement) lists(value string) bool {
	for _, v := range r.Values {
		if v == value {
			return true
		}
	}
	return false
}

// Validate says what is wrong with the selector; paths are relative to it.
func (s Selector) Validate() []fault.Problem {
	var ps []fault.Problem
	for _, k := range sortedKeys(s.MatchLabels) {
		if why := checkLabel(k, s.MatchLabels[k]); why != "" {
			ps = append(ps, fault.Problem{Path: "matchLabels." + k, Rule: "bad-label", Message: why})
		}
	}
	for i, r := range s.MatchExpressions {
		ps = append(ps, r.validate(fmt.Sprintf("matchExpressions[%d]", i))...)
	}
	return ps
}

func (r Requirement) validate(at string) []fault.Problem {
	var ps []fault.Problem
	if why := checkLabel(r.Key, ""); why != "" {
		ps = append(ps, fault.Problem{Path: at + ".key", Rule: "bad-label", Message: why})
	}
	switch r.Operator {
	case OpIn, OpNotIn:
		if len(r.Values) == 0 {
			ps = append(ps, fault.Problem{Path: at, Rule: "selector", Message: "operator " + r.Operator + " needs values",
				Mend: "write values: [...], or use Exists or DoesNotExist"})
		}
	case OpExists, OpDoesNotExist:
		if len(r.Values) > 0 {
			ps = append(ps, fault.Problem{Path: at + ".values", Rule: "selector",
				Message: "operator " + r.Operator + " takes no values", Mend: "drop values, or use In or NotIn"})
		}
	case "":
		// The decoder has named the missing key.
	default:
		ps = append(ps, fault.Problem{Path: at + ".operator", Rule: "wrong-value", Message: "unknown operator " + fault.Quote(r.Operator),
			Mend: fault.DidYouMean(r.Operator, []string{OpIn, OpNotIn, OpExists, OpDoesNotExist})})
	}
	return ps
}

// String writes the selector as kubectl does: role=web,rack in (a,b),!old.
func (s Selector) String() string {
	var parts []string
	for _, k := range sortedKeys(s.MatchLabels) {
		parts = append(parts, k+"="+s.MatchLabels[k])
	}
	for _, r := range s.MatchExpressions {
		switch r.Operator {
		case OpIn:
			parts = append(parts, r.Key+" in ("+strings.Join(r.Values, ",")+")")
		case OpNotIn:
			parts = append(parts, r.Key+" notin ("+strings.Join(r.Values, ",")+")")
		case OpExists:
			parts = append(parts, r.Key)
		case OpDoesNotExist:
			parts = append(parts, "!"+r.Key)
		}
	}
	return strings.Join(parts, ",")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
