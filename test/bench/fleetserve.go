package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/boltstore"
	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// serveFigures is what fleet-serve says: of the loop with all hosts watched, and of one that
// polls them.
type serveFigures struct {
	Watched, Polled loopFigures
}

// loopFigures are of the controller's loop.
type loopFigures struct {
	Ready spent // until every host was found as it should be
	Calm  spent // from then until all are watched
	Idle  spent
	Holds footprint // at the end of idle, with what was not needed given back
}

// serveMain runs the controller as `evenkeel serve` does, but for git and the API.
func serveMain(args []string) error {
	asServe()
	a, err := parseFleetArgs(serveVerb, args)
	if err != nil {
		return err
	}
	var out serveFigures
	if out.Watched, err = a.loop(true); err != nil {
		return err
	}
	if out.Polled, err = a.loop(false); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// loop runs the controller until it has been idle for a while.
func (a fleetArgs) loop(watch bool) (out loopFigures, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak of memory begins anew, proc(5)
	_ = os.Remove(a.dir.file("keel.db"))
	db, err := boltstore.Open(a.dir.file("keel.db"))
	if err != nil {
		return out, err
	}
	defer db.Close()
	// The hosts have obeyed this controller before: see simhost's records.
	if _, err := store.RaiseEpoch(ctx, db, 0); err != nil {
		return out, err
	}
	driver, err := a.dir.driver()
	if err != nil {
		return out, err
	}
	defer driver.Close()
	opt := controller.Options{Name: controllerName, Git: folder{a.dir.repo()}, Driver: driver, Store: db, Log: zerolog.New(os.Stderr).Level(zerolog.WarnLevel),
		Drift: controller.DriftOptions{Schedule: "0 0 1 1 *"}, // each pass of its own is measured elsewhere
		Load: func(ctx context.Context, files fs.FS, id string) (desired.Revision, error) {
			return desired.Load(ctx, files, desired.LoadOptions{ID: id})
		}}
	if watch {
		opt.Watcher = hostdriver.Watcher(driver)
	}
	c, err := controller.New(ctx, opt)
	if err != nil {
		return out, err
	}
	ended := make(chan error, 1)
	defer func() {
		if err != nil {
			cancel()
			err = errors.Join(err, <-ended)
		}
	}()
	name := map[bool]string{true: "watched", false: "polled"}[watch]
	go func() { ended <- c.Run(ctx) }()
	if err := a.profiled(name+"-ready", func() error {
		out.Ready, err = a.spend(func() error {
			return until("every host is as desired", func() bool {
				s := c.Snapshot()
				return s.Conditions.Get(controller.Reconciled).Status == controller.True && len(s.Hosts) > 0
			})
		})
		return err
	}); err != nil {
		return out, err
	}
	if out.Calm, err = a.spend(func() error {
		return until("every host is watched", func() bool { return !watch || allWatched(c.Snapshot()) })
	}); err != nil {
		return out, err
	}
	time.Sleep(5 * time.Second)
	if err := a.profiled(name, func() error {
		out.Idle, err = a.spend(func() error { time.Sleep(a.idle); return nil })
		return err
	}); err != nil {
		return out, err
	}
	for range 4 { // a goroutine's stack shrinks by half each time
		runtime.GC()
	}
	debug.FreeOSMemory()
	out.Holds = takeFootprint()
	if err := a.heapProfile(name); err != nil {
		return out, err
	}
	if err := stillWell(c.Snapshot()); err != nil {
		return out, err
	}
	cancel()
	return out, <-ended
}

// readyWithin bounds how long the loop may take to get where it is idle.
const readyWithin = 2 * time.Minute

// until waits until something is so.
func until(what string, so func() bool) error {
	bound := time.After(readyWithin)
	for !so() {
		select {
		case <-bound:
			return fmt.Errorf("it is not so within %s that %s", readyWithin, what)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func allWatched(s *controller.Snapshot) bool {
	for _, h := range s.Hosts {
		if !s.Observed[h.Name].Watched {
			return false
		}
	}
	return true
}

// stillWell makes sure that idle was idle.
func stillWell(s *controller.Snapshot) error {
	for _, i := range s.Instances {
		if i.Sync != controller.Synced || i.Health != controller.Healthy {
			return fmt.Errorf("%s on %s is %s and %s: %s", i.Service, i.Host, i.Sync, i.Health, i.Reason)
		}
	}
	return nil
}

// folder is a git repository of one commit, whose files are in a folder.
type folder struct{ path string }

func (f folder) Fetch(context.Context) (string, error)          { return "only", nil }
func (f folder) Verify(context.Context, string) (string, error) { return "", nil }
func (f folder) Descends(context.Context, string, string) (bool, error) {
	return true, nil
}
func (f folder) Describe(context.Context, string) (controller.CommitInfo, error) {
	return controller.CommitInfo{Subject: "all of it"}, nil
}
func (f folder) Files(context.Context, string) (fs.FS, error) { return os.DirFS(f.path), nil }
func (f folder) URL() string                                  { return f.path }
func (f folder) Branch() string                               { return "main" }
