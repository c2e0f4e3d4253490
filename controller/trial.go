package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// verified are the unit files that a systemd of some version has read already and taken:
// another host with the same version makes the same of them, and need not be asked.
type verified struct {
	mu sync.Mutex
	of map[string]bool
}

// rest is op without the units that were verified before; ok is to be called once op was
// done.
func (k *verified) rest(op hostdriver.Op, systemd string) (rest hostdriver.Op, ok func()) {
	stage, is := op.(hostdriver.Stage)
	if !is || len(stage.Trial.Verify) == 0 || systemd == "" {
		return op, func() {}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var left []hostdriver.TrialUnit
	var keys []string
	for _, u := range stage.Trial.Verify {
		var key strings.Builder
		fmt.Fprintf(&key, "%s %s", systemd, u.Name)
		for _, path := range slices.Sorted(maps.Keys(u.Files)) {
			fmt.Fprintf(&key, " %s %s", path, u.Files[path])
		}
		if !k.of[key.String()] {
			left, keys = append(left, u), append(keys, key.String())
		}
	}
	stage.Trial.Verify = left
	return stage, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.of == nil {
			k.of = map[string]bool{}
		}
		for _, key := range keys {
			k.of[key] = true
		}
	}
}
