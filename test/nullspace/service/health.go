package service

import (
	"net/http"
	"sync/atomic"
)

// Version is what the binary was built as; the linker sets it
// (-X github.com/evenkeel/evenkeel/test/nullspace/service.Version=1.4.2).
var Version = "dev"

// Phase is where a server stands in its life.
type Phase int32

// The phases, in the order in which a server passes them.
const (
	Starting Phase = iota
	Ready
	Draining
)

// Health answers /healthz: 200 when the server is ready and its check passes,
// else 503 with the reason. It is safe for concurrent use.
type Health struct {
	// Instance is named in every answer.
	Instance string
	// Check, if set, says why the program cannot serve just now; nil is well.
	// It is asked on every probe and must return at once.
	Check func() error

	phase atomic.Int32
}

// Set moves to a phase.
func (h *Health) Set(phase Phase) { h.phase.Store(int32(phase)) }

// Phase returns the current phase.
func (h *Health) Phase() Phase { return Phase(h.phase.Load()) }

// HealthAnswer is the body of /healthz.
type HealthAnswer struct {
	Status   string `json:"status"` // ok, starting, draining, unwell
	Reason   string `json:"reason,omitempty"`
	Instance string `json:"instance"`
	Version  string `json:"version"`
}

// ServeHTTP implements http.Handler.
func (h *Health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	answer := HealthAnswer{Instance: h.Instance, Version: Version}
	code := http.StatusServiceUnavailable
	switch h.Phase() {
	case Starting:
		answer.Status = "starting"
	case Draining:
		answer.Status = "draining"
	default:
		answer.Status, code = "ok", http.StatusOK
		if h.Check != nil {
			if err := h.Check(); err != nil {
				answer.Status, answer.Reason, code = "unwell", err.Error(), http.StatusServiceUnavailable
			}
		}
	}
	WriteJSON(w, code, answer)
}
