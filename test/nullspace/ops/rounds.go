package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

// Line is what is known of one target after a round.
type Line struct {
	Name   string `json:"name"`
	Well   bool   `json:"well"`
	Reason string `json:"reason,omitempty"` // why not
	// OpenWebSockets is set for gateways that let us see their metrics.
	OpenWebSockets *int64 `json:"openWebSockets,omitempty"`
}

// Report is the outcome of the last round, in the order of the targets.
type Report struct {
	At    time.Time `json:"at"` // zero before the first round has ended
	Lines []Line    `json:"lines"`
}

// rounds asks every target in turn after turn. It is safe for concurrent use.
type rounds struct {
	targets  []service.Target // asked for /healthz
	gateways []service.Target // asked for /metrics, too
	token    service.Secret
	log      *slog.Logger

	mu   sync.Mutex
	last Report
}

// ask goes one round, all targets at once.
func (r *rounds) ask(ctx context.Context) {
	lines := make([]Line, len(r.targets)+len(r.gateways))
	var asking sync.WaitGroup
	for i, target := range r.targets {
		asking.Go(func() { lines[i] = r.probe(ctx, target) })
	}
	for i, target := range r.gateways {
		asking.Go(func() { lines[len(r.targets)+i] = r.scrape(ctx, target) })
	}
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	r.logChanges(lines)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = Report{At: time.Now().UTC(), Lines: lines}
}

func (r *rounds) logChanges(lines []Line) {
	before := map[string]bool{}
	for _, line := range r.report().Lines {
		before[line.Name] = line.Well
	}
	for _, line := range lines {
		if well, known := before[line.Name]; !known || well != line.Well {
			r.log.Info("target", "name", line.Name, "well", line.Well, "reason", line.Reason)
		}
	}
}

func (r *rounds) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *rounds) probe(ctx context.Context, target service.Target) Line {
	if _, err := service.Get(ctx, target.URL+"/healthz", service.Secret{}); err != nil {
		return Line{Name: target.Name, Reason: err.Error()}
	}
	return Line{Name: target.Name, Well: true}
}

func (r *rounds) scrape(ctx context.Context, target service.Target) Line {
	line := Line{Name: target.Name}
	text, err := service.Get(ctx, target.URL+"/metrics", r.token)
	var status *service.StatusError
	switch {
	case errors.As(err, &status) && status.Code == http.StatusUnauthorized:
		line.Reason = "it refuses our METRICS_AUTH_TOKEN"
	case err != nil:
		line.Reason = err.Error()
	default:
		open, ok := sample(text, "gateway_open_websockets")
		if !ok {
			line.Reason = "its metrics lack gateway_open_websockets"
			break
		}
		line.Well, line.OpenWebSockets = true, &open
	}
	return line
}

// sample returns the value of an unlabelled whole-number metric in Prometheus'
// text format.
func sample(text []byte, name string) (int64, bool) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if !ok || key != name {
			continue
		}
		number, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil {
			return 0, false
		}
		return number, true
	}
	return 0, false
}
