package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
)

// work is a clone that a person works in, and the bare repository that it is pushed to.
type work struct {
	t    testing.TB
	dir  string // the clone
	bare string
	when int64 // of the next commit
	env  []string
}

func newWork(t testing.TB) *work {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed: apt-get install git")
	}
	root := t.TempDir()
	w := &work{t: t, dir: filepath.Join(root, "work"), bare: filepath.Join(root, "fleet.git"), when: time.Now().Unix() - 100_000}
	w.run(root, "init", "-q", "--bare", "-b", "main", w.bare)
	w.run(root, "init", "-q", "-b", "main", w.dir)
	w.git("remote", "add", "origin", w.bare)
	return w
}

func (w *work) run(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...) // #nosec G204
	cmd.Dir = dir
	when := fmt.Sprintf("%d +0200", w.when)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(w.dir), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ann Author", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_AUTHOR_DATE=" + when,
		"GIT_COMMITTER_NAME=Carl Committer", "GIT_COMMITTER_EMAIL=carl@example.com", "GIT_COMMITTER_DATE=" + when}, w.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

func (w *work) git(args ...string) string {
	w.t.Helper()
	return w.run(w.dir, args...)
}

func (w *work) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // #nosec G306
		w.t.Fatal(err)
	}
}

// commit commits everything and returns the commit.
func (w *work) commit(message string, flags ...string) string {
	w.t.Helper()
	w.when += 60
	w.git("add", "-A")
	w.git(append([]string{"commit", "-q", "--allow-empty", "-m", message}, flags...)...)
	return w.git("rev-parse", "HEAD")
}

// push commits a file and pushes it.
func (w *work) push(name, text string) string {
	w.t.Helper()
	w.write(name, text)
	id := w.commit("change " + name)
	w.git("push", "-q", "-f", "origin", "HEAD:main")
	return id
}

// openRepo opens a Repo on url, in a folder of its own.
func openRepo(t testing.TB, url string, set ...func(*Options)) *Repo {
	t.Helper()
	o := Options{URL: url, Branch: "main", Dir: filepath.Join(t.TempDir(), "bare"), Timeout: time.Minute}
	for _, s := range set {
		s(&o)
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// fetch fetches and wants that tip.
func fetch(t testing.TB, r *Repo, want string) Commit {
	t.Helper()
	c, err := r.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != want {
		t.Fatalf("the tip is %s, want %s", c.ID, want)
	}
	return c
}

func wantErr(t testing.TB, err error, kind Kind, parts ...string) {
	t.Helper()
	if KindOf(err) != kind {
		t.Errorf("kind %q, want %q: %v", KindOf(err), kind, err)
	}
	for _, p := range parts {
		if !strings.Contains(fmt.Sprint(err)+" | "+MendOf(err), p) {
			t.Errorf("%v (%s) does not say %q", err, MendOf(err), p)
		}
	}
}

// httpServer is git's own http-backend.
type httpServer struct {
	*httptest.Server
	auth func(*http.Request) bool
}

func startHTTP(t testing.TB, w *work) *httpServer {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := filepath.Join(strings.TrimSpace(string(path)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skip("git-http-backend is not installed")
	}
	s := &httpServer{}
	handler := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(w.bare), "GIT_HTTP_EXPORT_ALL=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if s.auth != nil && !s.auth(req) {
			rw.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(rw, "no", http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(rw, req)
	}))
	t.Cleanup(s.Close)
	return s
}

// sshServer is OpenSSH's own server, with git behind it.
type sshServer struct {
	dir  string
	port int
	user string
}

func (s *sshServer) file(name string) string { return filepath.Join(s.dir, name) }

func startSSH(t testing.TB) *sshServer {
	t.Helper()
	path, err := exec.LookPath("sshd")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			t.Skip("sshd is not installed: apt-get install openssh-server")
		}
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // #nosec G301 -- as Debian's unit makes it
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &sshServer{dir: t.TempDir(), user: me.Username}
	for _, key := range []string{"host_key", "id", "other"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.file(key)).CombinedOutput(); err != nil { // #nosec G204
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	public, err := os.ReadFile(s.file("host_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"known_hosts": fmt.Sprintf("[127.0.0.1]:%d %s", s.port, public),
		"sshd_config": strings.Join([]string{"Port " + strconv.Itoa(s.port), "ListenAddress 127.0.0.1", "HostKey " + s.file("host_key"), "PidFile none",
			"AuthorizedKeysFile " + s.file("id.pub"), "StrictModes no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
			"PermitRootLogin yes", "UsePAM no", ""}, "\n"),
	} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	cmd := exec.Command(path, "-D", "-e", "-f", s.file("sshd_config")) // #nosec G204
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", log.String())
		}
	})
	for range 200 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port)); err == nil {
			_ = c.Close()
			return s
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("sshd does not listen: %s", log.String())
	return nil
}

func (s *sshServer) url(path string) string {
	return fmt.Sprintf("ssh://%s@127.0.0.1:%d%s", s.user, s.port, path)
}

// client is the port that gitrepo is handed, over the real driver, as the command wires it.
func (s *sshServer) client(t testing.TB, set ...func(*sshdriver.Options)) SSH {
	t.Helper()
	o := sshdriver.Options{ConfigFile: "none", Agent: "none", IdentityFiles: []string{s.file("id")}, KnownHosts: []string{s.file("known_hosts")}, ConnectTimeout: 5 * time.Second}
	for _, f := range set {
		f(&o)
	}
	pool, err := sshdriver.NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return sshClient{pool}
}

type sshClient struct{ pool *sshdriver.Pool }

func (c sshClient) Start(ctx context.Context, at Server, command string) (Program, error) {
	conn, err := c.pool.Conn(ctx, sshdriver.Target{Name: at.Host, Port: at.Port, User: at.User})
	if err != nil {
		return nil, err
	}
	return conn.Start(ctx, command)
}
