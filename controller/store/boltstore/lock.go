package boltstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/evenkeel/evenkeel/controller/store"
)

// lock is held by the one process that may use a store file. It is a file of its own
// beside it, so that it says who holds it, and holds whatever becomes of the store file.
type lock struct{ file *os.File }

func lockPath(path string) string { return path + ".lock" }

// takeLock takes the lock of the store at path, or tells who has it. The kernel frees
// it when the process ends, however it ends.
func takeLock(path string) (*lock, error) {
	f, err := os.OpenFile(lockPath(path), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, unavailable(path, fmt.Errorf("cannot lock it: %w", err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, unavailable(path, fmt.Errorf("cannot lock it: %w", err))
		}
		return nil, held(path, readHolder(f))
	}
	holder := fmt.Sprintf("process %d", os.Getpid())
	if name, err := os.Hostname(); err == nil {
		holder += " on " + name
	}
	holder += ", since " + time.Now().UTC().Format(time.RFC3339)
	// Who holds it is told as well as can be: on a full disk the lock counts all the same.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(holder+"\n"), 0)
	}
	return &lock{file: f}, nil
}

// held makes the error of a store that another process has.
func held(path, holder string) error {
	if holder == "" {
		holder = "another process"
	}
	return &store.Error{Kind: store.Held, Place: path, Err: fmt.Errorf("two controllers on one store file: it is held by %s", holder),
		Mend: "stop that one first, or give this one a store of its own (store.path)"}
}

// readHolder is what the holder wrote about itself, of which only what prints is taken.
func readHolder(f *os.File) string {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 256))
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f {
			return -1
		}
		return r
	}, line)
}

func (l *lock) release() { _ = l.file.Close() }
