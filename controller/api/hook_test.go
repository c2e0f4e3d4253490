package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/webhook"
)

func signed(secret, body string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}

func pushBody(ref string, n int) string {
	return fmt.Sprintf(`{"ref": %q, "after": "%040x", "repository": {"full_name": "fleets/production"}}`, ref, n)
}

// push delivers a hook as GitHub does.
func (f *fixture) push(secret, body string) *httptest.ResponseRecorder {
	return f.ask("POST", "/webhook/github", "", body, "X-GitHub-Event", "push", "X-Hub-Signature-256", signed(secret, body))
}

func TestHookPokes(t *testing.T) {
	f := newFixture(t)
	if w := f.push(webhookSecret, pushBody("refs/heads/main", 1)); w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), `"fetching":true`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if f.fake.Pokes() != 1 {
		t.Error("the first hook does not poke at once")
	}
}

func TestHooksThatDoNotPoke(t *testing.T) {
	for name, c := range map[string]struct {
		ask  func(*fixture) *httptest.ResponseRecorder
		code int
	}{
		"unsigned": {func(f *fixture) *httptest.ResponseRecorder {
			return f.ask("POST", "/webhook/github", "", pushBody("refs/heads/main", 1))
		}, 401},
		"not ours": {func(f *fixture) *httptest.ResponseRecorder {
			return f.push("another secret, long enough", pushBody("refs/heads/main", 1))
		}, 401},
		"an operator's token is no signature": {func(f *fixture) *httptest.ResponseRecorder {
			return f.ask("POST", "/webhook/github", f.writes, pushBody("refs/heads/main", 1))
		}, 401},
		"another branch": {func(f *fixture) *httptest.ResponseRecorder {
			return f.push(webhookSecret, pushBody("refs/heads/next", 1))
		}, 202},
		"a tag": {func(f *fixture) *httptest.ResponseRecorder {
			return f.push(webhookSecret, pushBody("refs/tags/main", 1))
		}, 202},
		"another repository": {func(f *fixture) *httptest.ResponseRecorder {
			return f.push(webhookSecret, strings.Replace(pushBody("refs/heads/main", 1), "fleets/production", "fleets/staging", 1))
		}, 202},
		"no JSON": {func(f *fixture) *httptest.ResponseRecorder { return f.push(webhookSecret, "ref=main") }, 400},
		"no secret set": {func(f *fixture) *httptest.ResponseRecorder {
			f.write("webhook.secret", "")
			return f.push(webhookSecret, pushBody("refs/heads/main", 1))
		}, 503},
		"a weak secret": {func(f *fixture) *httptest.ResponseRecorder {
			f.write("webhook.secret", "hunter2\n")
			return f.push("hunter2", pushBody("refs/heads/main", 1))
		}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if w := c.ask(f); w.Code != c.code {
				t.Errorf("%d, want %d: %s", w.Code, c.code, w.Body)
			}
			if n := f.fake.Pokes(); n != 0 {
				t.Errorf("%d pokes", n)
			}
		})
	}
}

func TestReplaysAreRefused(t *testing.T) {
	f := newFixture(t)
	body := pushBody("refs/heads/main", 1)
	if w := f.push(webhookSecret, body); w.Code != http.StatusAccepted {
		t.Fatal(w.Code)
	}
	for range 3 {
		if w := f.push(webhookSecret, body); w.Code != http.StatusConflict || problemIn(t, w).Kind() != "replayed" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	time.Sleep(3 * f.WebhookWindow)
	if n := f.fake.Pokes(); n != 1 {
		t.Errorf("%d pokes", n)
	}
}

func TestSecretsRotate(t *testing.T) {
	f := newFixture(t)
	next := "the next secret, long enough"
	f.write("webhook.secret", webhookSecret+"\n\n"+next+"\n")
	for i, secret := range []string{webhookSecret, next} {
		if w := f.push(secret, pushBody("refs/heads/main", i)); w.Code != http.StatusAccepted {
			t.Errorf("%q: %d", secret, w.Code)
		}
	}
	f.write("webhook.secret", next+"\n")
	if w := f.push(webhookSecret, pushBody("refs/heads/main", 3)); w.Code != http.StatusUnauthorized {
		t.Errorf("the old one: %d", w.Code)
	}
}

// TestTenThousandHooks: fault 52.
func TestTenThousandHooks(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.WebhookWindow = 200 * time.Millisecond })
	began := time.Now()
	for i := range 10_000 {
		if w := f.push(webhookSecret, pushBody("refs/heads/main", i)); w.Code != http.StatusAccepted {
			t.Fatalf("%d: %d %s", i, w.Code, w.Body)
		}
	}
	time.Sleep(2 * f.WebhookWindow)
	most := int(time.Since(began)/f.WebhookWindow) + 1
	if n := f.fake.Pokes(); n < 2 || n > most {
		t.Errorf("%d pokes, want 2 to %d", n, most)
	}
	if f.seen.Len() > replayMost {
		t.Errorf("%d deliveries are remembered", f.seen.Len())
	}
}

func TestHugeBodiesAreRefusedUnread(t *testing.T) {
	f := newFixture(t)
	for path, limit := range map[string]int64{"/webhook/github": webhook.MaxBody, Base + "/suspend": maxAction} {
		for name, length := range map[string]int64{"told": 1 << 30, "not told": -1} {
			body := &endless{}
			r := httptest.NewRequest("POST", path, body)
			r.ContentLength = length
			r.Header.Set("Authorization", "Bearer "+f.writes)
			r.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("00", 32))
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			if w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("%s, %s: %d %s", path, name, w.Code, w.Body)
			}
			if most := limit + 1<<20; body.read > most || length > 0 && body.read > 0 {
				t.Errorf("%s, %s: %d bytes were read", path, name, body.read)
			}
		}
	}
}

func TestAHookBeforeAnythingIsKnownPokes(t *testing.T) {
	f := newFixture(t)
	f.fake.Blank()
	if w := f.push(webhookSecret, pushBody("refs/heads/whatever", 1)); w.Code != http.StatusAccepted || f.fake.Pokes() != 1 {
		t.Errorf("%d, %d pokes", w.Code, f.fake.Pokes())
	}
}

func FuzzHook(f *testing.F) {
	for _, s := range webhook.Senders() {
		f.Add(s, pushBody("refs/heads/main", 1), "push")
	}
	f.Add("gitlab", `{"object_kind":"push","ref":"refs/heads/main","project":{"path_with_namespace":"a/b"}}`, "Push Hook")
	x := newFixture(f)
	x.fake.Change(func(s *controller.Snapshot) { s.Source.URL = "https://git.example.com/a/b" })
	f.Fuzz(func(t *testing.T, sender, body, event string) {
		x.t = t
		w := x.ask("POST", "/webhook/"+url.PathEscape(sender), "", body, "X-Github-Event", event, "X-Gitlab-Event", event, "X-Gitea-Event", event)
		if w.Code < 400 || w.Code >= 500 || x.fake.Pokes() > 0 {
			t.Errorf("%d without a signature, %d pokes", w.Code, x.fake.Pokes())
		}
	})
}
