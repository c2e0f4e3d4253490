package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func main() {
	process := service.NewProcess("economy-snapshot", service.NewEnv(os.LookupEnv), os.Stderr)
	do := func() error { return run(process, time.Now()) }
	if len(os.Args) > 1 {
		do = func() error { return command(process, os.Args[1:]) }
	}
	if err := do(); err != nil {
		fmt.Fprintf(os.Stderr, "economy-snapshot: %v\n", err)
		os.Exit(1)
	}
}

// command is what is asked for by name: to migrate the shelf.
func command(p *service.Process, args []string) error {
	if len(args) != 1 || args[0] != "migrate" {
		return fmt.Errorf("cannot do %q: the only command is migrate", args)
	}
	shelf := shelf{dir: p.Env.String("SNAPSHOT_DIR", "/var/lib/nullspace/economy")}
	if err := p.Env.Err(); err != nil {
		return err
	}
	n, err := shelf.migrate()
	if err != nil {
		return err
	}
	p.Log.Info("shelf is of this format", "dir", shelf.dir, "format", format, "migrated", n)
	return nil
}

// format is the form of the snapshots that this program writes. Those of format 1 did not
// say so.
const format = 2

// Snapshot is what a file holds.
type Snapshot struct {
	Format   int             `json:"format"`
	TakenAt  time.Time       `json:"takenAt"`
	Instance string          `json:"instance"`
	Version  string          `json:"version"`
	State    json.RawMessage `json:"state"` // the simulator's own words
}

func run(p *service.Process, now time.Time) error {
	url := p.Env.URL("SNAPSHOT_SIMULATOR_URL")
	shelf := shelf{
		dir:  p.Env.String("SNAPSHOT_DIR", "/var/lib/nullspace/economy"),
		keep: p.Env.Number("SNAPSHOT_KEEP", 48, 1),
	}
	timeout := p.Env.Duration("SNAPSHOT_TIMEOUT", 30*time.Second)
	instance := p.Env.Instance()
	if err := p.Env.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	snapshot := Snapshot{Format: format, TakenAt: now.UTC(), Instance: instance, Version: service.Version}
	if err := service.GetJSON(ctx, url+"/state", &snapshot.State); err != nil {
		return fmt.Errorf("cannot take a snapshot: %w", err)
	}
	path, err := shelf.put(snapshot)
	if err != nil {
		return err
	}
	removed, err := shelf.prune()
	if err != nil {
		return err
	}
	p.Log.Info("snapshot written", "path", path, "removed", removed)
	return nil
}
