package controller

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// LogEntry is one entry of a host's journal.
type LogEntry struct {
	Host string
	hostdriver.JournalEntry
}

// LogQuery is what is wanted of the journals of a service's hosts: see
// hostdriver.JournalQuery.
type LogQuery struct {
	Service      string
	Priority     string
	Grep         string
	Since, Until time.Time
	Lines        int // the last of all hosts together; 0: all
	Follow       bool
	// Hidden leaves out, where there is a Grep, what holds a secret: whoever may not know
	// it could else find it out, by which patterns match. Lines count what is left.
	Hidden bool
	// MessageMost is where longer messages are cut; 0: nowhere.
	MessageMost int
}

// LogSink is where entries go. Its functions are called one at a time.
type LogSink struct {
	// Hosts, where set, is told first whose journals are read.
	Hosts func(names []string) error
	Entry func(LogEntry) error // its error ends it all
	// Lost tells that a host's journal is not in what follows: it does not answer, or no
	// more. The others go on. Where they are followed, the host is tried again.
	Lost func(host string, err error)
	Back func(host string) // the host's journal is followed again, from where it was lost
}

// Times of reading logs.
const (
	// logBegin is how long a host may take to begin.
	logBegin = 20 * time.Second
	// logSilence is how long a host may search its journal without finding anything.
	logSilence = time.Minute
	// logAhead is how many entries are read ahead of a host: what it says beyond stays
	// there until it is wanted.
	logAhead = 64
	// logSettle is how long an entry that is followed waits for older ones of other
	// hosts, whose way here may be longer.
	logSettle = 300 * time.Millisecond
	// logWaiting is how many may wait so. With more, the oldest goes at once.
	logWaiting = 10000
	// logHeld is how many bytes of messages are held back, by -n or while they wait.
	logHeld = 32 << 20
	// logPauseFirst and logPauseLongest are between attempts at a host that was lost.
	logPauseFirst, logPauseLongest = time.Second, 30 * time.Second
)

// errLogSilent is of a host that does not say anything for too long.
var errLogSilent = errors.New("it says nothing")

// Logs merges the journals of a service's hosts by time, oldest first. Each host is held
// back to the pace of the slowest and of the sink, so that however long the journals are
// little of them is in memory. A secret of the revision is not shown, whoever logs it. The error is of the sink, of ctx, or means that there is
// no such service; hosts' own go to sink.Lost. answered tells how many hosts did.
func (f *Fleet) Logs(ctx context.Context, q LogQuery, sink LogSink) (answered int, err error) {
	units, secrets, err := f.logUnits(ctx, q)
	if err != nil {
		return 0, err
	}
	var names []string
	for h := range units {
		names = append(names, h.Name)
	}
	slices.Sort(names)
	if f.logPlaces != nil {
		release, err := f.logPlaces.take(names)
		if err != nil {
			return 0, err
		}
		defer release()
	}
	if sink.Hosts != nil {
		if err := sink.Hosts(names); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &logMerge{journals: f.Journals, query: q, sink: sink, units: units, redactor: secrets.Replacer(), began: time.Now(), places: make(chan struct{}, f.concurrency())}
	return m.run(ctx)
}

// logUnits are, by host, the units of a service, and the secrets that the hosts have;
// Hosts of f choose among them. Where q hides them, those of all hosts are secrets.
func (f *Fleet) logUnits(ctx context.Context, q LogQuery) (map[*inventory.Host][]string, desired.Redaction, error) {
	service, secrets := q.Service, desired.Redaction{}
	units := map[*inventory.Host][]string{}
	on := 0
	for i := range f.Revision.Inventory.Hosts {
		h := &f.Revision.Inventory.Hosts[i]
		wanted := matches(f.Hosts, h.Name)
		if !wanted && !q.Hidden {
			continue
		}
		// What is wrong with another file of the service is no reason not to read its
		// journal: the units are known all the same.
		hs, _ := f.Revision.Resolve(ctx, *h)
		secrets.Host(hs)
		inst, ok := hs.Instance(service)
		if !ok || !wanted {
			continue
		}
		on++
		var names []string
		for _, u := range inst.Units {
			if !hostdriver.IsTemplate(u.Name) {
				names = append(names, u.Name)
			}
		}
		if len(names) > 0 {
			units[h] = names
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, secrets, context.Cause(ctx)
	case on == 0:
		return nil, secrets, unknownObject(fmt.Sprintf("service %s runs on none of the hosts", service))
	case len(units) == 0:
		return nil, secrets, unknownObject(fmt.Sprintf("service %s has no unit that could log", service))
	}
	return units, secrets, nil
}

// logMerge is one call of Logs.
type logMerge struct {
	journals hostdriver.JournalReader
	query    LogQuery
	sink     LogSink
	units    map[*inventory.Host][]string
	redactor *strings.Replacer // nil: there are no secrets
	places   chan struct{}     // how many hosts are dialled at once
	began    time.Time
}

// logSource is one host's journal while it is read.
type logSource struct {
	host    *inventory.Host
	entries chan hostdriver.JournalEntry
	err     error // set before entries is closed
	stop    context.CancelFunc

	mu    sync.Mutex
	begun time.Time // on the host's clock; zero: it has not begun

	last string // the cursor of the last entry that was taken
	head hostdriver.JournalEntry
}

func (m *logMerge) run(ctx context.Context) (int, error) {
	sources := m.open(ctx)
	defer func() {
		for _, s := range sources {
			s.stop()
		}
	}()
	emit, flush := m.sink.Entry, func() error { return nil }
	if m.query.Lines > 0 {
		emit, flush = lastEntries(m.query.Lines, m.sink.Entry)
	}
	h := logHeap{}
	answered := 0
	for _, s := range sources {
		more, err := m.advance(ctx, s, &answered)
		if err != nil {
			return answered, err
		}
		if more {
			h = append(h, s)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		s := h[0]
		if err := emit(LogEntry{Host: s.host.Name, JournalEntry: s.head}); err != nil {
			return answered, err
		}
		more, err := m.advance(ctx, s, nil)
		if err != nil {
			return answered, err
		}
		if more {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	if err := flush(); err != nil || !m.query.Follow {
		return answered, err
	}
	return answered, m.follow(ctx, sources)
}

// open begins to read every host, in the order of their names.
func (m *logMerge) open(ctx context.Context) []*logSource {
	var sources []*logSource
	for _, h := range slices.SortedFunc(maps.Keys(m.units), func(a, b *inventory.Host) int { return strings.Compare(a.Name, b.Name) }) {
		s := &logSource{host: h, entries: make(chan hostdriver.JournalEntry, logAhead)}
		ctx, stop := context.WithCancel(ctx)
		s.stop = stop
		sources = append(sources, s)
		go func() {
			defer close(s.entries)
			s.err = m.read(ctx, s, m.hostQuery(s, false), func() {}, func(e hostdriver.JournalEntry) error {
				select {
				case s.entries <- e:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		}()
	}
	return sources
}

func (m *logMerge) hostQuery(s *logSource, follow bool) hostdriver.JournalQuery {
	q := hostdriver.JournalQuery{Units: m.units[s.host], Priority: m.query.Priority, Grep: m.query.Grep, Since: m.query.Since, Until: m.query.Until}
	if !follow {
		if q.Grep == "" || !m.query.Hidden {
			q.Lines = m.query.Lines
		}
		return q
	}
	q.Follow, q.After = true, s.last
	if q.After != "" {
		q.Since = time.Time{}
		return q
	}
	// It had nothing to say so far, or was never heard.
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.begun
	if from.IsZero() {
		from = m.began
	}
	if q.Since.Before(from) {
		q.Since = from
	}
	return q
}

// read reads one host's journal. A host that does not begin in time has not answered.
func (m *logMerge) read(ctx context.Context, s *logSource, q hostdriver.JournalQuery, begun func(), each func(hostdriver.JournalEntry) error) error {
	select {
	case m.places <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	free := sync.OnceFunc(func() { <-m.places })
	defer free()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(logBegin, func() { cancel(fmt.Errorf("it has not begun within %s", logBegin)) })
	defer slow.Stop()
	q.Begun = func(at time.Time) {
		slow.Stop()
		free()
		s.mu.Lock()
		if s.begun.IsZero() {
			s.begun = at
		}
		s.mu.Unlock()
		begun()
	}
	return m.journals.Journal(ctx, *s.host, q, func(e hostdriver.JournalEntry) error {
		if e, shown := m.shown(e); shown {
			return each(e)
		}
		return nil
	})
}

// shown is an entry without secrets. What is left out all the same is not shown at all.
func (m *logMerge) shown(e hostdriver.JournalEntry) (hostdriver.JournalEntry, bool) {
	if m.redactor != nil {
		said, by := e.Message, e.Identifier
		e.Message, e.Identifier = m.redactor.Replace(said), m.redactor.Replace(by)
		if m.query.Hidden && m.query.Grep != "" && (e.Message != said || e.Identifier != by) {
			return e, false
		}
	}
	if most := m.query.MessageMost; most > 0 && len(e.Message) > most {
		e.Message = fmt.Sprintf("%s… (cut: it has %d bytes)", strings.ToValidUTF8(e.Message[:most], ""), len(e.Message))
	}
	return e, true
}

// advance takes a host's next entry. more is false where it has no more, or was given up.
func (m *logMerge) advance(ctx context.Context, s *logSource, answered *int) (more bool, err error) {
	silence := time.NewTimer(logSilence)
	defer silence.Stop()
	select {
	case e, ok := <-s.entries:
		if !ok && s.err != nil {
			if ctx.Err() != nil {
				return false, context.Cause(ctx)
			}
			m.lost(s.host.Name, s.err)
			return false, nil
		}
		if answered != nil {
			*answered++
		}
		if ok {
			s.head, s.last = e, e.Cursor
		}
		return ok, nil
	case <-silence.C:
		s.stop()
		m.lost(s.host.Name, &hostdriver.Error{Kind: hostdriver.Unreachable, Host: s.host.Name, Op: "read the journal of",
			Err: fmt.Errorf("%w for %s", errLogSilent, logSilence), Mend: "narrow it with --since, or leave the host out"})
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (m *logMerge) lost(host string, err error) {
	if m.sink.Lost != nil {
		m.sink.Lost(host, err)
	}
}

// lastEntries keeps the last n entries back until flush, or fewer where they are long.
func lastEntries(n int, to func(LogEntry) error) (emit func(LogEntry) error, flush func() error) {
	var kept []LogEntry
	first, held := 0, 0
	emit = func(e LogEntry) error {
		kept, held = append(kept, e), held+len(e.Message)
		for len(kept)-first > n || held > logHeld && len(kept)-first > 1 {
			held -= len(kept[first].Message)
			kept[first] = LogEntry{}
			first++
		}
		if first > n {
			kept, first = append(kept[:0], kept[first:]...), 0
		}
		return nil
	}
	flush = func() error {
		for _, e := range kept[first:] {
			if err := to(e); err != nil {
				return err
			}
		}
		return nil
	}
	return emit, flush
}

// logHeap has the host with the oldest entry first; of two at the same moment, the one
// whose name comes first.
type logHeap []*logSource

func (h logHeap) Len() int      { return len(h) }
func (h logHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h logHeap) Less(i, j int) bool {
	if c := h[i].head.At.Compare(h[j].head.At); c != 0 {
		return c < 0
	}
	return strings.Compare(h[i].host.Name, h[j].host.Name) < 0
}
func (h *logHeap) Push(x any) { *h = append(*h, x.(*logSource)) }
func (h *logHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}
