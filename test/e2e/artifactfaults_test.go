package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// artifactRepo is a service that runs one artifact and has a second one, whose lines are
// given. A drain leaves a trace.
func artifactRepo(s *stage, second string) {
	s.spec("app", `  units: [{source: app.service, enabled: true, state: started}]
  rollout: {keepGenerations: 2}
  artifacts:
    - {name: app, source: dist/app, path: /opt/app/app}
`+second+`  drain: [{command: {drain: "echo drained >>/run/drains", undrain: "true", drained: "true"}}]
`, map[string]string{"app.service": "[Service]\nExecStart=/opt/app/app\n" + install})
	s.file("dist/app", "#!/bin/sh\nexec sleep infinity\n")
}

// tarredOne is a tar of one file and one further entry.
func tarredOne(s *stage, further tar.Header) string {
	s.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(s, w.WriteHeader(&tar.Header{Name: "bin/run", Mode: 0o755, Size: 10, Typeflag: tar.TypeReg}))
	_, err := io.WriteString(w, "#!/bin/sh\n")
	must(s, err)
	must(s, w.WriteHeader(&further))
	must(s, w.Close())
	return b.String()
}

func random(s *stage, size int) string {
	s.t.Helper()
	b := make([]byte, size)
	_, err := rand.Read(b)
	must(s, err)
	return string(b)
}

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestArtifactFaults spoils an artifact in each way it can be spoilt on its way: what is
// wrong is said, with the mend, nothing is switched, and the service runs on, never drained.
func TestArtifactFaults(t *testing.T) {
	s := newBareStage(t, 1)
	h := s.hosts[0]
	artifactRepo(s, "")
	s.run(0, "apply", "--yes")
	s.on(h, `rm -f /run/drains; mkdir -p /opt/small /opt/nodes
		mount -t tmpfs -o size=2m none /opt/small; mount -t tmpfs -o size=64m,nr_inodes=64 none /opt/nodes`)
	t.Cleanup(func() { _, _ = h.Enter(t.Context(), "umount /opt/small /opt/nodes") })
	state := func() string {
		return s.on(h, "systemctl show -p InvocationID -p ActiveState app; readlink /opt/app/app; cat /run/drains 2>/dev/null; "+
			"find /opt ! -type d")
	}
	before := state()
	second := func(lines string) string { return "    - {name: second, path: /opt/app/second, " + lines + "}\n" }
	artifactCases(s, second, func(what string, spoil func() string, words ...string) {
		t.Run(what, func(t *testing.T) {
			old := s.t
			s.t = t
			defer func() { s.t = old }()
			artifactRepo(s, spoil())
			out, errs := s.run(2, "apply", "--yes")
			contains(t, out+errs, append(words, "not done: h1")...)
			if now := state(); now != before {
				t.Errorf("it was disturbed:\n%s\nbefore:\n%s", now, before)
			}
		})
	})
	t.Run("a commit of a git repository", func(t *testing.T) {
		old := s.t
		s.t = t
		defer func() { s.t = old }()
		commitBrought(s, h)
	})
	t.Run("the connection is cut", func(t *testing.T) {
		old := s.t
		s.t = t
		defer func() { s.t = old }()
		cutTransfer(s, h)
	})
	t.Run("the last releases are kept", func(t *testing.T) {
		old := s.t
		s.t = t
		defer func() { s.t = old }()
		artifactRepo(s, "")
		for n := range 4 {
			s.file("dist/app", fmt.Sprintf("#!/bin/sh\n# %d\nexec sleep infinity\n", n))
			s.run(0, "apply", "--yes")
		}
		kept := strings.Fields(s.on(h, "ls -t /opt/app/.releases/app; rm -f /run/drains"))
		want := []string{sha256Of("#!/bin/sh\n# 3\nexec sleep infinity\n"), sha256Of("#!/bin/sh\n# 2\nexec sleep infinity\n")}
		if strings.Join(kept, " ") != strings.Join(want, " ") {
			t.Errorf("kept are %v, not %v", kept, want)
		}
	})
}

// artifactCases are the faults of the source, and of the host's disk.
func artifactCases(s *stage, second func(string) string, do func(what string, spoil func() string, words ...string)) {
	big := random(s, 3<<20)
	do("a disk that is too small", func() string {
		s.file("dist/second", big)
		return strings.Replace(second("source: dist/second"), "/opt/app/", "/opt/small/", 1)
	}, "/opt/small has 2097152 bytes free, and 3145728 are needed", "make room on /opt/small")
	do("a disk that fills while it is unpacked", func() string {
		// Each of these is a block there, and an eighth of one on its way.
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for n := range 100 {
			must(s, w.WriteHeader(&tar.Header{Name: strconv.Itoa(n), Mode: 0o644, Size: 1, Typeflag: tar.TypeReg}))
			_, err := w.Write([]byte("x"))
			must(s, err)
		}
		must(s, w.Close())
		s.file("dist/second.tar", b.String())
		return strings.Replace(second("source: dist/second.tar"), "/opt/app/", "/opt/nodes/", 1)
	}, "/opt/nodes", "No space left on device", "df -i")

	file := filepath.Join(s.t.TempDir(), "second")
	must(s, os.WriteFile(file, []byte("not what was meant"), 0o644))
	do("another file than the one that is pinned", func() string {
		return second("source: 'file://" + file + "', sha256: " + sha256Of("what was meant"))
	}, "has the sha256 "+sha256Of("not what was meant")+", not "+sha256Of("what was meant"), "put the right file there")

	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(big)))
		_, _ = io.WriteString(w, big[:len(big)/2])
	}))
	defer server.Close()
	ca := filepath.Join(s.t.TempDir(), "ca.pem")
	must(s, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	s.environ = append(s.environ, "SSL_CERT_FILE="+ca)
	do("a server that ends halfway", func() string {
		return second("source: '" + server.URL + "/second', sha256: " + sha256Of(big))
	}, "cannot fetch", "it broke off after "+strconv.Itoa(len(big)/2)+" bytes")

	public, private, err := minisign.GenerateKey(rand.Reader)
	must(s, err)
	r := minisign.NewReader(strings.NewReader("what was signed"))
	_, err = io.Copy(io.Discard, r)
	must(s, err)
	do("a signature of another file by minisign", func() string {
		s.file("dist/second", "what was not")
		s.file("dist/second.minisig", string(r.Sign(private)))
		return second("source: dist/second, signature: {minisign: " + public.String() + "}")
	}, "the signature is not that of this file", "see who has made that file")
	do("a signature of another file by cosign", func() string {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(s, err)
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		must(s, err)
		sum := sha256.Sum256([]byte("what was signed"))
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		must(s, err)
		s.file("dist/cosign.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		s.file("dist/second.sig", base64.StdEncoding.EncodeToString(sig)+"\n")
		return second("source: dist/second, signature: {cosign: dist/cosign.pub}")
	}, "the signature is not that of this file by this key", "see who has made that file")

	for what, e := range map[string]tar.Header{
		"a file above its folder":      {Name: "../../etc/cron.d/evil", Typeflag: tar.TypeReg},
		"an absolute file":             {Name: "/etc/cron.d/evil", Typeflag: tar.TypeReg},
		"a link to above its folder":   {Name: "bin/out", Linkname: "../../../etc", Typeflag: tar.TypeSymlink},
		"an absolute link":             {Name: "bin/out", Linkname: "/etc", Typeflag: tar.TypeSymlink},
		"another name of a file above": {Name: "bin/out", Linkname: "../etc/shadow", Typeflag: tar.TypeLink},
		"a device":                     {Name: "bin/out", Devmajor: 8, Typeflag: tar.TypeBlock},
	} {
		word := "outside its folder"
		if e.Typeflag == tar.TypeBlock {
			word = "is neither a file, a folder nor a link"
		}
		do("an archive with "+what, func() string {
			s.file("dist/second.tar", tarredOne(s, e))
			return second("source: dist/second.tar")
		}, "services/app/service.yaml:", "dist/second.tar", e.Name, word, "makes one")
	}
}

// commitBrought brings one folder of a tag's commit, and expects a tag that was moved to be
// refused, and nothing of it switched.
func commitBrought(s *stage, h *lab.Host) {
	s.t.Helper()
	dir := s.t.TempDir()
	git := func(args ...string) string {
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=A", "-c", "user.email=a@example.com"}, args...)...) // #nosec G204
		out, err := c.CombinedOutput()
		if err != nil {
			s.t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func(text string) string {
		must(s, os.MkdirAll(filepath.Join(dir, "public"), 0o755))
		must(s, os.WriteFile(filepath.Join(dir, "public/index.html"), []byte(text), 0o644))
		git("add", "-A")
		git("commit", "-q", "-m", text)
		return git("rev-parse", "HEAD")
	}
	git("init", "-q", "-b", "main")
	first := commit("one")
	git("tag", "-a", "-m", "v1", "v1")
	source := "git+file://" + dir + "?tag=v1&path=public&commit="
	artifactRepo(s, "    - {name: second, path: /opt/app/second, source: '"+source+first+"', changeMode: none}\n")
	s.run(0, "apply", "--yes")
	if got := s.on(h, "cat /opt/app/second/index.html; ls /opt/app/second"); got != "oneindex.html" {
		s.t.Errorf("there is %q", got)
	}
	s.run(0, "plan")
	second := commit("two")
	git("tag", "-f", "-a", "-m", "v1", "v1")
	before := s.on(h, "readlink /opt/app/second; systemctl show -p InvocationID app")
	artifactRepo(s, "    - {name: second, path: /opt/app/second, source: '"+source+strings.Repeat("12", 20)+"'}\n")
	out, errs := s.run(2, "apply", "--yes")
	contains(s.t, out+errs, "services/app/service.yaml:", "the tag v1 is at the commit "+second, "pin commit="+second)
	if now := s.on(h, "readlink /opt/app/second; systemctl show -p InvocationID app"); now != before {
		s.t.Errorf("it was disturbed:\n%s\nbefore:\n%s", now, before)
	}
}

// cutTransfer cuts the connection off in the middle of a release, and expects that it is
// brought all the same, that what has come does not come again, and that the service was
// restarted once.
func cutTransfer(s *stage, h *lab.Host) {
	s.t.Helper()
	const size = 12 << 20
	s.file("dist/second", random(s, size))
	artifactRepo(s, "    - {name: second, path: /opt/app/second, source: dist/second}\n")
	s.environ = append(s.environ, "EVENKEEL_SSH_BANDWIDTH=4MB", "EVENKEEL_SSH_COMPRESS=never")
	defer func() { s.environ = s.environ[:len(s.environ)-2] }()
	received := func() int64 {
		n, err := strconv.ParseInt(s.on(h, "awk '!/lo:/ && /:/ { n += $2 } END { print n }' /proc/1/net/dev"), 10, 64)
		must(s, err)
		return n
	}
	before := received()
	done := make(chan string, 1)
	go func() {
		out, errs := s.exit([]int{0, 4}, "apply", "--yes")
		done <- out + errs
	}()
	cut := func() (has int64) {
		s.eventually(20*time.Second, "two thirds have come", func() bool {
			has, _ = strconv.ParseInt(s.on(h, "stat -c %s /opt/app/.releases/second/.evenkeel-part.* 2>/dev/null || echo 0"), 10, 64)
			return has > size*2/3
		})
		s.on(h, "for p in $(pgrep -f '^sshd: deploy'); do kill -9 $p; done")
		return has
	}()
	said := <-done
	if s.on(h, "readlink /opt/app/second || :") == "" {
		_, errs := s.run(0, "apply", "--yes")
		said += errs
	}
	total := received() - before
	s.t.Logf("cut at %d of %d bytes; the host has received %d in all", cut, size, total)
	if total > size+size/6 {
		s.t.Errorf("the host has received %d bytes for a release of %d that was cut off at %d:\n%s", total, size, cut, said)
	}
	if got := s.on(h, "sha256sum </opt/app/second"); !strings.HasPrefix(got, filepath.Base(s.on(h, "readlink /opt/app/second"))) {
		s.t.Errorf("it is %s", got)
	}
	if left := s.on(h, "find /opt/app -name '.evenkeel-*'"); left != "" {
		s.t.Errorf("left: %s", left)
	}
}
