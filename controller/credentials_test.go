package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// forgetful is a driver that loses the reply to one change of h2, which was done.
type forgetful struct {
	hostdriver.Driver
	acts atomic.Int32 // counted down
}

func (r *forgetful) Apply(ctx context.Context, h inventory.Host, f hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	res, err := r.Driver.Apply(ctx, h, f, op)
	if h.Name == "h2" && r.acts.Add(-1) == 0 {
		return hostdriver.Result{}, &hostdriver.Error{Kind: hostdriver.Unknown, Host: h.Name, Op: hostdriver.OpName(op), Err: errors.New("the reply was lost")}
	}
	return res, err
}

// withCredential is a fleet whose service loads a credential.
func withCredential(hosts int, value string) fstest.MapFS {
	files := fleetFiles(hosts, "A=1\n")
	files["services/web/service.yaml"].Data = []byte(loopService + "  credentials: [{name: token, source: token}]\n")
	files["services/web/token"] = &fstest.MapFile{Data: []byte(value)}
	return files
}

// Credentials are encrypted by their hosts, whatever reply is lost; where a host cannot,
// they are plain. An edit is put back as it was; one that the host cannot decrypt is
// encrypted anew.
func TestCredentialsAreEncrypted(t *testing.T) {
	var r *forgetful
	l := newLoop(t, 3, func(o *Options) {
		r = &forgetful{Driver: o.Driver}
		o.Driver = r
	})
	l.hosts.Host("h3").CannotEncrypt()
	const sealed, plain = "/etc/credstore.encrypted/web.token", "/etc/credstore/web.token"
	on := func(host, path string) string { text, _ := l.hosts.Host(host).ReadFile(path); return text }
	l.git.commit("c0", withCredential(3, "canary-0"))
	l.start()
	l.eventually("the first value", reconciledAt("c0"))
	before := on("h2", sealed)
	for n := int32(1); n <= 6; n++ {
		r.acts.Store(n)
		id := fmt.Sprintf("c%d", n)
		l.git.commit(id, withCredential(3, "canary-"+id))
		l.eventually("rolled", reconciledAt(id))
		if r.acts.Load() > 0 {
			t.Errorf("no reply was lost at operation %d", n)
		}
		h1, h2 := on("h1", sealed), on("h2", sealed)
		if h1 == "" || h1 == h2 || h2 == before || strings.Contains(h1+h2, "canary") || on("h1", plain)+on("h2", plain) != "" {
			t.Errorf("operation %d: %q and %q", n, h1, h2)
		}
		if on("h3", plain) != "canary-"+id || on("h3", sealed) != "" {
			t.Errorf("operation %d: h3 has %q", n, on("h3", plain))
		}
		if all := l.events(ReasonRolloutEnded); !strings.Contains(all[len(all)-1].Message, "converged") {
			t.Errorf("operation %d: %s", n, all[len(all)-1].Message)
		}
		before = h2
	}
	invocation := func() string {
		o, err := l.hosts.Observe(context.Background(), inventory.Host{Name: "h2"}, hostdriver.Query{Light: true, Units: []string{"web.service"}})
		if err != nil {
			t.Fatal(err)
		}
		return o.Units["web.service"].InvocationID
	}
	runs := invocation()
	l.hosts.Host("h2").WriteFile(sealed, "by hand\n", 0o600)
	l.eventually("it is put back as it was", func(*Snapshot) bool { return on("h2", sealed) == before })
	l.hosts.Host("h2").ForgetKey()
	l.git.commit("c7", withCredential(3, "canary-c6")) // no file has changed, so it shows at the next look
	l.eventually("it is encrypted anew", func(*Snapshot) bool { return on("h2", sealed) != before })
	l.eventually("all is well", reconciledAt("c7"))
	if now := invocation(); now == "" || now != runs {
		t.Errorf("it was restarted for what it has not read: %q, %q", runs, now)
	}
}
