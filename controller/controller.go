package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"k8s.io/client-go/util/workqueue"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout"
)

// Controller is the loop: it keeps a fleet as a branch of a git repository wants it.
//
// Whatever happens (a push, a signal of a host's watch, a schedule, an operator's word)
// only says where to look; what is done follows from what is found there. Work is keyed
// and deduplicated: the source, the fleet, a host, a host's health. A pass over the
// fleet may roll; a pass over a host corrects what disturbs nobody, and hands all else
// to the fleet's.
type Controller struct {
	opt    Options
	log    zerolog.Logger
	ledger *ledger
	queue  workqueue.TypedRateLimitingInterface[key]

	snapshot  atomic.Pointer[Snapshot]
	published chan struct{} // something is to be published
	stopping  chan struct{} // closed once Run is to end

	// mutate is held by a pass over the fleet, and shared by passes over hosts.
	mutate sync.RWMutex

	mu        sync.Mutex
	revision  *desired.Revision // nil before the first one
	inventory inventory.Inventory
	source    Source
	accepted  RevisionEntry
	asked     pokes
	override  map[string]Action // commits that an operator lets in, by commit
	conds     Conditions        // the fleet's
	hosts     map[string]*hostEntry
	order     []string // the inventory's
	plan      *rollout.Plan
	secrets   []SecretStatus // as last looked at
	rotation  rotationRecord
	formed    *desired.Revision // revision with its secrets in the forms of rotation
	rolling   *RolloutStatus
	control   chan<- rollout.Event // of the rollout under way; nil: none is
	stalled   *stalled
	promoted  promotedRecord
	retrying  string // a revision that an operator wants tried again
	undo      *undoing
	paused    *word
	suspended map[string]Suspension // by suspensionKey
	drains    map[string]handDrainRecord
	epoch     uint64
	recalled  uint64          // the epoch that the store knew when it was opened
	met       map[string]bool // hosts that were looked at since
	renew     bool            // an epoch is to be taken, for the store was copied
	frozen    string          // why nothing may be changed; "" where all may be
	success   time.Time
	working   map[string]int // by kind of key: under way
	beat      time.Time      // when the timers last came round

	logs logPlaces
}

// key is one piece of work.
type key struct{ kind, name string }

// The kinds of work.
const (
	kindSource = "source"
	kindFleet  = "fleet"
	kindHost   = "host"
	kindHealth = "health"
)

var (
	sourceKey = key{kind: kindSource}
	fleetKey  = key{kind: kindFleet}
)

func hostKey(name string) key   { return key{kindHost, name} }
func healthKey(name string) key { return key{kindHealth, name} }

// The pauses between two tries of the same work that fails.
const (
	leastBackoff = 500 * time.Millisecond
	mostBackoff  = time.Minute
)

// New reads the store and makes a Controller. No host is contacted yet.
func New(ctx context.Context, opt Options) (*Controller, error) {
	if err := opt.defaults(); err != nil {
		return nil, err
	}
	l, err := newLedger(ctx, opt.Store, opt.Retention)
	if err != nil {
		return nil, err
	}
	c := &Controller{opt: opt, log: opt.Log, ledger: l, published: make(chan struct{}, 1), stopping: make(chan struct{}), frozen: opt.ReadOnly,
		override: map[string]Action{}, hosts: map[string]*hostEntry{}, suspended: map[string]Suspension{}, drains: map[string]handDrainRecord{}, working: map[string]int{}, met: map[string]bool{}}
	c.queue = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[key](leastBackoff, mostBackoff),
		workqueue.TypedRateLimitingQueueConfig[key]{})
	c.source = Source{URL: opt.Git.URL(), Branch: opt.Git.Branch()}
	if err := c.recall(ctx); err != nil {
		c.queue.ShutDown()
		return nil, err
	}
	c.publish(time.Now())
	return c, nil
}

// recall takes up what the store knows.
func (c *Controller) recall(ctx context.Context) error {
	if _, err := c.ledger.get(ctx, keyAccepted, &c.accepted); err != nil {
		return err
	}
	var err error
	if c.epoch, err = store.Epoch(ctx, c.opt.Store); err != nil {
		return err
	}
	c.recalled = c.epoch
	var st stalled
	if ok, err := c.ledger.get(ctx, keyStalled, &st); err != nil {
		return err
	} else if ok {
		c.stalled = &st
	}
	if _, err := c.ledger.get(ctx, keyRetry, &c.retrying); err != nil {
		return err
	}
	if err := c.recallRotation(ctx); err != nil {
		return err
	}
	var u undoing
	if ok, err := c.ledger.get(ctx, keyUndo, &u); err != nil {
		return err
	} else if ok {
		c.undo = &u
	}
	var p word
	if ok, err := c.ledger.get(ctx, keyPaused, &p); err != nil {
		return err
	} else if ok {
		c.paused = &p
	}
	rs, ok, err := c.ledger.rollout(ctx)
	if err != nil {
		return err
	}
	if ok {
		c.rolling = &rs
	}
	if _, err := c.ledger.get(ctx, keyPromoted, &c.promoted); err != nil {
		return err
	}
	suspensions, err := list[Suspension](ctx, c.ledger, prefixSuspend)
	if err != nil {
		return err
	}
	for _, s := range suspensions {
		c.suspended[suspensionKey(s.Host, s.Service)] = s
	}
	drains, err := list[handDrainRecord](ctx, c.ledger, prefixDrain)
	for _, d := range drains {
		c.drains[d.Host] = d
	}
	c.source.Revision, c.source.Subject, c.source.Author, c.source.Signer = c.accepted.Revision, c.accepted.Subject, c.accepted.Author, c.accepted.Signer
	return err
}

// Run works until ctx ends, then finishes the hosts in hand (see Options.StopWithin) and
// returns. It must be called once.
func (c *Controller) Run(ctx context.Context) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	if err := c.nextEpoch(work, 0); err != nil {
		c.freeze("cannot save the epoch: " + err.Error())
	}
	c.record(work, Event{Type: Normal, Reason: ReasonStarted, Message: "controller " + c.opt.Name + " has started"})
	if err := c.closeCut(work); err != nil {
		c.log.Error().Err(err).Msg("a rollout that was cut cannot be ended in the records")
	}
	var all sync.WaitGroup
	all.Go(func() { c.publisher(work) })
	all.Go(func() { c.timers(work) })
	var workers sync.WaitGroup
	for range c.opt.Concurrency + 2 {
		workers.Go(func() {
			for c.work(work) {
			}
		})
	}
	c.queue.Add(sourceKey)
	<-ctx.Done()
	close(c.stopping)
	c.tell(rollout.Event{Kind: rollout.EventStop, Reason: "the controller is stopping"})
	c.queue.ShutDown()
	finished := make(chan struct{})
	go func() {
		workers.Wait()
		close(finished)
	}()
	bound := time.NewTimer(c.opt.StopWithin)
	defer bound.Stop()
	var err error
	select {
	case <-finished:
	case <-bound.C:
		err = fmt.Errorf("the hosts in hand were not finished within %s; the next start goes on with them", c.opt.StopWithin)
		cancel(err)
		<-finished
	}
	c.unwatch()
	c.record(context.WithoutCancel(ctx), Event{Type: Normal, Reason: ReasonStopped, Message: "controller " + c.opt.Name + " has stopped"})
	cancel(nil)
	all.Wait()
	return err
}

// work does one piece of work, and tells whether there may be more.
func (c *Controller) work(ctx context.Context) bool {
	k, down := c.queue.Get()
	if down {
		return false
	}
	defer c.queue.Done(k)
	c.count(k.kind, 1)
	defer c.count(k.kind, -1)
	if err := c.guarded(ctx, k); err != nil {
		if !errors.Is(err, context.Canceled) {
			c.log.Warn().Str("work", k.kind).Str("name", k.name).Err(err).Int("tries", c.queue.NumRequeues(k)+1).Msg("work failed, and is tried again")
		}
		c.queue.AddRateLimited(k)
		return true
	}
	c.queue.Forget(k)
	return true
}

// guarded does the work of a key. A panic is an error of that key alone: others go on.
func (c *Controller) guarded(ctx context.Context, k key) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", redactPanic(r))
			c.log.Error().Str("work", k.kind).Str("name", k.name).Bytes("stack", stack()).Msg("a worker panicked; its key is tried again later, others go on")
		}
	}()
	switch k.kind {
	case kindSource:
		return c.sourcePass(ctx)
	case kindFleet:
		return c.fleetPass(ctx)
	case kindHost:
		return c.hostPass(ctx, k.name)
	case kindHealth:
		return c.healthPass(ctx, k.name)
	}
	return nil
}

func (c *Controller) count(kind string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working[kind] += n
}

// Poke says that git may have moved: it is asked at once. It returns at once.
func (c *Controller) Poke(string) { c.queue.Add(sourceKey) }

// tell gives the rollout under way an event, and tells whether there is one.
func (c *Controller) tell(e rollout.Event) bool {
	c.mu.Lock()
	control := c.control
	c.mu.Unlock()
	if control == nil {
		return false
	}
	select {
	case control <- e:
		return true
	case <-time.After(5 * time.Second):
		return false
	}
}

// record writes an event down. Where the store fails, followers and the log still get
// it, and the fleet's condition says so.
func (c *Controller) record(ctx context.Context, e Event) {
	e.At = time.Now().UTC().Truncate(time.Millisecond)
	log := c.log.Info()
	if e.Type == Warning {
		log = c.log.Warn()
	}
	log.Str("reason", e.Reason)
	for _, f := range [][2]string{{"host", e.Host}, {"service", e.Service}, {"revision", e.Revision}, {"rollout", e.Rollout}, {"by", e.By}} {
		if f[1] != "" {
			log.Str(f[0], f[1])
		}
	}
	log.Msg(e.Message)
	if err := c.ledger.event(ctx, e); err != nil {
		c.log.Error().Err(err).Msg("an event cannot be saved")
	}
}

// stuckAfter is how long the timers, which come round each second, may stay away.
const stuckAfter = 30 * time.Second

// Alive tells why the controller does not work any more; nil as long as it does.
func (c *Controller) Alive() error {
	if c.isStopping() {
		return nil // Run bounds that
	}
	if !c.mu.TryLock() {
		time.Sleep(time.Second)
		if !c.mu.TryLock() {
			time.Sleep(5 * time.Second)
			if !c.mu.TryLock() {
				return errors.New("the controller's state is locked")
			}
		}
	}
	defer c.mu.Unlock()
	if !c.beat.IsZero() && time.Since(c.beat) > stuckAfter {
		return fmt.Errorf("the timers have not come round for %s", time.Since(c.beat).Round(time.Second))
	}
	return nil
}

// freeze stops all changes, with a reason; looking goes on. A store that cannot be read is
// the reason before all others, which may only follow from it. It tells whether they were going
// on until now.
func (c *Controller) freeze(why string) bool {
	c.mu.Lock()
	was := c.frozen
	c.frozen = orWords(c.opt.ReadOnly, why)
	c.mu.Unlock()
	if was == "" {
		c.log.Error().Str("why", why).Msg("nothing is changed any more")
	}
	c.changed()
	return was == ""
}

func (c *Controller) frozenWhy() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frozen
}
