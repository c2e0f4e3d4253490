package webhook

import (
	"net/http"
	"time"
)

// gitea is Gitea's and Forgejo's: the signature in hex, without the algorithm's name.
type gitea struct{}

func (gitea) Verify(h http.Header, body []byte, secrets [][]byte, _ time.Time) (string, error) {
	signature := h.Get("X-Forgejo-Signature")
	if signature == "" {
		signature = h.Get("X-Gitea-Signature")
	}
	return overBody(signature, body, secrets)
}

func (gitea) Parse(h http.Header, body []byte) (Push, error) {
	header := "X-Gitea-Event"
	if h.Get("X-Forgejo-Event") != "" {
		header = "X-Forgejo-Event"
	}
	if why := event(h, header, "push"); why != "" {
		return Push{Ignored: why}, nil
	}
	var p hubPush
	if err := decode(body, &p); err != nil {
		return Push{}, err
	}
	return pushOf(p.Repository.FullName, p.Ref)
}
