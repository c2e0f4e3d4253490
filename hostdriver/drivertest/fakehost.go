package drivertest

import (
	"fmt"
	"hash/fnv"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// FakeHost is one host of a Fake. It is a Machine; further methods plant what a test
// needs. All take effect at once.
type FakeHost struct {
	fleet *Fake
	name  string

	boots   int
	nodes   map[string]*node // by clean absolute path
	users   map[string]hostdriver.UserState
	groups  map[string]bool
	units   map[string]*unit
	enabled map[string]bool
	links   map[string][]string // by unit: what enabling it has made
	masked  map[string]bool
	// By user: whose systemd runs without a login, and where evenkeel has switched that on.
	lingers, ourLingers map[string]bool
	lastPID             int
	lastInv             int

	blobs       map[string]hostdriver.Content
	stamps      map[string]time.Time // of blobs: when they came
	generations map[uint64]*generation
	current     uint64
	switching   *hostdriver.Switching
	started     map[string]hostdriver.StartedAs
	wanted      map[string]hostdriver.StartedAs // begun and not noted
	step        *hostdriver.StepRecord
	refused     map[string]hostdriver.Refusal // by service
	hooks       map[string]hostdriver.HookMark
	epoch       uint64
	holder      string
	claim       string
	deadman     *deadman

	down        error // unreachable, and why
	garbled     error // says what can't be understood
	locked      string
	readOnly    bool
	freeBytes   int64
	freeInodes  int64
	cut         Moment
	interrupted bool
	listeners   map[string]listener
	commands    func(hostdriver.Run) ([]byte, int)
	mutations   []string
	changes     uint64 // begun and ended, since it booted

	key, sealings int  // of its credentials
	sealless      bool // its systemd encrypts none

	images, registry map[string][]string // by tool; which tools there are, images tells

	fetcher string // what it has to fetch with
	web     fakeWeb

	watches     []*fakeWatch
	reloads     int  // daemon-reloads, and changes of enablement
	unwatchable bool // lacks what a watch needs
}

var _ Machine = (*FakeHost)(nil)

// node is a file, directory or link.
type node struct {
	kind         hostdriver.PathType
	data         hostdriver.Content
	owner, group string
	mode         uint32
	target       string
	changed      time.Time
	release      string           // digest, of a release as it was staged
	shipped      map[string]*node // what its stream had brought, by path
}

type listener struct {
	unit  string
	serve func(net.Conn)
}

const roomy = 1 << 40

func newFakeHost(f *Fake, name string) *FakeHost {
	h := &FakeHost{fleet: f, name: name, boots: 1, nodes: map[string]*node{}, units: map[string]*unit{},
		users:  map[string]hostdriver.UserState{"root": {Exists: true, Group: "root", Home: "/root", Shell: "/bin/sh"}},
		groups: map[string]bool{"root": true}, enabled: map[string]bool{}, links: map[string][]string{}, masked: map[string]bool{}, lingers: map[string]bool{}, ourLingers: map[string]bool{}, lastPID: 300,
		blobs: map[string]hostdriver.Content{}, stamps: map[string]time.Time{}, generations: map[uint64]*generation{},
		refused: map[string]hostdriver.Refusal{},
		hooks:   map[string]hostdriver.HookMark{},
		started: map[string]hostdriver.StartedAs{}, wanted: map[string]hostdriver.StartedAs{},
		freeBytes: roomy, freeInodes: roomy, listeners: map[string]listener{}}
	for _, dir := range []string{"/", "/etc", "/etc/systemd", "/etc/systemd/system", "/lib/systemd/system", "/var/lib", "/bin", "/usr/bin", "/opt", "/run"} {
		h.mkdir(dir)
	}
	for _, program := range []string{"sleep", "true", "false", "sh"} {
		for _, dir := range []string{"/bin/", "/usr/bin/"} {
			h.nodes[dir+program] = &node{kind: hostdriver.PathFile, owner: "root", group: "root", mode: 0o755, changed: Epoch}
		}
	}
	return h
}

// do runs fn with the fleet locked and the host up to date.
func (h *FakeHost) do(fn func()) {
	h.fleet.mu.Lock()
	defer h.fleet.mu.Unlock()
	h.advance(h.fleet.now())
	fn()
	h.signal()
}

func (h *FakeHost) mkdir(dir string) {
	for ; h.nodes[dir] == nil; dir = path.Dir(dir) {
		h.nodes[dir] = &node{kind: hostdriver.PathDir, owner: "root", group: "root", mode: 0o755, changed: h.fleet.now()}
	}
}

// put makes a node and its parents.
func (h *FakeHost) put(name string, n *node) {
	h.mkdir(path.Dir(name))
	h.nodes[name] = n
}

// follow resolves symbolic links, also those in the directories of name.
func (h *FakeHost) follow(name string) string {
	for range 40 {
		rest := ""
		at := name
		for ; at != "/"; at = path.Dir(at) {
			if n := h.nodes[at]; n != nil && n.kind == hostdriver.PathSymlink {
				break
			}
			rest = path.Join("/", path.Base(at), rest)
		}
		if at == "/" {
			return name
		}
		target := h.nodes[at].target
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(at), target)
		}
		name = path.Join(target, rest)
	}
	return name
}

func (h *FakeHost) read(name string) (*node, bool) {
	n := h.nodes[h.follow(name)]
	return n, n != nil && n.kind == hostdriver.PathFile
}

// WriteFile implements Machine.
func (h *FakeHost) WriteFile(name, data string, mode uint32) {
	h.do(func() {
		h.put(name, &node{kind: hostdriver.PathFile, data: hostdriver.NewContent([]byte(data)), owner: "root", group: "root", mode: mode, changed: h.fleet.now()})
	})
}

// ReadFile implements Machine.
func (h *FakeHost) ReadFile(name string) (data string, ok bool) {
	h.do(func() {
		var n *node
		if n, ok = h.read(name); ok {
			data = string(n.data.Bytes())
		}
	})
	return data, ok
}

// Remove implements Machine.
func (h *FakeHost) Remove(name string) {
	h.do(func() { h.remove(name) })
}

func (h *FakeHost) remove(name string) {
	for p := range h.nodes {
		if p == name || strings.HasPrefix(p, name+"/") {
			delete(h.nodes, p)
		}
	}
}

// Symlink implements Machine.
func (h *FakeHost) Symlink(target, name string) {
	h.do(func() {
		h.put(name, &node{kind: hostdriver.PathSymlink, target: target, owner: "root", group: "root", mode: 0o777, changed: h.fleet.now()})
	})
}

// Crash implements Machine.
func (h *FakeHost) Crash(name string) {
	h.do(func() {
		if u := h.unit(name); u.proc != nil {
			h.exited(u, h.fleet.now(), "killed", 9)
		}
	})
}

// QueueJob implements Machine.
func (h *FakeHost) QueueJob(name string) { h.do(func() { h.unit(name).job = "4711" }) }

// EndJob implements Machine.
func (h *FakeHost) EndJob(name string) { h.do(func() { h.unit(name).job = "" }) }

// Pass implements Machine, for the whole fleet.
func (h *FakeHost) Pass(d time.Duration) { h.fleet.Pass(d) }

// Reboot implements Machine: processes and timers are gone, enabled units start.
func (h *FakeHost) Reboot() {
	h.do(func() {
		h.boots++
		h.changes = 0
		h.deadman = nil
		h.units = map[string]*unit{}
		for name := range h.enabled {
			if u := h.unit(name); u.load == "loaded" {
				h.start(u, h.fleet.now())
			}
		}
	})
}

// Cut implements Machine.
func (h *FakeHost) Cut() { h.SetDown(fmt.Errorf("no route to host")) }

// Heal implements Machine.
func (h *FakeHost) Heal() { h.SetDown(nil) }

// SetDown makes the host unreachable, with that reason, or reachable with nil.
func (h *FakeHost) SetDown(why error) { h.do(func() { h.down = why }) }

// Garble makes every reading of the host end with an error of kind Unknown, until nil.
func (h *FakeHost) Garble(why error) { h.do(func() { h.garbled = why }) }

// Lock makes somebody hold the host's lock, until "".
func (h *FakeHost) Lock(holder string) { h.do(func() { h.locked = holder }) }

// FillDisk implements Machine.
func (h *FakeHost) FillDisk() { h.SetRoom(0, roomy) }

// FreeDisk implements Machine.
func (h *FakeHost) FreeDisk() { h.SetRoom(roomy, roomy) }

// Images implements Machine.
func (h *FakeHost) Images(tool string, has, registry []string) {
	h.do(func() {
		if h.images == nil {
			h.images, h.registry = map[string][]string{}, map[string][]string{}
		}
		h.images[tool], h.registry[tool] = slices.Clone(has), registry
	})
}

// SetRoom sets what is left on the host's only filesystem.
func (h *FakeHost) SetRoom(bytes, inodes int64) {
	h.do(func() { h.freeBytes, h.freeInodes = bytes, inodes })
}

// SetReadOnly remounts the filesystem.
func (h *FakeHost) SetReadOnly(ro bool) { h.do(func() { h.readOnly = ro }) }

// CutNext implements Machine.
func (h *FakeHost) CutNext(m Moment) { h.do(func() { h.cut = m }) }

// Listen makes DialHost reach serve at network and address, as long as unit is up and
// ready; always, where unit is "".
func (h *FakeHost) Listen(network, address, unit string, serve func(net.Conn)) {
	h.do(func() { h.listeners[network+" "+address] = listener{unit, serve} })
}

// Commands sets what answers Run: its output and exit status. Without it each Run
// succeeds and says nothing. It is called with the fleet locked.
func (h *FakeHost) Commands(answer func(hostdriver.Run) ([]byte, int)) {
	h.do(func() { h.commands = answer })
}

// AddUser plants a user with a group of its own.
func (h *FakeHost) AddUser(name, home string) {
	h.do(func() { h.addUser(name, home) })
}

func (h *FakeHost) addUser(name, home string) {
	h.users[name] = hostdriver.UserState{Exists: true, UID: 990 - len(h.users), Group: name, Home: home, Shell: "/usr/sbin/nologin"}
	h.groups[name] = true
}

// Mutations are all ops that got through the fence, in order, such as "restart a.service".
func (h *FakeHost) Mutations() (all []string) {
	h.do(func() { all = append(all, h.mutations...) })
	return all
}

func (h *FakeHost) bootID() string {
	sum := fnv.New64a()
	_, _ = fmt.Fprintf(sum, "%s boot %d", h.name, h.boots)
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(sum.Sum64()>>32), sum.Sum64()&0xffffffffffff)
}
