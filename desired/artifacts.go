package desired

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// maxArtifact bounds an artifact, as its source and as it travels.
const maxArtifact = 8 << 30

// ArtifactFile is an artifact's source at hand.
type ArtifactFile struct {
	Size int64
	Open func() (io.ReadCloser, error)
}

// artifacts finds artifacts and remembers, for a Revision, what they are. It is
// safe for concurrent use.
type artifacts struct {
	tree  *tree
	dir   string        // the folder of fleet.yaml
	store ArtifactStore // nil: only files of the repo

	mu    sync.Mutex
	known map[string]*bundle
	busy  map[string]*sync.Mutex
}

func newArtifacts(t *tree, dir string, store ArtifactStore) *artifacts {
	return &artifacts{tree: t, dir: dir, store: store, known: map[string]*bundle{}, busy: map[string]*sync.Mutex{}}
}

// compiledArtifact is an ArtifactSpec with its templates parsed.
type compiledArtifact struct {
	spec           ArtifactSpec
	source, digest *tmpl
	dynamic        bool
	sourceAt       Position
	digestAt       Position
	signatureAt    Position
}

func (c *compiler) artifact(i int, spec ArtifactSpec) *compiledArtifact {
	at := fmt.Sprintf("artifacts[%d]", i)
	a := &compiledArtifact{spec: spec, sourceAt: c.svc.At(at + ".source"), digestAt: c.svc.At(at + ".sha256"), signatureAt: c.svc.At(at + ".signature")}
	for _, part := range []struct {
		text string
		into **tmpl
		at   Position
	}{{spec.Source, &a.source, a.sourceAt}, {spec.SHA256, &a.digest, a.digestAt}} {
		if !isTemplate(part.text) {
			continue
		}
		a.dynamic = true
		t, f := parseTemplate(part.text, part.at)
		if f != nil {
			c.fault(f)
		}
		*part.into = t
	}
	if a.source == nil && !strings.Contains(spec.Source, "://") {
		if _, err := c.store.find(spec.Source); err != nil {
			c.fault(sourceFault(err, a.sourceAt))
		}
	}
	return a
}

// of is the artifact for one host. What comes from elsewhere is fetched.
func (a *compiledArtifact) of(ctx context.Context, store *artifacts, sc *scope) (Artifact, *Fault) {
	source, digest := a.spec.Source, a.spec.SHA256
	for _, part := range []struct {
		t    *tmpl
		into *string
		at   Position
	}{{a.source, &source, a.sourceAt}, {a.digest, &digest, a.digestAt}} {
		if part.t == nil {
			continue
		}
		text, f := part.t.render(sc.vars(), part.at)
		if f != nil {
			return Artifact{}, f
		}
		*part.into = strings.TrimSpace(string(text))
	}
	if message, mend := checkArtifactSource(source, digest); message != "" {
		return Artifact{}, &Fault{Pos: a.sourceAt, Rule: "artifact", Message: message, Mend: mend}
	}
	if digest != "" && !sha256Hex.MatchString(digest) {
		return Artifact{}, &Fault{Pos: a.digestAt, Rule: "wrong-value", Message: "sha256 is not 64 lower-case hexadecimal digits", Mend: "sha256sum FILE writes it"}
	}
	if a.spec.Pull == pullHost {
		if message, mend := checkPullSource(source); message != "" {
			return Artifact{}, &Fault{Pos: a.sourceAt, Rule: "artifact", Message: message, Mend: mend}
		}
	}
	var b *bundle
	var err error
	if a.readHere() {
		b, err = store.get(ctx, source, digest, a.unpacks(source))
	} else {
		b = store.pinned(source, digest, a.unpacks(source))
	}
	if err != nil {
		f := sourceFault(err, a.sourceAt)
		if f.Rule == "unreadable" {
			f.Rule = "artifact"
		}
		return Artifact{}, f
	}
	if digest != "" && digest != b.sourceSHA256 {
		return Artifact{}, &Fault{Pos: a.digestAt, Rule: "artifact", Message: fmt.Sprintf("%s has the sha256 %s, not %s", hostdriver.RedactURLs(source), b.sourceSHA256, digest),
			Mend: "write its sha256, or put the right file there"}
	}
	if a.spec.Signature != nil && (b.raw != nil || !a.readHere() && store.store != nil) {
		if err := store.proven(ctx, a.spec.Signature, source, b); err != nil {
			return Artifact{}, &Fault{Pos: a.signatureAt, Rule: "artifact", Message: "artifact " + fault.Quote(hostdriver.RedactURLs(source)) + ": " + hostdriver.RedactURLs(err.Error()),
				Mend: "see who has made that file, and whether it is the one that was signed"}
		}
	}
	return a.artifact(source, b), nil
}

// proven proves a signature, once for a Revision.
func (s *artifacts) proven(ctx context.Context, spec *SignatureSpec, source string, b *bundle) error {
	b.proving.Lock()
	defer b.proving.Unlock()
	if b.proven == *spec {
		return nil
	}
	if err := s.verify(ctx, spec, source, b); err != nil {
		return err
	}
	b.proven = *spec
	return nil
}

func (a *compiledArtifact) artifact(source string, b *bundle) Artifact {
	return Artifact{
		Name: a.spec.Name, SHA256: b.sourceSHA256, Size: b.sourceSize, StreamSHA256: b.sha256, StreamSize: b.size,
		Link: a.spec.Path, Release: path.Join(path.Dir(a.spec.Path), ".releases", a.spec.Name, b.sourceSHA256),
		Form: b.form, Owner: or(a.spec.Owner, "root"), Group: or(a.spec.Group, "root"),
		Source: source, Pull: a.pull(source), Open: b.open, ChangeMode: changeOf(a.spec.ChangeMode),
	}
}

// unpacks tells whether the source is a bundle.
func (a *compiledArtifact) unpacks(source string) bool {
	if IsGitArchive(source) {
		return true
	}
	switch a.spec.Unpack {
	case "tar", "zip":
		return true
	case "none":
		return false
	}
	if u, err := url.Parse(source); err == nil && u.Scheme != "" {
		source = u.Path
	}
	for _, ending := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip"} {
		if strings.HasSuffix(source, ending) {
			return true
		}
	}
	return false
}

// find is the path of a file of the repo: from the folder of fleet.yaml, else from
// the root.
func (s *artifacts) find(source string) (string, error) {
	var first error
	for _, dir := range []string{s.dir, "."} {
		p, err := joinSource(dir, source)
		if err != nil {
			if se, ok := err.(*sourceError); ok && se.rule == "escape" {
				se.message = strings.Replace(se.message, "leaves the service's folder", "leaves the repo", 1)
				se.mend = "name it from the folder of fleet.yaml, or from the repo's root"
			}
			return "", err
		}
		e, err := s.tree.entry(p)
		if err == nil && !e.Type().IsRegular() {
			err = &sourceError{rule: "not-a-file", message: p + " is not a regular file", mend: "pack a folder into a .tar.zst"}
		}
		if err == nil {
			return p, nil
		}
		if first == nil {
			first = err
		}
	}
	return "", first
}

// get finds or fetches a source and reads it through once. Failures are not
// remembered.
func (s *artifacts) get(ctx context.Context, source, digest string, unpack bool) (*bundle, error) {
	key := fmt.Sprintf("%t %s %s", unpack, digest, source)
	s.mu.Lock()
	mu := s.busy[key]
	if mu == nil {
		mu = &sync.Mutex{}
		s.busy[key] = mu
	}
	s.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	s.mu.Lock()
	b := s.known[key]
	s.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := s.load(ctx, source, digest, unpack)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.known[key] = b
	s.mu.Unlock()
	return b, nil
}

func (s *artifacts) load(ctx context.Context, source, digest string, unpack bool) (*bundle, error) {
	if !strings.Contains(source, "://") {
		p, err := s.find(source)
		if err != nil {
			return nil, err
		}
		return readBundle(source, unpack, func() (io.ReadCloser, error) {
			f, _, err := s.tree.open(p, maxArtifact)
			return f, err
		})
	}
	if s.store == nil {
		if digest == "" { // of a commit: until its archive is made, its name must do
			digest = hostdriver.NewContent([]byte(source)).SHA256()
		}
		return absentBundle(digest, unpack), nil
	}
	file, err := s.store.Fetch(ctx, source, digest)
	if err != nil {
		mend := "see that the URL answers, and that sha256 is that of the file"
		var m interface{ Mend() string }
		if errors.As(err, &m) && m.Mend() != "" {
			mend = m.Mend()
		}
		return nil, &sourceError{rule: "artifact", message: "cannot fetch " + fault.Quote(hostdriver.RedactURLs(source)) + ": " + hostdriver.RedactURLs(err.Error()), mend: mend}
	}
	return readBundle(source, unpack, file.Open)
}

// absentBundle is what is known of a source that is not at hand.
func absentBundle(digest string, unpack bool) *bundle {
	if unpack {
		return &bundle{sourceSHA256: digest, form: hostdriver.FormTar, size: -1, sourceSize: -1}
	}
	return &bundle{sourceSHA256: digest, form: hostdriver.FormFile, size: -1, sourceSize: -1, sha256: digest}
}
