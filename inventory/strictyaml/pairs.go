package strictyaml

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

type pair struct{ key, value *yaml.Node }

// pairs are the keys and values of a mapping, in order, merge keys (<<) unfolded
// behind its own. A duplicate key is a fault and the first one holds.
func (d *decoder) pairs(n *yaml.Node, depth int) []pair {
	out := make([]pair, 0, len(n.Content)/2)
	seen := map[string]*yaml.Node{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		if first, dup := seen[k.Value]; dup && k.Kind == yaml.ScalarNode {
			d.fault(k, "duplicate-key", fmt.Sprintf("duplicate key %s", fault.Quote(k.Value)),
				fmt.Sprintf("it stands in line %d already", first.Line))
			continue
		}
		seen[k.Value] = k
		out = append(out, pair{k, v})
	}
	for _, m := range merges {
		for _, kv := range d.merged(m, depth+1) {
			if seen[kv.key.Value] == nil {
				seen[kv.key.Value] = kv.key
				out = append(out, kv)
			}
		}
	}
	return out
}

// merged are the pairs that the value of a merge key stands for.
func (d *decoder) merged(n *yaml.Node, depth int) []pair {
	n = d.enter("", n, depth)
	if n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.pairs(n, depth)
	case yaml.SequenceNode:
		var out []pair
		for _, c := range n.Content {
			out = append(out, d.merged(c, depth+1)...)
		}
		return out
	}
	d.fault(n, "wrong-type", "<< must name a map or a list of maps", "")
	return nil
}
