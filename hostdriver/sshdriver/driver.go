package sshdriver

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// Driver is the hostdriver.Driver over SSH. It is safe for concurrent use.
//
// It decides nothing and repeats nothing: a request whose reply is lost is an error of
// kind Unknown. It remembers each host's last manifest, to ask for less; what it
// returns is never remembered, always read.
type Driver struct {
	line     line
	pool     *Pool // nil in tests without SSH
	places   places
	lockWait time.Duration

	watchTimes watchTimes

	packs       *packer
	compression Compression
	bandwidth   *rate.Limiter // of releases, over all hosts; nil: not bounded
	pullTimes   pullTimes

	mu    sync.Mutex
	known map[string]ownManifest // by host name
}

var (
	_ hostdriver.Driver    = (*Driver)(nil)
	_ hostdriver.Connector = (*Driver)(nil)
)

// New returns a Driver that reaches hosts as o says. No host is dialled yet.
func New(o Options) (*Driver, error) {
	pool, err := NewPool(o)
	if err != nil {
		return nil, err
	}
	d := newDriver(poolLine{pool}, hostPlaces)
	d.pool = pool
	if o.Compression != "" {
		d.compression = o.Compression
	}
	if o.Bandwidth > 0 {
		d.bandwidth = rate.NewLimiter(rate.Limit(o.Bandwidth), bandwidthBurst)
	}
	return d, nil
}

func newDriver(l line, p places) *Driver {
	return &Driver{line: l, places: p, lockWait: lockWait, watchTimes: hostWatchTimes, packs: newPacker(), compression: CompressAuto, pullTimes: hostPullTimes, known: map[string]ownManifest{}}
}

// Pool is the connections, for who needs a host in another way than the ports.
func (d *Driver) Pool() *Pool { return d.pool }

// Close ends all connections. What still waits for a host gets an error.
func (d *Driver) Close() error {
	d.packs.end()
	if d.pool == nil {
		return nil
	}
	return d.pool.Close()
}

// Connect begins to connect to the host; see hostdriver.Connector. One that was observed
// before has its connection, or is connected to as it is asked: most passes find all as it was.
func (d *Driver) Connect(host inventory.Host) {
	d.mu.Lock()
	_, observed := d.known[host.Name]
	d.mu.Unlock()
	if d.pool != nil && !observed {
		d.pool.Connect(TargetFor(host))
	}
}

// DialHost reaches a socket from the host's side.
func (d *Driver) DialHost(ctx context.Context, host inventory.Host, network, address string) (net.Conn, error) {
	return d.line.dial(ctx, host, network, address)
}

const (
	opObserve = "observe"
	maxHolder = 256 // bytes of a holder's name that are kept
)

// Observe reads the host; see hostdriver.Observer.
func (d *Driver) Observe(ctx context.Context, host inventory.Host, q hostdriver.Query) (hostdriver.Observation, error) {
	r, err := newReading(d.places, q, d.lastManifest(host.Name))
	if err != nil {
		return hostdriver.Observation{}, &hostdriver.Error{Kind: hostdriver.Refused, Host: host.Name, Op: opObserve, Err: err,
			Mend: "correct the fleet repo"}
	}
	if q.Light && q.UnitsOnly {
		if o, ok, err := d.glance(ctx, host, q); ok || err != nil {
			return o, err
		}
	}
	begun := time.Now()
	records, err := exchange(ctx, d.line, host, request{op: opObserve, script: &r.script, call: "op_observe"})
	if err != nil {
		return hostdriver.Observation{}, err
	}
	obs, own, err := r.parse(records)
	if err != nil {
		return hostdriver.Observation{}, &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: opObserve, Err: err,
			Mend: "see what is there: ssh to it and look at " + d.places.state}
	}
	obs.Host, obs.At, obs.Took = host.Name, time.Now(), time.Since(begun)
	d.remember(host.Name, own)
	return obs, nil
}

func (d *Driver) lastManifest(host string) ownManifest {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[host]
}

func (d *Driver) remember(host string, own ownManifest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[host] = own
}
