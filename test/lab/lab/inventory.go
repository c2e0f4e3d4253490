package lab

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Inventory is the lab's hosts as an inventory file of a fleet repo, each host with the labels given.
func (l *Lab) Inventory(labels map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, strconv.Quote(key)+": "+strconv.Quote(labels[key]))
	}
	var s strings.Builder
	fmt.Fprintf(&s, "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: %s}\nspec:\n  hosts:\n", l.Prefix())
	for _, h := range l.hosts {
		fmt.Fprintf(&s, "    - {name: %s, address: %s, labels: {%s}}\n", h.Name(), h.Address(), strings.Join(pairs, ", "))
	}
	return s.String()
}
