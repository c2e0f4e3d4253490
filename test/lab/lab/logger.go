package lab

import (
	"fmt"
	"io"
	"sync"
)

// logger writes one line at a time for a person who waits. A nil writer is silence.
type logger struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *logger) line(format string, args ...any) {
	if l == nil || l.w == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "lab: "+format+"\n", args...)
}
