package service

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is one HTTP program from its start to its graceful end.
type Server struct {
	Name   string // what the logs call it
	Listen string // host:port; port 0 takes a free one, which the log names
	// StartupDelay is waited before listening: a program that is slow to start.
	StartupDelay time.Duration
	// Grace bounds a stop: in-flight requests may take that long to finish. With
	// none, a stop cuts every connection at once.
	Grace   time.Duration
	Handler http.Handler // every route but /healthz
	Health  *Health
	// Drain, if set, runs once a stop begins, beside the wait for in-flight
	// requests: it ends what http.Server does not know of, such as WebSockets.
	// Its context ends with the grace.
	Drain func(context.Context)
	// Reload, if set, runs on SIGHUP. A failed one leaves the program as it was.
	Reload func() error
	// Tasks run from the moment the server listens; their context ends when it
	// stops, and Run waits for them.
	Tasks []func(context.Context)
	Log   *slog.Logger
}

// Run listens and serves until ctx ends, then stops within Grace. It returns
// nil after a stop, also one that had to cut connections, and an error if it
// could not listen or serve.
func (s *Server) Run(ctx context.Context) error {
	if !sleep(ctx, s.StartupDelay) {
		return nil
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", s.Listen, err)
	}
	return s.Serve(ctx, listener)
}

// Serve is Run on a listener that is already open, and closes it.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	open := new(connections)
	server := &http.Server{
		Handler:           s.routes(),
		ConnState:         open.note,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	taskCtx, stopTasks := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stopTasks()
	for _, task := range s.Tasks {
		running.Go(func() { task(taskCtx) })
	}
	failed := make(chan error, 1)
	running.Go(func() { failed <- server.Serve(listener) })
	s.Health.Set(Ready)
	s.Log.Info("listening", "addr", listener.Addr().String(), "version", Version, "instance", s.Health.Instance)

	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.stop(server, listener, open)
	return nil
}

// stop makes the health route fail, takes no further connection, ends what
// Drain ends, and waits for the requests in flight, all within the grace.
func (s *Server) stop(server *http.Server, listener net.Listener, open *connections) {
	s.Health.Set(Draining)
	s.Log.Info("stopping", "grace", s.Grace)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), s.Grace)
	defer cancel()
	_ = listener.Close()
	server.SetKeepAlivesEnabled(false) // closes what is idle, too
	var drained sync.WaitGroup
	if s.Drain != nil {
		drained.Go(func() { s.Drain(ctx) })
	}
	if inFlight := open.quiet(ctx); inFlight > 0 {
		s.Log.Warn("grace ended with requests in flight, cutting them", "requests", inFlight)
	}
	drained.Wait()
	_ = server.Close()
	s.Log.Info("stopped", "after", time.Since(begun).Round(time.Millisecond))
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/healthz", s.Health)
	if s.Handler != nil {
		mux.Handle("/", s.Handler)
	}
	return mux
}

// sleep waits; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// Every runs work at once and then once per interval, until ctx ends.
func Every(ctx context.Context, interval time.Duration, work func(context.Context)) {
	for {
		work(ctx)
		if !sleep(ctx, interval) {
			return
		}
	}
}
