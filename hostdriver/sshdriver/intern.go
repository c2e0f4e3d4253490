package sshdriver

import (
	"strings"
	"sync"
)

// interner gives equal strings the same memory, and none that a longer one holds: the hosts
// of a fleet say the same again and again, and what each said is kept until it says
// something else. It is safe for concurrent use.
type interner struct {
	mu    sync.RWMutex
	known map[string]string
}

// What a host says is bounded; what many have said is, too.
const (
	maxInterned = 1 << 15
	maxIntern   = 256 // bytes of one
)

// one returns s, which must not be of the kind that is another on every host.
func (i *interner) one(s string) string {
	if s == "" || len(s) > maxIntern {
		return strings.Clone(s)
	}
	i.mu.RLock()
	known, ok := i.known[s]
	i.mu.RUnlock()
	if ok {
		return known
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil || len(i.known) >= maxInterned {
		i.known = map[string]string{}
	}
	s = strings.Clone(s)
	i.known[s] = s
	return s
}

var common interner
