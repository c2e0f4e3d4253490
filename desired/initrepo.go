package desired

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed all:initrepo
var initFiles embed.FS

// InitRepo is a first fleet repo: files by their slash-separated path. It has one
// service that runs on any systemd host, an inventory with one example host, and
// passes Validate without a finding. name must be one that a Fleet may have.
func InitRepo(name string) (map[string][]byte, error) {
	if why := checkName(name); why != "" {
		return nil, Faults{{Rule: "bad-name", Message: "fleet " + why}}
	}
	out := map[string][]byte{}
	err := fs.WalkDir(initFiles, "initrepo", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := initFiles.ReadFile(p)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, "initrepo/")
		if path.Base(rel) == "gitignore" {
			rel = path.Join(path.Dir(rel), ".gitignore")
		}
		out[rel] = []byte(strings.ReplaceAll(string(data), "FLEETNAME", name))
		return nil
	})
	return out, err
}
