package drain

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory"
)

// pair is two instances behind a real HAProxy.
func pair(t *testing.T) (*balancer, *instance) {
	t.Helper()
	one, two := startInstance(t, "web-1"), startInstance(t, "web-2")
	b := startBalancer(t, one.address(), two.address())
	eventually(t, "both instances are in rotation", func() bool { return b.reached() == "web-1 web-2" })
	return b, one
}

func drainerOf(t *testing.T, address, backend, server string, deps Deps) Drainer {
	t.Helper()
	d, err := New(desired.DrainSpec{HAProxy: &desired.HAProxyDrain{Address: address, Backend: backend, Server: server}}, web1, deps)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func statusOf(t *testing.T, d Drainer) Status {
	t.Helper()
	s, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustDrain(t *testing.T, d Drainer, ours bool) {
	t.Helper()
	got, err := d.Drain(t.Context())
	if err != nil || got != ours {
		t.Fatalf("Drain: ours %v, %v; want ours %v", got, err, ours)
	}
}

func mustUndrain(t *testing.T, d Drainer) {
	t.Helper()
	if err := d.Undrain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// wantStatus gives the sessions of requests just answered a moment to end.
func wantStatus(t *testing.T, d Drainer, want Status) {
	t.Helper()
	got := statusOf(t, d)
	for end := time.Now().Add(2 * time.Second); got.Sessions > want.Sessions && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got = statusOf(t, d)
	}
	if got != want {
		t.Errorf("Status:\n got %+v\nwant %+v", got, want)
	}
}

func TestHAProxyDrainsAndUndrains(t *testing.T) {
	b, _ := pair(t)
	hosts := &localHost{}
	addresses := map[string]string{
		"tcp":      "tcp://" + b.admin,
		"unix":     "unix://" + b.dir + "/admin.sock",
		"ssh+tcp":  "ssh+tcp://lb-1/" + b.admin,
		"ssh+unix": "ssh+unix://lb-1" + b.dir + "/admin.sock",
	}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) {
			d := drainerOf(t, address, "gateway", "web-1", hosts.deps())
			wantStatus(t, d, Status{Known: true, Up: true, State: "UP"})
			mustDrain(t, d, true)
			mustDrain(t, d, false) // repeated: its own work, found done
			wantStatus(t, d, Status{Known: true, Drained: true, Up: true, State: "DRAIN"})
			if got := b.reached(); got != "web-2" {
				t.Errorf("with web-1 drained, requests reach %s", got)
			}
			mustUndrain(t, d)
			mustUndrain(t, d)
			wantStatus(t, d, Status{Known: true, Up: true, State: "UP"})
			if got := b.reached(); got != "web-1 web-2" {
				t.Errorf("with web-1 undrained, requests reach %s", got)
			}
		})
	}
	for _, dial := range hosts.dials {
		if !strings.HasPrefix(dial, "lb-1 ") {
			t.Errorf("dialled %s", dial)
		}
	}
}

func TestHAProxyCountsWebSockets(t *testing.T) {
	b, _ := pair(t)
	d1 := drainerOf(t, "tcp://"+b.admin, "gateway", "web-1", Deps{})
	mustDrain(t, drainerOf(t, "tcp://"+b.admin, "gateway", "web-2", Deps{}), true) // so that it is web-1 that gets it
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+b.frontend+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	mustUndrain(t, drainerOf(t, "tcp://"+b.admin, "gateway", "web-2", Deps{}))
	mustDrain(t, d1, true)
	wantStatus(t, d1, Status{Known: true, Drained: true, Up: true, Sessions: 1, State: "DRAIN"})
	if err := ws.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := ws.Read(ctx); err != nil || string(got) != "still here" {
		t.Fatalf("the drained WebSocket says %q, %v", got, err)
	}
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no session is left", func() bool { return statusOf(t, d1).Sessions == 0 })
}

// What a person did at the balancer stays as it is.
func TestHAProxyLeavesOtherHandsAlone(t *testing.T) {
	b, _ := pair(t)
	d := drainerOf(t, "tcp://"+b.admin, "gateway", "web-1", Deps{})

	b.say("set server gateway/web-1 state maint")
	mustDrain(t, d, false)
	mustUndrain(t, d)
	wantStatus(t, d, Status{Known: true, Drained: true, State: "MAINT"})

	b.say("set server gateway/web-1 state drain")
	mustDrain(t, d, false)
	b.say("set server gateway/web-1 state ready")

	mustDrain(t, d, true)
	b.say("set server gateway/web-1 state maint") // in the middle of our step
	mustUndrain(t, d)
	wantStatus(t, d, Status{Known: true, Drained: true, State: "MAINT"})

	off := drainerOf(t, "tcp://"+b.admin, "gateway", "off", Deps{})
	mustDrain(t, off, false)
	wantStatus(t, off, Status{Known: true, Drained: true, State: "MAINT"})
}

// Out for another reason than a hand on its state: drained all the same, and back
// to that reason afterwards.
func TestHAProxyOutForOtherReasons(t *testing.T) {
	b, one := pair(t)
	d := drainerOf(t, "tcp://"+b.admin, "gateway", "web-1", Deps{})
	follower := drainerOf(t, "tcp://"+b.admin, "other", "follower", Deps{})

	b.say("set server gateway/web-1 weight 0")
	wantStatus(t, d, Status{Known: true, Drained: true, Up: true, State: "UP, weight 0"})
	mustDrain(t, d, true)
	mustUndrain(t, d)
	b.say("set server gateway/web-1 weight 1")

	mustDrain(t, d, true)
	wantStatus(t, follower, Status{Known: true, Drained: true, Up: true, State: "DRAIN, as the server it tracks"})
	mustDrain(t, follower, true)
	mustUndrain(t, d)
	wantStatus(t, follower, Status{Known: true, Drained: true, Up: true, State: "DRAIN"})
	mustUndrain(t, follower)

	one.sick(true)
	eventually(t, "the check fails", func() bool { return !statusOf(t, d).Up })
	wantStatus(t, d, Status{Known: true, State: "DOWN (L7STS)"}) // down is not drained
	mustDrain(t, d, true)
	wantStatus(t, d, Status{Known: true, Drained: true, State: "DRAIN, DOWN (L7STS)"})
	mustUndrain(t, d)
	one.sick(false)
	eventually(t, "the check passes", func() bool { return statusOf(t, d).Up })

	plain := drainerOf(t, "tcp://"+b.admin, "gateway", "plain", Deps{})
	wantStatus(t, plain, Status{Known: true, Up: true, State: "no check"})
}

func TestHAProxyReloadForgets(t *testing.T) {
	b, _ := pair(t)
	d := drainerOf(t, "tcp://"+b.admin, "gateway", "web-1", Deps{})
	mustDrain(t, d, true)
	if statusOf(t, d).Forgot() {
		t.Error("forgotten at once")
	}
	b.reload()
	if !statusOf(t, d).Forgot() {
		t.Error("after a reload the server is in rotation again, and Status hides it")
	}
	mustUndrain(t, d) // nothing is left of it, and so nothing to do
}

func TestHAProxyFaultsSpeak(t *testing.T) {
	b, one := pair(t)
	gone := freeAddress(t)
	tests := []struct {
		name, address, backend, server string
		want, mend                     string
	}{
		{"unknown server", "tcp://" + b.admin, "gateway", "web-9",
			"cannot drain web-1: haproxy tcp://" + b.admin + ": no such server: backend gateway has no web-9; it has web-1, web-2, plain, off", "compare the drain's `server`"},
		{"unknown backend", "tcp://" + b.admin, "gatevay", "web-1",
			"cannot drain web-1: haproxy tcp://" + b.admin + ": backend gatevay: Can't find backend.", "compare the drain's `backend`"},
		{"not allowed", "tcp://" + b.low, "gateway", "web-1",
			"server gateway/web-1: Permission denied", "level admin"},
		{"nobody there", "tcp://" + gone, "gateway", "web-1",
			"cannot drain web-1: haproxy tcp://" + gone + ": connection refused", "is it running"},
		{"no socket", "unix://" + b.dir + "/none.sock", "gateway", "web-1",
			"no such socket", "socket's path"},
		{"a web server", "tcp://" + one.address(), "gateway", "web-1",
			"it answers in HTTP", "runtime API"},
		{"the frontend", "tcp://" + b.frontend, "gateway", "web-1",
			"", "runtime API"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := drainerOf(t, tt.address, tt.backend, tt.server, Deps{})
			ours, err := d.Drain(t.Context())
			if err == nil || ours {
				t.Fatalf("ours %v, %v", ours, err)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(MendOf(err), tt.mend) {
				t.Errorf("\nsays %s\nmend %s\nwant %s\nmend %s", err, MendOf(err), tt.want, tt.mend)
			}
			var e *Error
			if !errors.As(err, &e) || e.Op != opDrain || e.Host != "web-1" {
				t.Errorf("%#v is not the Error of a drain of web-1", err)
			}
		})
	}
}

// talker answers each connection with what it is given, in order, and then hangs.
func talker(t *testing.T, replies ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var open []net.Conn
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, conn)
			buffer := make([]byte, 4096)
			if _, err := conn.Read(buffer); err != nil || len(replies) == 0 {
				continue
			}
			_, _ = io.WriteString(conn, replies[0])
			_ = conn.(*net.TCPConn).CloseWrite()
			replies = replies[1:]
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, conn := range open {
			conn.Close()
		}
	})
	return l.Addr().String()
}

const inRotation = "1\n# be_name srv_name srv_op_state srv_admin_state srv_uweight\ngateway web-1 2 0 1\n\n# pxname,svname,scur,status,\ngateway,web-1,3,UP,\n\n"

func TestHAProxyLostReplies(t *testing.T) {
	t.Run("hangs", func(t *testing.T) {
		d := drainerOf(t, "tcp://"+talker(t), "gateway", "web-1", Deps{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := d.Status(ctx); err == nil {
			t.Error("a balancer that says nothing has a status")
		}
	})
	t.Run("cut short", func(t *testing.T) {
		d := drainerOf(t, "tcp://"+talker(t, inRotation[:60]), "gateway", "web-1", Deps{})
		if _, err := d.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "cut short after 60 bytes") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("after the command", func(t *testing.T) {
		d := drainerOf(t, "tcp://"+talker(t, inRotation, ""), "gateway", "web-1", Deps{})
		if ours, err := d.Drain(t.Context()); err == nil || !ours {
			t.Errorf("it may be drained by now: ours %v, %v", ours, err)
		}
	})
	t.Run("accepted and not done", func(t *testing.T) {
		d := drainerOf(t, "tcp://"+talker(t, inRotation, "\n", inRotation, inRotation, inRotation), "gateway", "web-1", Deps{})
		ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
		defer cancel()
		ours, err := d.Drain(ctx)
		if err == nil || !ours || !strings.Contains(err.Error(), "the balancer still says UP") {
			t.Errorf("ours %v, %v", ours, err)
		}
	})
}

func TestHAProxyRefusesSettings(t *testing.T) {
	tests := []struct{ address, backend, server, want string }{
		{"lb-1:9999", "b", "s", "has no scheme"},
		{"http://lb-1:9999", "b", "s", "unknown scheme"},
		{"tcp://lb-1", "b", "s", "host or port is missing"},
		{"tcp://:9999", "b", "s", "host or port is missing"},
		{"tcp://lb-1:99999", "b", "s", "host or port is missing"},
		{"unix://run/haproxy.sock", "b", "s", "absolute"},
		{"unix:///run/../haproxy.sock", "b", "s", "plain"},
		{"ssh+unix://lb-9/run/haproxy.sock", "b", "s", `"lb-9" is not in the inventory`},
		{"ssh+unix://lb-1", "b", "s", "absolute"},
		{"ssh+tcp://lb-1/9999", "b", "s", "host or port is missing"},
		{"tcp://lb-1:1", "", "s", `backend ""`},
		{"tcp://lb-1:1", "b", "s state maint;disable server b/t", "is not a name that HAProxy allows"},
		{"tcp://lb-1:1", "b\nshow sess", "s", "is not a name that HAProxy allows"},
		{"tcp://lb-1:1", "b/t", "s", "is not a name that HAProxy allows"},
	}
	for _, tt := range tests {
		spec := desired.DrainSpec{HAProxy: &desired.HAProxyDrain{Address: tt.address, Backend: tt.backend, Server: tt.server}}
		_, err := New(spec, web1, (&localHost{}).deps())
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "cannot drain web-1: haproxy ") {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	_, err := New(desired.DrainSpec{HAProxy: &desired.HAProxyDrain{Address: "ssh+tcp://lb-1/127.0.0.1:1", Backend: "b", Server: "s"}}, web1, Deps{})
	if err == nil || !strings.Contains(err.Error(), "no SSH connection") {
		t.Errorf("without a Dialer: %v", err)
	}
}

func TestNewWantsExactlyOne(t *testing.T) {
	for _, spec := range []desired.DrainSpec{
		{},
		{None: &desired.NoDrain{}, HAProxy: &desired.HAProxyDrain{Address: "tcp://lb-1:1", Backend: "b", Server: "s"}},
	} {
		if _, err := New(spec, inventory.Host{Name: "web-1"}, Deps{}); err == nil || !strings.Contains(err.Error(), "set exactly one") {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	d, err := New(desired.DrainSpec{None: &desired.NoDrain{}}, web1, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, d, Status{Up: true, State: "not balanced"})
	mustDrain(t, d, false)
	mustUndrain(t, d)
}
