package api

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/hostdriver"
)

func logged(host string, second int, message string) controller.LogEntry {
	return controller.LogEntry{Host: host, JournalEntry: hostdriver.JournalEntry{At: time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC), Unit: "gateway.service", Identifier: "gateway", PID: 7, Priority: 4,
		Message: message, Cursor: fmt.Sprint("c", second)}}
}

func (f *fixture) readersAre(n int) {
	f.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); f.fake.Readers() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d read logs, want %d", f.fake.Readers(), n)
		}
	}
}

// begins is what each stream begins with.
var begins = []string{"event: hosts", `data: {"hosts":["db-1","web-1","web-2"]}`, "event: lost", `data: {"host":"db-1","reason":"no answer"}`}

func TestLogsAreStreamed(t *testing.T) {
	f := newFixture(t)
	url := f.server().URL + Base + "/services/gateway/logs"
	token := f.token("logs", ScopeLogs)
	f.fake.Logged(logged("web-1", 1, "one\ndata: forged"), logged("web-2", 2, "two"))
	r := f.follow(t.Context(), url, token)
	r.wants(begins...)
	r.wants(
		`data: {"time":"2026-03-01T12:00:01Z","host":"web-1","service":"gateway","unit":"gateway.service","priority":4,"identifier":"gateway","pid":7,"message":"one\ndata: forged","cursor":"c1"}`,
		`data: "message":"two"`, "event: end", "data: {}")
	if line, ended := r.next(""); !ended && line != "" {
		t.Errorf("it goes on: %q", line)
	}

	ctx, cancel := context.WithCancel(t.Context())
	r = f.follow(ctx, url+"?follow=1&since=2026-03-01T12:00:02Z&priority=err..debug&grep=t.o&host=web-*&host=db-1", token)
	r.wants(begins...)
	r.wants(`data: "message":"two"`)
	f.fake.Logged(logged("web-1", 3, "three"))
	r.wants(`data: "message":"three"`)
	cancel()
	f.readersAre(0)
	q := f.fake.LogQueries()
	if got := q[1]; !got.Follow || got.Priority != "err..debug" || got.Grep != "t.o" || got.Lines != 0 || !got.Since.Equal(time.Date(2026, 3, 1, 12, 0, 2, 0, time.UTC)) || q[0].Lines != defaultLogLines {
		t.Errorf("asked: %+v", q)
	}
}

func TestLogsRefused(t *testing.T) {
	f := newFixture(t)
	path := Base + "/services/gateway/logs"
	token := f.token("logs", ScopeLogs)
	for query, kind := range map[string]string{
		"?lines=0": "bad-request", "?lines=10001": "bad-request", "?lines=x": "bad-request", "?since=yesterday": "bad-request", "?follow=maybe": "bad-request",
		"?since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z": "bad-request", "?follow=1&until=2026-03-01T00:00:00Z": "bad-request", "?priority=loud": "bad-request",
		"?grep=" + strings.Repeat("x", 1001): "bad-request", "?host=[": "bad-request", "?host=": "bad-request", "?line=3": "bad-request", "?" + strings.Repeat("&host=a", 65): "bad-request",
	} {
		w := f.ask("GET", path+query, token, "")
		if w.Code != http.StatusBadRequest || problemIn(t, w).Kind() != kind || problemIn(t, w).Mend == "" {
			t.Errorf("%.40s: %d %s", query, w.Code, w.Body)
		}
	}
	if w := f.ask("GET", Base+"/services/nothing/logs", token, ""); w.Code != http.StatusNotFound || problemIn(t, w).Kind() != "unknown-object" {
		t.Errorf("of no service: %d %s", w.Code, w.Body)
	}
	if w := f.ask("GET", path, f.reads, ""); w.Code != http.StatusForbidden {
		t.Errorf("a token that may read, but no logs: %d", w.Code)
	}
	if w := f.ask("GET", Base+"/status", token, ""); w.Code != http.StatusForbidden {
		t.Errorf("a token that may read logs, and no more: %d", w.Code)
	}
	if w := f.ask("GET", path, f.writes, ""); w.Code != http.StatusOK {
		t.Errorf("a token that may operate: %d %s", w.Code, w.Body)
	}
	if w := f.ask("HEAD", path+"?follow=1", f.writes, ""); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
	f.fake.Break(controller.ErrTooManyLogs)
	if w := f.ask("GET", path, token, ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || problemIn(t, w).Mend == "" {
		t.Errorf("too many: %d %s", w.Code, w.Body)
	}
	f.readersAre(0)
}

func TestLogsEndWithTheToken(t *testing.T) {
	f := newFixture(t)
	f.recheck = 10 * time.Millisecond
	r := f.follow(t.Context(), f.server().URL+Base+"/services/gateway/logs?follow=1", f.token("logs", ScopeLogs))
	r.wants(begins...)
	if err := RemoveToken(f.path("tokens.yaml"), "logs"); err != nil {
		t.Fatal(err)
	}
	r.wants("event: end", "data: revoked or expired")
	f.readersAre(0)
}

func TestLogsEndWithTheController(t *testing.T) {
	f := newFixture(t)
	r := f.follow(t.Context(), f.server().URL+Base+"/services/gateway/logs?follow=1", f.writes)
	r.wants(begins...)
	f.Close()
	f.readersAre(0)
	if line, ended := r.next("data: {\"time"); !ended {
		t.Errorf("it goes on: %q", line)
	}
}

// TestASlowReaderOfLogsStallsNobody: one that takes nothing is let go, and what it did
// not take was not kept for it; another gets everything meanwhile.
func TestASlowReaderOfLogsStallsNobody(t *testing.T) {
	f := newFixture(t)
	f.writeWithin = 300 * time.Millisecond
	s := f.server()
	slow, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "GET %s/services/gateway/logs?follow=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", Base, f.writes)
	if line, err := bufio.NewReaderSize(slow, 16).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	r := f.follow(t.Context(), s.URL+Base+"/services/gateway/logs?follow=1", f.writes)
	r.wants(begins...)
	f.readersAre(2)
	long := strings.Repeat("x", 60<<10)
	for i := range 200 { // 12 MB: more than any buffer on the way
		f.fake.Logged(logged("web-1", i, long))
		r.wants(fmt.Sprintf(`data: "cursor":"c%d"`, i))
	}
	f.readersAre(1)
	f.fake.Logged(logged("web-1", 1000, "after"))
	r.wants(`data: "message":"after"`)
}
