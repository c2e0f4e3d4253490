package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

func main() { service.Main("website", build) }

func build(p *service.Process) (*service.Server, error) {
	instance := p.Env.Instance()
	directory := p.Env.Required("WEBSITE_ROOT")
	server := &service.Server{
		Name:    "website",
		Listen:  p.Env.Listen("WEBSITE_LISTEN", ":8081"),
		Grace:   p.Env.Duration("WEBSITE_GRACE", 10*time.Second),
		Handler: nil,
		Health:  &service.Health{Instance: instance},
	}
	if err := p.Env.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, fmt.Errorf("cannot serve WEBSITE_ROOT: %w", err)
	}
	pages := root.FS()
	server.Handler = site(pages, instance)
	server.Health.Check = func() error { return present(pages) }
	return server, nil
}

// present says whether there is a page to serve at all.
func present(pages fs.FS) error {
	if _, err := fs.Stat(pages, "index.html"); err != nil {
		return fmt.Errorf("cannot serve the first page: %w", err)
	}
	return nil
}

// site serves the files of pages: none whose name begins with a dot, no
// listings, and nothing outside, not even through a symlink.
func site(pages fs.FS, instance string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Served-By", instance)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'")
		header.Set("Cache-Control", "no-cache")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		serve(w, r, pages, name)
	})
}

func serve(w http.ResponseWriter, r *http.Request, pages fs.FS, name string) {
	if strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
		http.NotFound(w, r)
		return
	}
	content, err := fs.ReadFile(pages, name)
	if err != nil {
		if info, statErr := fs.Stat(pages, name); errors.Is(err, fs.ErrNotExist) || statErr != nil || info.IsDir() {
			http.NotFound(w, r)
			return
		}
		http.Error(w, "cannot read the page", http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, name, time.Time{}, strings.NewReader(string(content)))
}
