package artifact

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// aRegistry is a real one in this process, that asks for a login; files are pushed to
// team/app:1.0 as `oras push` does.
func aRegistry(t *testing.T, files map[string]string) (*Store, string) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "team" || password != "word" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.Client().CloseIdleConnections()
		srv.Close()
	})
	host := strings.TrimPrefix(srv.URL, "https://")
	logins := auth.StaticCredential(host, auth.Credential{Username: "team", Password: "word"})
	push(t, host, &auth.Client{Client: srv.Client(), Credential: logins}, files)
	s, err := New(filepath.Join(t.TempDir(), "cache"), srv.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}
	s.logins = logins
	return s, host
}

func push(t *testing.T, host string, client *auth.Client, files map[string]string) {
	t.Helper()
	ctx := context.Background()
	from := memory.New()
	var layers []ocispec.Descriptor
	for name, text := range files {
		d := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromString(text), Size: int64(len(text)),
			Annotations: map[string]string{ocispec.AnnotationTitle: name}}
		if err := from.Push(ctx, d, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, d)
	}
	m, err := oras.PackManifest(ctx, from, oras.PackManifestVersion1_1, "application/vnd.example.app", oras.PackManifestOptions{Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Tag(ctx, m, "1.0"); err != nil {
		t.Fatal(err)
	}
	repo, err := remote.NewRepository(host + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	repo.Client = client
	if _, err := oras.Copy(ctx, from, "1.0", repo, "1.0", oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
}

func TestLayerOfARegistry(t *testing.T) {
	s, host := aRegistry(t, map[string]string{"app.tar": "the program", "README": "read me"})
	f, err := s.Fetch(context.Background(), "oci://"+host+"/team/app:1.0", digestOf("the program"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "the program" {
		t.Errorf("got %q", b)
	}
	for what, c := range map[string]struct{ url, digest, want string }{
		"a layer that is not there": {"/team/app:1.0", digestOf("other"), "README " + "sha256:" + digestOf("read me")},
		"no such tag":               {"/team/app:2.0", digestOf("other"), "not found"},
		"no tag at all":             {"/team/app", digestOf("other"), "no tag and no digest"},
	} {
		if _, err := s.Fetch(context.Background(), "oci://"+host+c.url, c.digest); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.logins = nil
	if _, err := s.Fetch(context.Background(), "oci://"+host+"/team/app:1.0", digestOf("read me")); err == nil || !strings.Contains(err.Error(), "credential not found") {
		t.Errorf("without a login: %v", err)
	}
}

func TestFileOfThisMachine(t *testing.T) {
	s, err := New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(name, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := s.Fetch(context.Background(), "file://"+name, digestOf("program"))
	if err != nil || f.Size != 7 {
		t.Fatalf("%d bytes, %v", f.Size, err)
	}
	if b, err := s.FetchSignature(context.Background(), "file://"+name); err != nil || string(b) != "program" {
		t.Errorf("%q, %v", b, err)
	}
	for _, bad := range []string{"/dev/zero", filepath.Dir(name), name + "x"} {
		if _, err := s.Fetch(context.Background(), "file://"+bad, digestOf("program")); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
