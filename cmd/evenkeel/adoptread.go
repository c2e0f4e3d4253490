package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"github.com/evenkeel/evenkeel/desired/adopt"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// maxRounds is how often one host is asked: units, what these name, what that names, and
// again where a reply had no room for all.
const maxRounds = 24

// adoptedHost reads [NAME=][USER@]ADDRESS[:PORT].
func adoptedHost(arg string) (inventory.Host, error) {
	const mend = "such as web-1, web-1=192.0.2.11 or web-1=deploy@192.0.2.11:2222"
	name, address, given := strings.Cut(arg, "=")
	if !given {
		address = arg
	}
	var h inventory.Host
	if user, rest, ok := strings.Cut(address, "@"); ok {
		h.User, address = user, rest
	}
	h.Address = strings.Trim(address, "[]")
	if host, port, err := net.SplitHostPort(address); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return h, mendable(mend, "cannot read the host %s: its port is none", fault.Quote(arg))
		}
		h.Address, h.Port = host, int(n)
	}
	if h.Name = name; !given {
		h.Name = h.Address
	}
	isIP := net.ParseIP(h.Address) != nil
	if !inventory.ValidHostName(h.Name) || !isIP && !inventory.ValidHostName(h.Address) || inventory.CheckLogin(h.User, "") != "" {
		return h, mendable(mend, "cannot read the host %s", fault.Quote(arg))
	}
	return h, nil
}

// hostsYAML is an inventory of hosts.
func hostsYAML(hosts []inventory.Host) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: evenkeel/v1\nkind: Inventory\nspec:\n  hosts:\n")
	for _, h := range hosts {
		fmt.Fprintf(&b, "    - {name: %q, address: %q", h.Name, h.Address)
		if h.Port != 0 {
			fmt.Fprintf(&b, ", port: %d", h.Port)
		}
		if h.User != "" {
			fmt.Fprintf(&b, ", user: %q", h.User)
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}

// read asks every host until nothing more is to be known. One that does not answer ends
// it: half a fleet would look like a whole one.
func (ad *adoption) read(ctx context.Context, observer hostdriver.Observer, surveyor hostdriver.Surveyor) ([]*adopt.Host, error) {
	hosts := make([]*adopt.Host, len(ad.hosts))
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(max(1, ad.settings.SSH.Concurrency))
	if ad.settings.SSH.Concurrency == 0 {
		g.SetLimit(64)
	}
	errs := make([]error, len(ad.hosts))
	for i, h := range ad.hosts {
		g.Go(func() error {
			hosts[i], errs[i] = ad.readHost(inner, h, observer, surveyor)
			return nil
		})
	}
	_ = g.Wait()
	var failed *multierror.Error
	for _, err := range errs {
		if err != nil {
			failed = multierror.Append(failed, err)
		}
	}
	if err := failed.ErrorOrNil(); err != nil {
		var e *hostdriver.Error
		mend := "a HOST is [NAME=][USER@]ADDRESS[:PORT], or a name that ssh knows; mend the way to it, or leave it away"
		if errors.As(err, &e) && e.Mend != "" && len(failed.Errors) == 1 {
			mend = e.Mend
		}
		failed.ErrorFormat = func(es []error) string {
			var parts []string
			for _, e := range es {
				parts = append(parts, e.Error())
			}
			return strings.Join(parts, "; ")
		}
		return nil, mendable(mend, "nothing was written: %w", failed)
	}
	return hosts, nil
}

func (ad *adoption) readHost(ctx context.Context, h inventory.Host, observer hostdriver.Observer, surveyor hostdriver.Surveyor) (*adopt.Host, error) {
	s, err := surveyor.Survey(ctx, h)
	if err != nil {
		return nil, err
	}
	host := adopt.NewHost(h, s, ad.units, ad.managed(ctx, h))
	for range maxRounds {
		q, more := host.Next()
		if !more {
			break
		}
		o, err := observer.Observe(ctx, h, q)
		if err != nil {
			return nil, err
		}
		host.Take(o)
	}
	for _, e := range host.Manifest().Entries {
		if _, ours := ad.rev.Service(e.Service); !ours {
			return nil, mendable("adopt into the repo that it is managed from, or leave the host away",
				"%s is managed by evenkeel already, with service %s of revision %s, which this repo does not have", h.Name, fault.Quote(e.Service), fault.Quote(host.Manifest().Revision))
		}
	}
	return host, nil
}
