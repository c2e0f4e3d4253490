package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	headerWithin   = 5 * time.Second
	bodyWithin     = 20 * time.Second
	answerWithin   = lookTimeout + 30*time.Second
	idleFor        = 2 * time.Minute
	maxHeader      = 16 << 10
	maxConnections = 1024
	shutdownWithin = 5 * time.Second
)

// Listeners are the addresses that an API is served on.
type Listeners struct {
	api *API
	on  []net.Listener
}

// Listen binds what the Options name. Close them, or Serve.
func (a *API) Listen() (*Listeners, error) {
	l := &Listeners{api: a}
	for _, bind := range []func() (net.Listener, error){a.listenTCP, a.listenUnix} {
		on, err := bind()
		if err != nil {
			l.Close()
			return nil, err
		}
		if on != nil {
			l.on = append(l.on, on)
		}
	}
	return l, nil
}

// Close stops listening.
func (l *Listeners) Close() {
	for _, on := range l.on {
		_ = on.Close()
	}
}

// Addrs are what is listened on.
func (l *Listeners) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, on := range l.on {
		addrs = append(addrs, on.Addr())
	}
	return addrs
}

// Serve answers requests until ctx ends, then closes all streams and lets requests in
// hand end, for a while. It returns nil where ctx was why.
func (l *Listeners) Serve(ctx context.Context) error {
	server := &http.Server{Handler: l.api, ReadHeaderTimeout: headerWithin, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader, ConnContext: withPeer,
		ErrorLog: stdlog.New(io.Discard, "", 0), BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
	serving, ended := errgroup.WithContext(ctx)
	for _, on := range l.on {
		serving.Go(func() error {
			if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("cannot serve the API on %s: %w", on.Addr(), err)
			}
			return nil
		})
	}
	<-ended.Done()
	l.api.Close()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	if err := server.Shutdown(within); err != nil {
		_ = server.Close()
	}
	return serving.Wait()
}

// Serve listens and serves until ctx ends.
func (a *API) Serve(ctx context.Context) error {
	l, err := a.Listen()
	if err != nil {
		return err
	}
	return l.Serve(ctx)
}

// deadlines bound how long a request's body may take to arrive and its answer to leave.
// Streams set their own.
func deadlines(w http.ResponseWriter, r *http.Request) {
	c, now := http.NewResponseController(w), time.Now()
	_ = c.SetWriteDeadline(now.Add(answerWithin))
	if r.ContentLength != 0 {
		_ = c.SetReadDeadline(now.Add(bodyWithin))
	}
}

// arrived takes the deadline of a body away, once it is there: later reads only tell
// whether the client is still there.
func arrived(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}
