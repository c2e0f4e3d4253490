package drain

import (
	"context"
	"errors"
	"net"
	"net/url"
	"path"
	"strings"
	"testing"
)

func FuzzHAProxyAddress(f *testing.F) {
	for _, seed := range []string{"tcp://lb-1:9999", "tcp://[::1]:9999", "unix:///run/haproxy.sock", "ssh+unix://lb-1/run/haproxy.sock", "ssh+tcp://lb-1/127.0.0.1:9999", "tcp://", "unix://../x", "ssh+unix://lb-1//x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		hosts := &localHost{}
		deps := hosts.deps()
		var network, dialled string
		deps.Dial = func(_ context.Context, n, a string) (net.Conn, error) {
			network, dialled = n, a
			return nil, errors.New("not here")
		}
		dial, err := haproxyDial(address, deps)
		if err != nil || strings.HasPrefix(address, "ssh+") {
			return
		}
		if _, err := dial(t.Context()); err == nil || address != network+"://"+dialled {
			t.Errorf("%q dials %s %q", address, network, dialled)
		}
		if network == "unix" && (!path.IsAbs(dialled) || strings.ContainsAny(dialled, "\x00")) {
			t.Errorf("%q dials unix %q", address, dialled)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{":8080/drain", "/drain", "http://:8080/x", "https://lb-1:8443/x?token=hunter2#f", "http://op:pw@lb-1/x", "http://[::1]:80/", "//lb-1/x", "http:8080"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := describeURL(text)
		if strings.ContainsAny(shown, "?#\n\x1b") {
			t.Errorf("%q is shown as %q", text, shown)
		}
		u, local, err := parseURL(text)
		if err != nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Host == "" {
			t.Errorf("%q reads %+v", text, u)
		}
		if local != strings.HasPrefix(u.Host, "127.0.0.1:") && local {
			t.Errorf("%q means the host itself, and asks %s", text, u.Host)
		}
		if again, err := url.Parse(u.String()); err != nil || again.Host != u.Host {
			t.Errorf("%q becomes %q, which reads %v, %v", text, u, again, err)
		}
	})
}
