// Package memory says how much of what is no longer needed a process that runs for months
// may keep before it is collected.
//
// Go collects once as much has been allocated as is held (GOGC=100). What a controller
// holds (connections, and what it needs of each host) it holds for months, and of a large
// fleet that is most of a gigabyte: doubling it would be paid for and not used. A small one
// is better off with fewer collections.
package memory

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// headroom is what may be allocated beside what is held, in bytes, before it is collected,
	// within least and most percent of that.
	headroom    = 160 << 20
	least, most = 20, 100
	every       = time.Second
)

// percent is the GOGC for a process that holds so many bytes, in its heap and its stacks.
func percent(held uint64) int {
	return int(min(most, max(least, headroom*100/max(held, 1)))) // #nosec G115 -- at most 100
}

// Keep adapts GOGC to what the process holds, until ctx ends. It does nothing where the
// environment has GOGC or GOMEMLIMIT: then the operator has said what holds.
func Keep(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for is := 0; ; {
		if to := percent(held()); to != is {
			debug.SetGCPercent(to)
			is = to
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// held is what the last collection has found to be needed, with the goroutines' stacks.
func held() (bytes uint64) {
	all := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(all)
	for _, s := range all {
		if s.Value.Kind() == metrics.KindUint64 {
			bytes += s.Value.Uint64()
		}
	}
	return bytes
}
