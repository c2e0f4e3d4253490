package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// AddDynamic takes what a dynamic inventory of Ansible's printed for --list: a
// JSON map of groups, each a list of hosts or a map with hosts, vars and children,
// and _meta.hostvars. Without _meta hosts have no vars: --host is not called.
func (b *Builder) AddDynamic(file string, output []byte) {
	pos := fault.Position{File: file}
	var doc map[string]json.RawMessage
	if err := strictJSON(output, &doc); err != nil {
		b.fault(pos, "dynamic-inventory", "what it printed for --list is not a JSON map: "+err.Error(), "run it with --list and look")
		return
	}
	var meta struct {
		HostVars map[string]map[string]any `json:"hostvars"`
	}
	if raw, ok := doc["_meta"]; ok {
		if err := looseJSON(raw, &meta); err != nil {
			b.fault(pos, "dynamic-inventory", "_meta cannot be read: "+err.Error(), "")
		}
		delete(doc, "_meta")
	}
	for _, name := range sortedKeys(doc) {
		b.addDynamicGroup(name, doc[name], pos)
	}
	for _, host := range sortedKeys(meta.HostVars) {
		b.ansibleHost(host, groupUngrouped, 0, plainMap(meta.HostVars[host]), pos)
	}
}

func (b *Builder) addDynamicGroup(name string, raw json.RawMessage, pos fault.Position) {
	if !validGroupName(name) {
		b.fault(pos, "bad-name", "group name "+fault.Quote(name)+" has other than letters, digits, \"-\", \"_\" and \".\"", "")
		return
	}
	var group struct {
		Hosts    []string       `json:"hosts"`
		Vars     map[string]any `json:"vars"`
		Children []string       `json:"children"`
	}
	if err := looseJSON(raw, &group.Hosts); err != nil {
		if err := looseJSON(raw, &group); err != nil {
			b.fault(pos, "dynamic-inventory", "group "+name+" is neither a list of hosts nor a map of hosts, vars and children", "")
			return
		}
	}
	g := b.ansibleGroup(name, pos)
	for k, v := range plainMap(group.Vars) {
		g.vars[k] = v
	}
	for _, h := range group.Hosts {
		b.ansibleHost(h, name, 0, nil, pos)
	}
	for _, c := range group.Children {
		if name == groupAll || c == groupUngrouped {
			continue
		}
		g.children[c] = pos
	}
}

func looseJSON(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return dec.Decode(into)
}

// strictJSON decodes and wants nothing behind the value.
func strictJSON(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more follows at byte %d", dec.InputOffset())
	}
	return nil
}

// plainMap is vars with the decoder's numbers as int or float64, and without nulls.
func plainMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if v != nil {
			out[k] = plainValue(v)
		}
	}
	return out
}

func plainValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return int(i)
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		return plainMap(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plainValue(e)
		}
		return out
	}
	return v
}
