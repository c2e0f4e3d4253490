package gitrepo

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
)

// secretFile is a file with that text, for its owner alone.
func secretFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHTTPSLogin: over TLS that is checked, with a token that goes nowhere else.
func TestHTTPSLogin(t *testing.T) {
	w := newWork(t)
	id := w.push("fleet.yaml", "a")
	plain := startHTTP(t, w)
	var stolen atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			stolen.Store(true)
		}
	}))
	defer thief.Close()
	plain.auth = func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return user == "git" && password == "right-token" || r.Header.Get("Authorization") == "Bearer right-token"
	}
	inner := plain.Config.Handler
	s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if filepath.Dir(r.URL.Path) == "/moved.git/info" {
			http.Redirect(rw, r, thief.URL+r.URL.Path, http.StatusFound)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	defer s.Close()
	ca := secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})), 0o644)
	right := HTTP{TokenFile: secretFile(t, "right-token\n", 0o600), CAFile: ca}
	url := s.URL + "/" + filepath.Base(w.bare)
	fetch(t, openRepo(t, url, func(o *Options) { o.HTTP = right }), id)
	bearer := right
	bearer.Bearer = true
	fetch(t, openRepo(t, url, func(o *Options) { o.HTTP = bearer }), id)
	for name, c := range map[string]struct {
		url   string
		http  HTTP
		parts []string
	}{
		"no token":                {url, HTTP{CAFile: ca}, []string{"asks for a login", "git.tokenFile"}},
		"a wrong one":             {url, HTTP{CAFile: ca, TokenFile: secretFile(t, "wrong", 0o600)}, []string{"asks for a login", "valid"}},
		"one that all may read":   {url, HTTP{CAFile: ca, TokenFile: secretFile(t, "right-token", 0o644)}, []string{"everybody may read it"}},
		"an empty one":            {url, HTTP{CAFile: ca, TokenFile: secretFile(t, "\n", 0o600)}, []string{"holds no token"}},
		"nobody's certificate":    {url, HTTP{TokenFile: right.TokenFile}, []string{"certificate", "git.ca"}},
		"a redirect elsewhere":    {s.URL + "/moved.git", right, []string{"it redirects to http://127.0.0.1"}},
		"a token over plain http": {"http://git.example.com/fleet.git", right, []string{"not sent over http"}},
		"no repository":           {s.URL + "/none.git", right, []string{"no such repository"}},
	} {
		r := openRepo(t, c.url, func(o *Options) { o.HTTP = c.http })
		_, err := r.Fetch(t.Context())
		wantErr(t, err, Unauthorized, c.parts...)
		if err != nil && name == "" {
			t.Error(name)
		}
	}
	if stolen.Load() {
		t.Error("the token followed a redirect")
	}
}

// TestSSHLogin: by a key in a file or in an agent, at a server whose key is known.
func TestSSHLogin(t *testing.T) {
	w := newWork(t)
	id := w.push("fleet.yaml", "a")
	s := startSSH(t)
	text, err := os.ReadFile(s.file("id"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = agent.ServeAgent(ring, c)
			}()
		}
	}()
	for name, c := range map[string]struct {
		set  func(*sshdriver.Options)
		kind Kind
	}{
		"a key in a file":          {func(*sshdriver.Options) {}, ""},
		"a key in an agent":        {func(o *sshdriver.Options) { o.IdentityFiles, o.Agent = nil, socket }, ""},
		"a key that is not let in": {func(o *sshdriver.Options) { o.IdentityFiles = []string{s.file("other")} }, Unauthorized},
		"a server that is not known": {func(o *sshdriver.Options) {
			o.KnownHosts = []string{secretFile(t, "", 0o600)}
		}, Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			r := openRepo(t, s.url(w.bare), func(o *Options) { o.SSH = s.client(t, c.set) })
			got, err := r.Fetch(t.Context())
			if KindOf(err) != c.kind || c.kind == "" && (err != nil || got.ID != id) {
				t.Errorf("kind %q, want %q: %v", KindOf(err), c.kind, err)
			}
		})
	}
}

// TestDescends: what was forced does not; what was merged does.
func TestDescends(t *testing.T) {
	w := newWork(t)
	first := w.push("a", "1")
	second := w.push("a", "2")
	w.git("checkout", "-q", "-b", "side", first)
	w.write("b", "1")
	side := w.commit("side")
	w.git("checkout", "-q", "main")
	w.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	w.git("push", "-q", "origin", "HEAD:main")
	merged := w.git("rev-parse", "HEAD")
	r := openRepo(t, "file://"+w.bare)
	fetch(t, r, merged)
	w.git("reset", "-q", "--hard", first)
	forced := w.push("a", "3")
	fetch(t, r, forced)
	for _, c := range []struct {
		from, to string
		want     bool
	}{{first, second, true}, {first, merged, true}, {second, merged, true}, {side, merged, true}, {merged, merged, true}, {merged, second, false}, {second, forced, false}, {merged, forced, false}, {first, forced, true}} {
		if got, err := r.Descends(t.Context(), c.from, c.to); err != nil || got != c.want {
			t.Errorf("%.7s to %.7s: %v, %v", c.from, c.to, got, err)
		}
	}
}
