package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/hostdriver"
)

func (w *world) logs(second int, message string) {
	w.fake.Logged(controller.LogEntry{Host: "web-1", JournalEntry: hostdriver.JournalEntry{At: time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC), Priority: -1, Message: message, Cursor: fmt.Sprint("c", second)}})
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	w.logs(1, "one")
	w.logs(2, "two")
	var said []string
	sink := LogSink{
		Hosts: func(names []string) { said = append(said, "hosts "+strings.Join(names, " ")) },
		Entry: func(e api.LogEntry) error { said = append(said, e.Host+" "+e.Message); return nil },
		Lost:  func(host, reason, _ string) { said = append(said, "lost "+host+": "+reason) },
	}
	if err := w.Logs(t.Context(), nil, controller.LogQuery{Service: "gateway"}, sink); err != nil || strings.Join(said, "\n") != "hosts db-1 web-1 web-2\nlost db-1: no answer\nweb-1 one\nweb-1 two" {
		t.Errorf("%v %q", err, said)
	}
	if e := w.fake.LogQueries()[0]; e.Lines != 100 {
		t.Errorf("%+v", e)
	}
	var p *api.Problem
	if err := w.Logs(t.Context(), nil, controller.LogQuery{Service: "nothing", Follow: true}, sink); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("of no service: %v", err)
	}
	w.fake.Break(controller.ErrTooManyLogs)
	if err := w.Logs(t.Context(), nil, controller.LogQuery{Service: "gateway", Follow: true}, sink); !errors.As(err, &p) || p.Mend == "" {
		t.Errorf("too many: %v", err)
	}
	w.fake.Break(nil)
	full := errors.New("the pipe is closed")
	if err := w.Logs(t.Context(), nil, controller.LogQuery{Service: "gateway", Follow: true}, LogSink{Entry: func(api.LogEntry) error { return full }}); !errors.Is(err, full) {
		t.Errorf("nobody takes them: %v", err)
	}
}

// TestLogsTakeUpWhereTheyWere: nothing is lost and nothing comes twice, though the stream
// breaks in between.
func TestLogsTakeUpWhereTheyWere(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w.logs(1, "one")
	w.logs(10, "two")
	var got []string
	var broken atomic.Int32
	err := w.Logs(ctx, nil, controller.LogQuery{Service: "gateway", Lines: 50, Follow: true}, LogSink{
		Entry: func(e api.LogEntry) error {
			got = append(got, e.Message)
			switch len(got) {
			case 2:
				w.down.Store(true)
				w.server.CloseClientConnections()
				w.logs(9, "late, and meanwhile")
				time.AfterFunc(600*time.Millisecond, func() { w.down.Store(false) })
			case 3:
				w.logs(11, "after")
			case 4:
				return errors.New("enough")
			}
			return nil
		},
		Broken: func(error) { broken.Add(1) },
	})
	if err == nil || err.Error() != "enough" || strings.Join(got, "|") != "one|two|late, and meanwhile|after" {
		t.Errorf("%v %q", err, got)
	}
	if broken.Load() != 1 {
		t.Errorf("that it broke was told %d times", broken.Load())
	}
	if q := w.fake.LogQueries(); q[len(q)-1].Lines != 0 || q[len(q)-1].Since.IsZero() {
		t.Errorf("it went on with %+v", q[len(q)-1])
	}
}

// TestLogsThatBreakOff: half of them is an error, whatever the half looks like.
func TestLogsThatBreakOff(t *testing.T) {
	for name, text := range map[string]string{
		"in between": "event: hosts\ndata: {\"hosts\":[]}\n\ndata: {\"message\":\"x\"}\n\n", "in a line": "event: end\ndata: {", "nothing": "", "no JSON": "data: x\n\n",
		"with a problem": "event: end\ndata: {\"reason\":\"no\",\"problem\":{\"type\":\"urn:evenkeel:problem:failed\",\"status\":500,\"detail\":\"no\"}}\n\n",
		"the token":      "event: end\ndata: {\"reason\":\"the token was revoked or expired\"}\n\n",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
		c, err := New(Options{URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Logs(t.Context(), nil, controller.LogQuery{Service: "gateway"}, LogSink{Entry: func(api.LogEntry) error { return nil }}); err == nil {
			t.Errorf("%s: it is taken for whole", name)
		}
		c.Close()
		s.Close()
	}
}
