package artifact

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// cutServer serves a file, and cuts each answer after some bytes.
type cutServer struct {
	mu    sync.Mutex
	data  []byte
	etag  string
	cut   int
	deaf  bool // to Range
	weird string
	then  func() // after an answer was cut
	asked []string
	sent  int
}

func (c *cutServer) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
	if c.etag != "" {
		w.Header().Set("ETag", c.etag)
	}
	if c.deaf {
		r.Header.Del("Range")
	}
	if c.weird != "" && r.Header.Get("Range") != "" {
		w.Header().Set("Content-Range", c.weird)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "rubbish")
		return
	}
	out := &cutWriter{ResponseWriter: w, left: c.cut, of: c}
	http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(c.data))
	if out.left == 0 {
		if c.then != nil {
			c.then()
		}
		panic(http.ErrAbortHandler)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
	of   *cutServer
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	w.left -= n
	w.of.sent += n
	if err == nil && n < len(p) {
		w.ResponseWriter.(http.Flusher).Flush()
		err = io.ErrShortWrite
	}
	return n, err
}

func some(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func TestACutTransferGoesOn(t *testing.T) {
	data, other := some(1, 1<<20), some(2, 1<<20)
	for name, c := range map[string]struct {
		server *cutServer
		change bool // the file is replaced once half of it has come
		sent   int  // at most
		want   string
		idle   bool
	}{
		"with an ETag":                    {server: &cutServer{etag: `"one"`, cut: 300_000}, sent: len(data), want: `bytes=300000- "one"`},
		"with none":                       {server: &cutServer{cut: 300_000}, sent: len(data), want: "bytes=300000- "},
		"with a weak one":                 {server: &cutServer{etag: `W/"one"`, cut: 300_000}, sent: len(data), want: "bytes=300000- "},
		"a file that changes":             {server: &cutServer{etag: `"one"`, cut: 700_000}, change: true, sent: 2 * len(data), want: `bytes=700000- "one"`},
		"a file that changes unseen":      {server: &cutServer{cut: 700_000}, change: true, sent: 3 * len(data), want: "bytes=700000- "},
		"a server that knows no ranges":   {server: &cutServer{deaf: true, cut: 700_000}, idle: true},
		"a server that gives other bytes": {server: &cutServer{weird: "bytes 5-11/1048576", cut: 700_000}, idle: true},
		"one that gives no range":         {server: &cutServer{weird: "rubbish", cut: 700_000}, idle: true},
		"a server that brings nothing":    {server: &cutServer{etag: `"one"`, cut: 100}, idle: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := c.server
			server.data = data
			if c.change {
				server.data = other
				server.then = func() {
					server.data, server.then = data, nil
					server.etag = strings.Replace(server.etag, "one", "two", 1)
				}
			}
			s, url, dir := serve(t, server.serve)
			f, err := s.Fetch(context.Background(), url+"/a", digestOf(string(data)))
			server.mu.Lock()
			defer server.mu.Unlock()
			if c.idle {
				if err == nil || len(server.asked) > 2*maxIdle {
					t.Fatalf("%v, asked %d times", err, len(server.asked))
				}
				if left := entries(t, dir); len(left) > 0 {
					t.Errorf("left in the cache: %v", left)
				}
				return
			}
			if err != nil || f.Size != int64(len(data)) {
				t.Fatalf("size %d, %v: %q", f.Size, err, server.asked)
			}
			if got, err := os.ReadFile(filepath.Join(dir, digestOf(string(data)))); err != nil || !bytes.Equal(got, data) {
				t.Errorf("it is another: %v", err)
			}
			if server.sent > c.sent || !strings.Contains(strings.Join(server.asked, "\n"), c.want) {
				t.Errorf("%d bytes were sent: %q", server.sent, server.asked)
			}
		})
	}
}

// A server that is down for a moment is asked again; one that says no is not.
func TestAnswersThatMayPass(t *testing.T) {
	for status, want := range map[int]int{http.StatusServiceUnavailable: maxIdle, http.StatusTooManyRequests: maxIdle, http.StatusForbidden: 1, http.StatusGone: 1} {
		asked := 0
		s, url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { asked++; w.WriteHeader(status) })
		if _, err := s.Fetch(context.Background(), url, digestOf("x")); err == nil || !strings.Contains(err.Error(), "the server answered") {
			t.Errorf("%d: %v", status, err)
		}
		if asked != want {
			t.Errorf("%d: it was asked %d times, not %d", status, asked, want)
		}
	}
	asked := 0
	s, url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, "program")
	})
	if _, err := s.Fetch(context.Background(), url, digestOf("program")); err != nil {
		t.Error(err)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-1/2", "bytes 5-9/*", "bytes */7", "bytes 9-5/20", "bytes +1-2/3", "bytes 18446744073709551615-2/3", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		from, total := contentRange(s)
		if from < -1 || (from == -1) != (total == -1) || from >= 0 && total > 0 && total <= from {
			t.Errorf("%q: %d of %d", s, from, total)
		}
	})
}
