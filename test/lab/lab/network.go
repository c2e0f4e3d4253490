package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// A lab's network is a bridge that is also this machine's own address in it, and per host a network namespace with an eth0
// whose other end, a veth of the namespace's name, is a port of the bridge. Nothing is routed out of it.

// makeNetwork makes the bridge and every host's namespace and link, up.
func (r record) makeNetwork(ctx context.Context) error {
	var b strings.Builder
	fmt.Fprintf(&b, "link add %s type bridge forward_delay 0 stp_state 0\n", r.bridge())
	fmt.Fprintf(&b, "addr add %s/24 dev %s\nlink set %s up\n", r.gateway(), r.bridge(), r.bridge())
	for i := 1; i <= r.Hosts; i++ {
		link := r.link(i)
		fmt.Fprintf(&b, "netns add %s\n", link)
		fmt.Fprintf(&b, "link add %s type veth peer name eth0 netns %s\n", link, link)
		fmt.Fprintf(&b, "link set %s master %s up\n", link, r.bridge())
	}
	if _, err := run(ctx, b.String(), "ip", "-batch", "-"); err != nil {
		return fmt.Errorf("cannot make the network of lab %s: %w", r.Prefix, err)
	}
	for i := 1; i <= r.Hosts; i++ {
		inside := fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\nroute add default via %s\n",
			r.address(i), r.gateway())
		if _, err := run(ctx, inside, "ip", "-n", r.link(i), "-batch", "-"); err != nil {
			return fmt.Errorf("cannot give %s its address: %w", hostName(i), err)
		}
	}
	return nil
}

// removeNetwork removes every namespace and link that bears the lab's name, whatever the record says.
func (r record) removeNetwork(ctx context.Context) error {
	ours := regexp.MustCompile(`^ek-` + r.Prefix + `(-[0-9]+)?$`)
	spaces, err := namesIn("/run/netns", ours)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, name := range spaces {
		fmt.Fprintf(&b, "netns del %s\n", name)
	}
	if _, err := run(ctx, b.String(), "ip", "-batch", "-"); err != nil {
		return fmt.Errorf("cannot remove the namespaces of lab %s: %w", r.Prefix, err)
	}
	links, err := namesIn("/sys/class/net", ours)
	if err != nil {
		return err
	}
	for _, name := range links { // a veth whose namespace is gone goes by itself, in its own time: either way is right
		_, err := run(ctx, "", "ip", "link", "del", name)
		if _, gone := os.Lstat("/sys/class/net/" + name); err != nil && gone == nil {
			return fmt.Errorf("cannot remove link %s: %w", name, err)
		}
	}
	return nil
}

func namesIn(dir string, form *regexp.Regexp) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if form.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// setLink makes or breaks host i's connection to the bridge.
func (r record) setLink(ctx context.Context, i int, state string) error {
	if _, err := run(ctx, "", "ip", "link", "set", r.link(i), state); err != nil {
		return fmt.Errorf("cannot set the link of %s %s: %w", hostName(i), state, err)
	}
	return nil
}
