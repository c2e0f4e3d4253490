package controller

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/memstore"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/drivertest"
	"github.com/evenkeel/evenkeel/inventory"
)

// memGit is a repository in memory: commits in a line, the last of which is the tip.
type memGit struct {
	mu       sync.Mutex
	commits  []string
	files    map[string]fstest.MapFS
	parent   map[string]string
	unsigned map[string]bool
	down     error
	fetches  int
}

func (g *memGit) commit(id string, files fstest.MapFS) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.files == nil {
		g.files, g.parent, g.unsigned = map[string]fstest.MapFS{}, map[string]string{}, map[string]bool{}
	}
	if n := len(g.commits); n > 0 {
		g.parent[id] = g.commits[n-1]
	}
	g.commits, g.files[id] = append(g.commits, id), files
}

func (g *memGit) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *memGit) Fetch(context.Context) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fetches++
	return g.commits[len(g.commits)-1], g.down
}

func (g *memGit) Verify(_ context.Context, c string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unsigned[c] {
		return "", fmt.Errorf("commit %s is not signed", c)
	}
	return "ops", nil
}

func (g *memGit) Descends(_ context.Context, from, to string) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ; to != ""; to = g.parent[to] {
		if to == from {
			return true, nil
		}
	}
	return false, nil
}

func (g *memGit) Describe(_ context.Context, c string) (CommitInfo, error) {
	return CommitInfo{Subject: "change " + c, Author: "ops"}, nil
}

func (g *memGit) Files(_ context.Context, c string) (fs.FS, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.files[c], nil
}

func (g *memGit) URL() string    { return "file:///fleet.git" }
func (g *memGit) Branch() string { return "main" }

const loopService = `apiVersion: evenkeel/v1
kind: Service
metadata: {name: web}
spec:
  selector: {matchLabels: {role: web}}
  units: [{source: web.service, enabled: true, state: started}]
  env: [{path: /etc/web/web.env, source: web.env}]
  files: [{path: /etc/web/motd, source: motd, changeMode: none}]
  rollout: {minHealthyTime: 0s, healthyDeadline: 5s, progressDeadline: 20s}
`

// fleetFiles is a fleet of n hosts with one service.
func fleetFiles(n int, env string) fstest.MapFS {
	var hosts strings.Builder
	for i := range n {
		fmt.Fprintf(&hosts, "    - {name: h%d, address: 127.0.0.%d, labels: {role: web}}\n", i+1, i+1)
	}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"fleet.yaml":                file("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: test}\nspec: {}\n"),
		"inventory/hosts.yaml":      file("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: all}\nspec:\n  hosts:\n" + hosts.String()),
		"services/web/service.yaml": file(loopService),
		"services/web/web.service":  file("[Service]\nExecStart=/bin/sleep infinity\nEnvironmentFile=/etc/web/web.env\n[Install]\nWantedBy=multi-user.target\n"),
		"services/web/web.env":      file(env),
		"services/web/motd":         file("welcome\n"),
	}
}

// loop is a controller under test, with hosts and a repository in memory.
type loop struct {
	t     *testing.T
	git   *memGit
	hosts *drivertest.Fake
	store store.Store
	opt   Options
	c     *Controller
	stop  func()
}

func newLoop(t *testing.T, hosts int, change func(*Options)) *loop {
	l := &loop{t: t, git: &memGit{}, hosts: drivertest.New(time.Now), store: &memstore.Store{}}
	for i := range hosts {
		l.hosts.Host(fmt.Sprintf("h%d", i+1))
	}
	l.opt = Options{Name: "keel-1", Git: l.git, Driver: l.hosts, Watcher: l.hosts, Store: l.store, Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		Poll: 50 * time.Millisecond, HealthEvery: 50 * time.Millisecond, PollHosts: 100 * time.Millisecond,
		Load: func(ctx context.Context, files fs.FS, id string) (desired.Revision, error) {
			return desired.Load(ctx, files, desired.LoadOptions{ID: id})
		}}
	if change != nil {
		change(&l.opt)
	}
	return l
}

func (l *loop) start() {
	l.t.Helper()
	c, err := New(context.Background(), l.opt)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	l.c = c
	var once sync.Once
	l.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				l.t.Errorf("Run: %v", err)
			}
		})
	}
	l.t.Cleanup(l.stop)
}

func (l *loop) eventually(what string, ok func(*Snapshot) bool) *Snapshot {
	l.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s := l.c.Snapshot()
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			l.t.Fatalf("%s: not within 30 s\nsource %+v\nconditions %+v\nreport %+v\ndrift %+v", what, s.Source, s.Conditions, s.Report, s.Drift)
		}
	}
}

func reconciledAt(rev string) func(*Snapshot) bool {
	return func(s *Snapshot) bool {
		c := s.Conditions.Get(Reconciled)
		return s.Source.Revision == rev && c.Status == True && c.ObservedRevision == rev && (s.Rollout == nil || !s.Rollout.Ended.IsZero())
	}
}

func (l *loop) events(reason string) []Event {
	l.t.Helper()
	all, err := l.c.Events(context.Background(), 0, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(e Event) bool { return e.Reason != reason })
}

func (l *loop) unit(host, name string) hostdriver.UnitState {
	l.t.Helper()
	o, err := l.hosts.Observe(context.Background(), inventory.Host{Name: host}, hostdriver.Query{Light: true, Units: []string{name}})
	if err != nil {
		l.t.Fatal(err)
	}
	return o.Units[name]
}

func (l *loop) env(host string) string {
	text, _ := l.hosts.Host(host).ReadFile("/etc/web/web.env")
	return text
}

// heldLoop is one whose second revision was taken back, and is held.
func heldLoop(t *testing.T) *loop {
	l := newLoop(t, 2, nil)
	l.hosts.Behave(func(s drivertest.Start) drivertest.Behaviour {
		return drivertest.Behaviour{Exits: s.Env["A"] == "bad", Status: 1}
	})
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.git.commit("c2", fleetFiles(2, "A=bad\n"))
	l.eventually("held", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Held" })
	return l
}
