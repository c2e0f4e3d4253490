package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

const (
	messageLimit = 32 << 10         // bytes of one message; a larger one ends the WebSocket
	writeTimeout = 10 * time.Second // for one message to a slow client
)

// Echo answers one message. N is the client's own number if its message was
// JSON with an "n", else the number of the message on this WebSocket, from 1.
type Echo struct {
	N        int64  `json:"n"`
	Instance string `json:"instance"`
	Echo     string `json:"echo"`
}

// sockets holds the open WebSockets: http.Server forgets a connection once it
// has become one, so a stop has to end them itself.
type sockets struct {
	instance string
	ping     time.Duration // 0 for never
	metrics  *metrics
	log      *slog.Logger

	mu       sync.Mutex
	draining bool
	open     map[*websocket.Conn]net.Conn // what each one lives on
	handlers sync.WaitGroup               // of the open ones
}

// ServeHTTP implements http.Handler: it upgrades, then echoes until either side
// ends the WebSocket.
func (s *sockets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.isDraining() {
		service.WriteProblem(w, http.StatusServiceUnavailable, goingAway)
		return
	}
	taken := &hijacked{ResponseWriter: w}
	connection, err := websocket.Accept(taken, r, nil)
	if err != nil {
		s.log.Debug("websocket refused", "error", err)
		return // Accept has answered
	}
	defer connection.CloseNow()
	connection.SetReadLimit(messageLimit)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !s.enter(connection, taken.connection) {
		_ = connection.Close(websocket.StatusGoingAway, goingAway)
		return
	}
	defer s.leave(connection)
	if s.ping > 0 {
		go s.pingUntil(ctx, connection)
	}
	s.echo(ctx, connection)
}

func (s *sockets) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

const goingAway = "the gateway is shutting down"

func (s *sockets) enter(connection *websocket.Conn, under net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	if s.open == nil {
		s.open = make(map[*websocket.Conn]net.Conn)
	}
	s.open[connection] = under
	s.handlers.Add(1)
	s.metrics.openSockets.Add(1)
	s.metrics.sockets.Add(1)
	return true
}

func (s *sockets) leave(connection *websocket.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, connection)
	s.metrics.openSockets.Add(-1)
	s.handlers.Done()
}

// echo answers messages in order until reading or writing fails, which is how
// every WebSocket ends.
func (s *sockets) echo(ctx context.Context, connection *websocket.Conn) {
	for count := int64(1); ; count++ {
		_, message, err := connection.Read(ctx)
		if err != nil {
			s.log.Debug("websocket ended", "messages", count-1, "error", err)
			return
		}
		s.metrics.messages.Add(1)
		if err := s.answer(ctx, connection, count, message); err != nil {
			s.log.Debug("websocket ended", "messages", count-1, "error", err)
			return
		}
	}
}

func (s *sockets) answer(ctx context.Context, connection *websocket.Conn, count int64, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return wsjson.Write(ctx, connection, Echo{N: numberOf(message, count), Instance: s.instance, Echo: string(message)})
}

// numberOf returns the message's own "n", or otherwise.
func numberOf(message []byte, otherwise int64) int64 {
	var numbered struct {
		N *int64 `json:"n"`
	}
	if json.Unmarshal(message, &numbered) != nil || numbered.N == nil {
		return otherwise
	}
	return *numbered.N
}

// pingUntil pings until ctx ends, and ends a WebSocket whose client does not
// answer.
func (s *sockets) pingUntil(ctx context.Context, connection *websocket.Conn) {
	ticker := time.NewTicker(s.ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		answered, cancel := context.WithTimeout(ctx, writeTimeout)
		err := connection.Ping(answered)
		cancel()
		if err != nil {
			_ = connection.CloseNow()
			return
		}
	}
}

// drain closes every WebSocket with 1001 (RFC 6455, 7.4.1), all at once, and
// waits for their handlers, until ctx ends; what is open then is cut.
func (s *sockets) drain(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	open := maps.Clone(s.open)
	s.mu.Unlock()
	s.log.Info("closing websockets", "open", len(open))
	stop := context.AfterFunc(ctx, func() {
		for _, under := range open {
			_ = under.Close()
		}
	})
	defer stop()
	for connection := range open {
		s.handlers.Go(func() { _ = connection.Close(websocket.StatusGoingAway, goingAway) })
	}
	s.handlers.Wait()
}

// hijacked remembers the connection that a handler takes over: only closing it
// ends a WebSocket at once while a Close waits for the client's close frame.
type hijacked struct {
	http.ResponseWriter
	connection net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	connection, buffer, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.connection = connection
	return connection, buffer, err
}
