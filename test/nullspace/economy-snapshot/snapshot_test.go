package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func simulator(t *testing.T, code int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/state" {
			code = http.StatusNotFound
		}
		service.WriteJSON(w, code, map[string]int{"tick": 7})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func snapshot(url, dir string, now time.Time) error {
	env := service.MapEnv(map[string]string{
		"SNAPSHOT_SIMULATOR_URL": url, "SNAPSHOT_DIR": dir, "SNAPSHOT_KEEP": "3", "NULLSPACE_INSTANCE": "core-1",
	})
	return run(service.NewProcess("economy-snapshot", env, io.Discard), now)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return strings.Join(all, " ")
}

func TestSnapshotsAreWrittenAndTheOldestGo(t *testing.T) {
	dir, url := t.TempDir(), simulator(t, http.StatusOK)
	if err := os.WriteFile(filepath.Join(dir, "economy-notes.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for hour := range 5 {
		if err := snapshot(url, dir, noon.Add(time.Duration(hour)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	want := "economy-20260301T140000Z.json economy-20260301T150000Z.json economy-20260301T160000Z.json economy-notes.txt"
	if got := names(t, dir); got != want {
		t.Errorf("the directory holds %s, want %s", got, want)
	}
	content, err := os.ReadFile(filepath.Join(dir, "economy-20260301T140000Z.json"))
	if err != nil {
		t.Fatal(err)
	}
	var taken Snapshot
	if err := json.Unmarshal(content, &taken); err != nil {
		t.Fatal(err)
	}
	var state struct{ Tick int }
	if err := json.Unmarshal(taken.State, &state); err != nil {
		t.Fatal(err)
	}
	if taken.Instance != "core-1" || !taken.TakenAt.Equal(noon.Add(2*time.Hour)) || state.Tick != 7 {
		t.Errorf("snapshot is %s", content)
	}
}

func TestASecondRunInOneSecondReplacesTheFirst(t *testing.T) {
	dir, url, now := t.TempDir(), simulator(t, http.StatusOK), time.Unix(1_700_000_000, 0)
	for range 2 {
		if err := snapshot(url, dir, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); got != "economy-20231114T221320Z.json" {
		t.Errorf("the directory holds %s", got)
	}
}

func TestAFailedRunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := snapshot(simulator(t, http.StatusServiceUnavailable), dir, time.Now()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("with an unwell simulator: %v", err)
	}
	if err := snapshot("", dir, time.Now()); err == nil || !strings.Contains(err.Error(), "SNAPSHOT_SIMULATOR_URL is not set") {
		t.Errorf("without a simulator: %v", err)
	}
	url := simulator(t, http.StatusOK)
	absent := filepath.Join(dir, "absent")
	if err := snapshot(url, absent, time.Now()); err == nil || !strings.Contains(err.Error(), absent) {
		t.Errorf("without a directory: %v", err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("the directory holds %s", got)
	}
}

func migrate(dir string) error {
	env := service.MapEnv(map[string]string{"SNAPSHOT_DIR": dir})
	return command(service.NewProcess("economy-snapshot", env, io.Discard), []string{"migrate"})
}

func TestAnOldShelfIsMigratedOnce(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "economy-20260301T140000Z.json")
	if err := os.WriteFile(old, []byte(`{"takenAt": "2026-03-01T14:00:00Z", "instance": "core-1", "version": "1", "state": {"tick": 7}}`), 0o640); err != nil {
		t.Fatal(err)
	}
	var before string
	for range 2 {
		if err := migrate(dir); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(old)
		if err != nil {
			t.Fatal(err)
		}
		var taken Snapshot
		if err := json.Unmarshal(content, &taken); err != nil || taken.Format != format || taken.Instance != "core-1" || !strings.Contains(string(taken.State), "7") {
			t.Fatalf("%v: %s", err, content)
		}
		if before != "" && before != string(content) {
			t.Errorf("migrated twice: %s, then %s", before, content)
		}
		before = string(content)
	}
	if got := names(t, dir); got != "economy-20260301T140000Z.json" {
		t.Errorf("the directory holds %s", got)
	}
}

func TestAShelfThatIsNotThereNeedsNoMigration(t *testing.T) {
	if err := migrate(filepath.Join(t.TempDir(), "economy")); err != nil {
		t.Error(err)
	}
}

func TestANewerShelfIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "economy-20260301T140000Z.json")
	if err := os.WriteFile(path, []byte(`{"format": 9}`), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := migrate(dir); err == nil || !strings.Contains(err.Error(), "format 9") {
		t.Errorf("%v", err)
	}
}
