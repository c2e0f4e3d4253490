package main

import (
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func TestWebsiteServesItsPagesAndNothingElse(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "www")
	for name, content := range map[string]string{
		"www/index.html": "<h1>nullspace</h1>", "www/sub/page.txt": "a page", "www/.hidden": "hidden", "outside.txt": "outside",
	} {
		file := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside.txt", filepath.Join(root, "link.txt")); err != nil {
		t.Fatal(err)
	}
	server, err := build(service.NewProcess("website", service.MapEnv(map[string]string{
		"WEBSITE_ROOT": root, "NULLSPACE_INSTANCE": "web-1",
	}), io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/", 200, "<h1>nullspace</h1>"},
		{"GET", "/index.html", 200, "<h1>nullspace</h1>"},
		{"HEAD", "/", 200, ""},
		{"GET", "/sub/page.txt", 200, "a page"},
		{"GET", "/sub", 404, ""},
		{"GET", "/.hidden", 404, ""},
		{"GET", "/absent", 404, ""},
		{"GET", "/../outside.txt", 404, ""},
		{"GET", "/%2e%2e/outside.txt", 404, ""},
		{"GET", "/link.txt", 404, ""},
		{"POST", "/", 405, ""},
	} {
		answer := httptest.NewRecorder()
		server.Handler.ServeHTTP(answer, httptest.NewRequest(c.method, c.path, nil))
		if answer.Code != c.code || (c.code == 200 && answer.Body.String() != c.body) {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, answer.Code, answer.Body, c.code, c.body)
		}
		if answer.Header().Get("X-Served-By") != "web-1" || strings.Contains(answer.Body.String(), "outside") {
			t.Errorf("%s %s: header %v, body %q", c.method, c.path, answer.Header(), answer.Body)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	if server.Handler.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil)); answer.Body.String() != "changed" {
		t.Errorf("the changed page is served as %q", answer.Body)
	}
	server.Health.Set(service.Ready)
	if err := os.Remove(filepath.Join(root, "index.html")); err != nil {
		t.Fatal(err)
	}
	answer = httptest.NewRecorder()
	if server.Health.ServeHTTP(answer, nil); answer.Code != 503 || !strings.Contains(answer.Body.String(), "index.html") {
		t.Errorf("without a first page: %d %s", answer.Code, answer.Body)
	}
}

func TestWebsiteNeedsItsDirectory(t *testing.T) {
	for root, want := range map[string]string{"": "WEBSITE_ROOT is not set", "/nowhere/at/all": "cannot serve WEBSITE_ROOT: "} {
		_, err := build(service.NewProcess("website", service.MapEnv(map[string]string{"WEBSITE_ROOT": root}), io.Discard))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v", root, err)
		}
	}
}
