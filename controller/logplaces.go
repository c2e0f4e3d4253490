package controller

import (
	"fmt"
	"sync"
)

// How many journals a controller reads at once for who asks: each holds what its host
// sends ahead, 2 MiB at most, and one of the sessions that the controller itself works
// with there.
const (
	logHostsMost   = 128
	logsOnHostMost = 2
)

// ErrTooManyLogs means that as many journals are read as may be at once.
var ErrTooManyLogs = tooManyLogs("too many journals are read")

type tooManyLogs string

func (e tooManyLogs) Error() string { return string(e) }

// Is makes every one of them an ErrTooManyLogs.
func (tooManyLogs) Is(target error) bool { return target == ErrTooManyLogs }

// Mend is what a person can do about it.
func (tooManyLogs) Mend() string {
	return "choose hosts with --host, or try again once others are done"
}

// logPlaces are the journals that are being read. The zero value has none.
type logPlaces struct {
	mu sync.Mutex
	on map[string]int // by host
	n  int
}

// take takes a place on each of the hosts, or none.
func (p *logPlaces) take(hosts []string) (release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(hosts) > logHostsMost {
		return nil, tooManyLogs(fmt.Sprintf("it runs on %d hosts, and a controller reads the journals of %d at once", len(hosts), logHostsMost))
	}
	if p.n+len(hosts) > logHostsMost {
		return nil, tooManyLogs(fmt.Sprintf("the journals of %d hosts are being read, and %d are the most at once", p.n, logHostsMost))
	}
	for _, h := range hosts {
		if p.on[h] >= logsOnHostMost {
			return nil, tooManyLogs(fmt.Sprintf("the journal of host %s is being read %d times over", h, logsOnHostMost))
		}
	}
	if p.on == nil {
		p.on = map[string]int{}
	}
	for _, h := range hosts {
		p.on[h]++
	}
	p.n += len(hosts)
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, h := range hosts {
			if p.on[h]--; p.on[h] == 0 {
				delete(p.on, h)
			}
		}
		p.n -= len(hosts)
	}), nil
}
