package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

// watcherVerb is this program's argument by which it is the watcher: a process that
// watches hosts, and tells in lines of JSON how it is and what it hears. It goes on at
// each line of its stdin, and ends with it.
const watcherVerb = "watcher"

// The watcher's words.
const (
	watcherBegun     = "begun"
	watcherConnected = "connected"
	watcherWatching  = "watching"
	watcherIdle      = "idle"
	watcherChanged   = "changed"
)

// watcherState is one line.
type watcherState struct {
	Word       string
	Host       string        `json:",omitempty"`
	At         time.Time     `json:",omitzero"`
	Memory     int64         `json:",omitempty"` // heap and stacks in use
	Resident   int64         `json:",omitempty"`
	Goroutines int           `json:",omitempty"`
	CPU        time.Duration `json:",omitempty"` // of the process so far, but for what measuring took
	Since      time.Duration `json:",omitempty"` // how long it was idle
}

func watcherMain(args []string) error {
	var l floorLogin
	flags := flag.NewFlagSet(watcherVerb, flag.ContinueOnError)
	flags.StringVar(&l.user, "user", "root", "log in as")
	flags.StringVar(&l.identity, "identity", "", "private key")
	flags.StringVar(&l.knownHosts, "known-hosts", "", "known_hosts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var hosts []inventory.Host
	for _, a := range flags.Args() {
		name, address, _ := strings.Cut(a, "=")
		hosts = append(hosts, inventory.Host{Name: name, Address: address})
	}
	driver, err := sshdriver.New(sshdriver.Options{User: l.user, IdentityFiles: []string{l.identity}, KnownHosts: []string{l.knownHosts},
		Become: l.user != "root", ConfigFile: "none", Agent: "none"})
	if err != nil {
		return err
	}
	defer driver.Close()
	if err := json.NewEncoder(os.Stdout).Encode(measureSelf(watcherBegun)); err != nil {
		return err
	}
	for _, h := range hosts {
		if _, err := driver.Observe(context.Background(), h, hostdriver.Query{Units: []string{watchedUnit}}); err != nil {
			return err
		}
	}
	return watchAll(driver, hosts)
}

func watchAll(driver *sshdriver.Driver, hosts []inventory.Host) error {
	goOn := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(measureSelf(watcherConnected)); err != nil {
		return err
	}
	goOn.Scan()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan hostdriver.Signal)
	var watches sync.WaitGroup
	for _, h := range hosts {
		c, err := driver.Watch(ctx, h, hostdriver.WatchQuery{Owner: "bench", Paths: []string{watchedEnv, binaryPath, unitPath}, Units: []string{watchedUnit, unitName}})
		if err != nil {
			return err
		}
		watches.Go(func() {
			for s := range c {
				signals <- s
			}
		})
	}
	go func() { watches.Wait(); close(signals) }()
	for range hosts {
		if s := <-signals; s.Kind != hostdriver.Watching || len(s.Unwatched) > 0 {
			return fmt.Errorf("%s is not watched: %s %v: %w", s.Host, s.Kind, s.Unwatched, s.Err)
		}
	}
	if err := out.Encode(watcherState{Word: watcherWatching}); err != nil {
		return err
	}
	goOn.Scan()
	begun, used := time.Now(), ownCPU()
	goOn.Scan()
	idle := watcherState{Since: time.Since(begun), CPU: ownCPU() - used}
	m := measureSelf(watcherIdle)
	m.Since, m.CPU = idle.Since, idle.CPU
	if err := out.Encode(m); err != nil {
		return err
	}
	go func() { goOn.Scan(); cancel() }()
	for s := range signals {
		if err := out.Encode(watcherState{Word: watcherChanged, Host: s.Host, At: s.At}); err != nil {
			return err
		}
	}
	return nil
}

// measureSelf tells what the process holds, once it has given back what it does not need.
func measureSelf(word string) watcherState {
	for range 4 { // a goroutine's stack shrinks by half each time
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return watcherState{Word: word, Memory: int64(m.HeapAlloc + m.StackInuse), Resident: resident(), Goroutines: runtime.NumGoroutine()} // #nosec G115
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the process' resident memory, or 0.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 48)
	return pages * int64(os.Getpagesize())
}
