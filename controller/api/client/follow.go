package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
)

const (
	silence  = 45 * time.Second // three heartbeats: then nobody is there any more
	maxEvent = 1 << 20
	maxPause = 10 * time.Second
)

// errEnded is why a stream ended that its server closed.
var errEnded = errors.New("the stream ended")

// Follow calls each with every event after number after, as it happens, until ctx ends
// or each returns an error. A stream that breaks is taken up again where it was;
// what the controller refuses is an error. lost, where it is not nil, is told once of
// each time that the controller could not be reached.
func (c *Client) Follow(ctx context.Context, after uint64, each func(controller.Event) error, lost func(error)) error {
	pause, told := time.Duration(0), false
	for {
		began := after
		err := c.stream(ctx, &after, each)
		var own *callerError
		var p *api.Problem
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &own):
			return own.err
		case errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests:
			return p
		case errors.Is(err, errEnded) || after > began:
			pause, told = 0, false
		case !told && lost != nil:
			lost(err)
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

// callerError is what each returned.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }

// stream reads one stream to its end.
func (c *Client) stream(ctx context.Context, after *uint64, each func(controller.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	res, err := c.do(ctx, http.MethodGet, api.Base+"/events?follow=1&after="+strconv.FormatUint(*after, 10), nil, http.Header{"Accept": {"text/event-stream"}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return c.read(ctx, res.Body, func() { quiet.Reset(silence) }, after, each)
}

// read reads Server-Sent Events to their end; alive is called for each line.
func (c *Client) read(ctx context.Context, body io.Reader, alive func(), after *uint64, each func(controller.Event) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	err := eachEvent(lines, alive, func(kind, data string) error {
		switch {
		case kind == "end":
			return revoked("the token was revoked or expired while events were followed")
		case data != "":
			return c.event(data, after, each)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case lines.Err() != nil:
		return c.unreachable(ctx, lines.Err())
	}
	return errEnded
}

func revoked(detail string) error {
	return &api.Problem{Type: "urn:evenkeel:problem:unauthorized", Status: http.StatusUnauthorized, Detail: detail, Mend: "evenkeel token create makes one"}
}

// eachEvent calls each with every event of a stream, until it returns an error or the
// stream ends; alive is called for each line.
func eachEvent(lines *bufio.Scanner, alive func(), each func(kind, data string) error) error {
	data, kind := "", ""
	for lines.Scan() {
		alive()
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if data != "" || kind != "" {
				if err := each(kind, data); err != nil {
					return err
				}
			}
			data, kind = "", ""
		case field == "data" && len(data)+len(value) <= maxEvent:
			data += value
		case field == "event":
			kind = value
		}
	}
	return nil
}

func (c *Client) event(data string, after *uint64, each func(controller.Event) error) error {
	var e controller.Event
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return failure("is it of this version?", "cannot understand an event of the controller at %s: %w", c.where, err)
	}
	if e.Seq <= *after {
		return nil // told already
	}
	if err := each(e); err != nil {
		return &callerError{err}
	}
	*after = e.Seq
	return nil
}
