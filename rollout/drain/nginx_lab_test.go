package drain

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// labNginx is the balancer, and both instances behind it. Of /slow there comes one byte
// after the other.
const labNginx = `
include /etc/nginx/upstreams/gateway.conf;
server { listen 80; location / { proxy_pass http://gateway; proxy_next_upstream off; proxy_buffering off; } }
server { listen 127.0.0.1:8081; location = / { return 200 web-1; } location = /slow { limit_rate 10; root /srv; } }
server { listen 127.0.0.1:8082; location = / { return 200 web-2; } }
`

// TestLabNginx drains at a balancer that is a host of its own, through SSH and sudo.
func TestLabNginx(t *testing.T) {
	lab.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: 1, Base: lab.Base{Packages: []string{"nginx-light"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	driver, err := sshdriver.New(sshdriver.Options{User: "deploy", Become: true, IdentityFiles: []string{l.IdentityFile()},
		KnownHosts: []string{l.KnownHostsFile()}, ConfigFile: "none", Agent: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	h := l.Hosts()[0]
	const file = "/etc/nginx/upstreams/gateway.conf"
	const before = "upstream gateway {\n  server 127.0.0.1:8081; # here\n  server 127.0.0.1:8082;\n}\n"
	for name, text := range map[string]string{"/etc/nginx/sites-enabled/default": labNginx, file: before, "/srv/slow": strings.Repeat("slow\n", 10_000)} {
		if err := h.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := h.Exec(ctx, "systemctl restart nginx && chown root:adm "+file+" && chmod 0640 "+file); err != nil {
		t.Fatal(err, out)
	}
	d, err := New(desired.DrainSpec{Nginx: &desired.NginxDrain{Host: "lb-1", File: file, Upstream: "gateway", Server: "127.0.0.1:8081"}}, web1, Deps{
		Observer: driver, Applier: driver,
		Fence: func() hostdriver.Fence { return hostdriver.Fence{Epoch: 7, Holder: "test"} },
		Host: func(name string) (inventory.Host, bool) {
			return inventory.Host{Name: name, Address: h.Address()}, name == "lb-1"
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	// A request that does not end, at the instance that is to be drained.
	slow, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	for status := 0; status != http.StatusOK; { // the other instance has no such page
		request, err := http.NewRequestWithContext(slow, http.MethodGet, "http://"+h.Address()+"/slow", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		status = answer.StatusCode
	}
	wantStatus(t, d, nginxUp)
	begun := time.Now()
	mustDrain(t, d, true)
	t.Logf("drained in %s", time.Since(begun).Round(time.Millisecond))
	drained := nginxDown
	drained.Sessions = 1
	wantStatus(t, d, drained)
	if got := reachedAt(t, h.Address()); got != "web-2" {
		t.Errorf("with web-1 drained, requests reach %s", got)
	}
	stop()
	eventually(t, "no session is left", func() bool { return statusOf(t, d).Sessions == 0 })
	mustUndrain(t, d)
	wantStatus(t, d, nginxUp)
	if got := reachedAt(t, h.Address()); got != "web-1 web-2" {
		t.Errorf("with web-1 undrained, requests reach %s", got)
	}
	if text, err := h.ReadFile(file); err != nil || string(text) != before {
		t.Errorf("the file is %q, %v", text, err)
	}
	out, err := h.Exec(ctx, "stat -c '%U:%G %a' "+file+"; ls -A /etc/nginx/upstreams")
	if err != nil || out != "root:adm 640\ngateway.conf\n" {
		t.Errorf("%q, %v", out, err)
	}

	// A mistake of somebody else's must not be loaded, nor our mark stay.
	if err := h.WriteFile("/etc/nginx/conf.d/other.conf", []byte("sever;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if ours, err := d.Drain(ctx); ours || err == nil || !strings.Contains(err.Error(), `cannot drain web-1: nginx lb-1:`+file+`: nginx fails with exit status 1: unknown directive "sever" in /etc/nginx/conf.d/other.conf:1, so the file was left as it was`) {
		t.Errorf("ours %v, %v", ours, err)
	}
	if text, err := h.ReadFile(file); err != nil || string(text) != before {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// reachedAt says which instances many requests reach.
func reachedAt(t *testing.T, address string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	seen := map[string]bool{}
	for range 12 {
		answer, err := client.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		seen[string(body)] = true
	}
	var names []string
	for _, name := range []string{"web-1", "web-2"} {
		if seen[name] {
			names = append(names, name)
		}
	}
	if len(names) != len(seen) {
		t.Errorf("requests get %v", seen)
	}
	return strings.Join(names, " ")
}
