package strictyaml

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value, w wants) {
	switch v.Kind() {
	case reflect.String:
		d.text(path, n, v, w)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.wrongType(path, n, "true or false", "")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int, reflect.Int64:
		d.number(path, n, v, w)
	default:
		panic("strictyaml: cannot decode into " + v.Type().String())
	}
}

func (d *decoder) text(path string, n *yaml.Node, v reflect.Value, w wants) {
	if n.Kind != yaml.ScalarNode {
		d.wrongType(path, n, "text", "")
		return
	}
	if tag := n.ShortTag(); tag != "!!str" && tag != "!!timestamp" {
		d.wrongType(path, n, "text", "write it in quotes: "+fault.Quote(n.Value))
		return
	}
	if len(w.enum) > 0 && !contains(w.enum, n.Value) {
		mend := "it is one of " + strings.Join(w.enum, ", ")
		if near, ok := fault.Nearest(n.Value, w.enum); ok {
			mend = "did you mean " + fault.Quote(near) + "?"
		}
		d.fault(n, "wrong-value", label(path)+" cannot be "+fault.Quote(n.Value), mend)
		return
	}
	v.SetString(n.Value)
}

func (d *decoder) number(path string, n *yaml.Node, v reflect.Value, w wants) {
	i, ok := Int(n)
	if !ok {
		d.wrongType(path, n, "a whole number", "")
		return
	}
	if w.minimum != nil && i < *w.minimum {
		d.fault(n, "wrong-value", fmt.Sprintf("%s cannot be %d", label(path), i), fmt.Sprintf("the least is %d", *w.minimum))
		return
	}
	if w.maximum != nil && i > *w.maximum {
		d.fault(n, "wrong-value", fmt.Sprintf("%s cannot be %d", label(path), i), fmt.Sprintf("the most is %d", *w.maximum))
		return
	}
	v.SetInt(i)
}

// Int reads a YAML integer.
func Int(n *yaml.Node) (int64, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		return 0, false
	}
	var i int64
	if err := n.Decode(&i); err != nil {
		return 0, false
	}
	return i, true
}

// plain decodes into the plain values map[string]any, []any, string, int, float64
// and bool; nil for null. A time stamp stays text.
func (d *decoder) plain(path string, n *yaml.Node, depth int) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		d.mapping(path, n, reflect.ValueOf(&m).Elem(), depth)
		return m
	case yaml.SequenceNode:
		var l []any
		d.list(path, n, reflect.ValueOf(&l).Elem(), wants{}, depth)
		return l
	}
	return d.plainScalar(path, n)
}

func (d *decoder) plainScalar(path string, n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if i, ok := Int(n); ok {
			return int(i)
		}
		return n.Value
	case "!!float":
		var f float64
		if err := n.Decode(&f); err == nil {
			return f
		}
		return n.Value
	case "!!null":
		return nil
	case "!vault":
		d.fault(n, "vault", label(path)+" is encrypted with Ansible Vault, which evenkeel does not open",
			"keep it in a SOPS file that a service's env names")
		return nil
	}
	d.fault(n, "wrong-type", label(path)+" has the tag "+fault.Quote(n.Tag)+", which means nothing here", "")
	return nil
}

// describe says what a node is, for a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the truth value " + n.Value
	case "!!str":
		return "the text " + fault.Quote(n.Value)
	case "!!null":
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
