package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Kind is a way to fail.
type Kind string

const (
	Refused Kind = "refused"    // nobody listened, or no route
	Reset   Kind = "reset"      // the connection ended before the answer did
	Timeout Kind = "timeout"    // no answer in time
	Server  Kind = "5xx"        // an answer of status 500 and above, the load balancer's 502 to 504 among them
	Wrong   Kind = "wrong"      // an answer that Config.Check refused
	Broken  Kind = "broken"     // a WebSocket that ended without a close frame, or with one that says anything but going away
	Dial    Kind = "handshake"  // a WebSocket that could not be opened
	Silent  Kind = "no echo"    // a WebSocket that stayed open and didn't answer
	Skipped Kind = "not sent"   // too many requests in flight: the service is stuck, or this machine too slow for the rate
	Other   Kind = "other kind" // anything else; the samples tell
)

// Stats is what a load has seen. It is a copy: the caller owns it.
type Stats struct {
	Elapsed  time.Duration
	Requests int // that were due
	OK       int // answered as they should be
	// Resent are requests that Go's transport sent a second time, because a kept connection turned out closed before any of an
	// answer came, as RFC 9110 (9.2.2) lets a client do. They aren't failures, yet a test may want none.
	Resent int

	Sockets  int // open now
	Said     int
	Echoes   int
	GoneAway int // WebSockets closed in order with 1001 or 1012, each of which came back or was refused as Dial
	Unheard  int // said, and then the WebSocket was closed in order before the echo: a client says it again

	Failures map[Kind]int
	Samples  []string // of the first failures, with their times

	P50, P90, P99, Max time.Duration // from when a request was due to the end of its answer; answered ones only
}

// Failed counts everything that a user would have noticed.
func (s Stats) Failed() int {
	n := 0
	for _, count := range s.Failures {
		n += count
	}
	return n
}

// String is one line.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d failed", s.Failed())
	sep := " ("
	for _, kind := range slices.Sorted(maps.Keys(s.Failures)) {
		fmt.Fprintf(&b, "%s%d %s", sep, s.Failures[kind], kind)
		sep = ", "
	}
	if sep == ", " {
		b.WriteString(")")
	}
	if s.Requests > 0 {
		fmt.Fprintf(&b, " of %d requests in %.1f s, p50 %s p90 %s p99 %s max %s, %d resent", s.Requests, s.Elapsed.Seconds(),
			ms(s.P50), ms(s.P90), ms(s.P99), ms(s.Max), s.Resent)
	}
	if s.Sockets > 0 || s.Said > 0 {
		fmt.Fprintf(&b, "; %d websockets: %d messages, %d echoed, %d went away in order, %d unheard",
			s.Sockets, s.Said, s.Echoes, s.GoneAway, s.Unheard)
	}
	return b.String()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond)) }

const maxSamples = 20

// ledger is where everything is counted.
type ledger struct {
	mu    sync.Mutex
	begin time.Time
	end   time.Time // zero while under way
	stats Stats
	delay histogram
}

func newLedger() *ledger {
	return &ledger{begin: time.Now(), stats: Stats{Failures: map[Kind]int{}}}
}

func (l *ledger) count(f func(*Stats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.stats)
}

func (l *ledger) fail(kind Kind, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Failures[kind]++
	if len(l.stats.Samples) < maxSamples {
		l.stats.Samples = append(l.stats.Samples, fmt.Sprintf("%.3fs %s: %v", time.Since(l.begin).Seconds(), kind, err))
	}
}

func (l *ledger) answered(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay.add(d)
}

func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = time.Now()
}

func (l *ledger) snapshot() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Failures, s.Samples = maps.Clone(s.Failures), slices.Clone(s.Samples)
	s.Elapsed = time.Since(l.begin)
	if !l.end.IsZero() {
		s.Elapsed = l.end.Sub(l.begin)
	}
	s.P50, s.P90, s.P99, s.Max = l.delay.at(0.50), l.delay.at(0.90), l.delay.at(0.99), l.delay.max
	return s
}

// histogram counts durations in buckets that grow by a fiftieth, from 10 µs to more than an hour: percentiles are right to 2%.
type histogram struct {
	buckets [1024]int
	total   int
	max     time.Duration
}

const (
	finest = 10 * time.Microsecond
	growth = 1.02
)

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > finest {
		i = min(int(math.Log(float64(d)/float64(finest))/math.Log(growth))+1, len(h.buckets)-1)
	}
	h.buckets[i]++
	h.total++
	h.max = max(h.max, d)
}

// at is the duration that the given part of all durations doesn't exceed.
func (h *histogram) at(part float64) time.Duration {
	rank := int(math.Ceil(part * float64(h.total)))
	for i, n := range h.buckets {
		if rank -= n; n > 0 && rank <= 0 {
			return min(time.Duration(float64(finest)*math.Pow(growth, float64(i))), h.max)
		}
	}
	return 0
}

// kindOf says how a request failed that got no whole answer.
func kindOf(err error) Kind {
	var net net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), "server closed idle connection"):
		return Reset
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &net) && net.Timeout():
		return Timeout
	}
	return Other
}
