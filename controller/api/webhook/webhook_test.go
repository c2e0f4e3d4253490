package webhook

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	secret  = []byte("a secret that is long enough")
	other   = []byte("another secret, long enough")
	signing = []byte(standardPrefix + base64.StdEncoding.EncodeToString([]byte("a key of thirty-two random bytes")))
	now     = time.Date(2026, 3, 1, 15, 24, 20, 0, time.UTC)
)

func payload(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func hexMAC(key []byte, text string) string { return hex.EncodeToString(mac(key, []byte(text))) }

func standardMAC(id, at, body string) string {
	key, _ := base64.StdEncoding.DecodeString(string(signing[len(standardPrefix):]))
	return "v1," + base64.StdEncoding.EncodeToString(mac(key, []byte(id+"."+at+"."+body)))
}

func stamp(t time.Time) string { return fmt.Sprint(t.Unix()) }

func TestVerify(t *testing.T) {
	const body = `{"ref": "refs/heads/main"}`
	good := hexMAC(secret, body)
	at := stamp(now)
	generic := func(t, text string) string { return "t=" + t + ",v1=" + hexMAC(secret, t+"."+text) }
	cases := []struct {
		name, sender string
		h            http.Header
		secrets      [][]byte
		want         error
	}{
		{"github", "github", header("X-Hub-Signature-256", "sha256="+good), nil, nil},
		{"github, rotated", "github", header("X-Hub-Signature-256", "sha256="+good), [][]byte{other, secret}, nil},
		{"github, upper case", "github", header("X-Hub-Signature-256", "sha256="+strings.ToUpper(good)), nil, nil},
		{"github, another secret", "github", header("X-Hub-Signature-256", "sha256="+hexMAC(other, body)), nil, ErrUnsigned},
		{"github, another body", "github", header("X-Hub-Signature-256", "sha256="+hexMAC(secret, body+" ")), nil, ErrUnsigned},
		{"github, none", "github", header(), nil, ErrUnsigned},
		{"github, empty", "github", header("X-Hub-Signature-256", "sha256="), nil, ErrUnsigned},
		{"github, cut", "github", header("X-Hub-Signature-256", "sha256="+good[:62]), nil, ErrUnsigned},
		{"github, no hex", "github", header("X-Hub-Signature-256", "sha256="+strings.Repeat("z", 64)), nil, ErrUnsigned},
		{"github, SHA-1 only", "github", header("X-Hub-Signature", "sha1=57920710b7619b11df90c4ae237f0f53d77a8f54"), nil, ErrUnsigned},
		{"github, in Gitea's form", "github", header("X-Hub-Signature-256", good), nil, ErrUnsigned},
		{"github, no secret", "github", header("X-Hub-Signature-256", "sha256="+hexMAC(nil, body)), [][]byte{}, ErrUnsigned},

		{"gitea", "gitea", header("X-Gitea-Signature", good), nil, nil},
		{"forgejo", "gitea", header("X-Forgejo-Signature", good, "X-Gitea-Signature", good), nil, nil},
		{"forgejo's is not mended by gitea's", "gitea", header("X-Forgejo-Signature", hexMAC(other, body), "X-Gitea-Signature", good), nil, ErrUnsigned},
		{"gitea, none", "gitea", header("X-Hub-Signature-256", "sha256="+good), nil, ErrUnsigned},

		{"gitlab, secret token", "gitlab", header("X-Gitlab-Token", string(secret)), nil, nil},
		{"gitlab, another token", "gitlab", header("X-Gitlab-Token", string(other)), nil, ErrUnsigned},
		{"gitlab, a part of it", "gitlab", header("X-Gitlab-Token", string(secret[:10])), nil, ErrUnsigned},
		{"gitlab, none", "gitlab", header(), nil, ErrUnsigned},
		{"gitlab, signed", "gitlab", header("Webhook-Id", "1", "Webhook-Timestamp", at, "Webhook-Signature", standardMAC("1", at, body)), [][]byte{signing}, nil},
		{"gitlab, signed twice", "gitlab", header("Webhook-Id", "1", "Webhook-Timestamp", at, "Webhook-Signature", "v1,AAAA v2,x "+standardMAC("1", at, body)), [][]byte{secret, signing}, nil},
		{"gitlab, a wrong signature is not mended by the token", "gitlab",
			header("Webhook-Id", "2", "Webhook-Timestamp", at, "Webhook-Signature", standardMAC("1", at, body), "X-Gitlab-Token", string(secret)), [][]byte{secret, signing}, ErrUnsigned},
		{"gitlab, the signing token as a token", "gitlab", header("X-Gitlab-Token", string(signing)), [][]byte{signing}, ErrUnsigned},
		{"gitlab, signed long ago", "gitlab", header("Webhook-Id", "1", "Webhook-Timestamp", stamp(now.Add(-6*time.Minute)), "Webhook-Signature", standardMAC("1", stamp(now.Add(-6*time.Minute)), body)), [][]byte{signing}, ErrStale},
		{"gitlab, signed, no id", "gitlab", header("Webhook-Timestamp", at, "Webhook-Signature", standardMAC("", at, body)), [][]byte{signing}, ErrUnsigned},

		{"generic", "generic", header("X-Evenkeel-Signature", generic(at, body)), nil, nil},
		{"generic, several", "generic", header("X-Evenkeel-Signature", "t="+at+",v1=00, v1="+hexMAC(other, at+"."+body)+", v1="+hexMAC(secret, at+"."+body)), nil, nil},
		{"generic, a little ahead", "generic", header("X-Evenkeel-Signature", generic(stamp(now.Add(4*time.Minute)), body)), nil, nil},
		{"generic, far ahead", "generic", header("X-Evenkeel-Signature", generic(stamp(now.Add(6*time.Minute)), body)), nil, ErrStale},
		{"generic, long ago", "generic", header("X-Evenkeel-Signature", generic(stamp(now.Add(-time.Hour)), body)), nil, ErrStale},
		{"generic, another time", "generic", header("X-Evenkeel-Signature", "t="+stamp(now.Add(time.Second))+",v1="+hexMAC(secret, at+"."+body)), nil, ErrUnsigned},
		{"generic, two times", "generic", header("X-Evenkeel-Signature", "t="+at+","+generic(at, body)), nil, ErrUnsigned},
		{"generic, no time", "generic", header("X-Evenkeel-Signature", "v1="+hexMAC(secret, "."+body)), nil, ErrUnsigned},
		{"generic, a time that is none", "generic", header("X-Evenkeel-Signature", generic("soon", body)), nil, ErrStale},
		{"generic, a time beyond all", "generic", header("X-Evenkeel-Signature", generic("-9223372036854775808", body)), nil, ErrStale},
		{"generic, none", "generic", header(), nil, ErrUnsigned},
	}
	for _, c := range cases {
		secrets := c.secrets
		if secrets == nil {
			secrets = [][]byte{secret}
		}
		s, ok := Named(c.sender)
		if !ok {
			t.Fatal(c.sender)
		}
		if _, err := s.Verify(c.h, []byte(body), secrets, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	form := "payload=" + url.QueryEscape(string(payload(t, "github-push.json")))
	cases := []struct {
		name, sender string
		h            http.Header
		body         []byte
		want         Push
	}{
		{"github", "github", header("X-GitHub-Event", "push", "Content-Type", "application/json"), payload(t, "github-push.json"), Push{Repository: "Fleets/production", Branch: "main"}},
		{"github, a form", "github", header("X-GitHub-Event", "push", "Content-Type", "application/x-www-form-urlencoded"), []byte(form), Push{Repository: "Fleets/production", Branch: "main"}},
		{"github, ping", "github", header("X-GitHub-Event", "ping"), []byte(`{"zen": "x"}`), Push{Ignored: "it is about no push"}},
		{"github, no event", "github", header(), payload(t, "github-push.json"), Push{Ignored: "header X-GitHub-Event is missing"}},
		{"gitea", "gitea", header("X-Gitea-Event", "push"), payload(t, "gitea-push.json"), Push{Repository: "fleets/production", Branch: "main"}},
		{"forgejo", "gitea", header("X-Forgejo-Event", "push", "X-Gitea-Event", "push"), payload(t, "gitea-push.json"), Push{Repository: "fleets/production", Branch: "main"}},
		{"gitea, an issue", "gitea", header("X-Gitea-Event", "issues"), []byte(`{}`), Push{Ignored: "it is about no push"}},
		{"gitlab", "gitlab", header("X-Gitlab-Event", "Push Hook"), payload(t, "gitlab-push.json"), Push{Repository: "platform/fleets/production", Branch: "main"}},
		{"gitlab, the system's", "gitlab", header("X-Gitlab-Event", "System Hook"), []byte(`{"object_kind": "tag_push"}`), Push{Ignored: "it is about no push"}},
		{"gitlab, a tag", "gitlab", header("X-Gitlab-Event", "Tag Push Hook"), []byte(`{}`), Push{Ignored: "it is about no push"}},
		{"generic, empty", "generic", header(), nil, Push{}},
		{"generic", "generic", header(), []byte(`{"repository": "a/b", "ref": "refs/heads/x", "after": "1"}`), Push{Repository: "a/b", Branch: "x"}},
		{"generic, a tag", "generic", header(), []byte(`{"ref": "refs/tags/x"}`), Push{Ignored: "it is about no branch"}},
	}
	for _, c := range cases {
		s, _ := Named(c.sender)
		got, err := s.Parse(c.h, c.body)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for sender, h := range map[string]http.Header{"github": header("X-GitHub-Event", "push"), "gitea": header("X-Gitea-Event", "push"), "gitlab": header("X-Gitlab-Event", "Push Hook"), "generic": header()} {
		s, _ := Named(sender)
		for _, body := range []string{"x", "[]", `{"ref": 1}`, `{"object_kind": "push"}`, strings.Repeat("[", 100_000)} {
			if p, err := s.Parse(h, []byte(body)); err == nil && (p.Branch != "" || sender != "generic") {
				t.Errorf("%s: %.20q is taken: %+v", sender, body, p)
			} else if err != nil && len(err.Error()) > 400 {
				t.Errorf("%s: a long error", sender)
			}
		}
	}
}

func TestConcerns(t *testing.T) {
	cases := []struct {
		url, branch string
		p           Push
		want        bool
	}{
		{"ssh://git@github.com/Fleets/production.git", "main", Push{Repository: "fleets/Production", Branch: "main"}, true},
		{"git@github.com:fleets/production.git", "main", Push{Repository: "fleets/production", Branch: "main"}, true},
		{"https://github.com/fleets/production", "main", Push{Repository: "fleets/production", Branch: "main"}, true},
		{"https://example.com/git/fleets/production.git/", "main", Push{Repository: "fleets/production", Branch: "main"}, true},
		{"file:///srv/git/fleets/production.git", "main", Push{Repository: "fleets/production", Branch: "main"}, true},
		{"/srv/git/fleets/production", "main", Push{Repository: "fleets/production", Branch: "main"}, true},
		{"https://user:password@github.com/fleets/production.git", "", Push{Repository: "fleets/production", Branch: "anything"}, true},
		{"git@github.com:fleets/production.git", "main", Push{}, true},
		{"git@github.com:fleets/production.git", "main", Push{Repository: "fleets/production", Branch: "next"}, false},
		{"git@github.com:fleets/production.git", "main", Push{Repository: "fleets/staging", Branch: "main"}, false},
		{"git@github.com:fleets/production.git", "main", Push{Repository: "leets/production", Branch: "main"}, false},
		{"git@github.com:fleets/production.git", "main", Push{Repository: "fleets/production", Branch: "main", Ignored: "a ping"}, false},
	}
	for _, c := range cases {
		got, why := c.p.Concerns(c.url, c.branch)
		if got != c.want || got == (why != "") {
			t.Errorf("%+v: %v %q", c, got, why)
		}
	}
}

func TestSeenForgets(t *testing.T) {
	s := NewSeen(time.Minute, 3)
	take := func(key string, after time.Duration, want bool) {
		t.Helper()
		if got := s.Take(key, now.Add(after)); got != want {
			t.Errorf("%q after %v: %v", key, after, got)
		}
	}
	take("a", 0, true)
	take("a", time.Second, false)
	take("", 0, true)
	take("", 0, true)
	take("a", 2*time.Minute, true)
	for _, key := range []string{"b", "c", "d"} {
		take(key, 2*time.Minute, true)
	}
	if s.Len() != 3 {
		t.Errorf("%d are kept", s.Len())
	}
	take("d", 2*time.Minute, false)
	take("a", 2*time.Minute, true) // there was no room for it
}
