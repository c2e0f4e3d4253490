package boltstore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evenkeel/evenkeel/controller/store"
)

// writeUntilKilled is the child of TestKilled: it writes a counter and a record beside
// it, and says each that was acknowledged.
func writeUntilKilled(path string) {
	ctx := context.Background()
	s, err := Open(path)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	r, err := s.Get(ctx, "counter")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	n, version := 0, r.Version
	if len(r.Value) > 0 {
		n, _ = strconv.Atoi(string(r.Value))
	}
	for {
		n++
		if version, err = s.Put(ctx, "counter", []byte(strconv.Itoa(n)), version); err != nil {
			break
		}
		fmt.Println(n)
		key := fmt.Sprintf("bulk/%d", n%20)
		old, _ := s.Get(ctx, key)
		if _, err = s.Put(ctx, key, bytes.Repeat(binary.BigEndian.AppendUint32(nil, uint32(n)), 1000+n%3000), old.Version); err != nil { // #nosec G115
			break
		}
	}
	fmt.Println("error", err)
	os.Exit(1)
}

// Killed at any moment, the store opens again, and holds what was acknowledged.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evenkeel.db")
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	last := 0
	for round := range rounds {
		acknowledged := runAndKill(t, path)
		s, err := Open(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		r, err := s.Get(t.Context(), "counter")
		if err != nil && (acknowledged > 0 || !errors.Is(err, store.ErrNotFound)) {
			t.Fatalf("round %d: %v", round, err)
		}
		n, _ := strconv.Atoi(string(r.Value))
		if n < max(acknowledged, last) || n > max(acknowledged, last)+1 {
			t.Fatalf("round %d: the counter is %d, %d was acknowledged", round, n, acknowledged)
		}
		last = n
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d writes over %d kills", last, rounds)
}

// runAndKill runs the writer for a moment and returns the last write that it saw done.
func runAndKill(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0]) // #nosec G204 -- this test
	cmd.Env = append(os.Environ(), "BOLTSTORE_WRITER="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Duration(5+rand.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Kill() }) // #nosec G404
	defer kill.Stop()
	last := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "error") {
			t.Errorf("the writer: %s", line)
		}
		if n, err := strconv.Atoi(line); err == nil {
			last = n
		}
	}
	_ = cmd.Wait()
	return last
}

// A full disk refuses the write, keeps what was there, and takes writes again once
// there is room.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	s := openStore(t, filepath.Join(dir, "evenkeel.db"))
	v, err := s.Put(t.Context(), "intent", []byte("as it was"), 0)
	if err != nil {
		t.Fatal(err)
	}
	// A neighbour takes the room that is left.
	hog := filepath.Join(dir, "hog")
	f, err := os.Create(hog)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	_ = f.Close()
	for i := range 5 {
		_, err = s.Put(t.Context(), "intent", bytes.Repeat([]byte("new"), 100_000), v)
		if store.KindOf(err) != store.Full || store.MendOf(err) == "" {
			t.Fatalf("write %d: kind %q: %v", i, store.KindOf(err), err)
		}
		if r, err := s.Get(t.Context(), "intent"); err != nil || string(r.Value) != "as it was" || r.Version != v {
			t.Fatalf("after the refused write: %.20q at %d, %v", r.Value, r.Version, err)
		}
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	if v, err = s.Put(t.Context(), "intent", []byte("as it is"), v); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, s.Path())
	if r, err := s.Get(t.Context(), "intent"); err != nil || string(r.Value) != "as it is" || r.Version != v {
		t.Errorf("reopened: %.20q at %d, %v", r.Value, r.Version, err)
	}
}

func TestNoRoomForANewStore(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "evenkeel.db")
	if _, err := Open(path); store.KindOf(err) != store.Full {
		t.Errorf("kind %q: %v", store.KindOf(err), err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a store is left: %v", err)
	}
}
