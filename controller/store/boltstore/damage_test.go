package boltstore

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/evenkeel/evenkeel/controller/store"
)

// filled is the bytes of a store file with n records of some hundred bytes.
func filled(t testing.TB, n int) []byte {
	t.Helper()
	s := newStore(t)
	fill(t, s, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return b[:usedPages(t, b)*4096] // what follows is room to grow
}

// openBytes opens a store file of that content, and makes sure that what is refused is
// left as it is, and is not held.
func openBytes(t testing.TB, b []byte) (*Store, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "evenkeel.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
		return s, nil
	}
	if !strings.Contains(err.Error(), path) || store.MendOf(err) == "" {
		t.Errorf("the error names neither place nor mend: %v; %s", err, store.MendOf(err))
	}
	if after, rerr := os.ReadFile(path); rerr != nil || string(after) != string(b) {
		t.Errorf("a refused file was changed: %v", rerr)
	}
	if l, lerr := takeLock(path); lerr != nil {
		t.Errorf("a refused file is still held: %v", lerr)
	} else {
		l.release()
	}
	return nil, err
}

func TestTruncatedAtEveryPage(t *testing.T) {
	whole := filled(t, 60)
	pages := usedPages(t, whole)
	for cut := 0; cut < pages; cut++ {
		for _, size := range []int{cut * 4096, cut*4096 + 1, cut*4096 + 2049} {
			if _, err := openBytes(t, whole[:size]); store.KindOf(err) != store.Damaged {
				t.Errorf("%d of %d bytes: kind %q: %v", size, len(whole), store.KindOf(err), err)
			}
		}
	}
	s, err := openBytes(t, whole[:pages*4096])
	if err != nil {
		t.Fatalf("nothing but free room cut off: %v", err)
	}
	fill2, err := s.Put(t.Context(), "more", make([]byte, 100_000), 0)
	if err != nil || fill2 != 61 {
		t.Errorf("version %d, %v", fill2, err)
	}
}

func usedPages(t testing.TB, b []byte) int {
	t.Helper()
	m, err := newestMeta(strings.NewReader(string(b)), int64(len(b)))
	if err != nil || m.pageSize != 4096 {
		t.Skipf("page size %d: %v", m.pageSize, err)
	}
	return int(m.pages) // #nosec G115 -- a small file
}

// A page that was never written, or written with something else, is never read as
// fewer records than there were.
func TestTornPages(t *testing.T) {
	whole := filled(t, 60)
	rng := rand.New(rand.NewPCG(1, 2)) // #nosec G404
	damages := map[string]func(page []byte){
		"zeroed":    func(p []byte) { clear(p) },
		"half":      func(p []byte) { clear(p[len(p)/2:]) },
		"noise":     func(p []byte) { fillRandom(rng, p) },
		"first":     func(p []byte) { fillRandom(rng, p[:512]) },
		"one bit":   func(p []byte) { p[rng.IntN(len(p))] ^= 1 << rng.IntN(8) },
		"header":    func(p []byte) { p[8] ^= 3 },
		"count":     func(p []byte) { binary.NativeEndian.PutUint16(p[10:], binary.NativeEndian.Uint16(p[10:])+7) },
		"one fewer": func(p []byte) { binary.NativeEndian.PutUint16(p[10:], binary.NativeEndian.Uint16(p[10:])-1) },
		"overflow":  func(p []byte) { binary.NativeEndian.PutUint32(p[12:], 1<<30) },
	}
	refused, opened := 0, 0
	for name, damage := range damages {
		for page := 0; page < usedPages(t, whole); page++ {
			b := append([]byte(nil), whole...)
			damage(b[page*4096 : (page+1)*4096])
			s, err := openBytes(t, b)
			if err != nil {
				refused++
				if kind := store.KindOf(err); kind != store.Damaged && (page > 1 || !kind.Unreadable()) {
					t.Errorf("page %d %s: kind %q: %v", page, name, kind, err)
				}
				continue
			}
			opened++ // a free page, or one of the two meta pages
			if all, err := s.List(t.Context(), ""); err != nil || len(all) < 59 {
				t.Errorf("page %d %s: it opens, with %d records: %v", page, name, len(all), err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d damaged files: %d refused, %d whole all the same", refused+opened, refused, opened)
	if refused < opened {
		t.Errorf("only %d of %d damages were seen", refused, refused+opened)
	}
}

func fillRandom(rng *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
}

// A page of an older write in place of a newer one is whole in itself.
func TestLostWrite(t *testing.T) {
	s := newStore(t)
	fill(t, s, 60)
	old, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r, err := s.Get(t.Context(), "records/0007")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), "records/0007", []byte(fmt.Sprint("newer ", i)), r.Version); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	current, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for page := 2; page < min(usedPages(t, current), len(old)/4096); page++ {
		b := append([]byte(nil), current...)
		copy(b[page*4096:(page+1)*4096], old[page*4096:])
		if string(b) == string(current) {
			continue
		}
		s, err := openBytes(t, b)
		if err != nil {
			seen++
			continue
		}
		if r, err := s.Get(t.Context(), "records/0007"); err != nil || string(r.Value) != "newer 2" {
			t.Errorf("page %d: %.20q, %v", page, r.Value, err)
		}
	}
	if seen == 0 {
		t.Error("no lost write was seen")
	}
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	otherBolt := filepath.Join(dir, "other.db")
	db, err := bolt.Open(otherBolt, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("somebody's")); return err }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	bolted, err := os.ReadFile(otherBolt)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		kind    store.Kind
		says    string
	}{
		"empty":         {nil, store.Damaged, "truncated"},
		"a text":        {[]byte("store: {path: /var/lib/evenkeel}\n"), store.Damaged, ""},
		"a long text":   {[]byte(strings.Repeat("not a store file\n", 5000)), store.Foreign, "no store file"},
		"zeros":         {make([]byte, 65536), store.Foreign, "no store file"},
		"another bolt":  {bolted, store.Foreign, "not evenkeel's"},
		"a newer store": {withFormat(t, "2"), store.Newer, "newer format: 2, this evenkeel knows 1"},
		"no format":     {withFormat(t, "x"), store.Damaged, "format"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openBytes(t, c.content)
			if store.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("kind %q: %v", store.KindOf(err), err)
			}
			if !store.KindOf(err).Unreadable() {
				t.Error("it does not count as unreadable")
			}
		})
	}
	if _, err := Open(dir); store.KindOf(err) != store.Foreign && store.KindOf(err) != store.Unavailable {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "missing", "evenkeel.db")); store.KindOf(err) != store.Unavailable {
		t.Errorf("in no folder: %v", err)
	}
}

func withFormat(t *testing.T, format string) []byte {
	t.Helper()
	s := newStore(t)
	fill(t, s, 3)
	if err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketOwn).Put(keyFormat, []byte(format)) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSetAside(t *testing.T) {
	whole := filled(t, 5)
	path := filepath.Join(t.TempDir(), "evenkeel.db")
	if err := os.WriteFile(path, whole[:9000], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); store.KindOf(err) != store.Damaged {
		t.Fatal(err)
	}
	aside, err := SetAside(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(aside); err != nil || len(b) != 9000 {
		t.Errorf("aside: %d bytes, %v", len(b), err)
	}
	s := openStore(t, path)
	// The hosts have obeyed epoch 12: with a person's word the new store goes on above it.
	if e, err := store.RaiseEpoch(t.Context(), s, 12); err != nil || e != 13 {
		t.Errorf("epoch %d, %v", e, err)
	}
}

// A page that goes bad while the store is in use stops it: nothing is read from it or
// written to it any more.
func TestDamagedWhileInUse(t *testing.T) {
	s := newStore(t)
	fill(t, s, 60)
	f, err := os.OpenFile(s.Path(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := int64(2); page < 40; page++ {
		if _, err := f.WriteAt(make([]byte, 4096), page*4096); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.List(t.Context(), ""); store.KindOf(err) != store.Damaged {
		t.Errorf("list: %v", err)
	}
	if _, err := s.Put(t.Context(), "new", nil, 0); store.KindOf(err) != store.Damaged {
		t.Errorf("put: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
