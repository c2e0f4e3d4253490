package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/rollout"
)

// The keys of the store's records, beside store.EpochKey.
const (
	keyAccepted   = "source/accepted"
	keyStalled    = "rollout/stalled"
	keyUndo       = "rollout/undo"
	keyRetry      = "rollout/retry"
	keyPaused     = "rollout/paused"
	keyCurrent    = "rollout/current"
	keyPromoted   = "rollout/promoted"
	keySynced     = "hosts/synced"
	keyRotation   = "secrets/rotation"
	prefixVisit   = "rollout/visit/"
	prefixSuspend = "suspension/"
	prefixDrain   = "drain/"
	prefixEvent   = "event/"
	prefixRev     = "history/revision/"
	prefixRollout = "history/rollout/"
	prefixKept    = "history/kept/"
)

// ledger keeps the controller's records in the store, as JSON. Only this controller
// writes them, so a version that is not the one remembered means that another one has
// the store, too.
type ledger struct {
	store store.Store

	mu       sync.Mutex
	versions map[string]uint64

	revisions, rollouts, history *store.History
	archive                      *archive

	following sync.Mutex
	follow    map[chan Event]bool
	recent    []Event // the newest, for followers
}

// recentEvents is how many events are kept in memory.
const recentEvents = 1000

func newLedger(ctx context.Context, s store.Store, keep Retention) (*ledger, error) {
	l := &ledger{store: s, versions: map[string]uint64{}, follow: map[chan Event]bool{}}
	for _, h := range []struct {
		into   **store.History
		prefix string
		keep   int
	}{{&l.revisions, prefixRev, keep.Revisions}, {&l.rollouts, prefixRollout, keep.Rollouts}, {&l.history, prefixEvent, keep.Events}} {
		var err error
		if *h.into, err = store.OpenHistory(ctx, s, h.prefix, h.keep); err != nil {
			return nil, err
		}
	}
	var err error
	if l.archive, err = openArchive(ctx, s, keep.Rollouts, keep.RolloutBytes); err != nil {
		return nil, err
	}
	l.recent, err = l.events(ctx, 0, recentEvents)
	return l, err
}

// get reads a record into v, and tells whether there is one.
func (l *ledger) get(ctx context.Context, key string, v any) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, err := l.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		delete(l.versions, key)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read %s: %w", key, err)
	}
	l.versions[key] = r.Version
	if err := json.Unmarshal(r.Value, v); err != nil {
		return false, fmt.Errorf("cannot read %s: %w", key, err)
	}
	return true, nil
}

// put makes a record durable. It returns once it is.
func (l *ledger) put(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot save %s: %w", key, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	version, err := l.store.Put(ctx, key, b, l.versions[key])
	if err != nil {
		return fmt.Errorf("cannot save %s: %w", key, err)
	}
	l.versions[key] = version
	return nil
}

func (l *ledger) drop(ctx context.Context, key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.store.Delete(ctx, key, l.versions[key])
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("cannot remove %s: %w", key, err)
	}
	delete(l.versions, key)
	return nil
}

// list reads all records under a prefix, oldest key first.
func list[T any](ctx context.Context, l *ledger, prefix string) ([]T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs, err := l.store.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s…: %w", prefix, err)
	}
	out := make([]T, 0, len(rs))
	for _, r := range rs {
		var v T
		if err := json.Unmarshal(r.Value, &v); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", r.Key, err)
		}
		l.versions[r.Key] = r.Version
		out = append(out, v)
	}
	return out, nil
}

// appendTo puts a value at the end of a history.
func appendTo(ctx context.Context, h *store.History, v any) (uint64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	return h.Append(ctx, b)
}

// lastOf are the newest values of a history, oldest first.
func lastOf[T any](ctx context.Context, h *store.History, limit int) ([]T, error) {
	if limit <= 0 {
		limit = -1
	}
	entries, err := h.Last(ctx, limit)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(entries))
	for _, e := range entries {
		var v T
		if err := json.Unmarshal(e.Value, &v); err != nil {
			return nil, fmt.Errorf("cannot read entry %d of a history: %w", e.Number, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func numbered(prefix string, n int) string { return fmt.Sprintf("%s%020d", prefix, n) }

// event records e and tells all followers, also where it cannot be saved. A follower
// that is too slow is dropped.
func (l *ledger) event(ctx context.Context, e Event) error {
	l.following.Lock()
	defer l.following.Unlock()
	n, err := appendTo(ctx, l.history, e)
	if n == 0 && len(l.recent) > 0 {
		n = l.recent[len(l.recent)-1].Seq + 1
	}
	e.Seq = n
	l.recent = append(l.recent, e)
	if len(l.recent) > 2*recentEvents {
		l.recent = slices.Clone(l.recent[len(l.recent)-recentEvents:])
	}
	for f := range l.follow {
		select {
		case f <- e:
		default:
			delete(l.follow, f)
			close(f)
		}
	}
	return err
}

// followFrom gives what comes after the event of that number, from the recent ones on,
// until ctx ends.
func (l *ledger) followFrom(ctx context.Context, after uint64) <-chan Event {
	l.following.Lock()
	defer l.following.Unlock()
	f := make(chan Event, 2*recentEvents+256)
	for _, e := range l.recent {
		if e.Seq > after {
			f <- e
		}
	}
	l.follow[f] = true
	context.AfterFunc(ctx, func() {
		l.following.Lock()
		defer l.following.Unlock()
		if l.follow[f] {
			delete(l.follow, f)
			close(f)
		}
	})
	return f
}

// events are the last limit (0: all) of those after a number.
func (l *ledger) events(ctx context.Context, after uint64, limit int) ([]Event, error) {
	entries, err := l.history.Last(ctx, -1)
	if err != nil {
		return nil, err
	}
	var out []Event
	for _, x := range entries {
		var e Event
		if x.Number <= after {
			continue
		}
		if err := json.Unmarshal(x.Value, &e); err != nil {
			return nil, fmt.Errorf("cannot read event %d: %w", x.Number, err)
		}
		e.Seq = x.Number
		out = append(out, e)
	}
	if limit > 0 && len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out, nil
}

// stalled is a revision that is not tried again until git moves.
type stalled struct {
	Revision string    `json:"revision"`
	Services []string  `json:"services"`
	Reason   string    `json:"reason"`
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at"`
}

// undoing is an operator's wish to go back, until it is fulfilled.
type undoing struct {
	Of      string       `json:"of"` // the revision that is undone
	Back    rollout.Back `json:"back"`
	Host    string       `json:"host,omitempty"`
	Service string       `json:"service,omitempty"`
	By      string       `json:"by"`
	At      time.Time    `json:"at"`
}

// word is an operator's, kept.
type word struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// promotedRecord says of which services the canaries of a revision were accepted.
type promotedRecord struct {
	Revision string          `json:"revision"`
	Services map[string]bool `json:"services"`
}

// syncedRecord says at which revision hosts were last found as they should be.
type syncedRecord struct {
	Revision string   `json:"revision"`
	Hosts    []string `json:"hosts"`
}

// saver makes a rollout's State durable before its commands run. It writes only what
// changed: the visit of the last event and those that begin.
type saver struct {
	l    *ledger
	c    *RolloutStatus
	last []rollout.Progress
	// promoted are the services whose canaries were accepted, as last saved.
	promoted map[string]bool
}

// save writes st; the first one whole.
func (s *saver) save(ctx context.Context, st rollout.State) error {
	if now := st.Promoted(); !maps.Equal(now, s.promoted) {
		if err := s.l.put(ctx, keyPromoted, promotedRecord{Revision: st.Revision, Services: now}); err != nil {
			return err
		}
		s.promoted = now
	}
	for i := range st.Visits {
		p := st.Visits[i].Progress
		if i < len(s.last) && s.last[i].Phase == p.Phase && s.last[i].Attempt == p.Attempt && s.last[i].Result == p.Result {
			continue
		}
		if len(s.last) > 0 {
			if err := s.l.put(ctx, numbered(prefixVisit, i), st.Visits[i]); err != nil {
				return err
			}
			s.last[i] = p
		}
	}
	if len(s.last) == 0 {
		whole := *s.c
		whole.State = st
		if err := s.l.put(ctx, keyCurrent, whole); err != nil {
			return err
		}
		for i := range st.Visits {
			s.last = append(s.last, st.Visits[i].Progress)
		}
	}
	return nil
}

// end writes the last State whole, in one record, and drops the visits' own.
func (l *ledger) end(ctx context.Context, rs RolloutStatus) error {
	if err := l.put(ctx, keyCurrent, rs); err != nil {
		return err
	}
	return l.dropVisits(ctx)
}

func (l *ledger) dropVisits(ctx context.Context) error {
	rs, err := l.store.List(ctx, prefixVisit)
	if err != nil {
		return fmt.Errorf("cannot read %s…: %w", prefixVisit, err)
	}
	for _, r := range rs {
		l.mu.Lock()
		err := l.store.Delete(ctx, r.Key, r.Version)
		delete(l.versions, r.Key)
		l.mu.Unlock()
		if err != nil {
			return fmt.Errorf("cannot remove %s: %w", r.Key, err)
		}
	}
	return nil
}

// rollout reads back the last one, with what its visits came to.
func (l *ledger) rollout(ctx context.Context) (RolloutStatus, bool, error) {
	var rs RolloutStatus
	ok, err := l.get(ctx, keyCurrent, &rs)
	if err != nil || !ok {
		return rs, ok, err
	}
	visits, err := list[rollout.Visit](ctx, l, prefixVisit)
	if err != nil {
		return rs, false, err
	}
	for _, v := range visits {
		if v.ID >= 0 && v.ID < len(rs.State.Visits) && rs.Ended.IsZero() {
			rs.State.Visits[v.ID] = v
		}
	}
	return rs, true, nil
}
