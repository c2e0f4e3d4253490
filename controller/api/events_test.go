package api

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
)

// reading reads a stream of Server-Sent Events line by line.
type reading struct {
	t     testing.TB
	lines chan string
}

func (f *fixture) follow(ctx context.Context, url, token string, headers ...string) *reading {
	f.t.Helper()
	res := get(ctx, f.t, url, token, headers...)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("%d %s", res.StatusCode, res.Header)
	}
	r := &reading{t: f.t, lines: make(chan string, 1000)}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	return r
}

// next is the next line that begins with prefix; ended tells that there is none.
func (r *reading) next(prefix string) (line string, ended bool) {
	r.t.Helper()
	late := time.After(5 * time.Second)
	for {
		select {
		case line, open := <-r.lines:
			if !open {
				return "", true
			}
			if strings.HasPrefix(line, prefix) {
				return line, false
			}
		case <-late:
			r.t.Fatalf("no line %q", prefix)
		}
	}
}

func (r *reading) wants(lines ...string) {
	r.t.Helper()
	for _, want := range lines {
		prefix, _, _ := strings.Cut(want, " ")
		if got, ended := r.next(prefix); ended || !strings.Contains(got, strings.TrimPrefix(want, prefix+" ")) {
			r.t.Fatalf("got %q (ended %v), want %q", got, ended, want)
		}
	}
}

func TestFollowAndResume(t *testing.T) {
	f := newFixture(t)
	s := f.server()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, m := range []string{"one", "two", "three"} {
		f.fake.Happened(controller.Event{Reason: controller.ReasonStarted, Message: m})
	}
	url := s.URL + Base + "/events?follow=1"
	r := f.follow(ctx, url+"&after=1", f.reads)
	r.wants("id: 2", `data: "message":"two"`, "id: 3", `data: "message":"three"`)
	f.fake.Happened(controller.Event{Reason: controller.ReasonDrift, Type: controller.Warning, Message: "four\nid: 99"})
	r.wants("id: 4", `data: four\nid: 99`)
	r = f.follow(ctx, url+"&after=1", f.reads, "Last-Event-ID", "3")
	r.wants("id: 4")
	if got := get(ctx, t, url, f.reads, "Last-Event-ID", "x").StatusCode; got != http.StatusBadRequest {
		t.Errorf("an id that is none: %d", got)
	}
}

func TestStreamsBeat(t *testing.T) {
	f := newFixture(t)
	f.beat = 10 * time.Millisecond
	r := f.follow(t.Context(), f.server().URL+Base+"/events?follow=1", f.reads)
	r.wants(": alive", ": alive")
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	for name, end := range map[string]func(*fixture){
		"revoked": func(f *fixture) {
			if err := RemoveToken(f.path("tokens.yaml"), "reader"); err != nil {
				f.t.Fatal(err)
			}
		},
		"revoked, and something happens": func(f *fixture) {
			if err := RemoveToken(f.path("tokens.yaml"), "reader"); err != nil {
				f.t.Fatal(err)
			}
			f.fake.Happened(controller.Event{Message: "not for you"})
		},
		"the file is gone": func(f *fixture) { f.write("tokens.yaml", "") },
		"expired":          func(f *fixture) { f.skew.Store(int64(2 * time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.recheck = 10 * time.Millisecond
			if name == "revoked, and something happens" {
				f.recheck = time.Hour
			}
			f.now = func() time.Time { return time.Now().Add(time.Duration(f.skew.Load())) }
			r := f.follow(t.Context(), f.server().URL+Base+"/events?follow=1", f.reads)
			r.wants("retry: 1000")
			end(f)
			r.wants("event: end", "data: revoked or expired")
			if line, ended := r.next("data"); !ended {
				t.Errorf("it goes on: %q", line)
			}
		})
	}
}

func TestAStreamEndsWithTheController(t *testing.T) {
	f := newFixture(t)
	r := f.follow(t.Context(), f.server().URL+Base+"/events?follow=1", f.reads)
	r.wants("retry: 1000")
	f.Close()
	if _, ended := r.next("data"); !ended {
		t.Error("it goes on")
	}
}

func TestAReaderThatLeavesFollowsNoMore(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := f.follow(ctx, f.server().URL+Base+"/events?follow=1", f.reads)
	r.wants("retry: 1000")
	if f.fake.Followers() != 1 {
		t.Fatal("nobody follows")
	}
	cancel()
	for deadline := time.Now().Add(5 * time.Second); f.fake.Followers() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it still follows")
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	f := newFixture(t)
	f.streams = make(chan struct{}, 1)
	s := f.server()
	r := f.follow(t.Context(), s.URL+Base+"/events?follow=1", f.reads)
	r.wants("retry: 1000")
	if got := get(t.Context(), t, s.URL+Base+"/events?follow=1", f.reads); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", got.StatusCode)
	}
}

func TestEventsAreListed(t *testing.T) {
	f := newFixture(t)
	for range 120 {
		f.fake.Happened(controller.Event{Message: "x"})
	}
	for query, want := range map[string]string{
		"": `{"events":[{"seq":71,`, "?limit=2": `{"events":[{"seq":119,`, "?after=3&limit=1": `{"events":[{"seq":120,`, "?after=3&limit=1000": `{"events":[{"seq":4,`, "?after=120": `{"events":[]}`,
	} {
		if got := f.ask("GET", Base+"/events"+query, f.reads, ""); got.Code != http.StatusOK || !strings.HasPrefix(got.Body.String(), want) {
			t.Errorf("%q: %d %.80s", query, got.Code, got.Body)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?limit=-1", "?after=x", "?follow=maybe", "?after=99999999999999999999"} {
		if got := f.ask("GET", Base+"/events"+query, f.reads, ""); got.Code != http.StatusBadRequest || problemIn(t, got).Mend == "" {
			t.Errorf("%q: %d %s", query, got.Code, got.Body)
		}
	}
}
