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
	if err := run(process, time.Now()); err != nil {
		fmt.Fprintf(os.Stderr, "economy-snapshot: %v\n", err)
		os.Exit(1)
	}
}

// Snapshot is what a file holds.
type Snapshot struct {
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
	snapshot := Snapshot{TakenAt: now.UTC(), Instance: instance, Version: service.Version}
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
