package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

// gateway is what the routes share.
type gateway struct {
	instance    string
	started     time.Time
	answerDelay time.Duration
	tokens      tokens
	nodes       []string
	nextNode    atomic.Uint64
	settings    *settingsFile
	sockets     *sockets
	metrics     *metrics
	log         *slog.Logger
}

// Self is what / and /api/whoami answer: who served the request, and how the
// request was authorised.
type Self struct {
	Service         string        `json:"service"`
	Instance        string        `json:"instance"`
	Version         string        `json:"version"`
	Authorised      authorisation `json:"authorised"`
	MessageOfTheDay string        `json:"messageOfTheDay,omitempty"`
	Started         time.Time     `json:"started"`
}

func (g *gateway) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", g.counted(g.slow(g.self)))
	mux.Handle("GET /config", g.counted(g.slow(g.config)))
	mux.Handle("GET /api/whoami", g.counted(g.private(g.slow(g.self))))
	mux.Handle("GET /api/world", g.counted(g.private(g.slow(g.world))))
	mux.Handle("/api/", g.counted(g.private(g.nowhere)))
	mux.Handle("GET /metrics", g.counted(g.private(g.metrics.show)))
	mux.Handle("GET /ws", g.sockets)
	mux.Handle("/", g.counted(g.nowhere))
	return mux
}

// counted counts the request by its status, and logs it at level debug.
func (g *gateway) counted(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun, seen := time.Now(), &statusWriter{ResponseWriter: w, code: http.StatusOK}
		next(seen, r)
		g.metrics.request(seen.code)
		g.log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", seen.code, "took", time.Since(begun))
	})
}

// private answers 401 to a request that shows no good token.
func (g *gateway) private(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by := g.tokens.judge(r)
		g.metrics.judged(by)
		if !by.good() {
			w.Header().Set("WWW-Authenticate", `Bearer realm="nullspace"`)
			service.WriteProblem(w, http.StatusUnauthorized, "send a valid token as Authorization: Bearer TOKEN")
			return
		}
		next(w, r)
	}
}

// slow waits GATEWAY_ANSWER_DELAY, unless the client goes away.
func (g *gateway) slow(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if g.answerDelay > 0 {
			timer := time.NewTimer(g.answerDelay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		next(w, r)
	}
}

func (g *gateway) self(w http.ResponseWriter, r *http.Request) {
	service.WriteJSON(w, http.StatusOK, Self{
		Service:         "gateway",
		Instance:        g.instance,
		Version:         service.Version,
		Authorised:      g.tokens.judge(r),
		MessageOfTheDay: g.settings.current().MessageOfTheDay,
		Started:         g.started,
	})
}

func (g *gateway) config(w http.ResponseWriter, _ *http.Request) {
	service.WriteJSON(w, http.StatusOK, g.settings.current())
}

func (g *gateway) nowhere(w http.ResponseWriter, _ *http.Request) {
	service.WriteProblem(w, http.StatusNotFound, "there is no such route")
}

// world passes on what a node knows. It starts with another node each time and
// goes on to the next while one fails.
func (g *gateway) world(w http.ResponseWriter, r *http.Request) {
	if len(g.nodes) == 0 {
		service.WriteProblem(w, http.StatusServiceUnavailable, "no node is configured: set GATEWAY_NODES")
		return
	}
	first := g.nextNode.Add(1)
	for i := range uint64(len(g.nodes)) {
		node := g.nodes[(first+i)%uint64(len(g.nodes))]
		var world json.RawMessage
		err := service.GetJSON(r.Context(), node+"/world", &world)
		if err == nil {
			service.WriteJSON(w, http.StatusOK, world)
			return
		}
		g.log.Warn("node does not answer", "node", node, "error", err)
	}
	service.WriteProblem(w, http.StatusBadGateway, "none of "+strconv.Itoa(len(g.nodes))+" nodes answers")
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
