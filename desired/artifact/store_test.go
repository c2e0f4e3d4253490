package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// serve starts an https server and a Store that trusts it.
func serve(t *testing.T, h http.HandlerFunc) (*Store, string, string) {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	dir := filepath.Join(t.TempDir(), "cache")
	s, err := New(dir, srv.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}
	s.pause = time.Millisecond
	t.Cleanup(func() {
		srv.Client().CloseIdleConnections()
		srv.Close()
	})
	return s, srv.URL, dir
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestFetchOnceForAll(t *testing.T) {
	var asked atomic.Int32
	s, url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, "program")
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			f, err := s.Fetch(context.Background(), url+"/gw", digestOf("program"))
			if err != nil {
				t.Error(err)
				return
			}
			r, err := f.Open()
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			if b, _ := io.ReadAll(r); string(b) != "program" || f.Size != 7 {
				t.Errorf("got %q, size %d", b, f.Size)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestDamagedCacheIsFetchedAgain(t *testing.T) {
	s, url, dir := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "program") })
	if err := os.WriteFile(filepath.Join(dir, digestOf("program")), []byte("progr"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := s.Fetch(context.Background(), url, digestOf("program"))
	if err != nil || f.Size != 7 {
		t.Fatalf("size %d, %v", f.Size, err)
	}
}

func TestRefusals(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "program") }))
	defer plain.Close()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"another file": {func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "other") },
			"it has the sha256 " + digestOf("other") + ", not " + digestOf("program")},
		"gone": {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "the server answered 404 Not Found"},
		"redirected to http": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) },
			"which is not https"},
		"redirected for ever": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) },
			"redirected more than 5 times"},
		"cut off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "prog")
		}, "it broke off after 4 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s, url, dir := serve(t, c.handler)
			_, err := s.Fetch(context.Background(), url, digestOf("program"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if left := entries(t, dir); len(left) > 0 {
				t.Errorf("left in the cache: %v", left)
			}
		})
	}
}

func TestStalledServerIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	s, url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "prog")
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	s.stall = 50 * time.Millisecond
	_, err := s.Fetch(context.Background(), url, digestOf("program"))
	if err == nil || !strings.Contains(err.Error(), "no byte came for too long") {
		t.Fatal(err)
	}
}

func TestPlainHTTPIsRefused(t *testing.T) {
	s, err := New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(context.Background(), "http://127.0.0.1:1/x", digestOf("x")); err == nil || !strings.Contains(err.Error(), "is not https") {
		t.Error(err)
	}
	if _, err := s.Fetch(context.Background(), "https://127.0.0.1:1/x", ""); err == nil {
		t.Error("an artifact without a pinned digest was fetched")
	}
}
