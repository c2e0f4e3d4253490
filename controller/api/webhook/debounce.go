package webhook

import (
	"sync"
	"time"
)

// Debounce calls something at most once a window: at once where the last call is longer
// ago than that, else at the window's end, however often it is asked for meanwhile.
// The push that comes a moment after another one is so not lost.
type Debounce struct {
	window time.Duration
	call   func()

	mu      sync.Mutex
	timer   *time.Timer // of the window that runs; nil: none does
	again   bool        // asked for since the window began
	stopped bool
}

// NewDebounce makes one. call is not called concurrently with itself, and must return soon.
func NewDebounce(window time.Duration, call func()) *Debounce {
	return &Debounce{window: window, call: call}
}

// Ask asks for a call.
func (d *Debounce) Ask() {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stopped:
	case d.timer != nil:
		d.again = true
	default:
		d.begin()
	}
}

// begin calls and opens a window. d.mu is held.
func (d *Debounce) begin() {
	d.again = false
	d.timer = time.AfterFunc(d.window, d.end)
	d.call()
}

func (d *Debounce) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = nil
	if d.again && !d.stopped {
		d.begin()
	}
}

// Stop ends it: what was asked for and is due is not called any more.
func (d *Debounce) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.timer != nil {
		d.timer.Stop()
	}
}
