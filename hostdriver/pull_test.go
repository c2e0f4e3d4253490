package hostdriver

import (
	"fmt"
	"strings"
	"testing"
)

func TestRedactURLs(t *testing.T) {
	for in, want := range map[string]string{
		"see https://r.example/a.tar?sig=x&y=z, then":           "see https://r.example/a.tar?[redacted] then",
		"https://user:pw@r.example/a":                           "https://[redacted]@r.example/a",
		`Get "HTTPS://r.example/?t=x": refused`:                 `Get "HTTPS://r.example/?[redacted]": refused`,
		"https://r.example/a@b/c":                               "https://r.example/a@b/c",
		"https://r.example":                                     "https://r.example",
		"https://r.example?":                                    "https://r.example",
		"git+https://g.example/x.git?tag=v1&commit=abc":         "git+https://g.example/x.git?tag=v1&commit=abc",
		"http://a.example/?x=1 https://b.example/?y=2 no ?this": "http://a.example/?[redacted] https://b.example/?[redacted] no ?this",
	} {
		if got := RedactURLs(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestPullPrintsNoPassword(t *testing.T) {
	r := Release{Path: "/opt/.releases/a/b", SHA256: "b", Pull: &Pull{URL: NewContent([]byte("https://r.example/a?token=hunter2"))}}
	text := fmt.Sprintf("%v %+v %#v %v", r, r, r, *r.Pull)
	for _, f := range []PullFault{PullNoTool, PullQuery, PullBandwidth, PullNoZstd, PullNoUnzip, PullFetch, PullTime, PullRedirect, PullSize, PullRoom, PullDigest, PullEntry, PullUnpack, "?"} {
		what, mend := r.PullError(f, "from https://r.example/a?token=hunter2")
		if what == "" || mend == "" || !strings.Contains(what, "https://r.example/a?[redacted]") {
			t.Errorf("%s: %q, %q", f, what, mend)
		}
		text += what + mend
	}
	if strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

func FuzzRedactURLs(f *testing.F) {
	f.Add("https://a:b@c?d", "x")
	f.Fuzz(func(t *testing.T, before, secret string) {
		if len(secret) < 4 || strings.ContainsAny(secret, " \t\n\r\f\v\"'<>") || strings.Contains("https://r.example/?[redacted]", secret) || strings.Contains(before, secret) {
			return
		}
		if got := RedactURLs(before + " https://r.example/?" + secret); strings.Contains(got, secret) {
			t.Errorf("%q", got)
		}
	})
}
