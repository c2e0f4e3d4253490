package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// says is a peer that answers whatever it is asked with text, and hangs up.
func says(text string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			_, _ = io.WriteString(far, text)
		}()
		return near, nil
	}
}

func address(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAsk(t *testing.T) {
	long := strings.Repeat("x", maxHeader)
	tests := []struct {
		name, says string
		method     string
		status     int
		body       string
		broken     bool
		err        error
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", 200, "ok", false, nil},
		{"to the end of the connection", "HTTP/1.0 503 Busy\r\n\r\nbusy", "GET", 503, "busy", false, nil},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "GET", 200, "ok", false, nil},
		{"more than is wanted", "HTTP/1.1 200 OK\r\n\r\n0123456789abcdef", "GET", 200, "01234567", false, nil},
		{"early hints first", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "GET", 204, "", false, nil},
		{"no body to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", 200, "", false, nil},
		{"a body that breaks off", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "GET", 200, "half", true, nil},
		{"nothing", "", "GET", 0, "", false, ErrNoAnswer},
		{"half a header", "HTTP/1.1 200 OK\r\nContent-Le", "GET", 0, "", false, ErrNoAnswer},
		{"another protocol", "SSH-2.0-OpenSSH\r\n" + long, "GET", 0, "", false, ErrNotHTTP},
		{"a status that is none", "HTTP/1.1 abc\r\n\r\n" + long, "GET", 0, "", false, ErrNotHTTP},
		{"endless headers", "HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n", "GET", 0, "", false, ErrLongHeader},
		{"nothing but hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+1), "GET", 0, "", false, ErrNotHTTP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Ask(t.Context(), Question{Dial: says(tt.says), Method: tt.method, URL: address(t, "http://web-1/"), MaxBody: 8})
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if got.Status != tt.status || string(got.Body) != tt.body || (got.Broken != nil) != tt.broken {
				t.Errorf("got %d %q, broken %v", got.Status, got.Body, got.Broken)
			}
		})
	}
}

// What is sent is what was meant, to the address that the URL means.
func TestAskSends(t *testing.T) {
	var heard *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard = r.Clone(context.Background()) }))
	t.Cleanup(server.Close)
	var dialled []string
	q := Question{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled = append(dialled, network+" "+address)
			var d net.Dialer
			return d.DialContext(ctx, network, server.Listener.Addr().String())
		},
		Method: "PUT", URL: address(t, "http://web-1/a%20b?c=d"), Host: "gateway.example.com", Header: http.Header{"Authorization": {"Bearer hunter2"}},
	}
	if a, err := Ask(t.Context(), q); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	if heard.Method != "PUT" || heard.RequestURI != "/a%20b?c=d" || heard.Host != "gateway.example.com" || heard.Header.Get("Authorization") != "Bearer hunter2" || heard.Header.Get("User-Agent") != "evenkeel" {
		t.Errorf("it heard %+v", heard)
	}
	for _, u := range []string{"https://web-1/", "http://[::1]:8080/"} {
		q.URL = address(t, u)
		_, _ = Ask(t.Context(), q)
	}
	if want := "tcp web-1:80, tcp web-1:443, tcp [::1]:8080"; strings.Join(dialled, ", ") != want {
		t.Errorf("dialled %s, want %s", dialled, want)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	silent := func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		return near, nil
	}
	reason := errors.New("shutting down")
	for _, u := range []string{"http://web-1/", "https://web-1/"} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, reason)
		if _, err := Ask(ctx, Question{Dial: silent, Method: "GET", URL: address(t, u)}); !errors.Is(err, reason) {
			t.Errorf("%s: %v", u, err)
		}
		cancel()
	}
}

func TestAskByTLS(t *testing.T) {
	if _, err := Ask(t.Context(), Question{Dial: says("SSH-2.0-OpenSSH\r\n"), Method: "GET", URL: address(t, "https://web-1/")}); !errors.Is(err, ErrNotTLS) {
		t.Errorf("a plain peer: %v", err)
	}
	if _, err := Ask(t.Context(), Question{Dial: says(""), Method: "GET", URL: address(t, "https://web-1/")}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("a peer that hangs up: %v", err)
	}
}

func TestWhyNot(t *testing.T) {
	driver := func(kind hostdriver.ErrorKind, err error) error {
		return &hostdriver.Error{Kind: kind, Host: "web-1", Op: "reach it from", Err: err}
	}
	closed := func(reason ssh.RejectionReason, words string) error {
		return &ssh.OpenChannelError{Reason: reason, Message: words}
	}
	tests := []struct {
		name string
		err  error
		want DialFault
		says string
	}{
		{"refused", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Refused, "connection refused"},
		{"by a channel", closed(ssh.ConnectionFailed, "Connection refused"), Refused, "Connection refused"},
		{"by a channel without words", closed(ssh.ConnectionFailed, ""), Refused, ""},
		{"of a unix socket", closed(ssh.ConnectionFailed, "open failed"), Refused, "open failed"},
		{"in the driver's words", driver(hostdriver.Failed, errors.New("connect failed (Connection refused)")), Refused, "connect failed (Connection refused)"},
		{"of a unix socket in the driver's words", driver(hostdriver.Failed, errors.New("connect failed (open failed)")), Refused, "connect failed (open failed)"},
		{"no route", closed(ssh.ConnectionFailed, "No route\x1b to host"), Other, "No route to host"},
		{"no route in the driver's words", driver(hostdriver.Failed, errors.New("connect failed (No route to host)")), Other, "connect failed (No route to host)"},
		{"out of channels", closed(ssh.ResourceShortage, "open failed"), Other, "open failed"},
		{"forbidden", closed(ssh.Prohibited, "open failed"), Forbidden, "open failed"},
		{"forbidden, wrapped", driver(hostdriver.Failed, closed(ssh.Prohibited, "open failed")), Forbidden, "open failed"},
		{"forbidden, in the driver's words", driver(hostdriver.Unauthorized, errors.New("administratively prohibited")), NoWay, "cannot reach it from web-1: administratively prohibited"},
		{"the SSH port refuses", driver(hostdriver.Unreachable, syscall.ECONNREFUSED), NoWay, "cannot reach it from web-1: connection refused"},
		{"the jump host does not reach it", driver(hostdriver.Unreachable, closed(ssh.ConnectionFailed, "")), NoWay, "cannot reach it from web-1: ssh: rejected: connect failed (\"\")"},
		{"something else", errors.New("odd\nthing"), Other, "odd thing"},
	}
	for _, tt := range tests {
		if got, words := WhyNot(tt.err); got != tt.want || words != tt.says {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, got, words, tt.want, tt.says)
		}
	}
}

func FuzzAsk(f *testing.F) {
	for _, seed := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n0\r\n\r\n", "HTTP/1.1 103 x\r\n\r\nHTTP/1.0 404 y\n\n", "\x16\x03\x01", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Ask(t.Context(), Question{Dial: says(text), Method: "GET", URL: address(t, "http://web-1/"), MaxBody: 8})
		switch {
		case err == nil && (got.Status < 101 || got.Status > 999 || len(got.Body) > 8):
			t.Errorf("%q: %+v", text, got)
		case err != nil && !errors.Is(err, ErrNoAnswer) && !errors.Is(err, ErrNotHTTP) && !errors.Is(err, ErrLongHeader):
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add("\n  pool is \x1b[1mlocked\nmore")
	f.Add(strings.Repeat("é", 300))
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range []string{Line(text), FirstLine(text)} {
			if !utf8.ValidString(line) || len(line) > maxLine+len("…") || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q becomes %q", text, line)
			}
		}
	})
}
