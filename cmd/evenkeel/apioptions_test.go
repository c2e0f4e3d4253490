package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller/api/apitest"
)

func TestAPIOptions(t *testing.T) {
	file := "api: {listen: \"127.0.0.1:7070\", socket: /run/x.sock, socketGroup: ops, tokens: /t, plaintext: true, tls: {cert: /c, key: /k}}\nwebhook: {secret: /w, window: 2s}\nmetrics: {token: /m}\n"
	s, _, err := settingsOf(t, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{settings: s}
	o := a.apiOptions(apitest.New())
	if o.Listen != "127.0.0.1:7070" || o.Socket != "/run/x.sock" || o.SocketGroup != "ops" || o.Tokens != "/t" || !o.Plaintext || o.Certificate != "/c" || o.Key != "/k" ||
		o.WebhookSecrets != "/w" || o.WebhookWindow != 2*time.Second || o.MetricsToken != "/m" {
		t.Errorf("%+v", o)
	}
}

// settingsNamed are the keys in backquotes, such as `api.tokens`.
func settingsNamed(text string) []string {
	var keys []string
	for _, m := range regexp.MustCompile("`((?:api|webhook|metrics|server)\\.[a-zA-Z.]+)(?:: true)?`").FindAllStringSubmatch(text, -1) {
		keys = append(keys, m[1])
	}
	return keys
}

// TestTheControllersDocumentNamesSettings: what docs/controller.md names are settings.
func TestTheControllersDocumentNamesSettings(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "controller.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, k := range settingKeys() {
		known[k] = true
	}
	for _, k := range settingsNamed(string(text)) {
		if !known[k] {
			t.Errorf("docs/controller.md tells of %s, which is no setting", k)
		}
	}
}
