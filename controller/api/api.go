package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/webhook"
	"github.com/evenkeel/evenkeel/rollout"
)

// Controller is what the API needs of the controller. Its methods may be called from
// any goroutine. Errors that wrap one of controller's (ErrNothingToDo, ErrUnknownObject,
// ErrUnknownRollout, ErrNotLooked) are told apart; others are told as they are.
type Controller interface {
	// Snapshot is what is known now; nil before anything is.
	Snapshot() *controller.Snapshot
	// Poke says that it is worth fetching now. It returns at once.
	Poke(why string)
	// Do carries an operator's word out, records it, and says in words what was done.
	// A suspend or resume that names neither host nor service is about the whole fleet;
	// one that names both is about the service on that host.
	Do(ctx context.Context, a controller.Action) (string, error)
	// Diff looks at one host now: what `evenkeel diff -o json` prints.
	Diff(ctx context.Context, host string) (rollout.Plan, error)
	Explain(ctx context.Context, host, service string) (controller.Explanation, error)
	// Logs merges the journals of a service, on hosts by globs; see controller's.
	Logs(ctx context.Context, hosts []string, q controller.LogQuery, sink controller.LogSink) error
	// Events are the newest limit of those after number after, ascending.
	Events(ctx context.Context, after uint64, limit int) ([]controller.Event, error)
	// Follow gives every event after number after, first those that are kept, then each
	// as it happens. The channel is closed when ctx ends, or when the follower is too
	// slow: it may then follow again from the last one that it got.
	Follow(ctx context.Context, after uint64) (<-chan controller.Event, error)
	// Revisions and Rollouts are the history, newest first.
	Revisions(ctx context.Context, limit int) ([]controller.RevisionEntry, error)
	Rollouts(ctx context.Context, limit int) ([]controller.RolloutEntry, error)
	RolloutByID(ctx context.Context, id string) (controller.RolloutStatus, error)
	// Backup writes a copy of the store, as it is at one moment, and records who asked.
	Backup(ctx context.Context, w io.Writer, by string) (int64, error)
}

var _ Controller = (*controller.Controller)(nil)

// Options are what an API is made with.
type Options struct {
	Controller Controller
	Log        zerolog.Logger

	// Listen is HOST:PORT; "" for no TCP. Certificate and Key, files that are read again
	// when they change, turn TLS on. Without them only a loopback address is listened on,
	// unless Plaintext says that something else protects the way (a proxy, a tunnel).
	Listen           string
	Certificate, Key string
	Plaintext        bool
	// Socket is the path of a unix socket; "" for none. Root and this process' own user
	// are operators there by who they are; SocketGroup, a group's name, may connect, too,
	// and needs a token.
	Socket, SocketGroup string

	Tokens       string // file; "" or missing: no tokens
	MetricsToken string // file; "": /metrics takes tokens that may read
	// WebhookSecrets is a file of secrets, one a line; "": no hook is taken.
	WebhookSecrets string
	// WebhookWindow is how long hooks are gathered into one fetch; 0: 500 ms.
	WebhookWindow time.Duration

	// Alive, where set, tells /healthz why the controller is not alive.
	Alive func() error
	Build Build
	// Collectors are more metrics for /metrics.
	Collectors []prometheus.Collector
}

// Build is which evenkeel this is.
type Build struct{ Version, Commit string }

const (
	defaultWindow = 500 * time.Millisecond
	replayWindow  = 15 * time.Minute // more than twice the tolerance of signed times
	replayMost    = 10_000
)

// API answers requests. It is an http.Handler for requests that came over TCP; Listen
// serves it. Close ends what it began.
type API struct {
	Options
	tokens  *cachedFile[[]Token]
	metrics *cachedFile[[][]byte]
	secrets *cachedFile[[][]byte]
	limit   *failures
	seen    *webhook.Seen
	poke    *webhook.Debounce
	mux     *http.ServeMux
	routes  map[string]*Route // by pattern
	meter   *meter
	streams chan struct{} // a place for each open stream
	backups chan struct{} // likewise for backups
	recheck time.Duration // how often a stream asks whether its token still holds
	beat    time.Duration // how often a stream says that it lives

	writeWithin time.Duration // how long a stream's reader may take to take something

	now     func() time.Time
	closing chan struct{}
	close   sync.Once
}

// New makes an API. No file is read and nothing is listened on yet.
func New(o Options) (*API, error) {
	if o.Controller == nil {
		return nil, errors.New("an API needs a controller")
	}
	if o.WebhookWindow <= 0 {
		o.WebhookWindow = defaultWindow
	}
	a := &API{Options: o, limit: newFailures(), seen: webhook.NewSeen(replayWindow, replayMost), mux: http.NewServeMux(), routes: map[string]*Route{},
		streams: make(chan struct{}, maxStreams), backups: make(chan struct{}, maxBackups), recheck: 250 * time.Millisecond, beat: 15 * time.Second, writeWithin: writeWithin, now: time.Now, closing: make(chan struct{})}
	a.tokens = newCachedFile(o.Tokens, parseTokens, false)
	a.metrics = newCachedFile(o.MetricsToken, parseSecrets, true)
	a.secrets = newCachedFile(o.WebhookSecrets, parseSecrets, true)
	a.poke = webhook.NewDebounce(o.WebhookWindow, func() { o.Controller.Poke("webhook") })
	meter, err := newMeter(o)
	if err != nil {
		return nil, fmt.Errorf("cannot make the metrics: %w", err)
	}
	a.meter = meter
	for _, r := range Routes() {
		a.routes[r.pattern()] = &r
		a.mux.Handle(r.pattern(), a.guarded(&r))
	}
	return a, nil
}

// Close ends all streams and forgets a poke that is due. Requests in hand go on.
func (a *API) Close() {
	a.close.Do(func() {
		close(a.closing)
		a.poke.Stop()
	})
}

// snapshot is the controller's, or the problem that there is none yet.
func (a *API) snapshot() (*controller.Snapshot, error) {
	if s := a.Controller.Snapshot(); s != nil {
		return s, nil
	}
	return nil, controller.ErrNotLooked
}
