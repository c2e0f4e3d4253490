package desired

import (
	"context"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// unreachableStore fails a test in which anything but a signature is fetched.
type unreachableStore struct {
	t *testing.T
	signedStore
}

func (s unreachableStore) Fetch(context.Context, string, string) (ArtifactFile, error) {
	s.t.Error("the artifact was fetched by the controller")
	return ArtifactFile{}, nil
}

func (s unreachableStore) FetchSignature(ctx context.Context, url string) ([]byte, error) {
	return s.signedStore.FetchSignature(ctx, url)
}

// What a host fetches is the same release as what it is sent, of which the controller reads nothing.
func TestPullIsTheSameRelease(t *testing.T) {
	data := gzipOf(t, makeTar(t))
	url := "https://r.example/gw.tar.gz?token=hunter2"
	spec := func(more string) string {
		return "  artifacts: [{name: gw, path: /opt/gw, source: \"" + url + "\", sha256: " + hexSHA(data) + more + "}]\n"
	}
	sent, err := artifactsOf(t, spec(", unpack: none"), nil, memoryStore{url: data})
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := artifactsOf(t, spec(", unpack: none, pull: host, bandwidth: 10MB"), nil, unreachableStore{t: t})
	if err != nil {
		t.Fatal(err)
	}
	a, b := sent[0], pulled[0]
	if a.Pull != nil || a.Release != b.Release || a.Link != b.Link || a.SHA256 != b.SHA256 || a.Form != b.Form || a.Owner != b.Owner || a.ChangeMode != b.ChangeMode {
		t.Errorf("sent %+v\npulled %+v", a, b)
	}
	if b.Pull == nil || string(b.Pull.URL.Bytes()) != url || b.Pull.Bandwidth != 10_000_000 || b.Pull.Place() != "https://r.example/gw.tar.gz?[redacted]" || b.Size != -1 {
		t.Errorf("%+v %s", b.Pull, b.Pull.Place())
	}
	if tarred, err := artifactsOf(t, spec(", pull: host"), nil, nil); err != nil || tarred[0].Form != hostdriver.FormTar {
		t.Errorf("%+v, %v", tarred, err)
	}
}

func TestPullRefusals(t *testing.T) {
	sum := hexSHA([]byte("x"))
	for name, c := range map[string]struct{ spec, want, mend string }{
		"a file of the repo":        {"source: gw, pull: host", "a host fetches by itself from https:// alone, not \"gw\"", "pull: controller"},
		"a registry":                {"source: \"oci://r.example/gw:1\", sha256: " + sum + ", pull: host", "from https:// alone", "pull: controller"},
		"a file here":               {"source: \"file:///srv/gw\", sha256: " + sum + ", pull: host", "from https:// alone", "pull: controller"},
		"a commit":                  {"source: \"git+https://r.example/x.git?tag=v1&commit=" + strings.Repeat("ab", 20) + "\", pull: host", "from https:// alone", "pull: controller"},
		"plain http":                {"source: \"http://r.example/gw\", sha256: " + sum + ", pull: host", "from https:// alone", "pull: controller"},
		"a template's result":       {"source: \"{{ .Vars.version }}/gw\", pull: host", "from https:// alone, not \"1.2/gw\"", "pull: controller"},
		"no digest":                 {"source: \"https://r.example/gw\", pull: host", "needs its sha256", "sha256sum FILE"},
		"a password":                {"source: \"https://a:hunter2@r.example/gw\", sha256: " + sum + ", pull: host", "holds a password", "out of the repo"},
		"a quote":                   {"source: 'https://r.example/\"gw', sha256: " + sum + ", pull: host", "plain characters", "escape"},
		"another way":               {"source: gw, pull: sideways", "pull", ""},
		"bandwidth of what is sent": {"source: gw, bandwidth: 10MB", "bandwidth bounds what a host fetches by itself", "ssh.bandwidth"},
		"bandwidth that is none":    {"source: \"https://r.example/gw\", sha256: " + sum + ", pull: host, bandwidth: fast", "bandwidth: \"fast\"", "10MB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifactsOf(t, "  artifacts: [{name: gw, path: /opt/gw, "+c.spec+"}]\n", map[string][]byte{"gw": []byte("x")}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.mend) || !strings.Contains(err.Error(), "services/a/service.yaml:6:") {
				t.Errorf("got %v, want %q, %q", err, c.want, c.mend)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2@") {
				t.Errorf("it tells the password: %v", err)
			}
		})
	}
}

// A signature is proven here in any case: cosign's by the digest, minisign's by all of the file.
func TestPullSignatures(t *testing.T) {
	data := []byte("\x7fELF program")
	mini, miniSig := minisigned(t, data)
	cosign, cosignSig := cosigned(t, data)
	_, strangeSig := cosigned(t, data)
	url := "https://r.example/gw"
	spec := func(signature string) string {
		return "  artifacts: [{name: gw, path: /opt/gw, source: \"" + url + "\", sha256: " + hexSHA(data) + ", pull: host, signature: {" + signature + "}}]\n"
	}
	blobs := map[string][]byte{"cosign.pub": cosign, "strange.sig": strangeSig}
	signatures := signedStore{memoryStore{url + ".sig": cosignSig, url + ".minisig": miniSig}}
	for n, c := range []struct {
		signature string
		store     ArtifactStore
		want      string
	}{
		{"cosign: cosign.pub", unreachableStore{t, signatures}, ""},
		{"cosign: cosign.pub, source: strange.sig", unreachableStore{t, signatures}, "not that of this file by this key"},
		{"minisign: " + mini, signedStore{memoryStore{url: data, url + ".minisig": miniSig}}, ""},
		{"minisign: " + mini, signatures, "cannot fetch"},
		{"cosign: cosign.pub, source: strange.sig", nil, ""}, // validate fetches nothing, and proves nothing
	} {
		got, err := artifactsOf(t, spec(c.signature), blobs, c.store)
		switch {
		case c.want == "" && (err != nil || got[0].Pull == nil || got[0].SHA256 != hexSHA(data)):
			t.Errorf("%d: %+v, %v", n, got, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%d: got %v, want %q", n, err, c.want)
		}
	}
}
