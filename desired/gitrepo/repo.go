package gitrepo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Repo is one branch, or tag, of a remote repository, and the bare repository in which what was
// fetched of it is kept. It is safe for concurrent use; Fetches take turns.
type Repo struct {
	options Options
	limits  Limits
	place   place
	lock    *os.File
	objects *objects

	turn chan struct{} // holds a token while nobody fetches
	// whole and sound are commits and trees of which all is there; see complete. The
	// second has how many files and folders are in each. Only who fetches uses them.
	whole map[plumbing.Hash]bool
	sound map[plumbing.Hash]int64

	mu   sync.Mutex
	last *record
}

// record is what is remembered of the last fetch, in a file of the bare repository.
type record struct {
	URL    string    `json:"url"`
	Branch string    `json:"branch"`
	Commit string    `json:"commit"`
	At     time.Time `json:"at"`
}

const recordFile = "evenkeel.json"

// Open makes or opens the bare repository. Nothing is fetched yet. A second Repo on the
// same folder is refused.
func Open(o Options) (*Repo, error) {
	p, err := parseURL(o.URL)
	if err == nil {
		err = checkRef(o)
	}
	if err != nil {
		return nil, &Error{Kind: Unauthorized, Op: "use the git repository", Err: err}
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	r := &Repo{options: o, limits: o.Limits.withDefaults(), place: p, turn: make(chan struct{}, 1),
		whole: map[plumbing.Hash]bool{}, sound: map[plumbing.Hash]int64{}}
	if err := r.openDirectory(); err != nil {
		return nil, fail("keep a copy of "+p.shown+" in "+o.Dir, Local, err)
	}
	r.turn <- struct{}{}
	return r, nil
}

func (r *Repo) openDirectory() error {
	dir := r.options.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "evenkeel.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return local(errors.New("another evenkeel uses the folder"), "stop that one, or give this one a folder of its own")
		}
		return err
	}
	sweep(dir)
	if err := makeBare(dir, r.Branch()); err != nil {
		_ = lock.Close()
		return err
	}
	r.lock, r.objects = lock, openObjects(dir, r.limits.Object)
	r.last = r.readRecord()
	return nil
}

// readRecord returns what is known of the last fetch of this branch of this repository.
func (r *Repo) readRecord() *record {
	b, err := os.ReadFile(filepath.Join(r.options.Dir, recordFile))
	if err != nil {
		return nil
	}
	var rec record
	if json.Unmarshal(b, &rec) != nil || rec.URL != r.place.shown || rec.Branch != r.Branch() || !isHash(rec.Commit) {
		return nil
	}
	return &rec
}

// Close releases the folder. A Fetch under way must have been ended by its context.
func (r *Repo) Close() error {
	<-r.turn // stays taken: there are no more fetches
	r.objects.close()
	return r.lock.Close()
}

// URL is the repository's, as it may be shown.
func (r *Repo) URL() string { return r.place.shown }

// Branch is the branch's name; of a tag, that below refs.
func (r *Repo) Branch() string {
	if r.options.Tag != "" {
		return "tags/" + r.options.Tag
	}
	return r.options.Branch
}

// ref is what is asked for.
func (r *Repo) ref() string {
	if r.options.Tag != "" {
		return tagPrefix + r.options.Tag
	}
	return branchPrefix + r.options.Branch
}

// Last is the branch's tip as of the last Fetch that succeeded, also of an earlier
// process, and when that was. ok is false where there was none, or its commit cannot be
// read any more.
func (r *Repo) Last() (tip Commit, at time.Time, ok bool) {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if last == nil {
		return Commit{}, time.Time{}, false
	}
	c, err := r.objects.commit(plumbing.NewHash(last.Commit))
	r.objects.lost(err)
	return c, last.At, err == nil
}

func (r *Repo) remember(tip plumbing.Hash) error {
	rec := &record{URL: r.place.shown, Branch: r.Branch(), Commit: tip.String(), At: time.Now().UTC()}
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	ref := filepath.Join(r.options.Dir, "refs", "heads", filepath.FromSlash(r.Branch()))
	if err := os.MkdirAll(filepath.Dir(ref), 0o700); err != nil {
		return err
	}
	if err := writeFile(ref, tip.String()+"\n"); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(r.options.Dir, recordFile), string(text)+"\n"); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = rec
	return nil
}

// Commit returns the commit of that ID, once it was fetched.
func (r *Repo) Commit(id string) (Commit, error) {
	c, err := r.commit(id)
	return c, fail("read the commit", Refused, err)
}

func (r *Repo) commit(id string) (Commit, error) {
	h, err := hashOf(id)
	if err != nil {
		return Commit{}, err
	}
	return r.objects.commit(h)
}

// fetchOp is what Fetch was about, in its errors.
func (r *Repo) fetchOp() string {
	return fmt.Sprintf("fetch %s of %s", r.Branch(), r.place.shown)
}

// takeTurn waits until nobody else fetches.
func (r *Repo) takeTurn(ctx context.Context) error {
	select {
	case <-r.turn:
		return nil
	case <-ctx.Done():
		return unreachable(fmt.Errorf("another fetch is under way: %w", ctx.Err()), "")
	}
}
