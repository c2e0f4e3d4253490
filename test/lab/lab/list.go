package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"
)

// Info is a lab on this machine, as its record tells.
type Info struct {
	Prefix     string
	Hosts      int
	Persistent bool
	State      string // "up", "owned by pid 12, sh", "left by pid 12, sh"
	Dead       bool   // its owner is gone: anybody may remove it
}

// List reads every lab on this machine, in order of prefix.
func List(ctx context.Context) ([]Info, error) {
	names, err := prefixes()
	if err != nil {
		return nil, fmt.Errorf("cannot list labs: %w", err)
	}
	var infos []Info
	for _, name := range names {
		r, err := loadRecord(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		infos = append(infos, describe(ctx, r))
	}
	return infos, nil
}

func describe(ctx context.Context, r record) Info {
	info := Info{Prefix: r.Prefix, Hosts: r.Hosts, Persistent: r.Persistent, State: "up"}
	if r.Persistent && r.BootID == bootID() {
		return info
	}
	lock, err := lockFile(ctx, filepath.Join(r.dir(), "lock"), false)
	if err == nil {
		info.Dead = true
		lock.Close()
	}
	switch {
	case r.Owner.PID == 0:
		info.State = "unfinished"
	case info.Dead:
		info.State = "left by " + r.Owner.String()
	case r.Owner.alive():
		info.State = "owned by " + r.Owner.String()
	default:
		info.State = "being removed"
	}
	return info
}

// Down removes a lab that is persistent or whose owner is dead. A lab whose owner lives is the owner's to close; Down says
// who that is. With no such lab there is nothing to do, and no error.
func Down(ctx context.Context, prefix string, log io.Writer) error {
	if !prefixForm.MatchString(prefix) {
		return fmt.Errorf("no lab can have the name %q", prefix)
	}
	r, err := loadRecord(prefix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		(&logger{w: log}).line("%v: removing what bears its name", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	lock, err := lockFile(ctx, filepath.Join(r.dir(), "lock"), r.Persistent)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, errLocked) && !r.Persistent:
		return fmt.Errorf("cannot remove lab %s: %s uses it; end that first", prefix, r.Owner)
	case err != nil:
		return err
	}
	defer lock.Close()
	if r, err = loadRecord(prefix); err != nil {
		r = record{Prefix: prefix}
	}
	return demolish(ctx, r)
}
