package desired

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/inventory/fault"
	"github.com/evenkeel/evenkeel/inventory/strictyaml"
)

// Duration is written as Go's: 10s, 5m, 1h30m; 0 needs no unit.
type Duration time.Duration

// D is the duration itself.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalYAML reads a duration that is not negative.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return &strictyaml.Invalid{Message: "must be a duration", Mend: "write it as 10s, 5m or 1h30m"}
	}
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		mend := "write it as 10s, 5m or 1h30m"
		if _, isNumber := strictyaml.Int(n); isNumber {
			mend = "it lacks a unit: " + n.Value + "s?"
		}
		return &strictyaml.Invalid{Message: "cannot be " + fault.Quote(n.Value), Mend: mend}
	}
	if v < 0 {
		return &strictyaml.Invalid{Message: "cannot be negative"}
	}
	*d = Duration(v)
	return nil
}

// IntOrPercent is a count or, where Percent, a share of a total. Set tells
// whether it was given at all.
type IntOrPercent struct {
	Value   int
	Percent bool
	Set     bool
}

// Count is an IntOrPercent that is a count.
func Count(n int) IntOrPercent { return IntOrPercent{Value: n, Set: true} }

// Percent is an IntOrPercent that is a share of a total.
func Percent(n int) IntOrPercent { return IntOrPercent{Value: n, Percent: true, Set: true} }

// Of is the count that it means of a total: itself, or its share, rounded up or
// down. It is not bounded by the total.
func (p IntOrPercent) Of(total int, roundUp bool) int {
	if !p.Percent {
		return p.Value
	}
	share := p.Value * total
	if roundUp {
		return (share + 99) / 100
	}
	return share / 100
}

func (p IntOrPercent) String() string {
	if p.Percent {
		return strconv.Itoa(p.Value) + "%"
	}
	return strconv.Itoa(p.Value)
}

// UnmarshalYAML reads a whole number, or one and a percent sign.
func (p *IntOrPercent) UnmarshalYAML(n *yaml.Node) error {
	const mend = `write a number such as 1, or a share such as "25%"`
	if n.Kind != yaml.ScalarNode {
		return &strictyaml.Invalid{Message: "must be a number or a percentage", Mend: mend}
	}
	digits, percent := strings.CutSuffix(n.Value, "%")
	v, err := strconv.Atoi(digits)
	if err != nil || (!percent && n.ShortTag() != "!!int") {
		return &strictyaml.Invalid{Message: "cannot be " + fault.Quote(n.Value), Mend: mend}
	}
	const most = 1_000_000
	switch {
	case v < 0:
		return &strictyaml.Invalid{Message: "cannot be negative", Mend: mend}
	case percent && v > 100:
		return &strictyaml.Invalid{Message: fmt.Sprintf("cannot be %d%%", v), Mend: "the most is 100%"}
	case v > most:
		return &strictyaml.Invalid{Message: fmt.Sprintf("cannot be %d", v), Mend: fmt.Sprintf("the most is %d", most)}
	}
	*p = IntOrPercent{Value: v, Percent: percent, Set: true}
	return nil
}

// Promote is when canaries are accepted: by a person's word, or After they have been
// healthy for so long. Set tells whether it was given at all.
type Promote struct {
	Set   bool
	Auto  bool // false: manual
	After time.Duration
}

func (p Promote) String() string {
	if p.Auto {
		return p.After.String()
	}
	return "manual"
}

// UnmarshalYAML reads manual or a duration.
func (p *Promote) UnmarshalYAML(n *yaml.Node) error {
	const mend = "write manual, or how long the canaries must be healthy before they are accepted by themselves, such as 10m"
	if n.Kind == yaml.ScalarNode && n.Value == "manual" {
		*p = Promote{Set: true}
		return nil
	}
	var d Duration
	switch err := d.UnmarshalYAML(n); {
	case n.Kind != yaml.ScalarNode:
		return &strictyaml.Invalid{Message: "must be manual or a duration", Mend: mend}
	case err != nil && n.ShortTag() != "!!int":
		return &strictyaml.Invalid{Message: "cannot be " + fault.Quote(n.Value), Mend: mend}
	case err != nil:
		return err
	}
	*p = Promote{Set: true, Auto: true, After: d.D()}
	return nil
}

// Number is any number but NaN and the infinities.
type Number float64

// F is the number itself.
func (n Number) F() float64 { return float64(n) }

func (n Number) String() string { return strconv.FormatFloat(float64(n), 'g', -1, 64) }

// UnmarshalYAML reads a number such as 1, 0.01 or 1e6.
func (n *Number) UnmarshalYAML(node *yaml.Node) error {
	const mend = "write a number such as 1, 0.01 or 1e6"
	if tag := node.ShortTag(); node.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" {
		return &strictyaml.Invalid{Message: "must be a number", Mend: mend}
	}
	var v float64
	if err := node.Decode(&v); err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return &strictyaml.Invalid{Message: "cannot be " + fault.Quote(node.Value), Mend: mend}
	}
	*n = Number(v)
	return nil
}

// StringList is written as one string or a list of them.
type StringList []string

// UnmarshalYAML reads one or a list.
func (l *StringList) UnmarshalYAML(n *yaml.Node) error {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	out := make(StringList, 0, len(nodes))
	for _, c := range nodes {
		if c.Kind != yaml.ScalarNode || c.ShortTag() != "!!str" {
			return &strictyaml.Invalid{Message: "must be text or a list of texts", Mend: "write a, or [a, b]"}
		}
		out = append(out, c.Value)
	}
	*l = out
	return nil
}
