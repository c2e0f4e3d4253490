package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// Generator is a load under way.
type Generator struct {
	config Config
	ledger *ledger
	kept   *http.Client
	fresh  *http.Client

	cancel context.CancelFunc // no new request; the WebSockets close in order
	done   chan struct{}      // closed when nothing is under way any more
}

// Start begins a load and returns when every WebSocket is open, so that what comes next happens under the full load. If one
// can't be opened it is an error, and nothing is left under way. The load ends with ctx, with Stop, or with its bounds.
func Start(ctx context.Context, c Config) (*Generator, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	g := &Generator{config: c, ledger: newLedger(), cancel: cancel, done: make(chan struct{}), kept: client(c, false), fresh: client(c, true)}
	sockets, err := g.openSockets(ctx)
	if err != nil {
		cancel()
		g.hangUp()
		return nil, err
	}
	var work sync.WaitGroup
	for i, s := range sockets {
		work.Go(func() { g.keepSocket(ctx, i, s) })
	}
	if c.Rate > 0 {
		work.Go(func() { g.sendRequests(ctx) })
	}
	go func() {
		defer close(g.done)
		defer cancel()
		work.Wait()
		g.hangUp()
		g.ledger.close()
	}()
	return g, nil
}

// Run is a load from its start to its bounds.
func Run(ctx context.Context, c Config) (Stats, error) {
	g, err := Start(ctx, c)
	if err != nil {
		return Stats{}, err
	}
	return g.Wait(), nil
}

// Stats is what was seen so far.
func (g *Generator) Stats() Stats { return g.ledger.snapshot() }

// Wait returns when the load has ended by itself, with all that was seen. WebSockets have no number to end by: with Sockets
// it is the Duration that ends it.
func (g *Generator) Wait() Stats {
	<-g.done
	return g.Stats()
}

// Stop ends the load, waits for the answers that are still due, and returns all that was seen. It may be called again.
func (g *Generator) Stop() Stats {
	g.cancel()
	return g.Wait()
}

func (g *Generator) hangUp() {
	g.kept.CloseIdleConnections()
	g.fresh.CloseIdleConnections()
}

func client(c Config, fresh bool) *http.Client {
	return &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			DisableKeepAlives: fresh, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// sendRequests sends each request when it is due, and returns when the last one has ended.
func (g *Generator) sendRequests(ctx context.Context) {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	slots := make(chan struct{}, maxInFlight)
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; g.config.Requests == 0 || n < g.config.Requests; n++ {
		due := begin.Add(time.Duration(float64(n) / g.config.Rate * float64(time.Second)))
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		g.ledger.count(func(s *Stats) { s.Requests++ })
		select {
		case slots <- struct{}{}:
			inFlight.Go(func() {
				defer func() { <-slots }()
				g.request(n, due)
			})
		default:
			g.ledger.fail(Skipped, fmt.Errorf("%d requests are in flight", maxInFlight))
		}
	}
}

// request sends one request and counts how it went. It isn't cut short by the load's end: the answer is awaited.
func (g *Generator) request(n int, due time.Time) {
	sent := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent++ }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, g.config.URL, nil)
	if err != nil {
		g.ledger.fail(Other, err)
		return
	}
	for name, values := range g.config.Header {
		request.Header[name] = values
	}
	if host := g.config.Header.Get("Host"); host != "" {
		request.Host = host
	}
	client := g.kept
	if g.config.Connections == Fresh || g.config.Connections == Mixed && n%2 == 1 {
		client = g.fresh
	}
	kind, err := g.exchange(client, request)
	if sent > 1 {
		g.ledger.count(func(s *Stats) { s.Resent++ })
	}
	if err != nil {
		g.ledger.fail(kind, err)
		return
	}
	g.ledger.answered(time.Since(due))
	g.ledger.count(func(s *Stats) { s.OK++ })
}

func (g *Generator) exchange(client *http.Client, request *http.Request) (Kind, error) {
	response, err := client.Do(request)
	if err != nil {
		return kindOf(err), err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return kindOf(err), err
	}
	if response.StatusCode >= 500 {
		return Server, errors.New(response.Status)
	}
	return Wrong, g.config.Check(response.StatusCode, body)
}
