package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/show"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// pendingHosts is a Driver that knows which hosts are being read at the moment.
type pendingHosts struct {
	hostdriver.Driver
	mu    sync.Mutex
	since map[string]time.Time
}

// Observe reads the host; see hostdriver.Observer.
func (p *pendingHosts) Observe(ctx context.Context, h inventory.Host, q hostdriver.Query) (hostdriver.Observation, error) {
	p.mu.Lock()
	p.since[h.Name] = time.Now()
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.since, h.Name)
	}()
	return p.Driver.Observe(ctx, h, q)
}

// Connect begins to connect to the host; see hostdriver.Connector.
func (p *pendingHosts) Connect(h inventory.Host) {
	if c, ok := p.Driver.(hostdriver.Connector); ok {
		c.Connect(h)
	}
}

// patience is how long nothing is said while hosts are being read.
const patience = 1500 * time.Millisecond

// slow names the hosts that have been read for longer than patience, and for how
// long the first of them.
func (p *pendingHosts) slow(now time.Time) (names []string, longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, since := range p.since {
		if d := now.Sub(since); d >= patience {
			names, longest = append(names, name), max(longest, d)
		}
	}
	slices.Sort(names)
	return names, longest
}

// look is the fleet's Look, with a line on a terminal that says what it waits for. Secrets
// that rotate are looked at before.
func (a *app) look(ctx context.Context, f *controller.Fleet) (*controller.View, error) {
	defer a.waitLine()()
	var err error
	if a.secrets, err = f.Rotate(ctx, nil); err != nil {
		return nil, err
	}
	return f.Look(ctx)
}

// waitLine shows, on a terminal, which hosts take long to answer, until the returned
// function is called, which takes the line away.
func (a *app) waitLine() (end func()) {
	if !a.live || a.pending == nil {
		return func() {}
	}
	l := &waitLine{w: a.stderr}
	a.logTo.to(l)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				names, longest := a.pending.slow(now)
				l.set(a.styled(a.stderrColour, waitWords(names, longest)))
			case <-stop:
				l.set("")
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
		a.logTo.to(a.stderr)
	}
}

func waitWords(names []string, longest time.Duration) string {
	if len(names) == 0 {
		return ""
	}
	return show.Faint(show.Fit(fmt.Sprintf("waiting for %s (%s)", show.Names(names), show.Duration(longest.Truncate(time.Second))), 78))
}

// waitLine is the terminal's last line; what is written meanwhile goes above it.
type waitLine struct {
	mu   sync.Mutex
	w    io.Writer
	text string
}

const clearLine = "\r\x1b[K"

func (l *waitLine) set(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text != l.text {
		l.text = text
		_, _ = io.WriteString(l.w, clearLine+text)
	}
}

func (l *waitLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	above := string(p)
	if l.text != "" {
		above = clearLine + strings.TrimSuffix(above, "\n") + "\n" + l.text
	}
	_, err := io.WriteString(l.w, above)
	return len(p), err
}
