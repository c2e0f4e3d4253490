package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"
)

// Seen remembers deliveries for a while, at most so many: where more come, the oldest
// are forgotten. Its methods may be called from any goroutine.
type Seen struct {
	mu    sync.Mutex
	keep  time.Duration
	most  int
	at    map[string]time.Time
	order []string // by age, oldest first
}

// NewSeen remembers at most most deliveries for keep.
func NewSeen(keep time.Duration, most int) *Seen {
	return &Seen{keep: keep, most: most, at: map[string]time.Time{}}
}

// Take tells whether the delivery is new, and remembers it. A key of "" is always new.
func (s *Seen) Take(key string, now time.Time) bool {
	if key == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && (len(s.order) >= s.most || now.Sub(s.at[s.order[0]]) > s.keep) {
		delete(s.at, s.order[0])
		s.order = s.order[1:]
	}
	if _, known := s.at[key]; known {
		return false
	}
	s.at[key] = now
	s.order = append(s.order, key)
	return true
}

// Len is how many are remembered.
func (s *Seen) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order)
}

func digest(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}
