package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/evenkeel/evenkeel/controller"
)

const (
	maxStreams  = 256 // open at once
	writeWithin = 10 * time.Second
)

// Events is the answer of /api/v1/events.
type Events struct {
	Events []controller.Event `json:"events"`
}

func events(a *API, w http.ResponseWriter, r *http.Request, who Principal) error {
	after, err := number(r, "after", 0)
	if err != nil {
		return err
	}
	switch r.URL.Query().Get("follow") {
	case "", "0", "false":
	case "1", "true":
		if last := r.Header.Get("Last-Event-ID"); last != "" {
			if after, err = strconv.ParseUint(last, 10, 64); err != nil {
				return problem(http.StatusBadRequest, "bad-request", "Last-Event-ID is no number of an event", "leave it out")
			}
		}
		return a.follow(w, r, after, who)
	default:
		return badQuery("follow", "use 1")
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	list, err := a.Controller.Events(r.Context(), after, limit)
	if err != nil {
		return err
	}
	return answer(w, Events{listed(list)})
}

// follow writes events as they happen, as Server-Sent Events whose ids are the events'
// numbers. The stream ends when its reader goes away or is too slow, when the token is
// revoked or expires, and when the controller ends.
func (a *API) follow(w http.ResponseWriter, r *http.Request, after uint64, who Principal) error {
	leave, err := a.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	happened, err := a.Controller.Follow(ctx, after)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	s := &stream{w: w, out: http.NewResponseController(w), within: a.writeWithin}
	if err := s.send("retry: 1000\n\n"); err != nil || r.Method == http.MethodHead {
		return err
	}
	recheck, beat := time.NewTicker(a.recheck), time.NewTicker(a.beat)
	defer recheck.Stop()
	defer beat.Stop()
	for {
		select {
		case e, open := <-happened:
			if !open {
				return s.send(": the end; follow again from the last id\n\n")
			}
			if !a.holds(who, ScopeRead) {
				return s.send(revoked)
			}
			err = s.event(e)
		case <-recheck.C:
			if !a.holds(who, ScopeRead) {
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
			return errGone
		}
	}
}

// enterStream takes a place among the streams.
func (a *API) enterStream() (leave func(), err error) {
	select {
	case a.streams <- struct{}{}:
	default:
		p := problem(http.StatusServiceUnavailable, "too-many-streams", fmt.Sprintf("%d streams are open already", maxStreams), "try again later, or ask without follow")
		p.RetryAfter = 5 * time.Second
		return nil, p
	}
	a.meter.streams.Inc()
	return func() {
		a.meter.streams.Dec()
		<-a.streams
	}, nil
}

const revoked = "event: end\ndata: {\"reason\":\"the token was revoked or expired\"}\n\n"

// stream writes to one follower.
type stream struct {
	w      http.ResponseWriter
	out    *http.ResponseController
	within time.Duration
}

// send writes text and sees that it leaves.
func (s *stream) send(text string) error {
	_ = s.out.SetWriteDeadline(time.Now().Add(s.within))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return errGone
	}
	if err := s.out.Flush(); err != nil {
		return errGone
	}
	return nil
}

func (s *stream) event(e controller.Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.send(fmt.Sprintf("id: %d\ndata: %s\n\n", e.Seq, b))
}
