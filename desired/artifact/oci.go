package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Bounds of what describes an OCI artifact.
const (
	maxManifest  = 4 << 20 // bytes
	maxManifests = 64      // of an index
)

// dockerLogins are those that `docker login`, `podman login` or `oras login` have left in
// Docker's configuration; nil where there is none.
func dockerLogins() auth.CredentialFunc {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{DetectDefaultNativeStore: false})
	if err != nil {
		return nil
	}
	return credentials.Credential(store)
}

// layer opens the layer of that digest of what is at REGISTRY/REPOSITORY:TAG, or @DIGEST:
// of an artifact that `oras push` has made, each file is one.
func (s *Store) layer(ctx context.Context, reference, pinned string) (io.ReadCloser, error) {
	ref, err := registry.ParseReference(reference)
	if err != nil {
		return nil, fmt.Errorf("%q is not REGISTRY/REPOSITORY:TAG: %w", reference, err)
	}
	if ref.Reference == "" {
		return nil, fmt.Errorf("%q has no tag and no digest", reference)
	}
	repo := &remote.Repository{Reference: ref, MaxMetadataBytes: maxManifest,
		Client: &auth.Client{Client: s.client, Cache: auth.NewCache(), Credential: s.logins}}
	want := digest.NewDigestFromEncoded(digest.SHA256, pinned)
	layers, err := layersOf(ctx, repo, ref.Reference)
	if err != nil {
		return nil, err
	}
	var there []string
	for _, l := range layers {
		if l.Digest != want {
			there = append(there, strings.TrimSpace(l.Annotations[ocispec.AnnotationTitle]+" "+l.Digest.String()))
			continue
		}
		if l.Size > maxBytes {
			return nil, fmt.Errorf("it has more than %d bytes", int64(maxBytes))
		}
		return repo.Blobs().Fetch(ctx, l)
	}
	return nil, fmt.Errorf("no layer of %s has the sha256 %s; there are %.500s", reference, pinned, strings.Join(there, ", "))
}

// layersOf are all layers of a manifest, or of all manifests of an index.
func layersOf(ctx context.Context, repo *remote.Repository, reference string) ([]ocispec.Descriptor, error) {
	at, body, err := repo.FetchReference(ctx, reference)
	if err != nil {
		return nil, err
	}
	manifest, err := readManifest(at, body)
	if err != nil {
		return nil, err
	}
	layers := manifest.Layers
	if len(manifest.Manifests) > maxManifests {
		return nil, fmt.Errorf("the index %s has more than %d manifests", reference, maxManifests)
	}
	for _, m := range manifest.Manifests {
		body, err := repo.Fetch(ctx, m)
		if err != nil {
			return nil, err
		}
		of, err := readManifest(m, body)
		if err != nil {
			return nil, err
		}
		layers = append(layers, of.Layers...)
	}
	return layers, nil
}

// manifest is what manifests and indexes have that is needed here.
type manifest struct {
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

func readManifest(at ocispec.Descriptor, body io.ReadCloser) (m manifest, err error) {
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	switch {
	case err != nil:
		return m, err
	case len(text) > maxManifest:
		return m, fmt.Errorf("the manifest has more than %d bytes", maxManifest)
	case digest.FromBytes(text) != at.Digest:
		return m, errors.New("the manifest does not have its digest")
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("the manifest: %w", err)
	}
	return m, nil
}
