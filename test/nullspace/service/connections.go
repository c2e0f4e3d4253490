package service

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// settle is how long a stop waits for a connection that has asked nothing yet.
const settle = 500 * time.Millisecond

// connections knows the state of every open connection of a server, through
// its ConnState hook. A stop needs it because http.Server.Shutdown drops,
// unanswered, a request whose header it reads after Shutdown began.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]http.ConnState
}

// note implements the ConnState hook.
func (c *connections) note(connection net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[net.Conn]http.ConnState)
	}
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.open, connection)
		return
	}
	c.open[connection] = state
}

func (c *connections) count() (active, silent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, state := range c.open {
		switch state {
		case http.StateActive:
			active++
		case http.StateNew:
			silent++
		}
	}
	return active, silent
}

// quiet waits until no request is in flight and every new connection has been
// answered or has kept silent for the settling time. It gives up when ctx ends,
// and returns how many requests are then in flight.
func (c *connections) quiet(ctx context.Context) (inFlight int) {
	settled := time.Now().Add(settle)
	for {
		active, silent := c.count()
		if active == 0 && (silent == 0 || time.Now().After(settled)) {
			return 0
		}
		if !sleep(ctx, 5*time.Millisecond) {
			return active
		}
	}
}
