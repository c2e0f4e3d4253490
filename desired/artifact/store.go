package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/gitrepo"
)

// Bounds of a fetch.
const (
	maxBytes    = 8 << 30
	maxRedirect = 5
	headerWait  = 30 * time.Second
	stallAfter  = time.Minute // without a byte
)

// Store is a cache of artifacts in a directory. Several processes may share it.
// It is safe for concurrent use: the same artifact is fetched once at a time.
type Store struct {
	dir    string
	client *http.Client
	stall  time.Duration
	pause  time.Duration       // before a fetch that failed is tried again; it doubles
	logins auth.CredentialFunc // for registries; nil: none

	// Git gives how the git repository at a URL is reached: URL, Branch, Tag and Dir of
	// what it gives are not used. It is set before the Store is used; nil: folders and what
	// https gives to everybody.
	Git func(url string) gitrepo.Options

	mu   sync.Mutex
	busy map[string]*sync.Mutex
}

var (
	_ desired.ArtifactStore  = (*Store)(nil)
	_ desired.SignatureStore = (*Store)(nil)
)

// New makes a Store in dir, which is made where it is missing. The transport is
// http.DefaultTransport's kind where nil. Redirects are followed to https only.
func New(dir string, transport http.RoundTripper) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the artifact cache: %w", err)
	}
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = headerWait
		transport = t
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Scheme != "https" {
			return &refusalError{fmt.Errorf("redirected to %s, which is not https", req.URL.Redacted())}
		}
		if len(via) >= maxRedirect {
			return &refusalError{fmt.Errorf("redirected more than %d times", maxRedirect)}
		}
		return nil
	}}
	return &Store{dir: dir, client: client, stall: stallAfter, pause: firstPause, logins: dockerLogins(), busy: map[string]*sync.Mutex{}}, nil
}

// Fetch makes sure that the artifact is in the cache, whole and with that digest.
func (s *Store) Fetch(ctx context.Context, url, digest string) (desired.ArtifactFile, error) {
	if desired.IsGitArchive(url) {
		return s.commit(ctx, url, digest)
	}
	if len(digest) != 2*sha256.Size {
		return desired.ArtifactFile{}, errors.New("no sha256 is pinned")
	}
	if name, ok := strings.CutPrefix(url, "file://"); ok {
		return local(name)
	}
	unlock := s.lock(digest)
	defer unlock()
	path := filepath.Join(s.dir, digest)
	size, err := verify(path, digest)
	if err != nil {
		if size, err = s.download(ctx, url, digest, path); err != nil {
			return desired.ArtifactFile{}, err
		}
	}
	return desired.ArtifactFile{Size: size, Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// lock serialises what is done about one digest.
func (s *Store) lock(digest string) (unlock func()) {
	s.mu.Lock()
	m := s.busy[digest]
	if m == nil {
		m = &sync.Mutex{}
		s.busy[digest] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// verify digests a cached file; one that is damaged is removed.
func verify(path, digest string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return 0, err
	}
	if hex.EncodeToString(h.Sum(nil)) != digest {
		_ = os.Remove(path)
		return 0, fs.ErrNotExist
	}
	return n, nil
}

// local is a file of this machine, which is read where it is. Whether it is the right one
// turns out when it is read.
func local(name string) (desired.ArtifactFile, error) {
	info, err := os.Stat(name)
	if err != nil {
		return desired.ArtifactFile{}, err
	}
	if !info.Mode().IsRegular() {
		return desired.ArtifactFile{}, fmt.Errorf("%s is not a regular file", name)
	}
	return desired.ArtifactFile{Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(name) }}, nil
}

// maxSignature bounds a signature, in bytes.
const maxSignature = 64 << 10

// FetchSignature fetches a small file, which is not kept.
func (s *Store) FetchSignature(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.stall)
	defer cancel()
	var body io.ReadCloser
	var err error
	if name, ok := strings.CutPrefix(url, "file://"); ok {
		var f desired.ArtifactFile
		if f, err = local(name); err == nil {
			body, err = f.Open()
		}
	} else {
		body, err = s.get(ctx, url)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxSignature+1))
	if err == nil && len(b) > maxSignature {
		err = fmt.Errorf("it has more than %d bytes, which no signature has", maxSignature)
	}
	return b, err
}

// get asks for all of a file.
func (s *Store) get(ctx context.Context, url string) (io.ReadCloser, error) {
	resp, err := s.ask(ctx, url, 0, "")
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, &answerError{resp}
	}
	return resp.Body, nil
}

// ask asks for a file from a byte on: where validator is given, only if it is still that one.
func (s *Store) ask(ctx context.Context, url string, from int64, validator string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &refusalError{err}
	}
	if req.URL.Scheme != "https" {
		return nil, &refusalError{fmt.Errorf("%s is not https", req.URL.Redacted())}
	}
	// Without this a server's gzip would be undone on the way, and the digest with it.
	req.Header.Set("Accept-Encoding", "identity")
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		if validator != "" {
			req.Header.Set("If-Range", validator)
		}
	}
	return s.client.Do(req)
}

// settle makes a written file durable under its name.
func settle(tmp *os.File, path string) error {
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

var errStalled = errors.New("no byte came for too long")

// causeOf is why a context was ended, where that is what the error comes from.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watched ends a context when nothing is read for a while.
type watched struct {
	r     io.Reader
	after time.Duration
	timer *time.Timer
}

func watch(r io.Reader, after time.Duration, cancel context.CancelCauseFunc) *watched {
	return &watched{r: r, after: after, timer: time.AfterFunc(after, func() { cancel(errStalled) })}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.timer.Reset(w.after)
	}
	return n, err
}

func (w *watched) stop() { w.timer.Stop() }
