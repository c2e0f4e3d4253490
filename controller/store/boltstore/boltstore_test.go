package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("BOLTSTORE_WRITER"); path != "" {
		writeUntilKilled(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func newStore(t testing.TB) *Store {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "evenkeel.db"))
}

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return newStore(t) })
}

func fill(t testing.TB, s store.Store, n int) {
	t.Helper()
	for i := range n {
		if _, err := s.Put(t.Context(), fmt.Sprintf("records/%04d", i), bytes.Repeat([]byte{byte(i)}, 200+i%700), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReopen(t *testing.T) {
	s := newStore(t)
	fill(t, s, 50)
	before, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), before[49].Key, before[49].Version); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, s.Path())
	after, err := s.List(t.Context(), "")
	if err != nil || len(after) != 49 {
		t.Fatalf("%d records, %v", len(after), err)
	}
	for i := range after {
		if after[i].Key != before[i].Key || after[i].Version != before[i].Version || !bytes.Equal(after[i].Value, before[i].Value) {
			t.Errorf("%s: %d is now %s: %d", before[i].Key, before[i].Version, after[i].Key, after[i].Version)
		}
	}
	v, err := s.Put(t.Context(), "new", nil, 0)
	if err != nil || v != 52 {
		t.Errorf("the write after 51 others has version %d: %v", v, err)
	}
}

func TestFileIsForItsOwnerAlone(t *testing.T) {
	s := newStore(t)
	for range 2 {
		for _, path := range []string{s.Path(), lockPath(s.Path())} {
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(s.Path(), 0o644); err != nil { // as a careless restore leaves it
			t.Fatal(err)
		}
		s = openStore(t, s.Path())
	}
}

func TestTwoControllersOnOneStoreFile(t *testing.T) {
	s := newStore(t)
	_, err := Open(s.Path())
	if store.KindOf(err) != store.Held {
		t.Fatalf("kind %q: %v", store.KindOf(err), err)
	}
	name, _ := os.Hostname()
	for _, want := range []string{"two controllers on one store file", fmt.Sprintf("process %d on %s, since ", os.Getpid(), name), s.Path()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if store.MendOf(err) == "" {
		t.Error("no mend")
	}
	if _, err := SetAside(s.Path()); store.KindOf(err) != store.Held {
		t.Errorf("set aside under its holder: %v", err)
	}
	fill(t, s, 3)
	// A lock file that somebody removed does not let two in: bbolt has its own.
	if err := os.Remove(lockPath(s.Path())); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Path()); store.KindOf(err) != store.Held {
		t.Errorf("without the lock file: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, s.Path())
}

func TestBackupWhileRunning(t *testing.T) {
	s := newStore(t)
	fill(t, s, 200)
	if _, err := store.RaiseEpoch(t.Context(), s, 6); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			// Two records that always agree, but for the moment between their writes.
			for _, k := range []string{"one", "two"} {
				r, _ := s.Get(t.Context(), k)
				if _, err := s.Put(t.Context(), k, []byte(fmt.Sprint(i)), r.Version); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for i := range 5 {
		path := filepath.Join(t.TempDir(), "restored.db")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.Backup(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := f.Stat(); info.Size() != n {
			t.Errorf("%d bytes of %d", info.Size(), n)
		}
		_ = f.Close()
		restored := openStore(t, path)
		all, err := restored.List(t.Context(), "records/")
		if err != nil || len(all) != 200 {
			t.Errorf("backup %d has %d records: %v", i, len(all), err)
		}
		if e, err := store.Epoch(t.Context(), restored); err != nil || e != 7 {
			t.Errorf("backup %d has epoch %d, %v", i, e, err)
		}
	}
	close(stop)
	wg.Wait()
	// A store that went on is told from its restored backup by the epoch.
	if e, err := store.RaiseEpoch(t.Context(), s, 0); err != nil || e != 8 {
		t.Errorf("epoch %d, %v", e, err)
	}
}

type failingWriter struct{ left int }

var errTarget = errors.New("the target is full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errTarget
	}
	return len(p), nil
}

func TestBackupThatFailsSaysNothingOfTheStore(t *testing.T) {
	s := newStore(t)
	fill(t, s, 100)
	_, err := s.Backup(t.Context(), &failingWriter{left: 20_000})
	if !errors.Is(err, errTarget) || store.KindOf(err) != "" {
		t.Errorf("kind %q: %v", store.KindOf(err), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	if _, err := s.Backup(ctx, w); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	fill2 := func() error { _, err := s.Put(t.Context(), "after", nil, 0); return err }
	if err := fill2(); err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func BenchmarkPut(b *testing.B) {
	s := newStore(b)
	value := bytes.Repeat([]byte("x"), 2000)
	v := uint64(0)
	for b.Loop() {
		var err error
		if v, err = s.Put(b.Context(), "k", value, v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s := newStore(b)
	for i := range 100 { // some 50 MB
		if _, err := s.Put(b.Context(), fmt.Sprint(i), make([]byte, 500_000), 0); err != nil {
			b.Fatal(err)
		}
	}
	path := s.Path()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}

// A file is copied and looked at without being changed, nor who may use it.
func TestVerifyAndCopyFile(t *testing.T) {
	s := newStore(t)
	fill(t, s, 40)
	if _, err := store.RaiseEpoch(t.Context(), s, 6); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := CopyFile(t.Context(), s.Path(), f); store.KindOf(err) != store.Held || !strings.Contains(err.Error(), fmt.Sprintf("process %d on", os.Getpid())) {
		t.Errorf("of one that is in use: %v", err)
	}
	if _, err := Verify(s.Path()); store.KindOf(err) != store.Held {
		t.Errorf("of one that is in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(lockPath(s.Path())), os.Chmod(s.Path(), 0o640)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	n, err := CopyFile(t.Context(), s.Path(), f)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(s.Path())
	info, serr := os.Stat(s.Path())
	if err := errors.Join(err, serr); err != nil || !bytes.Equal(before, after) || info.Mode().Perm() != 0o640 {
		t.Errorf("the file was changed: %v", err)
	}
	if _, err := os.Stat(lockPath(s.Path())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a lock was left: %v", err)
	}
	sum, err := Verify(copied)
	if want := (Summary{Path: copied, Bytes: n, Records: 41, Writes: 41, Epoch: 7}); err != nil || sum != want {
		t.Errorf("%+v, want %+v: %v", sum, want, err)
	}
	for name, want := range map[string]store.Kind{"nothing": store.Unavailable, "text": store.Foreign, "half": store.Damaged, "flipped": store.Damaged, "folder": store.Foreign} {
		path := filepath.Join(t.TempDir(), name)
		switch name {
		case "text":
			err = os.WriteFile(path, bytes.Repeat([]byte("some text\n"), 5000), 0o600)
		case "half":
			err = os.WriteFile(path, before[:n/2], 0o600)
		case "flipped":
			bad := bytes.Clone(before[:n])
			bad[bytes.LastIndexByte(bad, 7)] ^= 1 // within a value
			err = os.WriteFile(path, bad, 0o600)
		case "folder":
			err = os.Mkdir(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(path); store.KindOf(err) != want {
			t.Errorf("%s: kind %q: %v", name, store.KindOf(err), err)
		}
	}
}
