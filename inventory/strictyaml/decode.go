package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

const (
	maxNodes = 200_000 // what one document may unfold to, aliases included
	maxDepth = 64
)

// Positions tells where each value of a document was written, by its path
// ("spec.env[0].path").
type Positions struct {
	file string
	root fault.Position
	at   map[string]fault.Position
}

// At is the place of a path, or of the nearest thing around it that was written.
func (p Positions) At(path string) fault.Position {
	for path != "" {
		if pos, ok := p.at[path]; ok {
			return pos
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return p.root
}

// Has tells whether the path was written at all.
func (p Positions) Has(path string) bool {
	_, ok := p.at[path]
	return ok
}

// Invalid is the error by which an UnmarshalYAML says what is wrong with a value
// and how to mend it; the decoder adds the place.
type Invalid struct {
	Message, Mend string
}

func (e *Invalid) Error() string {
	if e.Mend == "" {
		return e.Message
	}
	return e.Message + ": " + e.Mend
}

// Decode reads the document into into, a pointer to a struct. What could be read
// is in into even where there are faults.
func Decode(d Document, into any) (Positions, fault.Faults) {
	dec := &decoder{pos: Positions{file: d.File, root: d.Pos(), at: map[string]fault.Position{}}}
	if d.Root == nil {
		return dec.pos, nil
	}
	dec.value("", d.Root, reflect.ValueOf(into).Elem(), wants{}, 0)
	return dec.pos, dec.faults
}

type decoder struct {
	pos     Positions
	faults  fault.Faults
	nodes   int
	stopped bool
}

// Worded is a struct that may also be given as one word, which stands for a whole of it.
// An error is as UnmarshalYAML's.
type Worded interface{ UnmarshalWord(word string) error }

var worded = reflect.TypeOf((*Worded)(nil)).Elem()

var unmarshaler = reflect.TypeOf((*yaml.Unmarshaler)(nil)).Elem()

// value decodes one node. Faults are collected; v keeps its zero value then.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value, w wants, depth int) {
	n = d.enter(path, n, depth)
	if n == nil {
		return
	}
	if isNull(n) {
		d.null(v)
		return
	}
	if v.CanAddr() && v.Addr().Type().Implements(unmarshaler) {
		d.custom(path, n, v.Addr().Interface().(yaml.Unmarshaler))
		return
	}
	if n.Kind == yaml.ScalarNode && v.CanAddr() && v.Addr().Type().Implements(worded) {
		d.refused(path, n, v.Addr().Interface().(Worded).UnmarshalWord(n.Value))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(path, n, p.Elem(), w, depth)
		v.Set(p)
	case reflect.Struct:
		d.structure(path, n, v, depth)
	case reflect.Map:
		d.mapping(path, n, v, depth)
	case reflect.Slice:
		d.list(path, n, v, w, depth)
	case reflect.Interface:
		if got := d.plain(path, n, depth); got != nil {
			v.Set(reflect.ValueOf(got))
		}
	default:
		d.scalar(path, n, v, w)
	}
}

// enter follows an alias, records the place, and holds the bounds. It returns nil
// where nothing more is to be read.
func (d *decoder) enter(path string, n *yaml.Node, depth int) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.nodes++
	if d.stopped {
		return nil
	}
	if d.nodes > maxNodes || depth > maxDepth {
		d.stopped = true
		d.fault(n, "too-large", fmt.Sprintf("the document unfolds to more than %d values or %d levels", maxNodes, maxDepth),
			"use fewer aliases")
		return nil
	}
	if path != "" {
		d.pos.at[path] = nodePos(d.pos.file, n)
	}
	return n
}

// null leaves a value absent, but for a pointer to a struct without fields, where
// naming the key is all there is to say.
func (d *decoder) null(v reflect.Value) {
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && v.Type().Elem().NumField() == 0 {
		v.Set(reflect.New(v.Type().Elem()))
	}
}

func (d *decoder) custom(path string, n *yaml.Node, u yaml.Unmarshaler) {
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			d.enter(fmt.Sprintf("%s[%d]", path, i), c, 0)
		}
	}
	d.refused(path, n, u.UnmarshalYAML(n))
}

// refused is what a value's own decoder said of it.
func (d *decoder) refused(path string, n *yaml.Node, err error) {
	if err == nil {
		return
	}
	var inv *Invalid
	if errors.As(err, &inv) {
		d.fault(n, "wrong-value", label(path)+" "+inv.Message, inv.Mend)
		return
	}
	d.fault(n, "wrong-value", label(path)+" "+err.Error(), "")
}

func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value, depth int) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(path, n, "a map", "")
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for _, kv := range d.pairs(n, depth) {
		name := kv.key.Value
		f, ok := fields.byName[name]
		if !ok || kv.key.Kind != yaml.ScalarNode {
			d.fault(kv.key, "unknown-key", "unknown key "+fault.Quote(name), fault.DidYouMean(name, fields.names))
			continue
		}
		seen[name] = true
		d.value(join(path, name), kv.value, v.Field(f.index), f.wants, depth+1)
		if f.wants.required && isNull(kv.value) {
			d.fault(kv.key, "missing-key", "key "+fault.Quote(name)+" has no value", "")
		}
	}
	for _, name := range fields.names {
		if fields.byName[name].wants.required && !seen[name] {
			d.fault(n, "missing-key", "missing key "+fault.Quote(name)+" in "+label(path), "")
		}
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value, depth int) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(path, n, "a map", "")
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, kv := range d.pairs(n, depth) {
		if kv.key.Kind != yaml.ScalarNode {
			d.fault(kv.key, "wrong-type", "a key of "+label(path)+" must be text", "")
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(join(path, kv.key.Value), kv.value, e, wants{}, depth+1)
		if v.Type().Elem().Kind() == reflect.Interface && e.IsNil() {
			continue // a null var counts as not set
		}
		m.SetMapIndex(reflect.ValueOf(kv.key.Value).Convert(v.Type().Key()), e)
	}
	v.Set(m)
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value, w wants, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(path, n, "a list", "write [ ] around it, or - before it")
		return
	}
	s := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, c := range n.Content {
		if d.stopped {
			break
		}
		e := reflect.New(v.Type().Elem()).Elem()
		at := fmt.Sprintf("%s[%d]", path, i)
		d.value(at, c, e, w, depth+1)
		if isNull(c) && e.Kind() != reflect.Interface {
			d.fault(c, "wrong-value", "an entry of "+label(path)+" is empty", "")
			continue
		}
		s = reflect.Append(s, e)
	}
	v.Set(s)
}

func (d *decoder) fault(n *yaml.Node, rule, message, mend string) {
	d.faults = append(d.faults, fault.Fault{Pos: nodePos(d.pos.file, n), Rule: rule, Message: message, Mend: mend})
}

func (d *decoder) wrongType(path string, n *yaml.Node, want, mend string) {
	d.fault(n, "wrong-type", label(path)+" must be "+want+", not "+describe(n), mend)
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// label names a value for a message by the last part of its path.
func label(path string) string {
	if path == "" {
		return "the document"
	}
	return fault.Quote(path[strings.LastIndexByte(path, '.')+1:])
}
