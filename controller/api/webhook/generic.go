package webhook

import (
	"bytes"
	"net/http"
	"strings"
	"time"
)

// generic is for anything that can compute an HMAC, such as a post-receive hook:
//
//	X-Evenkeel-Signature: t=UNIXSECONDS,v1=HEX of HMAC-SHA256(secret, t + "." + body)
//
// Several v1 are allowed. The body may be empty, or {"repository": "org/fleet",
// "ref": "refs/heads/main"} with either left out.
type generic struct{}

func (generic) Verify(h http.Header, body []byte, secrets [][]byte, now time.Time) (string, error) {
	header := cut(h.Get("X-Evenkeel-Signature"))
	at := ""
	var signatures [][]byte
	for part := range strings.SplitSeq(header, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			if at != "" {
				return "", ErrUnsigned
			}
			at = value
		case "v1":
			if s := hexSignature(value); s != nil {
				signatures = append(signatures, s)
			}
		}
	}
	if at == "" || !madeBy(signatures, secrets, []byte(at+"."), body) {
		return "", ErrUnsigned
	}
	if !recent(at, now) {
		return "", ErrStale
	}
	return "generic " + at + " " + digest(body), nil
}

func (generic) Parse(_ http.Header, body []byte) (Push, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return Push{}, nil
	}
	var p struct {
		Repository string `json:"repository"`
		Ref        string `json:"ref"`
	}
	if err := decode(body, &p); err != nil {
		return Push{}, err
	}
	push := Push{Repository: p.Repository}
	if p.Ref != "" {
		branch, ok := branchOf(p.Ref)
		if !ok {
			return Push{Repository: p.Repository, Ignored: "it is about no branch"}, nil
		}
		push.Branch = branch
	}
	return push, nil
}
