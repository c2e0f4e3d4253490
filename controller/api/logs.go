package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
)

const (
	defaultLogLines = 100
	maxLogLines     = 10_000
	maxLogGlobs     = 64
	// logRoom is how many entries may wait for a client. More stay on their hosts.
	logRoom = 64
)

// LogEntry is one entry of a host's journal: what `logs -o json` prints.
type LogEntry struct {
	Time       time.Time `json:"time"`
	Host       string    `json:"host"`
	Service    string    `json:"service"`
	Unit       string    `json:"unit"`
	Priority   *int      `json:"priority"` // 0 (emerg) to 7 (debug)
	Identifier string    `json:"identifier"`
	PID        int       `json:"pid,omitempty"`
	Message    string    `json:"message"`
	Cursor     string    `json:"cursor"`
}

// LogEntryOf is an entry of a service's journals.
func LogEntryOf(service string, e controller.LogEntry) LogEntry {
	out := LogEntry{Time: e.At.UTC(), Host: e.Host, Service: service, Unit: e.Unit, Identifier: e.Identifier, PID: e.PID, Message: e.Message, Cursor: e.Cursor}
	if e.Priority >= 0 {
		out.Priority = &e.Priority
	}
	return out
}

// Entry is the controller's form of it.
func (l LogEntry) Entry() controller.LogEntry {
	e := controller.LogEntry{Host: l.Host, JournalEntry: hostdriver.JournalEntry{At: l.Time, Unit: l.Unit, Identifier: l.Identifier, PID: l.PID, Priority: -1, Message: l.Message, Cursor: l.Cursor}}
	if l.Priority != nil {
		e.Priority = *l.Priority
	}
	return e
}

// The kinds of events of a stream of logs, beside entries, which have none.
const (
	LogHosts = "hosts" // LogHostsEvent: first, whose journals are read
	LogLost  = "lost"  // LogHostEvent: a host does not answer, or no more
	LogBack  = "back"  // LogHostEvent: it is followed again
	LogEnd   = "end"   // LogEndEvent: the last
)

// LogHostsEvent, LogHostEvent and LogEndEvent are the data of those.
type (
	LogHostsEvent struct {
		Hosts []string `json:"hosts"`
	}
	LogHostEvent struct {
		Host   string `json:"host"`
		Reason string `json:"reason,omitempty"`
		Mend   string `json:"mend,omitempty"`
	}
	LogEndEvent struct {
		Reason string `json:"reason,omitempty"` // "": all was told
		// Problem is why not, where that is one of the controller's.
		Problem *Problem `json:"problem,omitempty"`
	}
)

// LogValues is a query as the API takes it; hosts are globs.
func LogValues(hosts []string, q controller.LogQuery) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("priority", q.Priority)
	set("grep", q.Grep)
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		v.Set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	if q.Lines > 0 {
		v.Set("lines", strconv.Itoa(q.Lines))
	}
	if q.Follow {
		v.Set("follow", "1")
	}
	for _, h := range hosts {
		v.Add("host", h)
	}
	return v
}

// logQuery is what a request asks for.
func logQuery(r *http.Request) (hosts []string, q controller.LogQuery, err error) {
	v := r.URL.Query()
	for name := range v {
		switch name {
		case "priority", "grep", "since", "until", "lines", "follow", "host":
		default:
			return nil, q, badQuery(oneLine(fmt.Sprintf("%.40q", name)), "use host, priority, grep, since, until, lines and follow")
		}
	}
	q = controller.LogQuery{Service: r.PathValue("service"), Priority: v.Get("priority"), Grep: v.Get("grep")}
	if hosts = v["host"]; len(hosts) > maxLogGlobs {
		return nil, q, badQuery("host", fmt.Sprintf("give it %d times at most", maxLogGlobs))
	}
	for _, h := range hosts {
		if _, err := path.Match(h, ""); err != nil || h == "" {
			return nil, q, badQuery("host", "use names, or globs such as web-*")
		}
	}
	if q.Since, err = moment(v, "since"); err != nil {
		return nil, q, err
	}
	if q.Until, err = moment(v, "until"); err != nil {
		return nil, q, err
	}
	lines, err := number(r, "lines", 0)
	if err != nil {
		return nil, q, err
	}
	switch v.Get("follow") {
	case "", "0", "false":
	case "1", "true":
		q.Follow = true
	default:
		return nil, q, badQuery("follow", "use 1")
	}
	switch {
	case v.Has("lines") && (lines < 1 || lines > maxLogLines):
		return nil, q, badQuery("lines", fmt.Sprintf("use 1 to %d, or since for all from a time on", maxLogLines))
	case q.Follow && !q.Until.IsZero():
		return nil, q, badQuery("until", "leave it out where follow is set")
	case !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until):
		return nil, q, badQuery("since", "it must be before until")
	case !v.Has("lines") && q.Since.IsZero():
		lines = defaultLogLines
	}
	q.Lines = int(lines) // #nosec G115 -- bounded above
	if err := (hostdriver.JournalQuery{Units: []string{"x.service"}, Priority: q.Priority, Grep: q.Grep}).Check(); err != nil {
		return nil, q, problem(http.StatusBadRequest, "bad-request", err.Error(), "priority is err, warning, info …, 0 to 7 or A..B; grep a pattern of PCRE2")
	}
	return hosts, q, nil
}

func moment(v url.Values, name string) (time.Time, error) {
	text := v.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, badQuery(name, "use a time such as 2026-05-01T13:00:00Z")
	}
	return t, nil
}

// logs streams the journals of a service's hosts, merged by time, as Server-Sent Events.
// What the client does not take stays on the hosts, and a client that takes nothing for
// writeWithin is let go; where it is gone, so are the readers on the hosts.
func logs(a *API, w http.ResponseWriter, r *http.Request, who Principal) error {
	hosts, q, err := logQuery(r)
	if err != nil {
		return err
	}
	leave, err := a.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	said := make(chan string, logRoom)
	ended := make(chan error, 1)
	go func() {
		// The last word is taken after all entries, for said is closed by then.
		err := a.Controller.Logs(ctx, hosts, q, logSink(ctx, q.Service, said))
		ended <- err
		close(said)
	}()
	defer func() {
		cancel()
		for range said { // until the readers are gone
		}
	}()
	// Nothing is sent before it is known that there is something to read, so that what
	// is refused has its status.
	var first string
	select {
	case text, open := <-said:
		if !open {
			return <-ended
		}
		first = text
	case <-ctx.Done():
		return errGone
	case <-a.closing:
		return problem(http.StatusServiceUnavailable, "closing", "the controller ends", "try again")
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	s := &stream{w: w, out: http.NewResponseController(w), within: a.writeWithin}
	if err := s.send(first); err != nil || r.Method == http.MethodHead {
		return err
	}
	recheck, beat := time.NewTicker(a.recheck), time.NewTicker(a.beat)
	defer recheck.Stop()
	defer beat.Stop()
	for {
		select {
		case text, open := <-said:
			if !open {
				return s.send(endOfLogs(<-ended))
			}
			// What has come meanwhile leaves together.
			for more := true; more && len(text) < 64<<10; {
				var next string
				if next, more = received(said); more {
					text += next
				}
			}
			err = s.send(text)
		case <-recheck.C:
			if !a.holds(who, ScopeLogs) {
				return s.send(revoked)
			}
		case <-beat.C:
			err = s.send(": alive\n\n")
		case <-a.closing:
			return s.send(": the controller ends\n\n")
		case <-ctx.Done():
			return errGone
		}
		if err != nil {
			return err
		}
	}
}

// received is what is there already; false where nothing is.
func received(from <-chan string) (string, bool) {
	select {
	case text, open := <-from:
		return text, open
	default:
		return "", false
	}
}

// logSink puts what is said of logs into said, as events, and waits where it is full.
func logSink(ctx context.Context, service string, said chan<- string) controller.LogSink {
	say := func(kind string, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		select {
		case said <- event(kind, b):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return controller.LogSink{
		Hosts: func(names []string) error { return say(LogHosts, LogHostsEvent{names}) },
		Entry: func(e controller.LogEntry) error { return say("", LogEntryOf(service, e)) },
		// Where these cannot be told, the client is gone, and the entries tell.
		Lost: func(host string, err error) {
			_ = say(LogLost, LogHostEvent{Host: host, Reason: oneLine(err.Error()), Mend: oneLine(mendOf(err))})
		},
		Back: func(host string) { _ = say(LogBack, LogHostEvent{Host: host}) },
	}
}

func event(kind string, data []byte) string {
	if kind == "" {
		return "data: " + string(data) + "\n\n"
	}
	return "event: " + kind + "\ndata: " + string(data) + "\n\n"
}

func endOfLogs(err error) string {
	end := LogEndEvent{}
	if err != nil && !errors.Is(err, context.Canceled) {
		end.Problem = problemOf(err)
		end.Reason = end.Problem.Detail
	}
	b, err := json.Marshal(end)
	if err != nil {
		b = []byte("{}")
	}
	return event(LogEnd, b)
}
