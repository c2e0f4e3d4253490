package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/ssh"

	"github.com/evenkeel/evenkeel/cmd/evenkeel/memory"
	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/test/bench/simhost"
)

// The arguments by which this program is one of the processes that fleet measures with:
// the simulated hosts, the controller's looks, its loop, and the floor.
const (
	simVerb   = "simhosts"
	lookVerb  = "fleet-look"
	serveVerb = "fleet-serve"
	bareVerb  = "fleet-floor"
)

// controllerName claims the simulated hosts.
const controllerName = "bench"

// fleetDir is the folder that these processes share.
type fleetDir string

func (d fleetDir) file(name string) string { return filepath.Join(string(d), name) }
func (d fleetDir) repo() string            { return d.file("fleet") }
func (d fleetDir) identity() string        { return d.file("id_ed25519") }
func (d fleetDir) knownHosts() string      { return d.file("known_hosts") }

// revision is the fleet repo, decoded.
func (d fleetDir) revision(ctx context.Context) (desired.Revision, error) {
	rev, err := desired.Load(ctx, os.DirFS(d.repo()), desired.LoadOptions{})
	if err == nil && len(rev.Quarantined) > 0 {
		err = fmt.Errorf("the fleet repo has faults: %v", rev.Quarantined)
	}
	return rev, err
}

func (d fleetDir) driver() (*sshdriver.Driver, error) {
	return sshdriver.New(sshdriver.Options{User: loginUser, Become: true, IdentityFiles: []string{d.identity()}, KnownHosts: []string{d.knownHosts()},
		ConfigFile: "none", Agent: "none"})
}

// fleetArgs are the arguments of each of these processes.
type fleetArgs struct {
	dir     fleetDir
	passes  int
	idle    time.Duration
	sim     int    // the process id of the simulated hosts
	profile string // a folder for profiles, or ""
}

func parseFleetArgs(verb string, args []string) (fleetArgs, error) {
	var a fleetArgs
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	dir := flags.String("dir", "", "the shared folder")
	flags.IntVar(&a.passes, "passes", 5, "warm passes")
	flags.DurationVar(&a.idle, "idle", 30*time.Second, "how long the loop is watched while there is nothing to do")
	flags.IntVar(&a.sim, "sim", 0, "process id of the simulated hosts")
	flags.StringVar(&a.profile, "profile", "", "write profiles into this folder")
	err := flags.Parse(args)
	a.dir = fleetDir(*dir)
	return a, err
}

// simMain serves the simulated hosts on the socket that it was given, until its stdin ends.
func simMain(args []string) error {
	a, err := parseFleetArgs(simVerb, args)
	if err != nil {
		return err
	}
	inherited, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	l, ok := inherited.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("a %T is no TCP listener", inherited)
	}
	key, err := os.ReadFile(a.dir.identity())
	if err != nil {
		return err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return err
	}
	rev, err := a.dir.revision(context.Background())
	if err != nil {
		return err
	}
	hosts, err := simhost.New(context.Background(), &rev, simhost.Options{Authorized: signer.PublicKey(), Port: simhost.Port(l), Claim: controllerName})
	if err != nil {
		return err
	}
	known, err := os.Create(a.dir.knownHosts())
	if err != nil {
		return err
	}
	if err := hosts.WriteKnownHosts(known); err != nil {
		return err
	}
	if err := known.Close(); err != nil {
		return err
	}
	rev = desired.Revision{}
	runtime.GC()
	fmt.Println("ready")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close()
	}()
	return hosts.Serve(l)
}

// spent is what a span of time has cost.
type spent struct {
	Wall, CPU time.Duration
	Sim       time.Duration // CPU time of all simulated hosts
}

// spend does something, and tells what it cost.
func (a fleetArgs) spend(do func() error) (spent, error) {
	began, cpu, sim := time.Now(), ownCPU(), processCPU(a.sim)
	err := do()
	return spent{Wall: time.Since(began), CPU: ownCPU() - cpu, Sim: processCPU(a.sim) - sim}, err
}

// footprint is what the process holds.
type footprint struct {
	Peak       int64 // of resident memory
	Resident   int64
	Heap       int64 // in use
	Stacks     int64 // of the goroutines
	Goroutines int
}

func takeFootprint() footprint {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{Peak: statusBytes("VmHWM"), Resident: statusBytes("VmRSS"), Heap: int64(m.HeapAlloc), Stacks: int64(m.StackInuse), Goroutines: runtime.NumGoroutine()} // #nosec G115
}

// lookFigures is what fleet-look says.
type lookFigures struct {
	Load  spent
	First spent
	Warm  []spent
	Holds footprint
}

// asServe has the process collect its garbage as `evenkeel serve` does.
func asServe() { go memory.Keep(context.Background()) }

// lookMain is the controller's side of passes with nothing to do: the first one dials.
func lookMain(args []string) error {
	asServe()
	a, err := parseFleetArgs(lookVerb, args)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var out lookFigures
	var rev desired.Revision
	if out.Load, err = a.spend(func() (err error) { rev, err = a.dir.revision(ctx); return err }); err != nil {
		return err
	}
	driver, err := a.dir.driver()
	if err != nil {
		return err
	}
	defer driver.Close()
	fleet := &controller.Fleet{Revision: rev, Driver: driver, Log: zerolog.Nop(), Holder: controllerName, Claimed: true}
	look := func() error { return lookIdle(ctx, fleet, len(rev.Inventory.Hosts)) }
	if err := a.profiled("first", func() error { out.First, err = a.spend(look); return err }); err != nil {
		return err
	}
	if err := a.profiled("warm", func() error {
		for range a.passes {
			s, err := a.spend(look)
			if err != nil {
				return err
			}
			out.Warm = append(out.Warm, s)
		}
		return nil
	}); err != nil {
		return err
	}
	out.Holds = takeFootprint()
	if err := a.heapProfile("warm"); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// bareFigures is what fleet-floor says.
type bareFigures struct{ Dial, Exec spent }

// bareMain is the floor: x/crypto/ssh alone, a connection to each host and one exec on it.
func bareMain(args []string) error {
	a, err := parseFleetArgs(bareVerb, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rev, err := a.dir.revision(ctx)
	if err != nil {
		return err
	}
	var addresses []string
	for _, h := range rev.Inventory.Hosts {
		addresses = append(addresses, net.JoinHostPort(h.Address, strconv.Itoa(h.Port)))
	}
	var out bareFigures
	var f *floor
	if out.Dial, err = a.spend(func() (err error) {
		f, err = dialAll(ctx, floorLogin{user: loginUser, identity: a.dir.identity(), knownHosts: a.dir.knownHosts()}, addresses)
		return err
	}); err != nil {
		return err
	}
	defer f.close()
	if out.Exec, err = a.spend(func() error { return f.bare(ctx) }); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// profiled writes a CPU profile of do, where profiles are wanted.
func (a fleetArgs) profiled(name string, do func() error) error {
	if a.profile == "" {
		return do()
	}
	f, err := os.Create(filepath.Join(a.profile, name+".cpu"))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	err = do()
	pprof.StopCPUProfile()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (a fleetArgs) heapProfile(name string) error {
	if a.profile == "" {
		return nil
	}
	f, err := os.Create(filepath.Join(a.profile, name+".heap"))
	if err != nil {
		return err
	}
	runtime.GC()
	if err := pprof.WriteHeapProfile(f); err != nil {
		return err
	}
	return f.Close()
}

// processCPU is what another process has used; 0 where there is none.
func processCPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	used, _ := parseProcessStat(string(text))
	return used
}

// parseProcessStat reads utime and stime of /proc/PID/stat, whose second field may hold
// anything in parentheses.
func parseProcessStat(text string) (time.Duration, error) {
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat reads %.80q", text)
	}
	user, err := strconv.ParseInt(f[11], 10, 48)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(f[12], 10, 48)
	return time.Duration(user+system) * tick, err
}

// statusBytes is a line of /proc/self/status that is in kB.
func statusBytes(key string) int64 {
	kb, _, _ := strings.Cut(field("/proc/self/status", key, ":"), " ")
	n, _ := strconv.ParseInt(kb, 10, 48)
	return n << 10
}
