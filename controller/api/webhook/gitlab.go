package webhook

import (
	"bytes"
	"net/http"
	"time"
)

// gitlab is GitLab's. A signing token (whsec_…) signs by Standard Webhooks; a secret
// token is sent as it is, in X-Gitlab-Token. A request with a signature must pass by it
// where there is a signing token at all; a signing token is never taken as a secret one.
type gitlab struct{}

func (gitlab) Verify(h http.Header, body []byte, secrets [][]byte, now time.Time) (string, error) {
	var signing, plain [][]byte
	for _, s := range secrets {
		if bytes.HasPrefix(s, []byte(standardPrefix)) {
			signing = append(signing, s)
		} else {
			plain = append(plain, s)
		}
	}
	if h.Get("Webhook-Signature") != "" && len(signing) > 0 {
		return standard(h, body, signing, now)
	}
	if !Same(h.Get("X-Gitlab-Token"), plain) {
		return "", ErrUnsigned
	}
	for _, header := range []string{"X-Gitlab-Event-Uuid", "Idempotency-Key"} {
		if id := h.Get(header); id != "" && len(id) <= 256 {
			return "id " + id, nil
		}
	}
	return "", nil
}

func (gitlab) Parse(h http.Header, body []byte) (Push, error) {
	if why := event(h, "X-Gitlab-Event", "Push Hook", "System Hook"); why != "" {
		return Push{Ignored: why}, nil
	}
	var p struct {
		Kind    string `json:"object_kind"`
		Ref     string `json:"ref"`
		Project struct {
			Path string `json:"path_with_namespace"`
		} `json:"project"`
	}
	if err := decode(body, &p); err != nil {
		return Push{}, err
	}
	if p.Kind != "push" {
		return Push{Ignored: "it is about no push"}, nil
	}
	return pushOf(p.Project.Path, p.Ref)
}
