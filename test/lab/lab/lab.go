package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options say what lab to make.
type Options struct {
	Prefix     string    // its name on this machine: 1 to 8 of a-z and 0-9, a letter first; "" makes one up
	Hosts      int       // 1 to 240
	Base       Base      // what the hosts are made of
	Bases      []Base    // what each is made of, h1 first, where they differ; Hosts may be 0 then
	DiskSize   int64     // bytes of each host's disk, which is memory while in use; 0 is 2 GiB
	DiskDir    string    // keep the disks here, on a real filesystem and of its size, instead of in memory
	Containers bool      // let hosts run podman (with --network=host): all capabilities, no seccomp filter, vfs storage, no limit of PIDs
	Network    bool      // let hosts change their own network: CAP_NET_ADMIN
	Generators bool      // leave systemd's generators as they are: those that find nothing on a lab host are masked else
	Persistent bool      // the lab outlives this process, until Close or `go run ./test/lab down`
	Log        io.Writer // gets a line for each thing that takes time; nil for none
}

// Lab is a set of hosts with their network. Its methods may be used by several goroutines.
type Lab struct {
	record record
	roots  groupRoots
	log    *logger
	hosts  []*Host

	mu        sync.Mutex // guards what follows, and record.Balancers
	lock      *os.File   // held while the lab is ours; nil after Close or Detach
	balancers []*HAProxy
}

// New makes a lab and returns when every host is up: booted to the end, and answering SSH logins. On any error all that was
// made is removed again. First it removes what labs of dead owners left on this machine, whatever their prefix.
func New(ctx context.Context, o Options) (*Lab, error) {
	r, err := o.record()
	if err != nil {
		return nil, err
	}
	if err := Needs(); err != nil {
		return nil, err
	}
	roots, err := findGroupRoots()
	if err != nil {
		return nil, err
	}
	l := &Lab{record: r, roots: roots, log: &logger{w: o.Log}}
	if err := Install(ctx, o.Log); err != nil {
		return nil, err
	}
	for _, b := range o.bases() {
		dir, err := b.build(ctx, l.log)
		if err != nil {
			return nil, err
		}
		l.record.Bases = append(l.record.Bases, dir)
	}
	raiseLimits()
	if l.lock, err = claim(ctx, &l.record, l.log); err != nil {
		return nil, err
	}
	if err := l.make(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make lab %s: %w", l.record.Prefix, err), l.Close())
	}
	return l, nil
}

// bases are what the hosts are made of: one for all, or one each.
func (o Options) bases() []Base {
	if len(o.Bases) > 0 {
		return o.Bases
	}
	return []Base{o.Base}
}

func (o Options) record() (record, error) {
	if o.Hosts == 0 {
		o.Hosts = len(o.Bases)
	}
	r := record{
		Prefix: o.Prefix, Persistent: o.Persistent, Owner: thisProcess(), BootID: bootID(), Hosts: o.Hosts,
		DiskDir: o.DiskDir, DiskSize: o.DiskSize, Containers: o.Containers, Network: o.Network, Generators: o.Generators,
	}
	if r.Prefix == "" {
		id := make([]byte, 3)
		if _, err := rand.Read(id); err != nil {
			return r, err
		}
		r.Prefix = "t" + hex.EncodeToString(id)
	}
	if !prefixForm.MatchString(r.Prefix) {
		return r, fmt.Errorf("cannot name a lab %q: a prefix is 1 to 8 of a-z and 0-9, a letter first", r.Prefix)
	}
	if r.Hosts < 1 || r.Hosts > maxHosts {
		return r, fmt.Errorf("cannot make %d hosts: a lab has 1 to %d", r.Hosts, maxHosts)
	}
	if len(o.Bases) > 0 && len(o.Bases) != r.Hosts {
		return r, fmt.Errorf("cannot make %d hosts of %d bases: one for each host is needed", r.Hosts, len(o.Bases))
	}
	for _, b := range o.bases() {
		if err := b.check(); err != nil {
			return r, err
		}
	}
	if r.DiskSize < 0 {
		return r, fmt.Errorf("cannot make disks of %d bytes", r.DiskSize)
	}
	if r.DiskSize == 0 {
		r.DiskSize = 2 << 30
	}
	if r.DiskDir != "" {
		if !filepath.IsAbs(r.DiskDir) || strings.ContainsAny(r.DiskDir, ":,\\") {
			return r, fmt.Errorf("cannot keep disks in %q: an absolute path without colon, comma or backslash is needed", r.DiskDir)
		}
	}
	return r, nil
}

// raiseLimits lets this machine hold more than the 20 hosts that its default number of inotify instances allows. Best
// effort: a lab of a few hosts runs without.
func raiseLimits() {
	for name, least := range map[string]int{"max_user_instances": 8192, "max_user_watches": 1 << 20} {
		path := "/proc/sys/fs/inotify/" + name
		text, err := os.ReadFile(path)
		if now, convErr := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && convErr == nil && now < least {
			_ = os.WriteFile(path, []byte(strconv.Itoa(least)), 0o644)
		}
	}
}

// make does all of New that is to be undone on an error.
func (l *Lab) make(ctx context.Context) error {
	begin := time.Now()
	client, own, err := l.record.makeKeys()
	if err != nil {
		return fmt.Errorf("cannot make keys: %w", err)
	}
	if err := l.record.makeNetwork(ctx); err != nil {
		return err
	}
	if err := l.addHosts(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, h := range l.hosts {
		group.Go(func() error {
			if _, err := l.record.makeDisk(h.index); err != nil {
				return err
			}
			if err := l.record.furnish(h.root, h.index, client, own[i]); err != nil {
				return err
			}
			return h.Boot(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	l.log.line("%s: %d hosts up in %.1f s", l.record.Prefix, len(l.hosts), time.Since(begin).Seconds())
	return nil
}

func (l *Lab) addHosts() error {
	dial, err := newDialer(l.record)
	if err != nil {
		return err
	}
	for i := 1; i <= l.record.Hosts; i++ {
		l.hosts = append(l.hosts, &Host{
			lab: l, index: i, dial: dial, root: filepath.Join(l.record.hostDir(i), "root"), clients: map[string]*client{},
		})
	}
	return nil
}

// Open returns a persistent lab that is up, for one command's work on it; Detach gives it back.
func Open(ctx context.Context, prefix string, log io.Writer) (*Lab, error) {
	if !prefixForm.MatchString(prefix) {
		return nil, fmt.Errorf("no lab can have the name %q", prefix)
	}
	missing := fmt.Errorf("no lab %s is up: `go run ./test/lab up 3 --prefix %s` makes one", prefix, prefix)
	roots, err := findGroupRoots()
	if err != nil {
		return nil, err
	}
	r, err := loadRecord(prefix)
	if errors.Is(err, fs.ErrNotExist) || err == nil && r.BootID != bootID() {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	l := &Lab{record: r, roots: roots, log: &logger{w: log}}
	// The lock of a lab that is not persistent is its owner's: a command may look at it, and disturb its hosts, all the same.
	if r.Persistent {
		l.lock, err = lockFile(ctx, filepath.Join(r.dir(), "lock"), true)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, missing
		}
		if err != nil {
			return nil, err
		}
		if l.record, err = loadRecord(prefix); err != nil {
			return nil, errors.Join(err, l.lock.Close())
		}
	}
	for _, c := range l.record.Balancers {
		l.balancers = append(l.balancers, &HAProxy{lab: l, config: c})
	}
	return l, l.addHosts()
}

// Detach lets go of a lab without taking it down. Only a persistent one stays up after its last process.
func (l *Lab) Detach() {
	l.hangUp()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock != nil {
		l.lock.Close()
		l.lock = nil
	}
}

// Close takes the lab down and returns when nothing of it is left: no process, mount, link, namespace or file. A second
// Close does nothing; one after an error goes on where the first stopped.
func (l *Lab) Close() error {
	l.hangUp()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return nil
	}
	if err := demolish(context.Background(), l.record); err != nil {
		return err
	}
	for _, h := range l.hosts {
		h.reap()
	}
	for _, b := range l.balancers {
		b.reap()
	}
	err := l.lock.Close()
	l.lock = nil
	return err
}

func (l *Lab) hangUp() {
	for _, h := range l.hosts {
		h.hangUp()
	}
}

// Prefix is the lab's name on this machine.
func (l *Lab) Prefix() string { return l.record.Prefix }

// Dir is the lab's directory: keys, consoles, the hosts' roots. A test may keep files of its own there; they go with it.
func (l *Lab) Dir() string { return l.record.dir() }

// Gateway is this machine's own address on the hosts' network.
func (l *Lab) Gateway() string { return l.record.gateway() }

// IdentityFile is the private key (ed25519, OpenSSH format, no passphrase) with which root, deploy and plain may log in.
func (l *Lab) IdentityFile() string { return l.record.identityFile() }

// KnownHostsFile names every host's own key, by address and by name.
func (l *Lab) KnownHostsFile() string { return l.record.knownHostsFile() }

// Hosts are all hosts, h1 first. The caller owns the slice.
func (l *Lab) Hosts() []*Host { return append([]*Host(nil), l.hosts...) }

// Host finds a host by name ("h2") or number ("2").
func (l *Lab) Host(name string) (*Host, error) {
	for _, h := range l.hosts {
		if h.Name() == name || h.Name() == "h"+name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("lab %s has no host %s: it has h1 to h%d", l.record.Prefix, name, len(l.hosts))
}
