package desired

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

type zipped struct {
	name, text string
	mode       fs.FileMode
}

func zipOf(t testing.TB, entries ...zipped) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestZipTravelsAsTar(t *testing.T) {
	data := zipOf(t, zipped{"bin/", "", fs.ModeDir | 0o755}, zipped{"bin/gw", "#!/bin/sh\n", 0o755}, zipped{"gw", "bin/gw", fs.ModeSymlink | 0o777}, zipped{"plain", "x", 0})
	got, err := artifactsOf(t, "  artifacts: [{name: gw, path: /opt/gw, source: gw.zip, sha256: "+hexSHA(data)+"}]\n", map[string][]byte{"gw.zip": data}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := got[0]
	if a.Form != hostdriver.FormTar || a.SHA256 != hexSHA(data) || a.Size != int64(len(data)) {
		t.Errorf("%+v", a)
	}
	var list []string
	for range 2 {
		list = nil
		r, err := a.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if hexSHA(b) != a.StreamSHA256 || int64(len(b)) != a.StreamSize {
			t.Error("what travels is not what was read")
		}
		for tr := tar.NewReader(bytes.NewReader(b)); ; {
			h, err := tr.Next()
			if err != nil {
				break
			}
			text, _ := io.ReadAll(tr)
			list = append(list, h.FileInfo().Mode().String()+" "+h.Name+" "+h.Linkname+string(text))
		}
	}
	if want := "drwxr-xr-x bin/ |-rwxr-xr-x bin/gw #!/bin/sh\n|Lrwxrwxrwx gw bin/gw|-rw-r--r-- plain x"; strings.Join(list, "|") != want {
		t.Errorf("got  %q\nwant %q", strings.Join(list, "|"), want)
	}
	r, err := a.Open() // one that nobody reads to its end
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestZipFaults(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a path above": {zipOf(t, zipped{"../x", "x", 0o644}), "would be unpacked outside its folder"},
		"a link away":  {zipOf(t, zipped{"x", "/etc", fs.ModeSymlink | 0o777}), "outside its folder"},
		"a device":     {zipOf(t, zipped{"x", "", fs.ModeDevice | 0o644}), "neither a file, a folder nor a link"},
		"cut":          {zipOf(t, zipped{"x", "x", 0o644})[:40], "not a zip"},
	} {
		_, err := artifactsOf(t, "  artifacts: [{name: gw, path: /opt/gw, source: gw.zip}]\n", map[string][]byte{"gw.zip": c.data}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzZip(f *testing.F) {
	f.Add(zipOf(f, zipped{"a/", "", fs.ModeDir | 0o755}, zipped{"a/b", "text", 0o755}, zipped{"l", "a/b", fs.ModeSymlink | 0o777}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !bytes.HasPrefix(data, []byte("PK\x03\x04")) {
			return
		}
		b, err := readBundle("x", true, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return
		}
		r, err := b.open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if stream, err := io.ReadAll(r); err != nil || hexSHA(stream) != b.sha256 {
			t.Errorf("what travels is not what was read: %v", err)
		}
	})
}
