package drain

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"sync"
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
	dials  []string   // "web-1 tcp 127.0.0.1:80"
	mu     sync.Mutex // guards what follows
	runs   []hostdriver.Run
	fences []hostdriver.Fence
	ran    []string // on which hosts
	// reads is called before each reading of a file, where set.
	reads func()
	// torn is in how many readings to come the file is written to meanwhile.
	torn int
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
	l.mu.Lock()
	l.runs, l.fences, l.ran = append(l.runs, run), append(l.fences, f), append(l.ran, host.Name)
	l.mu.Unlock()
	return l.answer(run)
}

// Observe reads files, as the driver does.
func (l *localHost) Observe(_ context.Context, host inventory.Host, q hostdriver.Query) (hostdriver.Observation, error) {
	o := hostdriver.Observation{Host: host.Name, Epoch: 5, Holder: "somebody else", Paths: map[string]hostdriver.PathState{}}
	for _, p := range q.Paths {
		if l.reads != nil {
			l.reads()
		}
		info, err := os.Lstat(p.Path)
		state := hostdriver.PathState{Type: hostdriver.PathAbsent}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return o, &hostdriver.Error{Kind: hostdriver.Unknown, Host: host.Name, Op: "observe", Err: err}
		case info.Mode()&fs.ModeSymlink != 0:
			state.Type = hostdriver.PathSymlink
			state.Target, _ = os.Readlink(p.Path)
		case info.IsDir():
			state.Type = hostdriver.PathDir
		default:
			text, err := os.ReadFile(p.Path)
			if err != nil {
				return o, err
			}
			content := hostdriver.NewContent(text)
			state.Type, state.Size, state.SHA256 = hostdriver.PathFile, int64(len(text)), content.SHA256()
			l.mu.Lock()
			torn := l.torn > 0
			if torn {
				l.torn--
			}
			l.mu.Unlock()
			if !torn && state.Size <= p.MaxContent {
				state.Content = &content
			}
		}
		o.Paths[p.Path] = state
	}
	return o, nil
}

func (l *localHost) deps() Deps {
	return Deps{
		Dialer:   l,
		Observer: l,
		Applier:  l,
		Fence:    func() hostdriver.Fence { return hostdriver.Fence{Epoch: 7, Holder: "test"} },
		Host: func(name string) (inventory.Host, bool) {
			return inventory.Host{Name: name}, name == "lb-1"
		},
	}
}
