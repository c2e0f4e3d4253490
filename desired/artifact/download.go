package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds of trying again: a server that gets on is asked again, one that does not a few times.
const (
	maxIdle     = 4        // attempts in a row that came no further by leastGain
	leastGain   = 64 << 10 // bytes
	maxAttempts = 100      // in all
	firstPause  = time.Second
)

// transfer is one file on its way into the cache.
type transfer struct {
	store *Store
	url   string
	tmp   *os.File
	sum   hash.Hash
	size  int64

	validator string // what If-Range may say of the bytes that are here; "": nothing
	pieced    bool   // of answers of which nobody has said that they are of the same file
}

// answerError is an answer that is none of what was asked for.
type answerError struct{ resp *http.Response }

func (e *answerError) Error() string { return "the server answered " + e.resp.Status }

// final tells whether asking again is useless.
func (e *answerError) final() bool {
	switch c := e.resp.StatusCode; c {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusRequestedRangeNotSatisfiable:
		return false
	default:
		return c < 500
	}
}

// download fetches into a file beside path and renames it there once it is whole. A transfer
// that is cut goes on where it was.
func (s *Store) download(ctx context.Context, url, digest, path string) (size int64, err error) {
	tmp, err := os.CreateTemp(s.dir, ".fetching-*")
	if err != nil {
		return 0, fmt.Errorf("cannot write the artifact cache: %w", err)
	}
	defer func() {
		_ = tmp.Close()
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	t := &transfer{store: s, url: url, tmp: tmp, sum: sha256.New()}
	if err := t.all(ctx, digest); err != nil {
		return 0, err
	}
	got := hex.EncodeToString(t.sum.Sum(nil))
	if got != digest && t.pieced {
		if err = t.restart(); err == nil {
			err = t.all(ctx, digest)
		}
		if err != nil {
			return 0, err
		}
		got = hex.EncodeToString(t.sum.Sum(nil))
	}
	if got != digest {
		return 0, fmt.Errorf("it has the sha256 %s, not %s", got, digest)
	}
	if err := settle(tmp, path); err != nil {
		return 0, fmt.Errorf("cannot write the artifact cache: %w", err)
	}
	return t.size, nil
}

// all fetches until it is whole, or trying again is useless.
func (t *transfer) all(ctx context.Context, digest string) error {
	idle, pause, best := 0, t.store.pause, t.size
	for attempt := 1; ; attempt++ {
		err := t.once(ctx, digest)
		if err == nil || ctx.Err() != nil || !t.mayGoOn(err) {
			return err
		}
		if t.size >= best+leastGain {
			idle, pause, best = 0, t.store.pause, t.size
		} else {
			idle++
		}
		if idle >= maxIdle || attempt >= maxAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// mayGoOn tells whether the fault is one of the way or the server, which may pass.
func (t *transfer) mayGoOn(err error) bool {
	var answer *answerError
	if errors.As(err, &answer) {
		return !answer.final()
	}
	var disk *os.PathError // of the cache
	var refused *refusalError
	return !strings.HasPrefix(t.url, "oci://") && !errors.As(err, &disk) && !errors.As(err, &refused)
}

// refusalError is what we do not take, however often it is offered.
type refusalError struct{ error }

// once asks for what is still missing and takes it in.
func (t *transfer) once(ctx context.Context, digest string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(headerWait+t.store.stall, func() { cancel(errStalled) })
	body, err := t.open(ctx, digest)
	timer.Stop()
	if err != nil {
		return causeOf(ctx, err)
	}
	defer body.Close()
	watched := watch(body, t.store.stall, cancel)
	defer watched.stop()
	n, err := io.Copy(io.MultiWriter(t.tmp, t.sum), io.LimitReader(watched, maxBytes+1-t.size))
	t.size += n
	if err == nil { // a server may end an answer because we gave it up
		err = context.Cause(ctx)
	}
	switch {
	case err != nil:
		return fmt.Errorf("it broke off after %d bytes: %w", t.size, causeOf(ctx, err))
	case t.size > maxBytes:
		return &refusalError{fmt.Errorf("it has more than %d bytes", int64(maxBytes))}
	}
	return nil
}

// open begins to read what is missing of what the URL names; where the server gives all of it
// again, what is here is dropped.
func (t *transfer) open(ctx context.Context, digest string) (io.ReadCloser, error) {
	if reference, ok := strings.CutPrefix(t.url, "oci://"); ok {
		return t.store.layer(ctx, reference, digest)
	}
	resp, err := t.store.ask(ctx, t.url, t.size, t.validator)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && t.size > 0:
		from, total := contentRange(resp.Header.Get("Content-Range"))
		if from == t.size && total <= maxBytes {
			t.pieced = t.pieced || t.validator == ""
			return resp.Body, nil
		}
		err = fmt.Errorf("the server sends the bytes %.60q, and was asked for those from %d", resp.Header.Get("Content-Range"), t.size)
	case resp.StatusCode != http.StatusOK:
		err = &answerError{resp}
	case resp.ContentLength > maxBytes:
		err = &refusalError{fmt.Errorf("it has more than %d bytes", int64(maxBytes))}
	}
	if err == nil || !errors.As(err, new(*refusalError)) && resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		if undo := t.restart(); undo != nil {
			err = errors.Join(err, undo)
		}
	}
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	t.validator = validatorOf(resp.Header)
	return resp.Body, nil
}

// restart drops what is here.
func (t *transfer) restart() error {
	t.sum.Reset()
	t.size, t.validator, t.pieced = 0, "", false
	if _, err := t.tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return t.tmp.Truncate(0)
}

// validatorOf is by what a server can tell whether a file is still the same byte for byte: a
// strong ETag, else the time of its last change, if that was not just before it was sent
// (RFC 9110, 8.8.2.2).
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	changed, err := http.ParseTime(h.Get("Last-Modified"))
	sent, err2 := http.ParseTime(h.Get("Date"))
	if err == nil && err2 == nil && sent.Sub(changed) >= time.Minute {
		return h.Get("Last-Modified")
	}
	return ""
}

// contentRange reads "bytes FROM-TO/TOTAL": -1 and -1 where it is something else. A total
// that is not told is 0.
func contentRange(text string) (from, total int64) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	span, of, ok2 := strings.Cut(rest, "/")
	first, last, ok3 := strings.Cut(span, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if of != "*" {
		var err error
		if total, err = strconv.ParseInt(of, 10, 64); err != nil || total <= to {
			return -1, -1
		}
	}
	if !ok || !ok2 || !ok3 || err != nil || err2 != nil || from < 0 || to < from || strings.ContainsAny(first+last+of, "+-") {
		return -1, -1
	}
	return from, total
}
