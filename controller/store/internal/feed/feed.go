package feed

import (
	"context"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/controller/store"
)

// Feed is the watchers of one store. Its owner calls Watch and Publish under the lock
// that orders its writes, so that no watcher misses a change or gets two in the wrong
// order. Neither waits for a watcher.
type Feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
	closed   bool
	wg       sync.WaitGroup
}

// watcher is what one of them has not taken yet: of each key its last change.
type watcher struct {
	prefix string
	ctx    context.Context
	cancel context.CancelFunc
	out    chan store.Event
	more   chan struct{} // holds a token while there may be something pending

	mu      sync.Mutex
	pending map[string]store.Event
	order   []string
}

// Watch adds a watcher of prefix that is first told what is there now.
func (f *Feed) Watch(ctx context.Context, prefix string, now []store.Record) (<-chan store.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, store.ErrClosed
	}
	w := &watcher{prefix: prefix, out: make(chan store.Event), more: make(chan struct{}, 1), pending: map[string]store.Event{}}
	w.ctx, w.cancel = context.WithCancel(ctx)
	for _, r := range now {
		w.add(store.Event{Record: r})
	}
	if f.watchers == nil {
		f.watchers = map[*watcher]struct{}{}
	}
	f.watchers[w] = struct{}{}
	f.wg.Go(func() {
		w.run()
		f.mu.Lock()
		delete(f.watchers, w)
		f.mu.Unlock()
	})
	return w.out, nil
}

// Publish tells a change. The event's value must not be written to any more.
func (f *Feed) Publish(e store.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		if strings.HasPrefix(e.Key, w.prefix) {
			w.add(e)
		}
	}
}

// Close ends all watches and waits for their end.
func (f *Feed) Close() {
	f.mu.Lock()
	f.closed = true
	for w := range f.watchers {
		w.cancel()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (w *watcher) add(e store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.pending[e.Key]; !ok {
		w.order = append(w.order, e.Key)
	}
	w.pending[e.Key] = e
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// next takes the change that waits longest.
func (w *watcher) next() (store.Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.order) == 0 {
		w.order = nil
		return store.Event{}, false
	}
	e := w.pending[w.order[0]]
	delete(w.pending, w.order[0])
	w.order = w.order[1:]
	e.Value = append([]byte(nil), e.Value...)
	return e, true
}

func (w *watcher) run() {
	defer close(w.out)
	defer w.cancel()
	for {
		e, ok := w.next()
		if !ok {
			select {
			case <-w.more:
			case <-w.ctx.Done():
				return
			}
			continue
		}
		select {
		case w.out <- e:
		case <-w.ctx.Done():
			return
		}
	}
}
