package load

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that ends with the test.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

func TestEveryWayToFailIsCounted(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tc := range []struct {
		kind    Kind
		handler http.HandlerFunc
	}{
		{"", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fine") }},
		{"", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }},
		{Server, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
		{Wrong, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotFound) }},
		{Reset, func(w http.ResponseWriter, r *http.Request) { hangUp(w) }},
		{Reset, func(w http.ResponseWriter, r *http.Request) { // in the middle of the answer
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
			hangUp(w)
		}},
		{Timeout, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{Refused, nil},
	} {
		url := "http://" + closed.Addr().String()
		if tc.handler != nil {
			url = serve(t, tc.handler)
		}
		s, err := Run(t.Context(), Config{URL: url, Rate: 200, Requests: 20, Connections: Fresh, Timeout: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if tc.kind != "" {
			want = 20
		}
		if s.Requests != 20 || s.Failed() != want || s.Failures[tc.kind] != want || s.OK != 20-want {
			t.Errorf("%q: %s; %v", tc.kind, s, s.Samples)
		}
	}
}

// A kept connection that the server closes without a word makes Go send a GET again: not a failure, but told.
func TestResentRequestsAreTold(t *testing.T) {
	var n atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			hangUp(w)
		}
	})
	s, err := Run(t.Context(), Config{URL: url, Rate: 100, Requests: 20, Connections: Kept})
	if err != nil {
		t.Fatal(err)
	}
	if s.Resent == 0 || s.OK+s.Failed() != 20 {
		t.Errorf("no resent request: %s %v", s, s.Samples)
	}
}

// The rate holds while the service stalls, and the stall shows in the latency.
func TestStallIsNotHidden(t *testing.T) {
	begin := time.Now()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Until(begin.Add(500 * time.Millisecond)))
	})
	s, err := Run(t.Context(), Config{URL: url, Rate: 100, Requests: 100})
	if err != nil {
		t.Fatal(err)
	}
	if s.Failed() != 0 || s.Max < 400*time.Millisecond || s.P50 < 5*time.Millisecond && s.P90 < 300*time.Millisecond {
		t.Errorf("%s", s)
	}
	if s.Elapsed > 2*time.Second {
		t.Errorf("100 requests at 100 a second took %s", s.Elapsed)
	}
}

func TestHeaderAndCheck(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Authorization"), r.Host) })
	seen := make(chan string, 1)
	config := Config{
		URL: url, Rate: 50, Requests: 1, Header: http.Header{"Authorization": {"Bearer x"}, "Host": {"shop.example"}},
		Check: func(status int, body []byte) error { seen <- fmt.Sprint(status, string(body)); return nil },
	}
	if _, err := Run(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "200Bearer xshop.example" && got != "200 Bearer xshop.example" {
		t.Errorf("%q", got)
	}
}

// echo is a service with WebSockets; end is called with each one's number after its third message.
func echo(t *testing.T, end func(n int, c *websocket.Conn)) string {
	var accepted atomic.Int32
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		n := int(accepted.Add(1))
		for i := 0; ; i++ {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if i == 3 && end != nil {
				end(n, c)
				return
			}
			if c.Write(r.Context(), kind, append([]byte(`{"echo": `), message...)) != nil {
				return
			}
		}
	})
}

func TestSockets(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(int, *websocket.Conn)
		want func(Stats) bool
	}{
		{"stay open", nil, func(s Stats) bool {
			return s.Failed() == 0 && s.Echoes > 20 && s.Echoes == s.Said && s.GoneAway == 0
		}},
		{"go away and come back", func(n int, c *websocket.Conn) {
			_ = c.Close(websocket.StatusGoingAway, "restart")
		}, func(s Stats) bool { return s.Failed() == 0 && s.GoneAway >= 4 && s.Unheard == s.GoneAway }},
		{"restart and come back", func(n int, c *websocket.Conn) {
			_ = c.Close(websocket.StatusServiceRestart, "")
		}, func(s Stats) bool { return s.Failed() == 0 && s.GoneAway >= 4 }},
		{"break", func(n int, c *websocket.Conn) { _ = c.CloseNow() }, func(s Stats) bool {
			return s.Failures[Broken] >= 4 && s.GoneAway == 0
		}},
		{"end with an error", func(n int, c *websocket.Conn) {
			_ = c.Close(websocket.StatusInternalError, "")
		}, func(s Stats) bool { return s.Failures[Broken] >= 4 }},
	} {
		g, err := Start(t.Context(), Config{SocketURL: echo(t, tc.end), Sockets: 4, Say: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		if now := g.Stats(); now.Sockets > 4 {
			t.Errorf("%s: %d open", tc.name, now.Sockets)
		}
		s := g.Stop()
		if !tc.want(s) || s.Sockets != 0 {
			t.Errorf("%s: %s; %v", tc.name, s, s.Samples)
		}
		if again := g.Stop(); again.Said != s.Said {
			t.Errorf("%s: a second Stop counts further", tc.name)
		}
	}
}

func TestSilentSocket(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			if _, _, err := c.Read(r.Context()); err != nil {
				return
			}
		}
	})
	g, err := Start(t.Context(), Config{SocketURL: url, Sockets: 1, Say: 10 * time.Millisecond, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if s := g.Stop(); s.Failures[Silent] == 0 || s.Echoes != 0 {
		t.Errorf("%s", s)
	}
}

func TestStartRefuses(t *testing.T) {
	unanswering := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for _, c := range []Config{{}, {Rate: 1}, {Rate: 1, URL: "::"}, {Sockets: 1}, {Rate: -1, URL: "http://x"}, {Sockets: 2, SocketURL: unanswering}} {
		if g, err := Start(t.Context(), c); err == nil {
			g.Stop()
			t.Errorf("%+v starts", c)
		}
	}
}

func TestBoundedByContext(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s, err := Run(ctx, Config{URL: url, Rate: 100})
	if err != nil || s.Elapsed > time.Second || s.Requests == 0 {
		t.Errorf("%v, %s", err, s)
	}
}

func TestStringAndPercentiles(t *testing.T) {
	l := newLedger()
	for i := 1; i <= 1000; i++ {
		l.answered(time.Duration(i) * time.Millisecond)
	}
	l.fail(Reset, fmt.Errorf("x"))
	l.fail(Server, fmt.Errorf("y"))
	l.count(func(s *Stats) { s.Requests = 1002 })
	s := l.snapshot()
	for want, got := range map[time.Duration]time.Duration{500: s.P50, 900: s.P90, 990: s.P99, 1000: s.Max} {
		if want *= time.Millisecond; got < want || got > want+want/40 {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	if text := s.String(); !strings.HasPrefix(text, "2 failed (1 5xx, 1 reset) of 1002 requests") || strings.Contains(text, "\n") {
		t.Error(text)
	}
}
