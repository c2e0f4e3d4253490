package drain

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// service is an instance with drain endpoints of its own.
type service struct {
	drained  bool
	sessions int
	asked    []string
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	switch r.URL.Path {
	case "/drain":
		s.drained = true
	case "/undrain":
		s.drained = false
	case "/idle":
		if s.sessions > 0 {
			w.WriteHeader(http.StatusConflict)
		}
	case "/moved":
		http.Redirect(w, r, "/drain", http.StatusFound)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func httpSpec(base string, drained bool) desired.DrainSpec {
	spec := &desired.HTTPDrain{Drain: desired.HTTPCall{URL: base + "/drain"}, Undrain: desired.HTTPCall{URL: base + "/undrain", Method: "PUT"}}
	if drained {
		spec.Drained = &desired.HTTPCall{URL: base + "/idle?at=1"}
	}
	return desired.DrainSpec{HTTP: spec}
}

func TestHTTPDrains(t *testing.T) {
	plain, secure := &service{sessions: 2}, &service{sessions: 2}
	httpServer, httpsServer := httptest.NewServer(plain), httptest.NewTLSServer(secure)
	t.Cleanup(httpServer.Close)
	t.Cleanup(httpsServer.Close)
	port := func(s *httptest.Server) string { return s.URL[strings.LastIndex(s.URL, ":"):] }
	tests := []struct {
		name    string
		base    string
		service *service
		through string // the host asked
	}{
		{"from the controller", httpServer.URL, plain, ""},
		{"on the host", port(httpServer), plain, "web-1 tcp 127.0.0.1" + port(httpServer)},
		{"on the host by https", "https://" + port(httpsServer), secure, "web-1 tcp 127.0.0.1" + port(httpsServer)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosts := &localHost{}
			d, err := New(httpSpec(tt.base, true), web1, hosts.deps())
			if err != nil {
				t.Fatal(err)
			}
			tt.service.asked, tt.service.sessions = nil, 2
			wantStatus(t, d, Status{Sessions: 1, Up: true, State: "status 409"})
			mustDrain(t, d, true)
			if !tt.service.drained {
				t.Error("not drained")
			}
			tt.service.sessions = 0
			wantStatus(t, d, Status{Up: true, State: "status 200"})
			mustUndrain(t, d)
			if want := "GET /idle?at=1,POST /drain,GET /idle?at=1,PUT /undrain"; strings.Join(tt.service.asked, ",") != want || tt.service.drained {
				t.Errorf("asked %s, want %s", tt.service.asked, want)
			}
			for _, dial := range hosts.dials {
				if dial != tt.through {
					t.Errorf("dialled %s, want %s", dial, tt.through)
				}
			}
			if tt.through != "" && len(hosts.dials) != 4 {
				t.Errorf("%d connections for 4 requests", len(hosts.dials))
			}
		})
	}
}

func TestHTTPWithoutDrained(t *testing.T) {
	server := httptest.NewServer(&service{})
	d, err := New(httpSpec(server.URL, false), web1, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, d, Status{Sessions: SessionsUnknown, Up: true, State: "listening"})
	server.Close()
	if _, err := d.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestHTTPFaultsSpeak(t *testing.T) {
	s := &service{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	secure := httptest.NewUnstartedServer(s)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, tt := range []struct{ url, want string }{
		{server.URL + "/nothing?token=hunter2", "cannot drain web-1: http " + server.URL + "/nothing: status 500, want 200 to 299"},
		{server.URL + "/moved", "status 302, want 200 to 299"}, // never followed
		{secure.URL + "/drain", "certificate"},                 // verified where SSH does not prove the peer
		{"http://" + freeAddress(t) + "/drain", "connection refused"},
		{"http://" + talker(t, "SSH-2.0-hunter2 secret\r\n") + "/drain", "it does not speak HTTP"},
	} {
		d, err := New(desired.DrainSpec{HTTP: &desired.HTTPDrain{Drain: desired.HTTPCall{URL: tt.url}, Undrain: desired.HTTPCall{URL: server.URL + "/undrain"}}}, web1, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		ours, err := d.Drain(t.Context())
		if err == nil || !ours || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: ours %v, %v; want %s", tt.url, ours, err, tt.want)
		}
	}
	if s.drained {
		t.Error("a redirect was followed")
	}
}

func TestHTTPHangs(t *testing.T) {
	d, err := New(httpSpec("http://"+talker(t), false), web1, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Undrain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestHTTPRefusesSettings(t *testing.T) {
	good := desired.HTTPCall{URL: ":8080/x"}
	for _, tt := range []struct {
		call desired.HTTPCall
		want string
	}{
		{desired.HTTPCall{}, "neither http nor https"},
		{desired.HTTPCall{URL: "8080/drain"}, "neither http nor https"},
		{desired.HTTPCall{URL: "ftp://lb-1/x"}, "neither http nor https"},
		{desired.HTTPCall{URL: "http://op:hunter2@lb-1/x"}, "holds a user or password"},
		{desired.HTTPCall{URL: "http://op:hunter2@lb-1:port/x"}, "does not parse"},
		{desired.HTTPCall{URL: "http://lb-1:99999/x"}, "no port between 1 and 65535"},
		{desired.HTTPCall{URL: ":8080/x", Status: 99}, "status 99"},
		{desired.HTTPCall{URL: ":8080/x", Method: "GET /"}, "method"},
	} {
		for i, spec := range []desired.HTTPDrain{
			{Drain: tt.call, Undrain: good},
			{Drain: good, Undrain: tt.call},
			{Drain: good, Undrain: good, Drained: &tt.call},
		} {
			_, err := New(desired.DrainSpec{HTTP: &spec}, web1, (&localHost{}).deps())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%d %+v: %v; want %s", i, tt.call, err, tt.want)
			}
		}
	}
	if _, err := New(httpSpec(":8080", false), web1, Deps{}); err == nil || !strings.Contains(err.Error(), "no SSH connection") {
		t.Errorf("without a Dialer: %v", err)
	}
}

// refusing is a host whose sshd does not open the channel.
type refusing struct{ err error }

func (r refusing) DialHost(context.Context, inventory.Host, string, string) (net.Conn, error) {
	if hostdriver.KindOf(r.err) != "" {
		return nil, r.err
	}
	return nil, &hostdriver.Error{Kind: hostdriver.Failed, Host: "web-1", Op: "connect from", Err: r.err}
}

func TestDialThroughSSHSpeaks(t *testing.T) {
	for _, tt := range []struct {
		err        error
		want, mend string
	}{
		{&ssh.OpenChannelError{Reason: ssh.ConnectionFailed}, "connection refused", "is it running there"},
		{&ssh.OpenChannelError{Reason: ssh.Prohibited}, "sshd forbids forwarding", "AllowTcpForwarding"},
		{&hostdriver.Error{Kind: hostdriver.Unreachable, Host: "lb-1", Op: "connect to", Mend: "is it up?", Err: syscall.ECONNREFUSED}, "cannot connect to lb-1: connection refused", "is it up?"},
		{errors.New("connect failed (Connection refused)"), "cannot connect from web-1: connect failed (Connection refused)", "is it running there"},
	} {
		d, err := New(httpSpec(":8080", true), web1, Deps{Dialer: refusing{tt.err}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(MendOf(err), tt.mend) {
			t.Errorf("says %v, mend %s", err, MendOf(err))
		}
	}
}
