package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

// metrics are the gateway's counters. They are safe for concurrent use.
type metrics struct {
	openSockets atomic.Int64
	sockets     atomic.Uint64
	messages    atomic.Uint64

	mu       sync.Mutex
	requests map[int]uint64           // by status
	auth     map[authorisation]uint64 // by outcome, of requests to private routes
}

func newMetrics() *metrics {
	m := &metrics{requests: map[int]uint64{}, auth: map[authorisation]uint64{}}
	for _, by := range []authorisation{byNothing, byUnknown, byCurrent, byPrevious} {
		m.auth[by] = 0
	}
	return m
}

func (m *metrics) request(code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[code]++
}

func (m *metrics) judged(by authorisation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.auth[by]++
}

// show answers in Prometheus' text format, version 0.0.4.
func (m *metrics) show(w http.ResponseWriter, _ *http.Request) {
	var text strings.Builder
	family := func(name, kind, help string) {
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	family("gateway_build_info", "gauge", "The version that runs; always 1.")
	fmt.Fprintf(&text, "gateway_build_info{version=%s} 1\n", strconv.Quote(service.Version))
	family("gateway_open_websockets", "gauge", "WebSockets that are open.")
	fmt.Fprintf(&text, "gateway_open_websockets %d\n", m.openSockets.Load())
	family("gateway_websockets_total", "counter", "WebSockets opened since the start.")
	fmt.Fprintf(&text, "gateway_websockets_total %d\n", m.sockets.Load())
	family("gateway_websocket_messages_total", "counter", "WebSocket messages received.")
	fmt.Fprintf(&text, "gateway_websocket_messages_total %d\n", m.messages.Load())
	m.mu.Lock()
	requests, auth := maps.Clone(m.requests), maps.Clone(m.auth)
	m.mu.Unlock()
	family("gateway_requests_total", "counter", "Requests answered, by status; probes of /healthz are not counted.")
	for _, code := range slices.Sorted(maps.Keys(requests)) {
		fmt.Fprintf(&text, "gateway_requests_total{code=\"%d\"} %d\n", code, requests[code])
	}
	family("gateway_authorisations_total", "counter", "Requests to private routes, by the token they showed.")
	for _, by := range slices.Sorted(maps.Keys(auth)) {
		fmt.Fprintf(&text, "gateway_authorisations_total{by=%q} %d\n", by, auth[by])
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(text.String()))
}
