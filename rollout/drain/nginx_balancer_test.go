package drain

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
)

// web is a real nginx on loopback that balances two instances. EVENKEEL_NGINX names
// another binary than Debian's, to try other versions.
type web struct {
	balancer
	config, file, binary string
}

// The worker is root's, for it must get into a test's directory.
const webConfig = `
user root;
worker_processes 2;
daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  include %[1]s/upstreams/*;
  server {
    listen %[2]s;
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_next_upstream off;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}
`

const webUpstream = `# who serves the gateway
upstream gateway {
	least_conn;
	server %[1]s weight=2;  # rack a
	server %[2]s;
	keepalive 4;
}
`

// startWeb runs nginx before two instances.
func startWeb(t *testing.T, one, two *instance) *web {
	t.Helper()
	if os.Getenv("EVENKEEL_LAB") == "off" {
		t.Skip("EVENKEEL_LAB=off: no real nginx")
	}
	dir := t.TempDir()
	w := &web{balancer: balancer{t: t, dir: dir, frontend: freeAddress(t)}, config: dir + "/nginx.conf", file: dir + "/upstreams/gateway.conf"}
	w.write(w.config, fmt.Sprintf(webConfig, dir, w.frontend))
	w.write(w.file, fmt.Sprintf(webUpstream, one.address(), two.address()))
	w.binary = os.Getenv("EVENKEEL_NGINX")
	if w.binary == "" {
		w.binary = "/usr/sbin/nginx"
	}
	w.cmd = exec.Command(w.binary, "-c", w.config)
	var said bytes.Buffer
	w.cmd.Stdout, w.cmd.Stderr = &said, &said
	if err := w.cmd.Start(); err != nil {
		t.Fatalf("this test needs a real nginx: apt-get install nginx-light (or set EVENKEEL_LAB=off): %v", err)
	}
	t.Cleanup(func() {
		_ = exec.Command(w.binary, "-c", w.config, "-s", "stop").Run() // its workers too
		_ = w.cmd.Wait()
		if t.Failed() {
			t.Logf("nginx: %s\n%s", said.String(), w.read(dir+"/error.log"))
		}
	})
	eventually(t, "both instances are in rotation", func() bool { return w.reached() == "web-1 web-2" })
	return w
}

func (w *web) write(name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
		w.t.Fatal(err)
	}
}

func (w *web) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// spec is a drain of an instance: by way of a host, or on the controller itself.
func (w *web) spec(host, server string) desired.DrainSpec {
	return desired.DrainSpec{Nginx: &desired.NginxDrain{
		Host: host, File: w.file, Server: server,
		Check: w.binary + " -t -q -c " + w.config, Reload: w.binary + " -c " + w.config + " -s reload",
	}}
}

func (w *web) drainer(spec desired.DrainSpec, deps Deps) *nginx {
	w.t.Helper()
	d, err := New(spec, web1, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.(*nginx)
}

// left are the files beside the one with the servers.
func (w *web) left() []string {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(w.file))
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != filepath.Base(w.file) {
			names = append(names, e.Name())
		}
	}
	return names
}

// startHolder listens on an address, so that nobody else can.
func startHolder(t *testing.T, address string) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = l.Close() }
}
