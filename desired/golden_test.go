package desired

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, string(want))
}

// readRepo copies a repo into memory, but for folders that are made by a build.
func readRepo(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	repo := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p == "dist" {
				return fs.SkipDir
			}
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, p))
		repo[p] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// resolveGolden resolves every host of a repo without errors and compares.
func resolveGolden(t *testing.T, repo fs.FS, d Decrypter, name string) {
	t.Helper()
	rev, err := Load(context.Background(), repo, LoadOptions{Decrypter: d})
	if err != nil {
		t.Fatal(err)
	}
	if found := Validate(context.Background(), &rev); len(found) > 0 {
		t.Errorf("findings:\n%s", Faults(found))
	}
	states, err := rev.ResolveAll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, st := range states {
		b.WriteString(stateStory(st))
	}
	golden(t, name, b.String())
}

// The smallest repo, as the documentation has it: one service, two hosts, one SOPS
// file among the sources of its env file.
func TestLedger(t *testing.T) {
	repo := readRepo(t, "testdata/ledger")
	repo["services/ledger/ledger.secrets.env"] = &fstest.MapFile{Data: []byte(sealedEnv)}
	resolveGolden(t, repo, &sealedFiles{plain: map[string]string{"services/ledger/ledger.secrets.env": "LEDGER_TOKEN=hunter2\n"}}, "ledger.golden")
}

// The example fleet: five hosts, seven services, templates, timers, artifacts.
func TestNullspace(t *testing.T) {
	repo := readRepo(t, "../examples/nullspace")
	d := &sealedFiles{plain: map[string]string{}}
	for p, f := range repo {
		if IsSOPS(p, f.Data) {
			d.plain[p] = "METRICS_AUTH_TOKEN=hunter2\n"
		}
	}
	if len(d.plain) == 0 {
		t.Error("the example has no secrets any more")
	}
	for _, program := range []string{"node", "ops", "gateway", "auth", "economy-snapshot", "simulator", "website"} {
		repo["dist/"+program] = &fstest.MapFile{Data: []byte("\x7fELF " + program)}
	}
	resolveGolden(t, repo, keyedFiles{d}, "nullspace.golden")
}

// keyedFiles tell values apart, too.
type keyedFiles struct{ *sealedFiles }

func (keyedFiles) FingerprintKey() []byte { return []byte("golden") }

func TestInitRepo(t *testing.T) {
	made, err := InitRepo("demo")
	if err != nil {
		t.Fatal(err)
	}
	repo := fstest.MapFS{}
	for name, data := range made {
		repo[name] = &fstest.MapFile{Data: data}
	}
	if repo[".gitignore"] == nil || !strings.Contains(string(made["fleet.yaml"]), "{name: demo}") {
		t.Errorf("made %v", made)
	}
	resolveGolden(t, repo, nil, "init.golden")
	if _, err := InitRepo("../x"); err == nil {
		t.Error("a fleet of that name was made")
	}
}
