package sshdriver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// stage sends the manifest with the script; the host answers with what it lacks and with
// what it has of that, and only the rest is then sent, on the same command's standard input.
func (d *Driver) stage(f hostdriver.Fence, op hostdriver.Stage) (*change, error) {
	s := d.mutation(f, "facts", "entry", "reserve", "images", "stage", "release", "trial")
	manifest, err := encodeManifest(op.Manifest, s.nonce)
	if err != nil {
		return nil, err
	}
	parcels, err := packParcels(op)
	if err != nil {
		return nil, err
	}
	parcels.driver = d
	var keys []string
	for _, e := range op.Manifest.Entries {
		if e.Kind == hostdriver.KindRelease {
			keys = append(keys, releaseKey(e.Name))
		}
	}
	var images []string
	for _, img := range op.Images {
		if err := img.Check(); err != nil {
			return nil, err
		}
		images = append(images, img.Tool+"\t"+img.Name)
	}
	s.set("IMAGES", strings.Join(images, "\n"))
	s.set("GEN", fmt.Sprint(op.Manifest.Generation))
	s.set("MANIFEST", strings.TrimSuffix(manifest, "\n"))
	s.set("BLOBS", parcels.blobLines())
	s.set("RELEASES", parcels.releaseLines())
	s.setList("KEYS", keys)
	if err := s.setPulls(parcels.pulls, d.pullTimes); err != nil {
		return nil, err
	}
	if err := s.setTrial(op.Trial); err != nil {
		return nil, err
	}
	return &change{request: request{script: s, call: "op_stage", payload: parcels.payload(s.nonce)},
		result: parcels.result, failure: parcels.blame, again: saysRetry, end: parcels.end}, nil
}

// releaseKey names the record of a release on the host.
func releaseKey(path string) string { return hostdriver.ReleaseKey(path) }

// parcels are what may have to travel: blobs by digest, releases by key.
type parcels struct {
	driver   *Driver
	blobs    map[string]hostdriver.Content
	digests  []string // of the blobs, sorted
	releases []hostdriver.Release
	pulls    []hostdriver.Release // what the host fetches by itself
	trial    hostdriver.Trial
	sent     atomic.Int64

	ctx context.Context
	end func() // lets go of all packs

	mu     sync.Mutex
	source error // why a release could not be read to its end here
	packs  []packKey
}

// blame: a host that got too little says so, but the cause is on this side.
func (p *parcels) blame(e *hostdriver.Error, records []record) {
	pullFailure(p.pulls, e, records)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range p.packs {
		p.driver.packs.spoil(key)
	}
	if p.source != nil {
		e.Err = fmt.Errorf("%w; nothing of it was kept there", p.source)
		e.Mend = "see whether the artifact is whole where it is fetched from"
	}
}

// uses remembers which packs were sent.
func (p *parcels) uses(key packKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packs = append(p.packs, key)
}

func (p *parcels) unreadable(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.source = err
	return err
}

func packParcels(op hostdriver.Stage) (*parcels, error) {
	p := &parcels{blobs: op.Blobs, digests: slices.Sorted(maps.Keys(op.Blobs)), trial: op.Trial}
	p.ctx, p.end = context.WithCancel(context.Background())
	for digest, c := range op.Blobs {
		if !hostdriver.IsDigest(digest) || c.SHA256() != digest {
			return nil, fmt.Errorf("the blob %.64q does not have that digest", digest)
		}
	}
	for _, r := range op.Releases {
		if err := checkRelease(r); err != nil {
			return nil, fmt.Errorf("release %q: %w", r.Path, err)
		}
		if r.Pull != nil {
			p.pulls = append(p.pulls, r)
		} else {
			p.releases = append(p.releases, r)
		}
	}
	return p, nil
}

func checkRelease(r hostdriver.Release) error {
	if err := hostdriver.CheckPath(r.Path); err != nil {
		return err
	}
	for _, a := range []string{r.Owner, r.Group} {
		if a != "" {
			if err := hostdriver.CheckAccount(a); err != nil {
				return err
			}
		}
	}
	switch {
	case !hostdriver.IsDigest(r.SHA256) || !strings.HasSuffix(r.Path, "/"+r.SHA256):
		return fmt.Errorf("the path does not end in the digest %s", r.SHA256)
	case !hostdriver.IsDigest(r.Travels()):
		return fmt.Errorf("%q is not a SHA-256 digest", r.Travels())
	case r.Form != hostdriver.FormFile && r.Form != hostdriver.FormTar:
		return fmt.Errorf("the form %q is not known", r.Form)
	case r.Pull != nil:
		return r.Pull.Check()
	case r.Size < 0:
		return fmt.Errorf("its size is %d", r.Size)
	case r.Open == nil:
		return fmt.Errorf("there is nothing to open")
	}
	return nil
}

func (p *parcels) blobLines() string {
	var lines []string
	for _, digest := range p.digests {
		lines = append(lines, fmt.Sprintf("%s %d", digest, p.blobs[digest].Len()))
	}
	return strings.Join(lines, "\n")
}

func (p *parcels) releaseLines() string {
	var lines []string
	for _, r := range p.releases {
		lines = append(lines, releaseLine(r, r.Size, r.Travels()))
	}
	return strings.Join(lines, "\n")
}

// payload waits for the record "need" and then sends what it names, in that order.
func (p *parcels) payload(nonce string) payloadFunc {
	mark := []byte("\n" + nonce + " need")
	return func(soFar []byte) (io.Reader, error) {
		i := bytes.Index(soFar, mark)
		if i < 0 {
			return nil, nil
		}
		head, _, whole := bytes.Cut(soFar[i+1:], []byte("\n"))
		if !whole {
			return nil, nil
		}
		said, err := parseOffers(soFar[:i], nonce)
		if err != nil {
			return nil, err
		}
		return p.reader(strings.Fields(string(head))[2:], said)
	}
}

// reader gives what the host names, in our own order: that of the script's lists.
func (p *parcels) reader(needs []string, said offers) (io.Reader, error) {
	need := map[string]bool{}
	for _, n := range needs {
		need[n] = true
	}
	var parts []io.Reader
	for _, digest := range p.digests {
		if need[digest] {
			delete(need, digest)
			parts = append(parts, bytes.NewReader(p.blobs[digest].Bytes()))
			p.sent.Add(int64(p.blobs[digest].Len()))
		}
	}
	for _, r := range p.releases {
		if key := releaseKey(r.Path); need[key] {
			delete(need, key)
			parts = append(parts, &shipment{parcels: p, release: r, said: said.of[key], tools: said.tools})
		}
	}
	for n := range need {
		return nil, fmt.Errorf("it asks for %s, which nobody offered", printable(n, 64))
	}
	return p.driver.bounded(p.ctx, io.MultiReader(parts...)), nil
}

// result has what the trial has found: then the generation is not kept.
func (p *parcels) result(records []record) (hostdriver.Result, error) {
	res := hostdriver.Result{Staged: p.sent.Load()}
	for _, r := range records {
		if r.kind != "trial" {
			continue
		}
		found, warnings, err := trialFindings(p.trial, r)
		if res.Warnings = warnings; err == nil {
			err = hostdriver.FindingsError(found)
		}
		return res, err
	}
	return res, nil
}
