package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// nginxSite is the machine that nginx runs on.
type nginxSite interface {
	// read is the file as it is.
	read(ctx context.Context) (nginxText, error)
	// run changes things; an error means that the outcome is not known, or that
	// nothing was begun.
	run(ctx context.Context, script string) (peer.Output, error)
	// look runs what changes nothing, after a read.
	look(ctx context.Context, after nginxText, script string) (peer.Output, error)
}

// nginxText is one reading of the file.
type nginxText struct {
	text []byte
	// onlooker is a fence that raises no epoch on the host it was read from.
	onlooker hostdriver.Fence
}

func nginxSiteOf(spec desired.NginxDrain, deps Deps) (nginxSite, error) {
	if spec.Host == "" {
		return nginxHere{spec.File, deps}, nil
	}
	if deps.Observer == nil || deps.Applier == nil || deps.Fence == nil || deps.Host == nil {
		return nil, fmt.Errorf("host %q cannot be reached: there is no SSH connection to hosts here", peer.Line(spec.Host))
	}
	host, ok := deps.Host(spec.Host)
	if !ok {
		return nil, fmt.Errorf("host %q is not in the inventory: add the balancer to it, without labels that select services", peer.Line(spec.Host))
	}
	return nginxThere{spec.File, host, deps}, nil
}

var (
	errNginxAbsent  = &mended{errors.New("the file is not there"), "compare the drain's `file` with what nginx reads"}
	errNginxNotFile = &mended{errors.New("it is not a file"), "compare the drain's `file` with what nginx reads"}
	errNginxLong    = &mended{fmt.Errorf("the file has more than %d bytes", nginxFile), "keep the upstream in a file of its own, and include that"}
)

func nginxLink(target string) error {
	return mend("name that as the drain's `file`", "the file is a symlink to %s, which a change would replace", peer.Line(target))
}

// nginxHere is the controller's own machine.
type nginxHere struct {
	file string
	deps Deps
}

func (h nginxHere) read(context.Context) (nginxText, error) {
	f, err := os.OpenFile(h.file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		target, _ := os.Readlink(h.file)
		return nginxText{}, nginxLink(target)
	case errors.Is(err, fs.ErrNotExist):
		return nginxText{}, errNginxAbsent
	case err != nil:
		return nginxText{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nginxText{}, errNginxNotFile
	}
	text, err := io.ReadAll(io.LimitReader(f, nginxFile+1))
	if err == nil && len(text) > nginxFile {
		err = errNginxLong
	}
	return nginxText{text: text}, err
}

func (h nginxHere) run(ctx context.Context, script string) (peer.Output, error) {
	return h.deps.RunLocal(ctx, script, commandLimit)
}

func (h nginxHere) look(ctx context.Context, _ nginxText, script string) (peer.Output, error) {
	return h.deps.RunLocal(ctx, script, commandLimit)
}

// nginxThere is a host of the inventory.
type nginxThere struct {
	file string
	host inventory.Host
	deps Deps
}

func (t nginxThere) read(ctx context.Context) (nginxText, error) {
	seen, err := t.deps.Observer.Observe(ctx, t.host, hostdriver.Query{Paths: []hostdriver.PathQuery{{Path: t.file, MaxContent: nginxFile}}})
	if err != nil {
		return nginxText{}, err
	}
	file := seen.Paths[t.file]
	switch {
	case file.Type == hostdriver.PathAbsent:
		return nginxText{}, errNginxAbsent
	case file.Type == hostdriver.PathSymlink:
		return nginxText{}, nginxLink(file.Target)
	case file.Type != hostdriver.PathFile:
		return nginxText{}, errNginxNotFile
	case file.Size > nginxFile:
		return nginxText{}, errNginxLong
	case file.Content == nil: // written to while it was read
		return nginxText{}, errNginxOther
	}
	text := nginxText{text: file.Content.Bytes(), onlooker: hostdriver.Fence{Epoch: seen.Epoch, Holder: seen.Holder}}
	if seen.Epoch == 0 || seen.Holder == "" { // nobody has ever worked there
		text.onlooker = t.deps.Fence()
	}
	return text, nil
}

func (t nginxThere) run(ctx context.Context, script string) (peer.Output, error) {
	return runOn(ctx, t.deps.Applier, t.host, t.deps.Fence(), script)
}

func (t nginxThere) look(ctx context.Context, after nginxText, script string) (peer.Output, error) {
	return runOn(ctx, t.deps.Applier, t.host, after.onlooker, script)
}
