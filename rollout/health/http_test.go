package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// pages is a service with a page for every outcome.
func pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"ok"}`) })
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "hunter2", http.StatusServiceUnavailable) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/healthz", http.StatusFound) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for range httpBody / 4096 {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "ok")
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	mux.HandleFunc("/hangup", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 64<<10))
	})
	mux.HandleFunc("/private", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hunter2" || r.Host != "gateway.example.com" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	return mux
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(pages())
	t.Cleanup(server.Close)
	secure := httptest.NewTLSServer(pages())
	t.Cleanup(secure.Close)
	port, securePort, free := portOf(t, server.Listener.Addr().String()), portOf(t, secure.Listener.Addr().String()), freePort(t)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	short := desired.Duration(150 * time.Millisecond)
	private := map[string]string{"Authorization": "Bearer hunter2", "Host": "gateway.example.com"}
	tests := []struct {
		name string
		spec desired.HTTPHealth
		want Result
	}{
		{"well", desired.HTTPHealth{Port: port, Path: "/healthz"}, Result{OK: true, Reason: "status 200"}},
		{"well, with body", desired.HTTPHealth{Port: port, Path: "/healthz?full=1", Body: `"ok"`}, Result{OK: true, Reason: `status 200, and the body has "\"ok\""`}},
		{"well, by https", desired.HTTPHealth{Port: securePort, Path: "/healthz", Scheme: "https", Host: "localhost"}, Result{OK: true, Reason: "status 200"}},
		{"well, with headers", desired.HTTPHealth{Port: port, Path: "/private", Headers: private}, Result{OK: true, Reason: "status 200"}},
		{"another status is wanted", desired.HTTPHealth{Port: port, Path: "/busy", Status: 503}, Result{OK: true, Reason: "status 503"}},
		{"busy", desired.HTTPHealth{Port: port, Path: "/busy"}, Result{Reason: "status 503, want 200"}},
		{"no path", desired.HTTPHealth{Port: port}, Result{Reason: "status 404, want 200"}},
		{"a redirect", desired.HTTPHealth{Port: port, Path: "/moved"}, Result{Reason: "status 302, want 200 (redirects are not followed)"}},
		{"without the headers", desired.HTTPHealth{Port: port, Path: "/private"}, Result{Reason: "status 401, want 200"}},
		{"refused", desired.HTTPHealth{Port: free, Path: "/healthz"}, Result{Reason: fmt.Sprintf("connection refused on 127.0.0.1:%d", free)}},
		{"slow", desired.HTTPHealth{Port: port, Path: "/slow", Timeout: short}, Result{Reason: "no answer from " + at + " within 150ms"}},
		{"other body", desired.HTTPHealth{Port: port, Path: "/healthz", Body: "ready"}, Result{Reason: `status 200, but the body does not have "ready"`}},
		{"body too long", desired.HTTPHealth{Port: port, Path: "/huge", Body: "ok"}, Result{Reason: `status 200, and the first 1048576 bytes of the body do not have "ok"`}},
		{"body without end", desired.HTTPHealth{Port: port, Path: "/endless", Body: "ok", Timeout: short}, Result{Reason: "status 200, and then the body did not end within 150ms"}},
		{"body cut short", desired.HTTPHealth{Port: port, Path: "/broken", Body: "ok"}, Result{Reason: "status 200, and then the body broke off after 4 bytes"}},
		{"headers without end", desired.HTTPHealth{Port: port, Path: "/headers"}, Result{Reason: "no good answer from " + at + ": its headers have more than 65536 bytes"}},
		{"hangs up", desired.HTTPHealth{Port: port, Path: "/hangup"}, Result{Reason: "no good answer from " + at + ": the connection was closed without an answer"}},
		{"https on a plain port", desired.HTTPHealth{Port: port, Path: "/healthz", Scheme: "https"}, Result{Reason: at + ": it does not speak TLS", Mend: "are the check's `port` and `scheme` right?"}},
	}
	through := map[string]hostdriver.Dialer{"directly": direct{}, "through SSH": startTunnel(t, 0)}
	for name, dialer := range through {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				c, err := New(desired.HealthSpec{HTTP: &tt.spec}, web1, Deps{Dialer: dialer})
				if err != nil {
					t.Fatal(err)
				}
				wantResult(t, c, tt.want)
			})
		}
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	go func() {
		for conn, err := other.Accept(); err == nil; conn, err = other.Accept() {
			_, _ = io.WriteString(conn, "SSH-2.0-hunter2 secret\r\n")
			conn.Close()
		}
	}()
	otherPort := portOf(t, other.Addr().String())
	c, err := New(desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: otherPort}}, web1, Deps{Dialer: direct{}})
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, c, Result{Reason: fmt.Sprintf("127.0.0.1:%d: it does not speak HTTP", otherPort), Mend: "are the check's `port` and `scheme` right?"})
}

// What answers is what listens now, never what did when the last connection was made.
func TestHTTPConnectsAnew(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(pages())
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c, err := New(desired.HealthSpec{HTTP: &desired.HTTPHealth{Port: portOf(t, server.Listener.Addr().String()), Path: "/healthz"}}, web1, Deps{Dialer: direct{}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantResult(t, c, Result{OK: true, Reason: "status 200"})
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections for 3 checks", n)
	}
}

func TestHTTPVerifiesWhatIsNotLoopback(t *testing.T) {
	secure := httptest.NewUnstartedServer(pages())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	secure.StartTLS()
	t.Cleanup(secure.Close)
	port := portOf(t, secure.Listener.Addr().String())
	c, err := New(desired.HealthSpec{HTTP: &desired.HTTPHealth{Host: "192.0.2.1", Port: port, Scheme: "https"}}, web1, Deps{Dialer: elsewhere{secure.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Check(t.Context()); r.OK || !strings.HasPrefix(r.Reason, fmt.Sprintf("the certificate of 192.0.2.1:%d is not trusted: x509: ", port)) {
		t.Errorf("got %+v", r)
	}
}

// elsewhere dials another address than it is asked for.
type elsewhere struct{ to string }

func TestNotReached(t *testing.T) {
	forbidden := &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "open failed"}
	wrapped := &hostdriver.Error{Kind: hostdriver.Failed, Host: "web-1", Op: "connect from", Mend: "the driver's own", Err: forbidden}
	free := freePort(t)
	at := fmt.Sprintf("127.0.0.1:%d", free)
	forbids := Result{Unknown: true, Reason: "the host's sshd forbids forwarding, so that nothing can connect to " + at,
		Mend: "allow it in the host's sshd_config (AllowTcpForwarding local, PermitOpen) and in its authorized_keys (no-port-forwarding, restrict, permitopen), or use a command check"}
	refused := Result{Reason: "connection refused on " + at}
	tests := []struct {
		name   string
		dialer hostdriver.Dialer
		want   Result
	}{
		{"refused directly", direct{}, refused},
		{"refused through SSH", startTunnel(t, 0), refused},
		{"refused without words", failing{&ssh.OpenChannelError{Reason: ssh.ConnectionFailed}}, refused},
		{"no route from there", failing{&ssh.OpenChannelError{Reason: ssh.ConnectionFailed, Message: "No route to\x1b host"}}, Result{Reason: "cannot connect to " + at + ": No route to host"}},
		{"forbidden", startTunnel(t, ssh.Prohibited), forbids},
		{"forbidden, in the driver's words", failing{wrapped}, forbids},
		{"refused, in the driver's words", failing{&hostdriver.Error{Kind: hostdriver.Failed, Host: "web-1", Op: "reach it from", Err: errors.New("connect failed (Connection refused)")}}, refused},
		{"timed out, in the driver's words", failing{&hostdriver.Error{Kind: hostdriver.Failed, Host: "web-1", Op: "reach it from", Err: errors.New("connect failed (Connection timed out)")}}, Result{Reason: "cannot connect to " + at + ": connect failed (Connection timed out)"}},
		{"forbidden, in the driver's words alone", failing{&hostdriver.Error{Kind: hostdriver.Unauthorized, Host: "web-1", Op: "reach it from", Mend: "allow it", Err: errors.New("administratively prohibited")}}, Result{Unknown: true, Reason: "cannot reach it from web-1: administratively prohibited", Mend: "allow it"}},
		{"out of channels", startTunnel(t, ssh.ResourceShortage), Result{Reason: "cannot connect to " + at + ": open failed"}},
		{"the host's SSH port refuses", failing{&hostdriver.Error{Kind: hostdriver.Unreachable, Host: "web-1", Op: "connect to", Err: syscall.ECONNREFUSED}}, Result{Unknown: true, Reason: "cannot connect to web-1: connection refused"}},
		{"host unreachable", failing{lost}, Result{Unknown: true, Reason: "cannot connect to web-1: no route to host", Mend: "is it up?"}},
		{"never", stuck{}, Result{Reason: "no answer from " + at + " within 50ms"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			short := desired.Duration(2 * time.Second)
			if _, ok := tt.dialer.(stuck); ok {
				short = desired.Duration(50 * time.Millisecond)
			}
			for _, spec := range []desired.HealthSpec{
				{HTTP: &desired.HTTPHealth{Port: free, Timeout: short}},
				{TCP: &desired.TCPHealth{Port: free, Timeout: short}},
			} {
				c, err := New(spec, web1, Deps{Dialer: tt.dialer})
				if err != nil {
					t.Fatal(err)
				}
				wantResult(t, c, tt.want)
			}
		})
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	c, err := New(desired.HealthSpec{TCP: &desired.TCPHealth{Port: 1}}, web1, Deps{Dialer: stuck{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	if r := c.Check(ctx); r.OK || !r.Unknown || r.Reason != "the check was ended before it was done" {
		t.Errorf("got %+v", r)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	port := portOf(t, l.Addr().String())
	c, err := New(desired.HealthSpec{TCP: &desired.TCPHealth{Port: port}}, web1, Deps{Dialer: direct{}})
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, c, Result{OK: true, Reason: fmt.Sprintf("connected to 127.0.0.1:%d", port)})
}
