package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
	"github.com/evenkeel/evenkeel/test/lab/load"
)

// withBalancerHost is a stage whose last host runs balancers and no ledger: an HAProxy
// whose socket the deploy user may open, and an nginx.
func withBalancerHost(t *testing.T, hosts int) (s *stage, b *lab.Host) {
	s = newStageOf(t, lab.Options{Hosts: hosts + 1, Base: lab.Base{Packages: []string{"haproxy", "nginx-light"}}})
	s.hosts, b = s.hosts[:hosts], s.hosts[hosts]
	inv := "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: all}\nspec:\n  hosts:\n"
	servers, upstream := "", ""
	for _, h := range s.hosts {
		inv += fmt.Sprintf("    - {name: %s, address: %s, labels: {role: ledger}}\n", h.Name(), h.Address())
		servers += fmt.Sprintf("  server %s %s:8080 check inter 200ms fall 2 rise 1\n", h.Name(), h.Address())
		upstream += fmt.Sprintf("  server %s:8080; # %s\n", h.Address(), h.Name())
	}
	s.file("inventory/hosts.yaml", inv+fmt.Sprintf("    - {name: %s, address: %s}\n", b.Name(), b.Address()))
	for name, text := range map[string]string{
		"/etc/haproxy/haproxy.cfg": "global\n  stats socket ipv4@0.0.0.0:9999 level admin\n  stats socket /run/haproxy/admin.sock mode 660 level admin group deploy\ndefaults\n  mode http\n  timeout connect 1s\n" +
			"  timeout client 30s\n  timeout server 30s\nfrontend in\n  bind :80\n  default_backend ledger\nbackend ledger\n  retries 0\n  option httpchk GET /healthz\n" + servers,
		"/etc/nginx/sites-enabled/default": "include /etc/nginx/upstreams/ledger.conf;\n" +
			"server { listen 81; location / { proxy_pass http://ledger; proxy_next_upstream off; } }\n",
		"/etc/nginx/upstreams/ledger.conf": "upstream ledger {\n" + upstream + "}\n",
	} {
		must(s, b.WriteFile(name, []byte(text), 0o644))
	}
	s.on(b, "mkdir -p /run/haproxy && systemctl restart haproxy nginx")
	return s, b
}

// drains replaces the ledger's drain by entries.
func (s *stage) drains(entries ...string) {
	s.t.Helper()
	path := "services/ledger/service.yaml"
	text := read(s.t, s, path)
	from, to := strings.Index(text, "drain:\n"), strings.Index(text, "health:\n")
	if from < 0 || to < from {
		s.t.Fatalf("no drain before health in %s", path)
	}
	s.file(path, text[:from]+"  drain:\n    - "[2:]+strings.Join(entries, "\n    - ")+"\n  "+text[to:])
}

// stateAt is what an HAProxy says of a server of the ledger.
func stateAt(t *testing.T, address, server string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "show stat\n")
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Split(line, ","); len(f) > 17 && f[0] == "ledger" && f[1] == server {
			return strings.Fields(f[17])[0]
		}
	}
	return ""
}

// Several load balancers at once, each with its own users: an HAProxy by TCP, one on another
// host by its unix socket through SSH, and an nginx on that host. Each host is drained at all
// of them before it is restarted, and back at all of them afterwards; nobody notices.
func TestSeveralBalancers(t *testing.T) {
	t.Parallel()
	s, b := withBalancerHost(t, 2)
	s.drains(
		fmt.Sprintf(`haproxy: {address: "tcp://%s", backend: ledger, server: "{{ .Host.Name }}", timeout: 10s}`, s.lb.RuntimeAddr()),
		fmt.Sprintf(`haproxy: {address: "ssh+unix://%s/run/haproxy/admin.sock", backend: ledger, server: "{{ .Host.Name }}", timeout: 10s}`, b.Name()),
		fmt.Sprintf(`nginx: {host: %s, file: /etc/nginx/upstreams/ledger.conf, server: "{{ .Host.Address }}:8080", timeout: 10s}`, b.Name()),
	)
	s.deployed()
	var crowds []*load.Generator
	for _, front := range []string{s.lb.FrontendAddr("ledger"), b.Address() + ":80", b.Address() + ":81"} {
		s.eventually(20*time.Second, front+" serves", func() bool {
			resp, err := http.Get("http://" + front + "/healthz")
			if err == nil {
				_ = resp.Body.Close()
			}
			return err == nil && resp.StatusCode == http.StatusOK
		})
		g, err := load.Start(context.Background(), load.Config{URL: "http://" + front + "/", Rate: 30, Duration: 10 * time.Minute})
		must(s, err)
		crowds = append(crowds, g)
	}
	expect := func(haproxy, down string) {
		t.Helper()
		if got := stateAt(t, b.Address()+":9999", "h1"); got != haproxy {
			t.Errorf("the HAProxy on %s has h1 %s, want %s", b.Name(), got, haproxy)
		}
		if got := stateAt(t, s.lb.RuntimeAddr(), "h1"); got != haproxy {
			t.Errorf("the other HAProxy has h1 %s, want %s", got, haproxy)
		}
		if got := s.on(b, "grep -c ' down;' /etc/nginx/upstreams/ledger.conf; true"); got != down {
			t.Errorf("nginx has %s servers down, want %s", got, down)
		}
	}
	s.change()
	a := s.begin()
	a.reaches("h1 ledger: restart → healthy")
	expect("DRAIN", "1")
	a.ends(0)
	expect("UP", "0")
	s.run(0, "plan")
	s.nothingLeft()

	// One of them is gone: nothing is begun, at none of them.
	untouched := s.untouched(s.hosts...)
	s.change()
	s.on(b, "mv /run/haproxy/admin.sock /run/haproxy/gone.sock")
	contains(t, s.begin().ends(2, 4, 5), "/run/haproxy/admin.sock")
	untouched()
	if got := s.servers()["UP"]; got != len(s.hosts) {
		t.Errorf("%d servers are up at the first one", got)
	}
	s.on(b, "mv /run/haproxy/gone.sock /run/haproxy/admin.sock")
	s.converges()
	for _, g := range crowds {
		st := g.Stop()
		t.Logf("users: %s", st)
		if st.Failed() > 0 || st.Requests == 0 {
			t.Errorf("users noticed: %s\n%s", st, strings.Join(st.Samples, "\n"))
		}
	}
}

// Drains by an HTTP endpoint, and by commands on the host itself, on another host and on the
// controller: each host is out at all of them when it is restarted, and then in again.
func TestDrainsByEndpointAndCommand(t *testing.T) {
	t.Parallel()
	s, b := withBalancerHost(t, 2)
	out := t.TempDir()
	var mu sync.Mutex
	asked := map[string]bool{} // by host: out by the endpoint
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		verb, host, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch verb {
		case "out", "in":
			asked[host] = verb == "out"
		case "drained":
			if !asked[host] {
				w.WriteHeader(http.StatusConflict)
			}
		}
	}))
	t.Cleanup(endpoint.Close)
	s.drains(
		fmt.Sprintf(`http: {drain: {url: "%[1]s/out/{{ .Host.Name }}"}, undrain: {url: "%[1]s/in/{{ .Host.Name }}"}, drained: {url: "%[1]s/drained/{{ .Host.Name }}"}, timeout: 5s}`, endpoint.URL),
		`command: {on: host, drain: "touch /run/out", undrain: "rm -f /run/out", drained: "test -e /run/out", timeout: 5s}`,
		fmt.Sprintf(`command: {on: %s, drain: "touch /run/out-{{ .Host.Name }}", undrain: "rm -f /run/out-{{ .Host.Name }}", timeout: 1s}`, b.Name()),
		fmt.Sprintf(`command: {on: controller, drain: "touch %[1]s/{{ .Host.Name }}", undrain: "rm -f %[1]s/{{ .Host.Name }}", timeout: 1s}`, out),
	)
	s.run(0, "apply", "--yes")
	everywhere := func(h *lab.Host) (n int) {
		mu.Lock()
		if asked[h.Name()] {
			n++
		}
		mu.Unlock()
		if s.on(h, "ls /run/out 2>/dev/null; true") != "" {
			n++
		}
		if s.on(b, "ls /run/out-"+h.Name()+" 2>/dev/null; true") != "" {
			n++
		}
		if _, err := os.Stat(filepath.Join(out, h.Name())); err == nil {
			n++
		}
		return n
	}
	s.change()
	a := s.begin()
	for i, h := range s.hosts {
		a.reaches(h.Name() + " ledger: restart → healthy")
		if got := everywhere(h); got != 4 {
			t.Errorf("%s is out at %d of 4", h.Name(), got)
		}
		if got := everywhere(s.hosts[1-i]); got != 0 {
			t.Errorf("%s is out at %d", s.hosts[1-i].Name(), got)
		}
	}
	a.ends(0)
	for _, h := range s.hosts {
		if got := everywhere(h); got != 0 {
			t.Errorf("%s is left out at %d", h.Name(), got)
		}
	}
	s.run(0, "plan")

	// Killed while it is out everywhere: the next apply finds it in the host's own record.
	s.change()
	a = s.begin()
	a.reaches("h1 ledger: restart → healthy")
	a.kills()
	s.run(0, "apply", "--yes")
	for _, h := range s.hosts {
		if got := everywhere(h); got != 0 {
			t.Errorf("%s is left out at %d", h.Name(), got)
		}
	}

	// A command that fails keeps the host from being begun.
	untouched := s.untouched(s.hosts...)
	s.on(b, "mount -t tmpfs -o ro none /mnt && rm -rf /run/out-h1 && ln -s /mnt/out /run/out-h1")
	s.change()
	contains(t, s.begin().ends(2), "on "+b.Name())
	untouched()
	s.on(b, "rm -f /run/out-h1 && umount /mnt")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
}
