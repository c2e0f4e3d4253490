package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// journals are hosts' journals in memory. Each host's entries are seconds of logDay and
// messages.
type journals struct {
	mu    sync.Mutex
	hosts map[string]*fakeJournal
	asked []string
}

type fakeJournal struct {
	entries []hostdriver.JournalEntry
	down    error         // it does not answer
	cut     chan struct{} // closed: a follow under way breaks
	news    chan struct{}
	silent  bool
}

var logDay = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (j *journals) add(host string, second float64, message string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.hosts[host]
	f.entries = append(f.entries, hostdriver.JournalEntry{At: logDay.Add(time.Duration(second * float64(time.Second))), Message: message, Cursor: fmt.Sprint("c", len(f.entries))})
	if f.news != nil {
		close(f.news)
		f.news = nil
	}
}

func (j *journals) Journal(ctx context.Context, host inventory.Host, q hostdriver.JournalQuery, each func(hostdriver.JournalEntry) error) error {
	if err := q.Check(); err != nil {
		return err
	}
	j.mu.Lock()
	f := j.hosts[host.Name]
	j.asked = append(j.asked, fmt.Sprintf("%s %s n=%d after=%s", host.Name, strings.Join(q.Units, ","), q.Lines, q.After))
	if down := f.down; down != nil {
		j.mu.Unlock()
		return down
	}
	f.cut = make(chan struct{})
	cut := f.cut
	next := 0
	if q.After != "" {
		next = 1 + slices.IndexFunc(f.entries, func(e hostdriver.JournalEntry) bool { return e.Cursor == q.After })
	} else if q.Lines > 0 {
		next = max(0, len(f.entries)-q.Lines)
	}
	j.mu.Unlock()
	if q.Begun != nil {
		q.Begun(logDay)
	}
	if f.silent {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for {
		j.mu.Lock()
		if next < len(f.entries) {
			e := f.entries[next]
			next++
			j.mu.Unlock()
			if e.At.Before(q.Since) {
				continue
			}
			if err := each(e); err != nil {
				return err
			}
			continue
		}
		if f.news == nil {
			f.news = make(chan struct{})
		}
		news := f.news
		j.mu.Unlock()
		if !q.Follow {
			return nil
		}
		select {
		case <-news:
		case <-cut:
			return errors.New("the line broke")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func newJournals(hosts ...string) *journals {
	j := &journals{hosts: map[string]*fakeJournal{}}
	for _, h := range hosts {
		j.hosts[h] = &fakeJournal{}
	}
	return j
}

func (j *journals) fleet(t *testing.T) *Fleet {
	t.Helper()
	var lines strings.Builder
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range j.hosts {
			if !yield(n) {
				return
			}
		}
	}) {
		fmt.Fprintf(&lines, "    - {name: %s, address: 192.0.2.%d, labels: {role: gw}}\n", name, 10+lines.Len())
	}
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"fleet.yaml":       "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: t}\nspec: {}\n",
		"inventory/h.yaml": "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: t}\nspec:\n  hosts:\n" + lines.String() + "    - {name: other, address: 192.0.2.2}\n",
		"services/gw/service.yaml": "apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: gw}\nspec:\n  selector: {matchLabels: {role: gw}}\n" +
			"  units: [{source: gw.service}, {source: gw@.service}, {name: gw@1.service}]\n",
		"services/gw/gw.service":  "[Service]\nExecStart=/bin/true\n",
		"services/gw/gw@.service": "[Service]\nExecStart=/bin/true\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	rev, err := desired.Load(t.Context(), files, desired.LoadOptions{})
	if err != nil || len(rev.Quarantined) > 0 {
		t.Fatal(err, rev.Quarantined)
	}
	return &Fleet{Revision: rev, Journals: j}
}

// logged collects what Logs says, a line each.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) sink() LogSink {
	add := func(line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	}
	return LogSink{
		Entry: func(e LogEntry) error { add(e.Host + ": " + e.Message); return nil },
		Lost:  func(host string, err error) { add("lost " + host + ": " + err.Error()) },
		Back:  func(host string) { add("back " + host) },
	}
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func TestLogsAreMergedByTime(t *testing.T) {
	j := newJournals("a", "b", "c")
	for i := range 300 { // more than is read ahead
		j.add("a", float64(3*i), fmt.Sprint(3*i))
		j.add("b", float64(3*i+1), fmt.Sprint(3*i+1))
	}
	j.add("b", 900, "900")
	j.hosts["c"].down = &hostdriver.Error{Kind: hostdriver.Unreachable, Host: "c", Op: "connect to", Err: errors.New("no route")}
	f, l := j.fleet(t), &logged{}
	answered, err := f.Logs(t.Context(), LogQuery{Service: "gw"}, l.sink())
	if err != nil || answered != 2 {
		t.Fatal(answered, err)
	}
	if l.lines[0] != "lost c: cannot connect to c: no route" || len(l.lines) != 602 {
		t.Fatalf("%d lines, the first %q", len(l.lines), l.lines[0])
	}
	last := -1
	for _, line := range l.lines[1:] {
		var n int
		if _, err := fmt.Sscanf(line[3:], "%d", &n); err != nil || n <= last {
			t.Fatalf("%q follows %d", line, last)
		}
		last = n
	}
	if !slices.Contains(j.asked, "a gw.service,gw@1.service n=0 after=") {
		t.Errorf("asked: %q", j.asked)
	}
}

func TestLogsLastOfAllHosts(t *testing.T) {
	j := newJournals("a", "b")
	for i := range 50 {
		j.add("a", float64(i), fmt.Sprint(i))
	}
	j.add("b", 47.5, "between")
	l := &logged{}
	if _, err := j.fleet(t).Logs(t.Context(), LogQuery{Service: "gw", Lines: 4}, l.sink()); err != nil {
		t.Fatal(err)
	}
	if want := "a: 47\nb: between\na: 48\na: 49"; l.text() != want {
		t.Errorf("got %s, want %s", l.text(), want)
	}
}

func TestLogsOfHostsChosen(t *testing.T) {
	j := newJournals("a", "b")
	j.add("a", 1, "one")
	j.add("b", 2, "two")
	f, l := j.fleet(t), &logged{}
	f.Hosts = []string{"b*"}
	if _, err := f.Logs(t.Context(), LogQuery{Service: "gw"}, l.sink()); err != nil || l.text() != "b: two" {
		t.Error(l.text(), err)
	}
	f.Hosts = []string{"other"}
	if _, err := f.Logs(t.Context(), LogQuery{Service: "gw"}, l.sink()); err == nil || !strings.Contains(err.Error(), "runs on none of the hosts") {
		t.Error(err)
	}
}

// TestLogsFollow: entries of several hosts come in the order of their times though one's
// way is longer; a host that is lost is named once, and goes on where it was.
func TestLogsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournals("a", "b")
		j.add("a", 1, "before")
		f, l := j.fleet(t), &logged{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := f.Logs(ctx, LogQuery{Service: "gw", Lines: 10, Follow: true}, l.sink())
			ended <- err
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		j.add("a", 10, "second")
		time.Sleep(100 * time.Millisecond)
		j.add("b", 9, "first") // older, and comes later
		time.Sleep(time.Second)
		synctest.Wait()
		if want := "a: before\nb: first\na: second"; l.text() != want {
			t.Fatalf("got %s, want %s", l.text(), want)
		}
		j.mu.Lock()
		j.hosts["b"].down = errors.New("no route")
		close(j.hosts["b"].cut)
		j.mu.Unlock()
		time.Sleep(10 * time.Second)
		j.add("b", 20, "meanwhile")
		j.add("a", 21, "alone")
		time.Sleep(time.Second)
		j.mu.Lock()
		j.hosts["b"].down = nil
		j.mu.Unlock()
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if want := "a: before\nb: first\na: second\nlost b: the line broke\na: alone\nback b\nb: meanwhile"; l.text() != want {
			t.Errorf("got %s, want %s", l.text(), want)
		}
	})
}

func TestLogsGiveUpASilentHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournals("a", "b")
		j.add("a", 1, "one")
		j.hosts["b"].silent = true
		l := &logged{}
		answered, err := j.fleet(t).Logs(t.Context(), LogQuery{Service: "gw"}, l.sink())
		if err != nil || answered != 1 || !strings.Contains(l.text(), "lost b: cannot read the journal of b: it says nothing for 1m0s\na: one") {
			t.Error(answered, err, l.text())
		}
	})
}

// TestLogsSinkEndsAll: where nobody takes entries any more, nothing is left running.
func TestLogsSinkEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournals("a", "b")
		for i := range 1000 {
			j.add("a", float64(i), "x")
			j.add("b", float64(i), "x")
		}
		full := errors.New("broken pipe")
		n := 0
		_, err := j.fleet(t).Logs(t.Context(), LogQuery{Service: "gw"}, LogSink{Entry: func(LogEntry) error {
			if n++; n == 10 {
				return full
			}
			return nil
		}})
		if !errors.Is(err, full) || n != 10 {
			t.Error(n, err)
		}
	})
}
