package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// releaseServer is an https server on the lab's bridge, which its hosts trust and the
// controller does not know of.
type releaseServer struct {
	*httptest.Server

	mu    sync.Mutex
	files map[string]string
	cut   int            // bytes of an answer after which it is cut; 0: never
	asked map[string]int // by the address that asked
	from  []string       // what Range was asked for
}

func newReleaseServer(s *stage) *releaseServer {
	s.t.Helper()
	r := &releaseServer{files: map[string]string{}, asked: map[string]int{}}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	address := s.lab.Gateway()
	ca := newAuthority(s.t)
	pair, err := tls.X509KeyPair(ca.issue(s.t, address))
	must(s, err)
	r.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	_ = r.Listener.Close()
	r.Listener, err = net.Listen("tcp", address+":0")
	must(s, err)
	r.StartTLS()
	s.t.Cleanup(r.Close)
	for _, h := range s.hosts {
		s.on(h, "cat >>/etc/ssl/certs/ca-certificates.crt <<'EOF'\n"+string(ca.pem)+"EOF\n")
	}
	return r
}

func (r *releaseServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	text, there := r.files[req.URL.Path]
	cut := r.cut
	host, _, _ := net.SplitHostPort(req.RemoteAddr)
	r.asked[host]++
	if from := req.Header.Get("Range"); from != "" {
		r.from = append(r.from, from)
	}
	r.mu.Unlock()
	switch {
	case req.URL.Path == "/away":
		http.Redirect(w, req, "http://"+req.Host+"/tool?token=hunter2", http.StatusFound)
	case !there:
		http.NotFound(w, req)
	case cut > 0:
		http.ServeContent(&cutting{w, cut}, req, "", time.Unix(1700000000, 0), strings.NewReader(text))
	default:
		http.ServeContent(w, req, "", time.Unix(1700000000, 0), strings.NewReader(text))
	}
}

// cutting ends the connection after some bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) >= c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(p)
	c.left -= n
	return n, err
}

func (r *releaseServer) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func gzipped(s *stage, text string) string {
	s.t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	must(s, err)
	must(s, w.Close())
	return b.String()
}

// TestHostsPullByThemselves has a host with curl, one with GNU's wget and one with
// busybox's alone fetch artifacts from an https server; what they get is what they would
// have been sent, and whatever goes wrong disturbs nothing.
func TestHostsPullByThemselves(t *testing.T) {
	s := newBareStageOf(t, lab.Options{Hosts: 3, Base: lab.Base{Packages: []string{"curl", "wget", "busybox"}}})
	server := newReleaseServer(s)
	for i, tool := range []string{"curl", "wget", "busybox"} {
		s.on(s.hosts[i], "for f in curl wget busybox; do [ $f = "+tool+" ] || rm /usr/bin/$f; done; mkdir -p /opt/small; mount -t tmpfs -o size=2m none /opt/small")
	}
	t.Cleanup(func() {
		for _, h := range s.hosts {
			_, _ = h.Enter(t.Context(), "umount /opt/small")
		}
	})
	all := func(command string) (said string) {
		for _, h := range s.hosts {
			said += h.Name() + ":\n" + s.on(h, command) + "\n"
		}
		return said
	}
	program := "#!/bin/sh\n# " + strings.Repeat("0123456789abcdef", 200_000) + "\nexec sleep infinity\n"
	bundle := gzipped(s, tarredOne(s, tar.Header{Name: "bin/other", Linkname: "run", Typeflag: tar.TypeSymlink}))
	server.set(func() { server.files = map[string]string{"/app": program, "/site.tar.gz": bundle} })
	s.file("dist/app", program)
	s.file("dist/site.tar.gz", bundle)
	repo := func(app, site, second string) {
		s.spec("app", `  units: [{source: app.service, enabled: true, state: started}]
  rollout: {maxUnavailable: 3, minHealthyTime: 1s}
  artifacts:
    - {name: app, path: /opt/app/app, `+app+`}
    - {name: site, path: /opt/app/site, changeMode: none, `+site+`}
`+second+`  drain: [{command: {drain: "echo drained >>/run/drains", undrain: "true", drained: "true"}}]
`, map[string]string{"app.service": "[Service]\nExecStart=/opt/app/app\n" + install})
	}
	app, site := server.pulled("/app", program), server.pulled("/site.tar.gz", bundle)

	// A first deploy, over connections that are cut.
	server.set(func() { server.cut = 1 << 20 })
	repo(app, site, "")
	s.run(0, "apply", "--yes")
	server.set(func() {
		if len(server.from) < 9 || len(server.asked) != 3 || server.asked[s.lab.Gateway()] > 0 {
			t.Errorf("the hosts have asked %v times, for the parts %v", server.asked, server.from)
		}
		server.cut, server.asked = 0, map[string]int{}
	})
	const tree = "cd /opt/app && sha256sum app site/bin/run && readlink app site && find site/ -printf '%P %y %m %u %g %s %l\n' | sort; stat -c %Y site/bin/run; find . -name '.evenkeel*'; " +
		"systemctl show -p InvocationID app"
	before := all(tree)
	contains(t, before, sha256Of(program), sha256Of(bundle), "bin/other l 777 root root 3 run", "bin/run f 755 root root 10")
	s.run(0, "plan")

	// The same sent, and pulled again: no change, no restart, and nothing is fetched.
	for _, way := range [][2]string{{"source: dist/app", "source: dist/site.tar.gz"}, {app, site}} {
		repo(way[0], way[1], "")
		s.run(0, "plan")
		s.run(0, "apply", "--yes")
	}
	// What is sent where it is gone is what was pulled.
	repo(app, "source: dist/site.tar.gz", "")
	all("rm -r /opt/app/.releases/site/*")
	s.run(0, "apply", "--yes")
	if now := all(tree); now != before {
		t.Errorf("sent:\n%s\npulled:\n%s", now, before)
	}
	server.set(func() {
		if len(server.asked) > 0 {
			t.Errorf("it was fetched again: %v", server.asked)
		}
	})
	pullFaults(s, server, func(second string) { repo(app, site, second) }, func(h *lab.Host) string {
		return s.on(h, tree+"; cat /run/drains 2>/dev/null; find /opt ! -type d ! -name '.evenkeel-part.*'")
	})
}

// pulled is a source that hosts fetch from the server.
func (r *releaseServer) pulled(path, text string) string {
	return fmt.Sprintf("source: '%s%s', sha256: %s, pull: host", r.URL, path, sha256Of(text))
}

// pullFaults spoils a second artifact in each way that it can be spoilt.
func pullFaults(s *stage, server *releaseServer, repo func(second string), state func(*lab.Host) string) {
	// do expects that the faulty hosts fail, and nothing of them is disturbed.
	do := func(faulty []*lab.Host, what, second string, words ...string) {
		s.t.Run(what, func(t *testing.T) {
			old := s.t
			s.t = t
			defer func() { s.t = old }()
			if !strings.Contains(second, "path:") {
				second = "path: /opt/app/second, " + second
			}
			repo("    - {name: second, " + second + "}\n")
			var before []string
			for _, h := range faulty {
				before = append(before, state(h))
			}
			out, errs := s.run(2, "apply", "--yes")
			contains(t, out+errs, append(words, "not done: ")...)
			if strings.Contains(out+errs, "hunter2") {
				t.Errorf("it tells the password:\n%s%s", out, errs)
			}
			for i, h := range faulty {
				if now := state(h); now != before[i] {
					t.Errorf("%s was disturbed:\n%s\nbefore:\n%s", h.Name(), now, before[i])
				}
			}
		})
	}
	big := random(s, 3<<20)
	evil := gzipped(s, tarredOne(s, tar.Header{Name: "../../../../etc/cron.d/evil", Typeflag: tar.TypeReg}))
	out := gzipped(s, tarredOne(s, tar.Header{Name: "bin/out", Linkname: "../../../etc", Typeflag: tar.TypeSymlink}))
	server.set(func() {
		server.files["/tool"], server.files["/big"], server.files["/evil.tar.gz"], server.files["/out.tar.gz"] = "another tool", big, evil, out
		server.files["/secret"], server.files["/third"] = "a secret tool", "a third tool"
	})
	url := server.URL
	do(s.hosts, "another file than the one that is pinned", server.pulled("/tool", "a tool"), "h1", url+"/tool has the sha256 "+sha256Of("another tool")+" there, not "+sha256Of("a tool"), "put the right file there")
	do(s.hosts, "a file that is gone", server.pulled("/gone", "gone"), "h1", "cannot fetch "+url+"/gone", "404", "log in and fetch it")
	do(s.hosts, "a server that sends on to http", server.pulled("/away", "away"), "is redirected to http://"+strings.TrimPrefix(url, "https://")+"/tool?[redacted], which is not https")
	do(s.hosts, "a disk that is too small", "path: /opt/small/second, "+server.pulled("/big", big), "3145728 bytes are needed on the filesystem of /opt/small/.releases/second", "make room there")
	do(s.hosts, "an archive with a file above its folder", server.pulled("/evil.tar.gz", evil), "cannot unpack "+url+"/evil.tar.gz", "outside its folder", "look who has made the archive")
	do(s.hosts, "an archive with a link to above its folder", server.pulled("/out.tar.gz", out), "cannot unpack "+url+"/out.tar.gz", "links to ../../../etc, outside its folder")
	server.set(func() { server.cut = 1000 })
	do(s.hosts, "a server that ends again and again", server.pulled("/big", big), "cannot fetch "+url+"/big")
	server.set(func() { server.cut = 0 })
	do(s.hosts[2:], "a password that busybox would show", strings.Replace(server.pulled("/secret", "a secret tool"), "/secret'", "/secret?token=hunter2'", 1), "h3", "cannot fetch "+url+"/secret?[redacted]", "has a query", "[cannot-pull]",
		"pull: controller")
	s.on(s.hosts[0], "mv /usr/bin/curl /usr/bin/hidden")
	do(s.hosts[:1], "nothing to fetch with", server.pulled("/third", "a third tool"), "h1", "there is neither curl nor wget", "[cannot-pull]", "install curl there")
	s.on(s.hosts[0], "mv /usr/bin/hidden /usr/bin/curl")
	server.CloseClientConnections()
	server.Close()
	do(s.hosts, "no server at all", server.pulled("/fourth", "a fourth tool"), "cannot fetch "+url+"/fourth", "log in and fetch it")
}
