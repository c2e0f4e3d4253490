package controller

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-multierror"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/rollout"
)

// maxKept is the most bytes that one rollout of the archive may unfold to.
const maxKept = 256 << 20

// archive keeps rollouts that have ended, whole and packed: as many as the history, and
// within a bound of bytes. The oldest go first.
type archive struct {
	store      store.Store
	keep, room int

	mu   sync.Mutex
	kept []keptRollout // oldest first
	size int           // their bytes, packed
}

// keptRollout is where one of them is. Its key is its number and its ID.
type keptRollout struct {
	number  uint64
	id      string
	version uint64
	size    int
}

func (k keptRollout) key() string { return fmt.Sprintf("%s%020d/%s", prefixKept, k.number, k.id) }

func openArchive(ctx context.Context, s store.Store, keep, room int) (*archive, error) {
	a := &archive{store: s, keep: keep, room: room}
	rs, err := s.List(ctx, prefixKept)
	if err != nil {
		return nil, fmt.Errorf("cannot read the rollouts of the past: %w", err)
	}
	for _, r := range rs {
		number, id, _ := strings.Cut(strings.TrimPrefix(r.Key, prefixKept), "/")
		n, err := strconv.ParseUint(number, 10, 64)
		k := keptRollout{number: n, id: id, version: r.Version, size: len(r.Value)}
		if err != nil || k.key() != r.Key {
			continue
		}
		a.kept, a.size = append(a.kept, k), a.size+k.size
	}
	return a, nil
}

// add keeps one more, unless it is kept already. One that has no room even alone is not.
func (a *archive) add(ctx context.Context, rs RolloutStatus) error {
	packed, err := pack(rs)
	if err != nil {
		return fmt.Errorf("cannot keep rollout %s: %w", rs.State.ID, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.kept)
	if len(packed) > min(a.room, store.MaxValue) || n > 0 && a.kept[n-1].id == rs.State.ID {
		return nil
	}
	k := keptRollout{number: 1, id: rs.State.ID, size: len(packed)}
	if n > 0 {
		k.number = a.kept[n-1].number + 1
	}
	for len(a.kept) >= a.keep || a.size+k.size > a.room {
		oldest := a.kept[0]
		if err := a.store.Delete(ctx, oldest.key(), oldest.version); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("cannot shorten the rollouts of the past: %w", err)
		}
		a.kept, a.size = a.kept[1:], a.size-oldest.size
	}
	if k.version, err = a.store.Put(ctx, k.key(), packed, 0); err != nil {
		return fmt.Errorf("cannot keep rollout %s: %w", k.id, err)
	}
	a.kept, a.size = append(a.kept, k), a.size+k.size
	return nil
}

// find reads one, the newest of that ID, and tells whether it is kept.
func (a *archive) find(ctx context.Context, id string) (rs RolloutStatus, ok bool, err error) {
	a.mu.Lock()
	i := len(a.kept) - 1
	for i >= 0 && a.kept[i].id != id {
		i--
	}
	if i < 0 {
		a.mu.Unlock()
		return rs, false, nil
	}
	key := a.kept[i].key()
	a.mu.Unlock()
	r, err := a.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) { // it went meanwhile
		return rs, false, nil
	}
	if err == nil {
		rs, err = unpack(r.Value)
	}
	if err != nil {
		return rs, false, fmt.Errorf("cannot read rollout %s: %w", id, err)
	}
	return rs, true, nil
}

func pack(rs RolloutStatus) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := json.NewEncoder(w).Encode(rs); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(packed []byte) (rs RolloutStatus, err error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return rs, err
	}
	return rs, json.NewDecoder(io.LimitReader(r, maxKept)).Decode(&rs)
}

// errCut is why a rollout has no end of its own.
var errCut = errors.New("the controller was killed in the middle of it; what it left is taken up by another rollout")

// closeCut gives a rollout in whose middle the last controller was killed an end in the
// records. What it left on hosts stands in their own records, and is gone on with from
// there.
func (c *Controller) closeCut(ctx context.Context) error {
	c.mu.Lock()
	cut := c.rolling
	c.mu.Unlock()
	if cut == nil || !cut.Ended.IsZero() {
		return nil
	}
	rs := *cut
	if kept, ok, err := c.ledger.archive.find(ctx, rs.State.ID); err != nil {
		return err
	} else if ok { // killed between the records of its end
		rs = kept
	} else {
		rs.cut()
	}
	c.mu.Lock()
	c.rolling = &rs
	c.mu.Unlock()
	return c.ledger.file(ctx, rs)
}

// cut ends it with what was last saved of it.
func (rs *RolloutStatus) cut() {
	last := rs.State.At // of the last event that was saved
	for _, v := range rs.State.Visits {
		last = max(last, v.Since)
	}
	rs.Ended = rs.Began.Add(last)
	o := OutcomeOf(Ended{State: rs.State, Err: errCut})
	o.Revision = rs.State.Revision
	rs.Outcome = &o
}

// file keeps a rollout that is over whole, writes it into the history, and says last that
// it has ended: who is killed in between does it again.
func (l *ledger) file(ctx context.Context, rs RolloutStatus) error {
	entry := RolloutEntry{ID: rs.State.ID, Revision: rs.State.Revision, Why: rs.Why, Began: rs.Began, Ended: rs.Ended, Result: rs.Outcome.Result, Words: rs.Outcome.Words()}
	for _, v := range rs.State.Visits {
		if v.Phase != rollout.PhasePending && !slices.Contains(entry.Hosts, v.Host) {
			entry.Hosts = append(entry.Hosts, v.Host)
		}
	}
	var errs *multierror.Error
	errs = multierror.Append(errs, l.archive.add(ctx, rs))
	last, err := lastOf[RolloutEntry](ctx, l.rollouts, 1)
	if err == nil && (len(last) == 0 || last[0].ID != entry.ID) {
		_, err = appendTo(ctx, l.rollouts, entry)
	}
	return multierror.Append(errs, err, l.end(ctx, rs)).ErrorOrNil()
}
