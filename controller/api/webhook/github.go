package webhook

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// github is GitHub's: X-Hub-Signature-256 over the body. The older X-Hub-Signature,
// which is SHA-1, is not accepted.
type github struct{}

func (github) Verify(h http.Header, body []byte, secrets [][]byte, _ time.Time) (string, error) {
	signature, ok := strings.CutPrefix(h.Get("X-Hub-Signature-256"), "sha256=")
	if !ok {
		return "", ErrUnsigned
	}
	return overBody(signature, body, secrets)
}

// hubPush is what GitHub, Gitea and Forgejo call a push.
type hubPush struct {
	Ref        string `json:"ref"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

func (github) Parse(h http.Header, body []byte) (Push, error) {
	if why := event(h, "X-GitHub-Event", "push"); why != "" {
		return Push{Ignored: why}, nil
	}
	if kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return Push{}, fmt.Errorf("the body is no form: %w", shortened(err))
		}
		body = []byte(form.Get("payload"))
	}
	var p hubPush
	if err := decode(body, &p); err != nil {
		return Push{}, err
	}
	return pushOf(p.Repository.FullName, p.Ref)
}
