package api

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// An address may fail to authenticate failureBurst times, and again once every
// failureEvery. Beyond that it is answered 429, and its failures are not logged. What
// is genuine is let in all the same: behind a proxy everybody has one address, and
// nobody can guess 256 bits, however often he may try.
const (
	failureBurst = 30
	failureEvery = 2 * time.Second
	maxAddresses = 10_000
)

// failures counts failed authentications by address.
type failures struct {
	mu sync.Mutex
	by map[netip.Prefix]*rate.Limiter
	// rest stands in for addresses that there is no room for.
	rest  *rate.Limiter
	swept time.Time
}

func newFailures() *failures {
	return &failures{by: map[netip.Prefix]*rate.Limiter{}, rest: newLimiter()}
}

func newLimiter() *rate.Limiter { return rate.NewLimiter(rate.Every(failureEvery), failureBurst) }

// failed notes a failure, and tells whether it was one too many.
func (f *failures) failed(remote string, now time.Time) (tooMany bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := network(remote)
	l := f.by[from]
	if l == nil {
		if len(f.by) >= maxAddresses && now.Sub(f.swept) >= time.Second {
			f.forget(now)
			f.swept = now
		}
		if l = f.rest; len(f.by) < maxAddresses {
			l = newLimiter()
			f.by[from] = l
		}
	}
	return !l.AllowN(now, 1)
}

// forget drops the addresses that have long been quiet.
func (f *failures) forget(now time.Time) {
	for from, l := range f.by {
		if l.TokensAt(now) >= failureBurst {
			delete(f.by, from)
		}
	}
}

// network is what counts as one address: an IPv4 address, or an IPv6 /64, which is
// what one customer has.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
