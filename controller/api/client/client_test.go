package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api"
	"github.com/evenkeel/evenkeel/controller/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a fake controller, its API on loopback, and a client that may operate.
type world struct {
	*Client
	t      *testing.T
	fake   *apitest.Fake
	api    *api.API
	server *httptest.Server
	tokens string
	token  string // file
	down   atomic.Bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, fake: apitest.New(), tokens: filepath.Join(t.TempDir(), "tokens.yaml"), token: filepath.Join(t.TempDir(), "token")}
	var err error
	if w.api, err = api.New(api.Options{Controller: w.fake, Log: zerolog.Nop(), Tokens: w.tokens}); err != nil {
		t.Fatal(err)
	}
	token, entry, err := api.NewToken("me", []api.Scope{api.ScopeOperate}, time.Time{})
	if err == nil {
		err = errors.Join(api.AddToken(w.tokens, entry), os.WriteFile(w.token, []byte(token+"\n"), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.down.Load() {
			panic(http.ErrAbortHandler)
		}
		w.api.ServeHTTP(rw, r)
	}))
	w.Client = w.client(Options{URL: w.server.URL, TokenFile: w.token})
	t.Cleanup(func() {
		w.api.Close()
		w.server.Close()
	})
	return w
}

func (w *world) client(o Options) *Client {
	w.t.Helper()
	c, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func TestAsks(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.fake.Begin("r1")
	if r, err := w.Report(ctx); err != nil || !reflect.DeepEqual(r, w.fake.Snapshot().Report) {
		t.Errorf("%+v %v", r, err)
	}
	if s, err := w.Snapshot(ctx); err != nil || s.Controller != "fake" {
		t.Errorf("%+v %v", s, err)
	}
	if p, err := w.Plan(ctx); err != nil || !p.Changed() {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := w.Diff(ctx, "web-2"); err != nil || len(p.Hosts) != 1 {
		t.Errorf("%+v %v", p, err)
	}
	if e, err := w.Explain(ctx, "web-1", "gateway"); err != nil || e.Status.Host != "web-1" {
		t.Errorf("%+v %v", e, err)
	}
	if r, err := w.Rollout(ctx, api.CurrentRollout); err != nil || r.State.ID != "r1" {
		t.Errorf("%+v %v", r, err)
	}
	w.fake.End(controller.Reverted)
	if r, err := w.Rollouts(ctx, 5); err != nil || len(r) != 1 || r[0].Result != controller.Reverted {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := w.Revisions(ctx, 5); err != nil || len(r) != 1 {
		t.Errorf("%+v %v", r, err)
	}
	done, err := w.Act(ctx, controller.VerbSuspend, api.ActionRequest{Host: "web-1", Reason: "disk", Until: time.Now().Add(time.Hour)})
	if a := w.fake.Actions(); err != nil || done != "suspended host web-1" || len(a) != 1 || a[0].By != "token me" {
		t.Errorf("%q %v %+v", done, err, a)
	}
	if e, err := w.Events(ctx, 0, 5); err != nil || len(e) != 1 || e[0].By != "token me" {
		t.Errorf("%+v %v", e, err)
	}
}

func TestBackup(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	if n, err := w.Backup(t.Context(), &b); err != nil || b.String() != apitest.Store || n != int64(len(apitest.Store)) {
		t.Errorf("%d %q %v", n, b.String(), err)
	}
	w.fake.Break(errors.New("the disk is bad"))
	var e *Error
	if _, err := w.Backup(t.Context(), &b); !errors.As(err, &e) || e.Mend() == "" {
		t.Errorf("one that breaks off: %v", err)
	}
	w.fake.Break(controller.ErrNoBackup)
	var p *api.Problem
	if _, err := w.Backup(t.Context(), &b); !errors.As(err, &p) || p.Kind() != "refused" {
		t.Errorf("one that there is not: %v", err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer other.Close()
	c := w.client(Options{URL: other.URL})
	defer c.Close()
	if _, err := c.Backup(t.Context(), &b); !errors.As(err, &e) || e.Mend() == "" {
		t.Errorf("somebody else: %v", err)
	}
}

func TestEveryVerbHasAPath(t *testing.T) {
	for _, v := range []controller.Verb{controller.VerbReconcile, controller.VerbPause, controller.VerbResume, controller.VerbPromote, controller.VerbAbort, controller.VerbUndo,
		controller.VerbRetry, controller.VerbSuspend, controller.VerbUnsuspend, controller.VerbDrain, controller.VerbUndrain, controller.VerbAccept, controller.VerbTakeOver} {
		if _, ok := api.PathOf(v); !ok {
			t.Errorf("%s has none", v)
		}
	}
}

func TestProblemsArriveWithTheirMend(t *testing.T) {
	w := newWorld(t)
	var p *api.Problem
	if _, err := w.Diff(t.Context(), "web 9/../x"); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("a host of none: %v", err)
	}
	if _, err := w.Act(t.Context(), controller.VerbDrain, api.ActionRequest{}); !errors.As(err, &p) || p.Mend != "say host" {
		t.Errorf("an action without its host: %v", err)
	}
	if _, err := w.client(Options{URL: w.server.URL}).Report(t.Context()); !errors.As(err, &p) || !strings.Contains(p.Mend, "--token-file") {
		t.Errorf("no token: %v", err)
	}
}

func TestOptionsRefused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no scheme": {URL: "evenkeel.example.com"}, "another scheme": {URL: "ftp://x"}, "plain http": {URL: "http://evenkeel.example.com"}, "a password": {URL: "https://a:b@x"},
		"a query": {URL: "https://x?y"}, "two slashes": {URL: "unix://run/x.sock"}, "no token": {URL: "https://x", TokenFile: filepath.Join(dir, "none")},
		"an empty token": {URL: "https://x", TokenFile: empty}, "no CA": {URL: "https://x", CA: empty},
	} {
		var e *Error
		if _, err := New(o); !errors.As(err, &e) || e.Mend() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{URL: "http://127.0.0.1:7070"}); err != nil {
		t.Errorf("http on loopback: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:1", "unix:///nowhere/evenkeel.sock"} {
		c, err := New(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		var e *Error
		if _, err := c.Report(t.Context()); !errors.As(err, &e) || e.Mend() == "" || !strings.Contains(err.Error(), "cannot reach the controller at "+url) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestSomebodyElseThere(t *testing.T) {
	var stolen atomic.Value
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen.Store(r.Header.Get("Authorization")) }))
	defer thief.Close()
	for name, h := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL, http.StatusFound) },
		"a page":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"a 404":      http.NotFound,
		"a half":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"revision": "`) },
	} {
		w := newWorld(t)
		s := httptest.NewServer(h)
		c := w.client(Options{URL: s.URL, TokenFile: w.token})
		var e *Error
		if _, err := c.Report(t.Context()); !errors.As(err, &e) || e.Mend() == "" {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		s.Close()
	}
	if stolen.Load() != nil {
		t.Error("the token followed a redirect")
	}
}

// TestFollowTakesUpWhereItWas: nothing is lost and nothing comes twice, though the
// stream breaks in between.
func TestFollowTakesUpWhereItWas(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 3 {
		w.fake.Happened(controller.Event{Message: "before"})
	}
	var got []uint64
	var lost atomic.Int32
	err := w.Follow(ctx, 1, func(e controller.Event) error {
		got = append(got, e.Seq)
		switch len(got) {
		case 2: // 3
			w.down.Store(true)
			w.server.CloseClientConnections()
			w.fake.Happened(controller.Event{Message: "meanwhile"})
			time.AfterFunc(600*time.Millisecond, func() { w.down.Store(false) })
		case 3: // 4
			w.fake.Happened(controller.Event{Message: "after"})
		case 4:
			return errors.New("enough")
		}
		return nil
	}, func(error) { lost.Add(1) })
	if err == nil || err.Error() != "enough" || !reflect.DeepEqual(got, []uint64{2, 3, 4, 5}) {
		t.Errorf("%v %v", got, err)
	}
	if lost.Load() == 0 {
		t.Error("nobody was told that it broke")
	}
}

func TestFollowEndsWithTheToken(t *testing.T) {
	w := newWorld(t)
	w.fake.Happened(controller.Event{Message: "one"})
	err := w.Follow(t.Context(), 0, func(controller.Event) error { return api.RemoveToken(w.tokens, "me") }, nil)
	var p *api.Problem
	if !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
		t.Errorf("%v", err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := w.Follow(ctx, 0, func(controller.Event) error { return nil }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// FuzzStream: whatever a server sends, events come once and in order.
func FuzzStream(f *testing.F) {
	f.Add("retry: 1000\n\nid: 2\ndata: {\"seq\": 2, \"message\": \"x\"}\n\n: alive\n\nevent: end\ndata: {}\n\n")
	f.Add("data: {\"seq\": 3}\n\ndata: {\"seq\": 2}\n\ndata: {\ndata: }\n\n")
	c, err := New(Options{URL: "https://evenkeel.example.com"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		after, last := uint64(1), uint64(1)
		err := c.read(t.Context(), strings.NewReader(text), func() {}, &after, func(e controller.Event) error {
			if e.Seq <= last {
				t.Errorf("%d after %d", e.Seq, last)
			}
			last = e.Seq
			return nil
		})
		if err == nil || after != last {
			t.Errorf("%v, after %d, last %d", err, after, last)
		}
	})
}
