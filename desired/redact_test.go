package desired

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func secretHost() HostState {
	content := func(s string) hostdriver.Content { return hostdriver.NewContent([]byte(s)) }
	return HostState{Instances: []Instance{{Service: "gw", Files: []File{
		{Kind: FileEnv, Secret: true, Vars: []EnvVar{
			{Key: "TOKEN", Value: content(`s3cr"t/&x`), Secret: true}, {Key: "LONG", Value: content("s3cr\"t/&x-and-more"), Secret: true},
			{Key: "SHORT", Value: content("on"), Secret: true}, {Key: "LEVEL", Value: content("debugging")}}},
		{Secret: true, Content: content("# a file\npassword: \"hunter22222\"\n[db]\nkey = qwertyuiop\nport: 80\n")},
		{Secret: true, Sealing: &Sealing{Plain: content("-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n")}},
		{Content: content("open: everybody-knows\n")},
	}}}}
}

func TestSecretsAreRedactedWhereverTheyStand(t *testing.T) {
	var s Redaction
	s.Host(secretHost())
	r := s.Replacer()
	for said, want := range map[string]string{
		`token s3cr"t/&x refused`:                                         "token [redacted] refused",
		`{"token":"s3cr\"t/&x"}`:                                          `{"token":"[redacted]"}`,
		`{"token":"s3cr\"t/\u0026x"}`:                                     `{"token":"[redacted]"}`,
		"GET /?t=s3cr%22t%2F%26x HTTP/1":                                  "GET /?t=[redacted] HTTP/1",
		"long s3cr\"t/&x-and-more":                                        "long [redacted]",
		"Basic " + base64.StdEncoding.EncodeToString([]byte(`s3cr"t/&x`)): "Basic [redacted]",
		"it is on, debugging, everybody-knows, port 80":                   "it is on, debugging, everybody-knows, port 80",
		"login with hunter22222 and qwertyuiop":                           "login with [redacted] and [redacted]",
		"kqhkiG9w0BAQEF":                                                  "[redacted]",
		"-----BEGIN KEY-----":                                             "-----BEGIN KEY-----",
	} {
		// Standard base64 of it may end with padding.
		if got := strings.TrimRight(r.Replace(said), "="); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
	if none := (&Redaction{}).Replacer(); none != nil {
		t.Error("there is something to redact where nothing is secret")
	}
}
