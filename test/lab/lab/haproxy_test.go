package lab

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/load"
)

const gatewayUnit = `[Service]
ExecStart=/usr/local/bin/gateway
Environment=METRICS_AUTH_TOKEN=0123456789abcdef0123456789abcdef GATEWAY_LISTEN=:8080 NULLSPACE_INSTANCE=%H GATEWAY_STARTUP_DELAY=300ms
`

// gateways builds the example fleet's gateway and runs it on every host.
func gateways(t *testing.T, l *Lab) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "gateway")
	build := exec.Command("go", "build", "-o", program, "github.com/evenkeel/evenkeel/test/nullspace/gateway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, h := range l.Hosts() {
		if err := h.CopyIn(program, "/usr/local/bin/gateway", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := h.WriteFile("/etc/systemd/system/gateway.service", []byte(gatewayUnit), 0o644); err != nil {
			t.Fatal(err)
		}
		must(t, h, "systemctl daemon-reload && systemctl start gateway")
	}
}

func TestHAProxy(t *testing.T) {
	l := up(t, Options{Hosts: 3})
	gateways(t, l)
	ctx := t.Context()
	b, err := l.HAProxy(ctx, HAProxyConfig{Backends: []Backend{
		{Name: "gateway", ServerPort: 8080}, {Name: "two", ServerPort: 8080, Hosts: []string{"h1", "h2"}, Lines: []string{"option redispatch"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	wait := func(server, status string) {
		t.Helper()
		if err := b.WaitServer(ctx, "gateway", server, status); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range l.Hosts() {
		wait(h.Name(), "UP")
	}
	front := b.FrontendAddr("gateway")
	g, err := load.Start(ctx, load.Config{
		URL: "http://" + front + "/healthz", Rate: 80, SocketURL: "ws://" + front + "/ws", Sockets: 12, Say: 50 * time.Millisecond,
		Header: http.Header{"Authorization": {"Bearer 0123456789abcdef0123456789abcdef"}},
	})
	if err != nil {
		t.Fatal(err)
	}

	// Through a drain, a restart and back, nobody notices anything.
	time.Sleep(200 * time.Millisecond)
	for _, h := range l.Hosts() {
		if answer, err := b.Runtime(ctx, "set server gateway/"+h.Name()+" state drain"); err != nil || answer != "" {
			t.Fatal(answer, err)
		}
		wait(h.Name(), "DRAIN")
		must(t, h, "systemctl restart gateway")
		waitHealthy(t, h)
		if answer, err := b.Runtime(ctx, "set server gateway/"+h.Name()+" state ready"); err != nil || answer != "" {
			t.Fatal(answer, err)
		}
		wait(h.Name(), "UP")
	}
	if s := g.Stats(); s.Failed() > 0 || s.GoneAway == 0 || s.Requests == 0 || s.Echoes == 0 {
		t.Errorf("drained restarts: %s; %v", s, s.Samples)
	} else {
		t.Log("drained restarts:", s)
	}

	// A reload forgets a drain, and nobody notices that either.
	if _, err := b.Runtime(ctx, "set server gateway/h1 state drain"); err != nil {
		t.Fatal(err)
	}
	wait("h1", "DRAIN")
	if err := b.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	wait("h1", "UP")
	if s := g.Stats(); s.Failed() > 0 {
		t.Errorf("a reload: %s; %v", s, s.Samples)
	}

	// A restart without a drain is noticed, if it takes a while until the gateway listens again.
	must(t, l.Hosts()[2], "systemctl stop gateway && sleep 0.3 && systemctl start gateway")
	waitHealthy(t, l.Hosts()[2])
	wait("h3", "UP")
	bare := g.Stats()
	if bare.Failures[load.Server] == 0 {
		t.Errorf("nobody noticed a bare restart: %s", bare)
	}
	t.Log("with a bare restart:", bare)

	// So is a power cut: what was under way on that host is lost.
	if err := l.Hosts()[1].Kill(ctx); err != nil {
		t.Fatal(err)
	}
	wait("h2", "DOWN")
	s := g.Stop()
	if s.Failures[load.Broken] <= bare.Failures[load.Broken] {
		t.Errorf("nobody noticed a power cut: %s", s)
	}
	t.Log("with a power cut:", s)

	if servers, err := b.Servers(ctx, "two"); err != nil || len(servers) != 2 {
		t.Errorf("%v %v", servers, err)
	}
	if conn, err := net.Dial("unix", b.Socket()); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	if err := b.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Runtime(ctx, "show info"); err == nil {
		t.Error("it answers after a Stop")
	}
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	wait("h3", "UP")
	if _, err := l.HAProxy(ctx, HAProxyConfig{}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second of the same name: %v", err)
	}
	bad := HAProxyConfig{Name: "bad", Backends: []Backend{{Name: "x", ServerPort: 1, Lines: []string{"nosuchline"}}}}
	if _, err := l.HAProxy(ctx, bad); err == nil || !strings.Contains(err.Error(), "unknown keyword 'nosuchline'") {
		t.Errorf("a bad configuration: %v", err)
	}
	if n := len(l.Balancers()); n != 1 {
		t.Errorf("%d balancers after one that didn't start", n)
	}
}

// waitHealthy returns when the gateway of a host says that it is ready.
func waitHealthy(t *testing.T, h *Host) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + h.Address() + ":8080/healthz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			http.DefaultClient.CloseIdleConnections()
			return
		}
	}
	t.Fatalf("the gateway of %s isn't healthy", h.Name())
}
