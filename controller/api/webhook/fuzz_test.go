package webhook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzSenders feeds every sender with anything: nothing is genuine without a secret, and
// what is parsed is bounded.
func FuzzSenders(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "push", "sha256="+strings.Repeat("ab", 32), "t=1,v1=ab")
		f.Add(b, "Push Hook", "v1,YQ==", "v1=,t=")
	}
	f.Fuzz(func(t *testing.T, body []byte, event, signature, more string) {
		h := header("X-GitHub-Event", event, "X-Gitea-Event", event, "X-Gitlab-Event", event, "X-Hub-Signature-256", signature, "X-Gitea-Signature", signature,
			"Webhook-Signature", signature, "Webhook-Id", more, "Webhook-Timestamp", more, "X-Gitlab-Token", more, "X-Evenkeel-Signature", more)
		for _, name := range Senders() {
			s, _ := Named(name)
			if key, err := s.Verify(h, body, [][]byte{secret, signing}, now); err == nil {
				t.Errorf("%s: genuine: %q", name, key)
			}
			p, err := s.Parse(h, body)
			if err != nil && (p != Push{} || len(err.Error()) > 400) {
				t.Errorf("%s: %+v and %v", name, p, err)
			}
			if ours, why := p.Concerns("git@example.com:a/b.git", "main"); ours == (why != "") || ours && p.Branch != "" && p.Branch != "main" {
				t.Errorf("%s: %+v: %v %q", name, p, ours, why)
			}
		}
	})
}
