package load

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Connections says how requests use TCP connections.
type Connections int

const (
	Mixed Connections = iota // every other request on a connection of its own
	Kept                     // HTTP keep-alive
	Fresh                    // each request on a connection of its own
)

// Config says what load to make. Requests, WebSockets, or both.
type Config struct {
	URL         string        // of the requests
	Rate        float64       // requests a second; 0 for none
	Connections Connections   // how the requests connect
	Header      http.Header   // of requests and of WebSocket handshakes; "Host" is honoured
	Timeout     time.Duration // of one request, handshake or echo; 0 is 5 s

	// Check judges an answer below status 500; an error makes it a failure. Nil accepts 200 to 399. The body is cut at 1 MiB.
	Check func(status int, body []byte) error

	SocketURL string        // of the WebSockets: ws://… or http://…
	Sockets   int           // how many are kept open
	Say       time.Duration // how often each says something; 0 is 200 ms. The answer must contain what was said.

	Duration time.Duration // how long at most; 0 is 10 minutes
	Requests int           // how many at most; 0 for as many as fit the duration
}

const maxInFlight = 2048

func (c Config) complete() (Config, error) {
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Say <= 0 {
		c.Say = 200 * time.Millisecond
	}
	if c.Duration <= 0 {
		c.Duration = 10 * time.Minute
	}
	if c.Check == nil {
		c.Check = func(status int, _ []byte) error {
			if status < 200 || status > 399 {
				return fmt.Errorf("status %d", status)
			}
			return nil
		}
	}
	if c.Rate < 0 || c.Sockets < 0 || c.Requests < 0 {
		return c, errors.New("cannot make load: a negative rate or number")
	}
	if c.Rate == 0 && c.Sockets == 0 {
		return c, errors.New("cannot make load: neither a Rate nor Sockets")
	}
	for _, address := range []struct {
		used bool
		url  string
	}{{c.Rate > 0, c.URL}, {c.Sockets > 0, c.SocketURL}} {
		if u, err := url.Parse(address.url); address.used && (err != nil || u.Host == "") {
			return c, fmt.Errorf("cannot make load on %q: not a URL", address.url)
		}
	}
	return c, nil
}
