package desired

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func hexSHA(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func makeTar(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := ""
		if h.Typeflag == tar.TypeReg {
			body, h.Size = "#!/bin/sh\n", 10
		}
		h.Mode = 0o755
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, body)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zst(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// artifactsOf are the artifacts of service a on h1 in a repo with these files.
func artifactsOf(t *testing.T, spec string, blobs map[string][]byte, store ArtifactStore) ([]Artifact, error) {
	t.Helper()
	repo := plain.with(files{"services/a/service.yaml": service("a", spec)}).fs()
	for name, data := range blobs {
		m := files{name: string(data)}.fs()
		repo[name] = m[name]
	}
	rev, err := Load(context.Background(), repo, LoadOptions{Artifacts: store})
	if err != nil {
		return nil, err
	}
	if len(rev.Quarantined) > 0 {
		return nil, Faults(rev.Quarantined)
	}
	st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err != nil {
		return nil, err
	}
	return st.Instances[0].Artifacts, nil
}

func TestArtifactForms(t *testing.T) {
	bundle := makeTar(t, tar.Header{Name: "bin/", Typeflag: tar.TypeDir}, tar.Header{Name: "bin/gw", Typeflag: tar.TypeReg},
		tar.Header{Name: "gw", Typeflag: tar.TypeSymlink, Linkname: "bin/gw"}, tar.Header{Name: "bin/x", Typeflag: tar.TypeSymlink, Linkname: "../bin/gw"})
	program := []byte("\x7fELF")
	for name, c := range map[string]struct {
		spec, file string
		data       []byte
		form       hostdriver.ReleaseForm
		travels    []byte
	}{
		"a program":           {"source: dist/gw", "dist/gw", program, hostdriver.FormFile, program},
		"a tar":               {"source: dist/gw.tar", "dist/gw.tar", bundle, hostdriver.FormTar, bundle},
		"gzip":                {"source: dist/gw.tar.gz", "dist/gw.tar.gz", gzipOf(t, bundle), hostdriver.FormTar, bundle},
		"tgz":                 {"source: dist/gw.tgz", "dist/gw.tgz", gzipOf(t, bundle), hostdriver.FormTar, bundle},
		"zstd":                {"source: dist/gw.tar.zst", "dist/gw.tar.zst", zst(t, bundle), hostdriver.FormTar, bundle},
		"told to unpack":      {"source: dist/gw, unpack: tar", "dist/gw", zst(t, bundle), hostdriver.FormTar, bundle},
		"told not to":         {"source: dist/gw.tar, unpack: none", "dist/gw.tar", bundle, hostdriver.FormFile, bundle},
		"named by a template": {"source: \"dist/gw-{{ .Vars.version }}\", sha256: \"{{ sha256sum \\\"\\\\x7fELF\\\" }}\"", "dist/gw-1.2", program, hostdriver.FormFile, program},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := artifactsOf(t, "  artifacts: [{name: gw, path: /opt/n/gateway, "+c.spec+"}]\n", map[string][]byte{c.file: c.data}, nil)
			if err != nil {
				t.Fatal(err)
			}
			a := got[0]
			if a.Form != c.form || a.SHA256 != hexSHA(c.data) || a.Size != int64(len(c.data)) ||
				a.StreamSHA256 != hexSHA(c.travels) || a.StreamSize != int64(len(c.travels)) {
				t.Errorf("got %+v", a)
			}
			if a.Release != "/opt/n/.releases/gw/"+a.SHA256 || a.Link != "/opt/n/gateway" || a.Owner != "root" {
				t.Errorf("got %+v", a)
			}
			for range 2 { // as often as it is asked for
				r, err := a.Open()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(b, c.travels) {
					t.Errorf("%d bytes travel, %v", len(b), err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestArtifactFaults(t *testing.T) {
	const at = "services/a/service.yaml:6:"
	for name, c := range map[string]struct {
		entry tar.Header
		want  string
	}{
		"an absolute path":      {tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg}, `entry "/etc/passwd" would be unpacked outside its folder`},
		"a path above":          {tar.Header{Name: "a/../../x", Typeflag: tar.TypeReg}, `entry "a/../../x" would be unpacked outside its folder`},
		"a link away":           {tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, `entry "x" links to "/etc", outside its folder`},
		"a link above":          {tar.Header{Name: "a/x", Typeflag: tar.TypeSymlink, Linkname: "../../y"}, `entry "a/x" links to "../../y", outside its folder`},
		"a hard link above":     {tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "../y"}, `entry "x" links to "../y", outside its folder`},
		"a device":              {tar.Header{Name: "x", Typeflag: tar.TypeBlock}, `entry "x" is neither a file, a folder nor a link`},
		"a name with a newline": {tar.Header{Name: "x\ny", Typeflag: tar.TypeReg}, `entry "x\ny" would be unpacked outside its folder`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifactsOf(t, "  artifacts: [{name: gw, path: /opt/gw, source: gw.tar}]\n", map[string][]byte{"gw.tar": makeTar(t, c.entry)}, nil)
			if err == nil || err.Error() != at+`49: artifact "gw.tar": `+c.want+": look who has made the archive; of files, folders and links within it, tar -C DIR -cf FILE . makes one" {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, c := range map[string]struct {
		spec string
		data []byte
		want string
	}{
		"not a tar":     {"source: gw.tar", []byte("x"), at + `49: artifact "gw.tar": not a tar: unexpected EOF`},
		"an empty tar":  {"source: gw.tar", make([]byte, 1024), at + `49: artifact "gw.tar": the tar is empty`},
		"cut zstd":      {"source: gw.tar", []byte("\x28\xb5\x2f\xfd"), at + `49: artifact "gw.tar": not a tar: unexpected EOF`},
		"another's sum": {"source: gw.tar, unpack: none, sha256: " + hexSHA(nil), []byte("x"), at + "79: gw.tar has the sha256 " + hexSHA([]byte("x")) + ", not " + hexSHA(nil) + ": write its sha256, or put the right file there"},
		"not there":     {"source: gw.tra", []byte("x"), at + `49: no file gw.tra: did you mean "gw.tar"?`},
		"a folder":      {"source: services", []byte("x"), at + `49: services is not a regular file: pack a folder into a .tar.zst`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifactsOf(t, "  artifacts: [{name: gw, path: /opt/gw, "+c.spec+"}]\n", map[string][]byte{"gw.tar": c.data}, nil)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// memoryStore is a store of artifacts by URL.
type memoryStore map[string][]byte

func (s memoryStore) Fetch(_ context.Context, url, _ string) (ArtifactFile, error) {
	data, ok := s[url]
	if !ok {
		return ArtifactFile{}, errors.New("the server answered 404 Not Found")
	}
	return ArtifactFile{Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}, nil
}

func TestArtifactsFromElsewhere(t *testing.T) {
	data := gzipOf(t, makeTar(t, tar.Header{Name: "x", Typeflag: tar.TypeReg}))
	spec := "  artifacts: [{name: gw, path: /opt/gw, source: \"https://r.example/gw-{{ .Vars.version }}.tar.gz?x=1\", sha256: " + hexSHA(data) + "}]\n"
	got, err := artifactsOf(t, spec, nil, memoryStore{"https://r.example/gw-1.2.tar.gz?x=1": data})
	if err != nil || got[0].Form != hostdriver.FormTar || got[0].Size != int64(len(data)) || got[0].Open == nil {
		t.Errorf("got %+v, %v", got, err)
	}
	offline, err := artifactsOf(t, spec, nil, nil)
	if err != nil || offline[0].Release != got[0].Release || offline[0].Size != -1 || offline[0].Open != nil {
		t.Errorf("got %+v, %v", offline, err)
	}
	_, err = artifactsOf(t, spec, nil, memoryStore{})
	if err == nil || !strings.Contains(err.Error(), `cannot fetch "https://r.example/gw-1.2.tar.gz?[redacted]": the server answered 404 Not Found (on h1)`) {
		t.Error(err)
	}
}

func FuzzBundle(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 1})
	_, _ = w.Write([]byte("y"))
	_ = w.Close()
	f.Add(b.Bytes())
	f.Add([]byte("\x28\xb5\x2f\xfd\x00"))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readBundle("x", true, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return
		}
		r, err := got.open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil || hexSHA(b) != got.sha256 || int64(len(b)) != got.size || hexSHA(data) != got.sourceSHA256 {
			t.Errorf("what travels is not what was read: %v", err)
		}
	})
}
