package drain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

const (
	// nginxFile caps the file with the servers.
	nginxFile = 256 << 10
	// nginxLook bounds one reading of it.
	nginxLook = 30 * time.Second
	// nginxTries is how often a reading or a change is begun anew where the file has become
	// another meanwhile. Each of them means that somebody else's change came through.
	nginxTries = 20
	// nginxLimit bounds all of them.
	nginxLimit = 2 * time.Minute
	// nginxConfirm bounds how long a reload may take to show: nginx reads its
	// configuration anew, and looks every name in it up.
	nginxConfirm = 15 * time.Second

	nginxCheck  = "nginx -t"
	nginxReload = "nginx -s reload"
)

// nginx drains by a mark in the configuration, for nginx has no API to be told by. It
// adds "down" to the server's directive and a comment behind it that says whose work
// that is, and has nginx check its configuration and reload. Every other byte of the
// file stays as it is.
//
// The file is replaced in one rename, under a lock, and only if it still is what was
// read; otherwise all begins anew, so that drains of other servers in the same file,
// and a person's edits, are not lost. If the check or the reload fails, the file is put
// back. A reload counts once new workers have taken the place of the old ones.
//
// What Status says is what the file says. nginx does not count sessions by server, so
// the connections from the balancer's machine to the server's address are counted, once
// it is drained; workers from before a reload keep theirs until they end.
type nginx struct {
	spec  desired.NginxDrain
	host  inventory.Host
	site  nginxSite
	where string
	// confirm is how long a reload may take to show.
	confirm time.Duration
}

func newNginx(spec desired.NginxDrain, host inventory.Host, deps Deps) (*nginx, error) {
	n := &nginx{spec: spec, host: host, where: describeNginx(spec), confirm: nginxConfirm}
	if n.spec.Check == "" {
		n.spec.Check = nginxCheck
	}
	if n.spec.Reload == "" {
		n.spec.Reload = nginxReload
	}
	err := checkNginx(n.spec)
	if err == nil {
		n.site, err = nginxSiteOf(n.spec, deps)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.where, err)
	}
	return n, nil
}

// checkNginx refuses what cannot be; how words get into scripts makes sure that none
// could be more than a word.
func checkNginx(spec desired.NginxDrain) error {
	switch {
	case !path.IsAbs(spec.File) || path.Clean(spec.File) != spec.File || spec.File == "/" || len(spec.File) > 4095 || strings.ContainsFunc(spec.File, isControl):
		return fmt.Errorf("file %q is not an absolute path in its plain form", peer.Line(spec.File))
	case spec.Server == "" || strings.HasPrefix(spec.Server, "-") || strings.ContainsFunc(spec.Server, notInAddress):
		return fmt.Errorf("server %q cannot be a server of nginx's: write it as the file does, such as 10.0.0.11:8080", peer.Line(spec.Server))
	case strings.ContainsFunc(spec.Upstream, isControl):
		return fmt.Errorf("upstream %q cannot be a name in nginx", peer.Line(spec.Upstream))
	case strings.TrimSpace(spec.Check) == "" || strings.TrimSpace(spec.Reload) == "":
		return errors.New("check or reload is blank: leave it out for nginx's own")
	case strings.ContainsRune(spec.Check+spec.Reload, 0):
		return errors.New("check or reload holds a zero byte")
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func notInAddress(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune(`;{}"'\#$`, r)
}

func describeNginx(spec desired.NginxDrain) string {
	file := spec.File
	if spec.Host != "" {
		file = spec.Host + ":" + file
	}
	return "nginx " + peer.Line(file)
}

// Status reads the file.
func (n *nginx) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, nginxLook, errOwnLimit)
	defer cancel()
	var file nginxText
	var server nginxServer
	err := unlessOther(ctx, func() (err error) {
		file, server, err = n.read(ctx)
		return err
	})
	if err != nil {
		return Status{}, fail(opStatus, n.host, n.where, inTime(ctx, err, nginxLook))
	}
	status := Status{Known: true, Drained: server.down, Sessions: SessionsUnknown, Up: true, State: "up"}
	switch {
	case server.down && server.ours:
		status.State = "down"
	case server.down:
		status.State = "down by hand"
	}
	if server.down {
		status.Sessions = n.sessions(ctx, file)
	}
	return status, nil
}

// Drain leaves a server alone that is down without evenkeel's mark. One that has the
// mark is not marked again, but nginx reloads: who marked it may have been cut off
// before that.
func (n *nginx) Drain(ctx context.Context) (ours bool, err error) {
	changed, err := n.change(ctx, func(text []byte, s nginxServer) ([]byte, error) {
		switch {
		case s.down && !s.ours:
			return nil, nil
		case !s.alone:
			return nil, mend("put the server on a line of its own",
				"other things follow the server %s on its line, so that there is no room for a mark", peer.Line(n.spec.Server))
		}
		return s.drained(text), nil
	})
	return changed, fail(opDrain, n.host, n.where, err)
}

// Undrain takes away only what has the mark. It has nginx reload even if there is none
// any more, for who took it away may have been cut off before that.
func (n *nginx) Undrain(ctx context.Context) error {
	_, err := n.change(ctx, func(text []byte, s nginxServer) ([]byte, error) {
		if s.down && !s.ours {
			return nil, nil
		}
		return s.undrained(text), nil
	})
	return fail(opUndrain, n.host, n.where, err)
}

// read is the file as it is, and the server in it.
func (n *nginx) read(ctx context.Context) (nginxText, nginxServer, error) {
	file, err := n.site.read(ctx)
	if err != nil {
		return nginxText{}, nginxServer{}, err
	}
	servers, err := parseNginx(file.text)
	if err != nil {
		return nginxText{}, nginxServer{}, mend("does nginx -t say the same?", "the file does not read as nginx's: %w", err)
	}
	server, err := findNginx(servers, n.spec.Upstream, n.spec.Server)
	return file, server, err
}

// change has nginx use the file as edit would have it; nil leaves everything alone. If
// the file has become another meanwhile, it begins anew. changed tells whether the file
// is, or may be, another now.
func (n *nginx) change(ctx context.Context, edit func([]byte, nginxServer) ([]byte, error)) (changed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, nginxLimit, errOwnLimit)
	defer cancel()
	err = unlessOther(ctx, func() (err error) {
		changed, err = n.changeOnce(ctx, edit)
		return err
	})
	return changed, inTime(ctx, err, nginxLimit)
}

// unlessOther does it again where the file has become another meanwhile, as it does while
// other servers in it are drained.
func unlessOther(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if !errors.Is(err, errNginxOther) || try == nginxTries {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(10+rand.IntN(90)) * time.Millisecond):
		}
	}
}

func (n *nginx) changeOnce(ctx context.Context, edit func([]byte, nginxServer) ([]byte, error)) (changed bool, err error) {
	file, server, err := n.read(ctx)
	if err != nil {
		return false, err
	}
	text, err := edit(file.text, server)
	if err != nil || text == nil {
		return false, err
	}
	out, err := n.site.run(ctx, nginxChange(n.spec, file.text, text, n.confirm))
	if err != nil {
		return true, err // who knows
	}
	err = nginxOutcome(out, n.spec, n.confirm)
	wrote := string(text) != string(file.text)
	var left *nginxLeft
	return wrote && (err == nil || errors.As(err, &left)), err
}

// sessions counts connections from the balancer's machine to the server.
func (n *nginx) sessions(ctx context.Context, file nginxText) int {
	name, port, err := net.SplitHostPort(n.spec.Server)
	if err != nil { // without a port
		name, port = strings.Trim(n.spec.Server, "[]"), "80"
	}
	if strings.HasPrefix(n.spec.Server, "unix:") || !isPort(port) {
		return SessionsUnknown
	}
	out, err := n.site.look(ctx, file, "NAME="+peer.Quote(name)+"\nPORT="+port+"\n"+nginxSessions)
	if err != nil || out.Exit != 0 {
		return SessionsUnknown
	}
	return parseNginxSessions(string(out.Text))
}

func parseNginxSessions(text string) int {
	for line := range strings.Lines(text) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "sessions "); ok {
			if n, err := strconv.ParseUint(count, 10, 31); err == nil {
				return int(n)
			}
		}
	}
	return SessionsUnknown
}
