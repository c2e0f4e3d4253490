package sshdriver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestDialReachesSocketsFromTheHost(t *testing.T) {
	f := newFixture(t, nil)
	c := f.conn(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok "+r.URL.Path) }))
	defer web.Close()
	transport := &http.Transport{DialContext: c.Dial}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	for i := range 3 {
		res, err := client.Get(fmt.Sprintf("%s/%d", web.URL, i))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if want := fmt.Sprintf("ok /%d", i); string(body) != want {
			t.Errorf("got %q, want %q", body, want)
		}
	}
}

func TestDialReachesUnixSockets(t *testing.T) {
	dir, err := os.MkdirTemp("", "ek") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, io.LimitReader(c, 5))
			_ = c.Close()
		}
	}()
	f := newFixture(t, nil)
	conn, err := f.conn(t).Dial(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if conn.RemoteAddr().String() != path || conn.RemoteAddr().Network() != "unix" {
		t.Errorf("remote address %v", conn.RemoteAddr())
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTunnelsHaveDeadlines(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	f := newFixture(t, nil)
	conn, err := f.conn(t).Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	_ = conn.Close()
}

func TestDialTellsAForbiddenForwardFromAClosedSocket(t *testing.T) {
	f := newFixture(t, nil)
	_, err := f.conn(t).Dial(t.Context(), "tcp", "127.0.0.1:1")
	if hostdriver.KindOf(err) != hostdriver.Failed {
		t.Errorf("closed socket: kind %q: %v", hostdriver.KindOf(err), err)
	}
	wantContains(t, err.Error(), "cannot reach tcp 127.0.0.1:1 from web-1", "Connection refused [31m")
	for _, bad := range [][2]string{{"udp", "x:1"}, {"tcp", "x"}, {"tcp", "x:http"}, {"unix", ""}} {
		if _, err := f.conn(t).Dial(t.Context(), bad[0], bad[1]); err == nil {
			t.Errorf("dialled %v", bad)
		}
	}
	strict := newFixture(t, []func(*testServer){func(s *testServer) { s.forbid = true }})
	for network, setting := range map[string]string{"tcp": "AllowTcpForwarding", "unix": "AllowStreamLocalForwarding"} {
		_, err := strict.conn(t).Dial(t.Context(), network, "127.0.0.1:1")
		if hostdriver.KindOf(err) != hostdriver.Unauthorized {
			t.Errorf("forbidden: kind %q: %v", hostdriver.KindOf(err), err)
		}
		wantContains(t, hostdriver.MendOf(err), setting, "sshd_config")
	}
}
