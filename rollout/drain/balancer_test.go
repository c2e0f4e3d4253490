package drain

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// balancer is a real HAProxy on loopback. EVENKEEL_HAPROXY names another binary than
// Debian's, to try other versions.
type balancer struct {
	t                         *testing.T
	dir, frontend, admin, low string // low: a stats socket of level user
	cmd                       *exec.Cmd
}

const balancerConfig = `
global
  stats socket %[1]s level admin
  stats socket %[2]s/admin.sock level admin
  stats socket %[3]s level user
defaults
  mode http
  timeout connect 2s
  timeout client 1m
  timeout server 1m
  timeout tunnel 1m
frontend front
  bind %[4]s
  default_backend gateway
backend gateway
  option httpchk GET /healthz
  server web-1 %[5]s check inter 100ms fall 1 rise 1
  server web-2 %[6]s check inter 100ms fall 1 rise 1
  server plain %[5]s backup
  server off %[5]s backup disabled
backend other
  server web-1 %[5]s
  server follower %[5]s track gateway/web-1
`

// startBalancer runs HAProxy before two instances, whose addresses it is given.
func startBalancer(t *testing.T, one, two string) *balancer {
	t.Helper()
	if os.Getenv("EVENKEEL_LAB") == "off" {
		t.Skip("EVENKEEL_LAB=off: no real HAProxy")
	}
	b := &balancer{t: t, dir: t.TempDir(), frontend: freeAddress(t), admin: freeAddress(t), low: freeAddress(t)}
	config := fmt.Sprintf(balancerConfig, b.admin, b.dir, b.low, b.frontend, one, two)
	if err := os.WriteFile(filepath.Join(b.dir, "haproxy.cfg"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *balancer) start() {
	b.t.Helper()
	binary := os.Getenv("EVENKEEL_HAPROXY")
	if binary == "" {
		binary = "haproxy"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		b.t.Fatalf("this test needs a real HAProxy: apt-get install haproxy (or set EVENKEEL_LAB=off): %v", err)
	}
	b.cmd = exec.Command(path, "-db", "-f", filepath.Join(b.dir, "haproxy.cfg"))
	var said bytes.Buffer
	b.cmd.Stdout, b.cmd.Stderr = &said, &said
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the balancer answers", func() bool {
		conn, err := net.Dial("tcp", b.admin)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (b *balancer) stop() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

// reload is what a reload amounts to for the runtime API: what it was told is gone.
func (b *balancer) reload() {
	b.t.Helper()
	b.stop()
	b.start()
}

// say gives the balancer a command, as a person at its socket would.
func (b *balancer) say(command string) string {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.admin)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, command+"\n")
	reply, err := io.ReadAll(conn)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(reply)
}

// asked says which instance a new request through the balancer reached.
func (b *balancer) asked() string {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + b.frontend + "/")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// reached says which instances many requests reach.
func (b *balancer) reached() string {
	seen := map[string]bool{}
	for range 12 {
		seen[b.asked()] = true
	}
	var names []string
	for _, name := range []string{"web-1", "web-2"} {
		if seen[name] {
			names = append(names, name)
		}
		delete(seen, name)
	}
	for other := range seen {
		names = append(names, other)
	}
	return strings.Join(names, " ")
}

// instance is a small service: it names itself, has a health page that can be made
// to fail, and a WebSocket that holds.
type instance struct {
	*httptest.Server
	sick func(bool)
}

func startInstance(t *testing.T, name string) *instance {
	t.Helper()
	health := make(chan int, 1)
	health <- http.StatusOK
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		status := <-health
		health <- status
		w.WriteHeader(status)
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &instance{server, func(sick bool) {
		<-health
		if sick {
			health <- http.StatusServiceUnavailable
		} else {
			health <- http.StatusOK
		}
	}}
}

func (i *instance) address() string { return strings.TrimPrefix(i.URL, "http://") }

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("it never came that %s", what)
}
