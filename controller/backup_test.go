package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/controller/store"
	"github.com/evenkeel/evenkeel/controller/store/boltstore"
)

// boltLoop is a loop whose store is a file.
func boltLoop(t *testing.T) (l *loop, path string, reopen func()) {
	l, path = newLoop(t, 2, nil), filepath.Join(t.TempDir(), "evenkeel.db")
	reopen = func() {
		t.Helper()
		s, err := boltstore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		l.store, l.opt.Store = s, s
	}
	reopen()
	return l, path, reopen
}

func (l *loop) backup(path string) {
	l.t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if n, err := l.c.Backup(context.Background(), f, "alice"); err != nil || n == 0 {
		l.t.Fatalf("%d bytes, %v", n, err)
	}
}

// A backup that is restored although the controller went on since changes nothing, until
// a person takes over: also where the controller was never started anew in between.
func TestOldBackup(t *testing.T) {
	for _, restarts := range []int{0, 1, 3} {
		t.Run(fmt.Sprintf("%d restarts later", restarts), func(t *testing.T) {
			l, path, reopen := boltLoop(t)
			l.git.commit("c1", fleetFiles(2, "A=1\n"))
			l.start()
			l.eventually("in sync", reconciledAt("c1"))
			old := filepath.Join(t.TempDir(), "backup.db")
			l.backup(old)
			if sum, err := boltstore.Verify(old); err != nil || sum.Epoch == 0 || sum.Records < 4 {
				t.Fatalf("%v: %+v", err, sum)
			}
			l.git.commit("c2", fleetFiles(2, "A=2\n"))
			l.eventually("in sync", reconciledAt("c2"))
			if _, err := l.c.Do(context.Background(), Action{Verb: VerbSuspend, Host: "h2", Reason: "its disk is bad", By: "alice"}); err != nil {
				t.Fatal(err)
			}
			last := "c2"
			for n := range restarts {
				l.stop()
				if err := l.store.Close(); err != nil {
					t.Fatal(err)
				}
				reopen()
				last = fmt.Sprintf("c2.%d", n)
				l.git.commit(last, fleetFiles(2, "A="+last+"\n"))
				l.start()
				l.eventually("its one host is rolled", func(*Snapshot) bool { return l.env("h1") == "A="+last+"\n" })
			}
			h1, h2 := l.env("h1"), l.env("h2")
			l.stop()
			if err := l.store.Close(); err != nil {
				t.Fatal(err)
			}

			b, err := os.ReadFile(old)
			if err == nil {
				err = os.WriteFile(path, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			reopen()
			l.git.commit("c9", fleetFiles(2, "A=9\n"))
			l.start()
			s := l.eventually("frozen", func(s *Snapshot) bool { return s.Conditions.Get(Reconciled).Reason == "Frozen" })
			if why := s.Conditions.Get(Reconciled).Message; !strings.Contains(why, "the store is an old copy") || !strings.Contains(why, "evenkeel take-over") {
				t.Error(why)
			}
			l.hosts.Host("h1").WriteFile("/etc/web/motd", "edited\n", 0o644)
			l.eventually("what is found is shown", func(s *Snapshot) bool {
				return s.Instances[0].Sync == OutOfSync && strings.Contains(s.Instances[0].Reason, "motd") || len(s.Drift) > 0
			})
			if l.env("h1") != h1 || l.env("h2") != h2 {
				t.Errorf("hosts were changed: %q %q", l.env("h1"), l.env("h2"))
			}
			if _, err := l.c.Do(context.Background(), Action{Verb: VerbTakeOver, Reason: "the disk was lost", By: "alice"}); err != nil {
				t.Fatal(err)
			}
			l.eventually("taken over", reconciledAt("c9"))
			if h := l.env("h2"); h != "A=9\n" {
				t.Errorf("h2 has %q: what was suspended after the backup is not known any more", h)
			}
			if es := l.events(ReasonFenced); len(es) != 1 {
				t.Errorf("%d events say that it is fenced off: %v", len(es), es)
			}
		})
	}
}

// A backup of now, restored at once, is as good as the store: nothing was obeyed since.
func TestFreshBackup(t *testing.T) {
	l, path, reopen := boltLoop(t)
	l.git.commit("c1", fleetFiles(2, "A=1\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c1"))
	l.stop()
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "backup.db")
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	n, err := boltstore.CopyFile(context.Background(), path, f)
	if err := errors.Join(err, f.Close(), os.Rename(copied, path)); err != nil || n == 0 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	reopen()
	l.git.commit("c2", fleetFiles(2, "A=2\n"))
	l.start()
	l.eventually("it goes on", reconciledAt("c2"))
	if es := l.events(ReasonFenced); len(es) != 0 {
		t.Errorf("%v", es)
	}
}

// A controller may go on after a backup without end, its own epoch included.
func TestBackupGoesOn(t *testing.T) {
	l, _, _ := boltLoop(t)
	l.git.commit("c0", fleetFiles(2, "A=0\n"))
	l.start()
	l.eventually("in sync", reconciledAt("c0"))
	for n := range 3 {
		l.backup(filepath.Join(t.TempDir(), "backup.db"))
		id := fmt.Sprintf("c%d", n+1)
		l.git.commit(id, fleetFiles(2, "A="+id+"\n"))
		l.eventually("in sync", reconciledAt(id))
	}
	if es := l.events(ReasonOperator); len(es) != 3 || es[0].By != "alice" || !strings.Contains(es[0].Message, "the store was copied") {
		t.Errorf("%v", es)
	}
	if e, err := store.Epoch(context.Background(), l.store); err != nil || e < 4 {
		t.Errorf("epoch %d after three backups: %v", e, err)
	}
}

func TestNothingToBackUp(t *testing.T) {
	l := newLoop(t, 1, nil)
	l.git.commit("c1", fleetFiles(1, "A=1\n"))
	l.start()
	if _, err := l.c.Backup(context.Background(), &bytes.Buffer{}, "alice"); !errors.Is(err, ErrNoBackup) {
		t.Errorf("a store that cannot copy itself: %v", err)
	}
}
