package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// openFleet loads the fleet repo and makes the way to its hosts. No host is
// contacted yet. Call the returned function at the end.
func (a *app) openFleet(ctx context.Context) (*controller.Fleet, func(), error) {
	c, err := openCheckout(a.settings.Repo)
	if err != nil {
		return nil, nil, err
	}
	rev, err := c.load(ctx, a.settings, true)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	if err := a.filtersMatch(&rev); err != nil {
		c.close()
		return nil, nil, err
	}
	for _, w := range rev.Warnings {
		a.log.Info().Str("at", w.Pos.String()).Msg(w.Message)
	}
	sshDefaults(&rev)
	options := a.sshOptions(&rev)
	options.Stay = a.applies
	driver, err := sshdriver.New(options)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	a.pending = &pendingHosts{Driver: driver, since: map[string]time.Time{}}
	f := &controller.Fleet{Revision: rev, Driver: a.pending, Journals: driver, Log: a.log, Holder: holder(), Concurrency: a.settings.SSH.Concurrency,
		Hosts: a.settings.Hosts, Services: a.settings.Services}
	return f, func() {
		_ = driver.Close()
		c.close()
	}, nil
}

// sshDefaults lays the fleet's ssh settings under those of its hosts.
func sshDefaults(rev *desired.Revision) {
	d := rev.Fleet.Spec.SSH
	hops := map[string]bool{}
	for hop := range strings.SplitSeq(d.Jump, ",") {
		hops[strings.TrimSpace(hop)] = true
	}
	for i := range rev.Inventory.Hosts {
		h := &rev.Inventory.Hosts[i]
		if h.User == "" {
			h.User = d.User
		}
		if h.Port == 0 {
			h.Port = d.Port
		}
		if h.Jump == "" && !hops[h.Name] {
			h.Jump = d.Jump
		}
	}
}

func (a *app) sshOptions(rev *desired.Revision) sshdriver.Options {
	s := a.settings.SSH
	become := false
	if d := rev.Fleet.Spec.SSH.Become; d != nil {
		become = *d
	}
	if s.Become != nil {
		become = *s.Become
	}
	inv := rev.Inventory
	return s.options(become, func(name string) (sshdriver.Target, bool) {
		h, ok := inv.Find(name)
		return sshdriver.TargetFor(h), ok
	})
}

// options are how hosts are reached, by the operator's settings.
func (s SSHSettings) options(become bool, jump func(name string) (sshdriver.Target, bool)) sshdriver.Options {
	bandwidth, _ := desired.ParseBandwidth(s.Bandwidth) // checked with the settings
	return sshdriver.Options{Bandwidth: bandwidth, Compression: sshdriver.Compression(s.Compress), User: s.User, IdentityFiles: s.Identity, KnownHosts: s.KnownHosts, Become: become, Concurrency: s.Concurrency,
		ConnectTimeout: s.ConnectTimeout, ResolveJump: jump}
}

// filtersMatch refuses a --host or --service that picks nothing: most often it is
// misspelt.
func (a *app) filtersMatch(rev *desired.Revision) error {
	var services []string
	for _, s := range rev.Services {
		services = append(services, s.Name)
	}
	return a.globsMatch(rev.Inventory.Names(), append(services, rev.HeldBack()...))
}

func (a *app) globsMatch(hosts, services []string) error {
	for _, f := range []struct {
		flag         string
		globs, names []string
	}{{"host", a.settings.Hosts, hosts}, {"service", a.settings.Services, services}} {
		for _, glob := range f.globs {
			if !slices.ContainsFunc(f.names, func(n string) bool { ok, _ := path.Match(glob, n); return ok }) {
				return nothingMatches(f.flag, glob, f.names)
			}
		}
	}
	return nil
}

// holder names this process for the records on hosts.
func holder() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "somewhere"
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, fmt.Sprintf("apply %.100s@%.100s", name, host))
	return fmt.Sprintf("%s pid %d", strings.ToValidUTF8(text, ""), os.Getpid())
}

// hostNamed is the inventory's host of that name.
func hostNamed(inv inventory.Inventory, name string) (inventory.Host, error) {
	h, ok := inv.Find(name)
	if !ok {
		return h, nothingNamed("host", name, inv.Names())
	}
	return h, nil
}

// nothingNamed is the error of a name that does not exist.
func nothingNamed(what, name string, names []string) error {
	return mendable(fault.DidYouMean(name, names), "the fleet has no %s %s", what, fault.Quote(name))
}

// nothingMatches is the error of a filter that picks nothing.
func nothingMatches(flag, glob string, names []string) error {
	return mendable(fault.DidYouMean(glob, names), "no %s matches --%s %s", flag, flag, fault.Quote(glob))
}
