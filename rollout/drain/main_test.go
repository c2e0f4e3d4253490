package drain

import (
	"context"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var web1 = inventory.Host{Name: "web-1", Address: "192.0.2.11"}

// localHost stands for the hosts: their sockets are this machine's, and it notes
// who was asked for what.
type localHost struct {
	dials []string // "web-1 tcp 127.0.0.1:80"
	runs  []hostdriver.Run
	// to, where set, is dialled in place of every TCP address.
	to string
	// answer is what Run comes to.
	answer func(hostdriver.Run) (hostdriver.Result, error)
}

func (l *localHost) DialHost(ctx context.Context, host inventory.Host, network, address string) (net.Conn, error) {
	l.dials = append(l.dials, host.Name+" "+network+" "+address)
	if l.to != "" && network == "tcp" {
		address = l.to
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (l *localHost) Apply(_ context.Context, host inventory.Host, f hostdriver.Fence, op hostdriver.Op) (hostdriver.Result, error) {
	run, ok := op.(hostdriver.Run)
	if !ok || host.Name == "" || f.Epoch == 0 {
		return hostdriver.Result{}, &hostdriver.Error{Kind: hostdriver.Refused, Host: host.Name, Op: hostdriver.OpName(op)}
	}
	l.runs = append(l.runs, run)
	return l.answer(run)
}

func (l *localHost) deps() Deps {
	return Deps{
		Dialer:  l,
		Applier: l,
		Fence:   func() hostdriver.Fence { return hostdriver.Fence{Epoch: 7, Holder: "test"} },
		Host: func(name string) (inventory.Host, bool) {
			return inventory.Host{Name: name}, name == "lb-1"
		},
	}
}
