package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
)

const (
	// logsAgain is how far a stream that is taken up again goes back, for entries do not
	// come in the exact order of their times; logsKnown is how many of those that were
	// told already are known again.
	logsAgain = 5 * time.Second
	logsKnown = 4096
)

// LogSink is where logs go. Its functions are called one at a time, and may be nil but
// for Entry.
type LogSink struct {
	Hosts func([]string)
	Entry func(api.LogEntry) error // its error ends it all
	Lost  func(host, reason, mend string)
	Back  func(host string)
	// Broken is told once of each time that the controller could not be reached while
	// logs are followed.
	Broken func(error)
}

// Logs streams the journals of a service's hosts (globs; none: all), merged by time.
// Followed, it ends with ctx; a stream that breaks is taken up again where it was.
func (c *Client) Logs(ctx context.Context, hosts []string, q controller.LogQuery, sink LogSink) error {
	l := &logReader{c: c, sink: sink, known: map[string]bool{}}
	pause, told := time.Duration(0), false
	for {
		began := l.told
		err := l.stream(ctx, hosts, l.goOn(q))
		var own *callerError
		var p *api.Problem
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &own):
			return own.err
		case err == nil, !q.Follow:
			return err
		case errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests:
			return p
		case l.told == 0 && began == 0 && p != nil:
			return p // it never began: nothing is lost by saying so
		case l.told > began:
			pause, told = 0, false
		}
		if !told && sink.Broken != nil {
			sink.Broken(err)
			told = true
		}
		pause = min(maxPause, max(200*time.Millisecond, 2*pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// logReader reads streams of logs, one after the other.
type logReader struct {
	c     *Client
	sink  LogSink
	told  int
	last  time.Time       // of the newest entry
	known map[string]bool // entries told, by host and cursor
	order []string        // of known, a ring
}

// goOn is the query that goes on from what was told.
func (l *logReader) goOn(q controller.LogQuery) controller.LogQuery {
	if l.told == 0 {
		return q
	}
	if from := l.last.Add(-logsAgain); from.After(q.Since) {
		q.Since = from
	}
	q.Lines = 0
	return q
}

// fresh tells whether an entry was not told yet.
func (l *logReader) fresh(e api.LogEntry) bool {
	id := e.Host + " " + e.Cursor
	if l.known[id] {
		return false
	}
	l.known[id] = true
	if len(l.order) < logsKnown {
		l.order = append(l.order, id)
	} else {
		at := l.told % logsKnown
		delete(l.known, l.order[at])
		l.order[at] = id
	}
	l.told++
	if e.Time.After(l.last) {
		l.last = e.Time
	}
	return true
}

// stream reads one stream to its end; nil means that all was told.
func (l *logReader) stream(ctx context.Context, hosts []string, q controller.LogQuery) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	res, err := l.c.do(ctx, http.MethodGet, api.Base+"/services/"+url.PathEscape(q.Service)+"/logs?"+api.LogValues(hosts, q).Encode(), nil, http.Header{"Accept": {"text/event-stream"}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	ended := false
	err = eachEvent(lines, func() { quiet.Reset(silence) }, func(kind, data string) (err error) {
		ended, err = l.event(kind, data)
		return err
	})
	switch {
	case err != nil || ended:
		return err
	case lines.Err() != nil:
		return l.c.unreachable(ctx, lines.Err())
	}
	return failure("try again; the controller's log tells more", "the logs broke off: %w", errEnded)
}

// event takes one event; ended means that it was the last.
func (l *logReader) event(kind, data string) (ended bool, err error) {
	fail := func(err error) error {
		return failure("is it of this version?", "cannot understand what the controller at %s tells of logs: %w", l.c.where, err)
	}
	switch kind {
	case "":
		var e api.LogEntry
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return false, fail(err)
		}
		if l.fresh(e) {
			if err := l.sink.Entry(e); err != nil {
				return false, &callerError{err}
			}
		}
	case api.LogHosts:
		var e api.LogHostsEvent
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return false, fail(err)
		}
		if l.sink.Hosts != nil {
			l.sink.Hosts(e.Hosts)
		}
	case api.LogLost, api.LogBack:
		var e api.LogHostEvent
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return false, fail(err)
		}
		switch {
		case kind == api.LogLost && l.sink.Lost != nil:
			l.sink.Lost(e.Host, e.Reason, e.Mend)
		case kind == api.LogBack && l.sink.Back != nil:
			l.sink.Back(e.Host)
		}
	case api.LogEnd:
		var e api.LogEndEvent
		switch err := json.Unmarshal([]byte(data), &e); {
		case err != nil:
			return false, fail(err)
		case e.Problem != nil:
			return true, e.Problem
		case e.Reason != "":
			return true, revoked(fmt.Sprintf("%.200s", e.Reason))
		}
		return true, nil
	}
	return false, nil
}
