package inventory

import (
	"fmt"
	"testing"
)

func TestSelectorMatches(t *testing.T) {
	labels := map[string]string{"role": "web", "rack": "a", "empty": ""}
	expr := func(key, op string, values ...string) Selector {
		return Selector{MatchExpressions: []Requirement{{key, op, values}}}
	}
	for name, c := range map[string]struct {
		s    Selector
		want bool
	}{
		"empty matches nothing":                 {Selector{}, false},
		"one label":                             {Selector{MatchLabels: map[string]string{"role": "web"}}, true},
		"another value":                         {Selector{MatchLabels: map[string]string{"role": "db"}}, false},
		"all labels must hold":                  {Selector{MatchLabels: map[string]string{"role": "web", "rack": "b"}}, false},
		"an absent label is not an empty one":   {Selector{MatchLabels: map[string]string{"none": ""}}, false},
		"an empty one is":                       {Selector{MatchLabels: map[string]string{"empty": ""}}, true},
		"In":                                    {expr("role", OpIn, "db", "web"), true},
		"In, another":                           {expr("role", OpIn, "db"), false},
		"In needs the label":                    {expr("none", OpIn, ""), false},
		"NotIn":                                 {expr("role", OpNotIn, "db"), true},
		"NotIn, that one":                       {expr("role", OpNotIn, "web"), false},
		"NotIn holds without the label":         {expr("none", OpNotIn, "web"), true},
		"Exists":                                {expr("empty", OpExists), true},
		"Exists, not there":                     {expr("none", OpExists), false},
		"DoesNotExist":                          {expr("role", OpDoesNotExist), false},
		"DoesNotExist holds without the label":  {expr("none", OpDoesNotExist), true},
		"an unknown operator never holds":       {expr("role", "Equals", "web"), false},
		"labels and expressions both must hold": {Selector{map[string]string{"role": "web"}, []Requirement{{"rack", OpIn, []string{"b"}}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.s.Matches(labels); got != c.want {
				t.Errorf("%s: got %t", c.s, got)
			}
		})
	}
}

func TestSelectorValidate(t *testing.T) {
	s := Selector{
		MatchLabels: map[string]string{"ok.example.com/role": "web", "a/b/c": "x", "role": "-"},
		MatchExpressions: []Requirement{
			{"role", "in", []string{"a"}}, {"role", OpIn, nil}, {"role", OpExists, []string{"a"}}, {"", OpExists, nil},
		},
	}
	var got string
	for _, p := range s.Validate() {
		got += fmt.Sprintf("%s: %s: %s\n", p.Path, p.Message, p.Mend)
	}
	compare(t, got, `
matchLabels.a/b/c: label "a/b/c" must be letters, digits, "-", "_" and ".", at most 63, beginning and ending with a letter or digit: 
matchLabels.role: label role has the value "-", which must be letters, digits, "-", "_" and ".", at most 63, beginning and ending with a letter or digit: 
matchExpressions[0].operator: unknown operator "in": did you mean "In"?
matchExpressions[1]: operator In needs values: write values: [...], or use Exists or DoesNotExist
matchExpressions[2].values: operator Exists takes no values: drop values, or use In or NotIn
matchExpressions[3].key: label "" must be letters, digits, "-", "_" and ".", at most 63, beginning and ending with a letter or digit: 
`)
	if got := s.String(); got != "a/b/c=x,ok.example.com/role=web,role=-,role in (),role," {
		t.Errorf("got %s", got)
	}
}
