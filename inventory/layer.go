package inventory

import (
	"fmt"
	"sort"
	"strconv"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// layers knows, for every group, which groups it lies in, and lays vars and
// labels over each other.
type layers struct {
	b       *Builder
	parents map[string][]string
}

type layer struct {
	groups []string
	vars   map[string]any
	labels map[string]string
}

func newLayers(b *Builder) *layers {
	l := &layers{b: b, parents: map[string][]string{}}
	for _, name := range sortedKeys(b.groups) {
		for _, c := range sortedKeys(b.groups[name].children) {
			l.parents[c] = append(l.parents[c], name)
		}
	}
	state := map[string]int{}
	for _, name := range sortedKeys(b.groups) {
		l.depth(name, state)
	}
	return l
}

// depth is the longest way from a group without parents; a group that lies in
// itself is a fault.
func (l *layers) depth(name string, state map[string]int) int {
	const visiting, done = 1, 2
	g := l.b.groups[name]
	if g == nil || state[name] == done {
		if g == nil {
			return 0
		}
		return g.depth
	}
	if state[name] == visiting {
		l.b.fault(g.pos, "group-cycle", "group "+fault.Quote(name)+" lies in itself", "take it out of its own children's children")
		return 0
	}
	state[name] = visiting
	for _, p := range l.parents[name] {
		if p != name {
			g.depth = max(g.depth, l.depth(p, state)+1)
		} else {
			l.b.fault(g.children[name], "group-cycle", "group "+fault.Quote(name)+" is its own child", "drop it from its children")
		}
	}
	state[name] = done
	return g.depth
}

// all are the groups a host is in, parents included, in the order they are laid.
func (l *layers) all(direct map[string]fault.Position) []*declaredGroup {
	in := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if in[name] || l.b.groups[name] == nil {
			return
		}
		in[name] = true
		for _, p := range l.parents[name] {
			visit(p)
		}
	}
	for name := range direct {
		visit(name)
	}
	delete(in, groupAll)
	delete(in, groupUngrouped)
	out := make([]*declaredGroup, 0, len(in)+1)
	for name := range in {
		out = append(out, l.b.groups[name])
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.depth != b.depth {
			return a.depth < b.depth
		}
		if pa, pb := a.priority(), b.priority(); pa != pb {
			return pa < pb
		}
		return a.name < b.name
	})
	if g := l.b.groups[groupAll]; g != nil {
		out = append([]*declaredGroup{g}, out...)
	}
	return out
}

func (g *declaredGroup) priority() int {
	p, ok := asInt(g.vars["ansible_group_priority"])
	if !ok {
		return 1
	}
	return p
}

func (l *layers) of(d *declaredHost) layer {
	out := layer{vars: map[string]any{}, labels: map[string]string{}}
	for _, g := range l.all(d.groups) {
		if g.name != groupAll {
			out.groups = append(out.groups, g.name)
			if key := "ansible_group/" + g.name; g.ansible && checkLabel(key, "") == "" {
				out.labels[key] = "true"
			}
		}
		out.add(g.labels, g.vars, g.outside)
		l.labelVars(&out, g.pos, "group "+g.name, g.vars, g.outside)
	}
	out.add(d.spec.Labels, d.vars, d.outside)
	l.labelVars(&out, d.pos, "host "+d.name, d.vars, d.outside)
	sort.Strings(out.groups)
	return out
}

func (out *layer) add(labels map[string]string, vars ...map[string]any) {
	for k, v := range labels {
		out.labels[k] = v
	}
	for _, m := range vars {
		for k, v := range m {
			out.vars[k] = v
		}
	}
}

// labelVars takes labels from the var evenkeel_labels.
func (l *layers) labelVars(out *layer, pos fault.Position, of string, vars ...map[string]any) {
	for _, m := range vars {
		v, ok := m["evenkeel_labels"]
		if !ok {
			continue
		}
		labels, ok := v.(map[string]any)
		if !ok {
			l.b.faultOnce(pos, "wrong-type", of+": evenkeel_labels must be a map of labels", "write evenkeel_labels: {role: web}")
			continue
		}
		for k, value := range labels {
			text, ok := asText(value)
			if !ok {
				l.b.faultOnce(pos, "wrong-type", of+": the label "+fault.Quote(k)+" in evenkeel_labels must be text", "")
				continue
			}
			out.labels[k] = text
		}
	}
}

// faultOnce is fault for what would be found again at every host of a group.
func (b *Builder) faultOnce(pos fault.Position, rule, message, mend string) {
	for _, f := range b.faults {
		if f.Pos == pos && f.Message == message {
			return
		}
	}
	b.fault(pos, rule, message, mend)
}

func asText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool, int, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}

func asInt(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case float64:
		return int(v), v == float64(int(v))
	case string:
		i, err := strconv.Atoi(v)
		return i, err == nil
	}
	return 0, false
}
