package sshdriver

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory"
)

func surveyRecords(entries, loaded string) []record {
	return []record{{kind: "entries", body: []byte(entries)}, {kind: "loaded", body: []byte(loaded)}}
}

func TestParseSurvey(t *testing.T) {
	got, err := parseSurvey(surveyRecords(strings.Join([]string{
		"f\t/etc/systemd/system/a.service\t",
		"l\t/etc/systemd/system/multi-user.target.wants/a.service\t/etc/systemd/system/a.service",
		"d\t/etc/systemd/system/a.service.d\t",
		"p\t/etc/systemd/system/pipe\t",
		"f\t/etc/systemd/system/../../passwd\t",
		"f\t/etc/passwd\t", "f\t/etc/systemd/system/a/b/c\t", "f\t/etc/systemd/system/\t", "f\tno tab", "nonsense",
		"l\t/etc/systemd/system/x\t\x1b[2J",
	}, "\n"), "a.service loaded active running A\n● b@1.service loaded failed failed B\n../x\n"))
	want := hostdriver.Survey{Entries: []hostdriver.SurveyEntry{
		{Path: "/etc/systemd/system/a.service", Type: hostdriver.PathFile},
		{Path: "/etc/systemd/system/multi-user.target.wants/a.service", Type: hostdriver.PathSymlink, Target: "/etc/systemd/system/a.service"},
		{Path: "/etc/systemd/system/a.service.d", Type: hostdriver.PathDir},
		{Path: "/etc/systemd/system/pipe", Type: hostdriver.PathOther},
	}, Loaded: []string{"a.service", "b@1.service"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := parseSurvey(nil); err == nil {
		t.Error("nothing is taken for a survey")
	}
	if _, err := parseSurvey([]record{{kind: "other"}}); err == nil {
		t.Error("an unknown part is taken")
	}
	many, err := parseSurvey(surveyRecords("", strings.Repeat("a.service x\n", hostdriver.MaxSurvey+1)))
	if err != nil || !many.Cut || len(many.Loaded) != hostdriver.MaxSurvey {
		t.Errorf("%v, cut %v, %d units", err, many.Cut, len(many.Loaded))
	}
}

func FuzzSurvey(f *testing.F) {
	f.Add("f\t/etc/systemd/system/a.service\t\nl\t/etc/systemd/system/b.service\t/dev/null\n", "a.service loaded\n● b.service x\n")
	f.Fuzz(func(t *testing.T, entries, loaded string) {
		s, err := parseSurvey(surveyRecords(entries, loaded))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range s.Entries {
			if hostdriver.CheckPath(e.Path) != nil || !strings.HasPrefix(e.Path, "/etc/") || hostdriver.HasControl(e.Target) {
				t.Fatalf("%+v", e)
			}
		}
		for _, u := range s.Loaded {
			if err := hostdriver.CheckUnit(u); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFetched(t *testing.T) {
	said := "motd\n\n" + testNonce + " begin\nbytes\n\x00end"
	var b bytes.Buffer
	if err := fetched(strings.NewReader(said), testNonce, 100, &b); err != nil || b.String() != "bytes\n\x00end" {
		t.Errorf("%v, %q", err, b.String())
	}
	for name, tt := range map[string]struct {
		said string
		most int64
		want string
	}{
		"too much":       {said, 3, "more than 3 bytes"},
		"no beginning":   {"sudo: a password is required\n", 100, "did not begin"},
		"endless motd":   {strings.Repeat("hello\n", 20000), 100, "did not begin"},
		"another's mark": {"\nabc begin\nx", 100, "did not begin"},
	} {
		if err := fetched(strings.NewReader(tt.said), testNonce, tt.most, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The script answers in every shell.
func TestSurveyInEveryShell(t *testing.T) {
	for shell := range testShells {
		t.Run(shell, func(t *testing.T) {
			h := newShellHost(t, shell)
			if _, err := h.Survey(t.Context(), inventory.Host{Name: "web-1"}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fetchLocally runs the script of a fetch in a shell here.
func fetchLocally(t *testing.T, shell []string, path string, folder bool) ([]byte, error) {
	t.Helper()
	s := newScript(places{path: realPath}, "survey")
	s.set("WHAT", path)
	s.setFlag("FOLDER", folder)
	cmd := exec.CommandContext(t.Context(), shell[0], append(slices.Clone(shell[1:]), "-c", s.text("op_fetch"))...)
	out, err := cmd.Output()
	var b bytes.Buffer
	err = errors.Join(err, fetched(bytes.NewReader(out), s.nonce, 1<<20, &b))
	return b.Bytes(), err
}

// A fetch follows no symlink: who may write to a folder would choose what root reads.
func TestFetchFollowsNoSymlink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the script wants to be root")
	}
	for name, shell := range testShells {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.MkdirAll(dir+"/app/bin", 0o755), os.WriteFile(dir+"/app/bin/x y", []byte("bytes\n\x00"), 0o755),
				os.Symlink("app", dir+"/link"), os.Symlink("x y", dir+"/app/bin/z")); err != nil {
				t.Fatal(err)
			}
			if got, err := fetchLocally(t, shell, dir+"/app/bin/x y", false); err != nil || string(got) != "bytes\n\x00" {
				t.Errorf("a file: %q, %v", got, err)
			}
			got, err := fetchLocally(t, shell, dir+"/app", true)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for r := tar.NewReader(bytes.NewReader(got)); ; {
				h, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, h.Name)
			}
			if want := []string{"./", "./bin/", "./bin/x y", "./bin/z"}; !slices.Equal(names, want) {
				t.Errorf("the folder has %q", names)
			}
			for what, folder := range map[string]bool{"/app/bin/z": false, "/link/bin/x y": false, "/link": true, "/link/bin": true, "/gone": false, "/app/bin/x y": true} {
				if got, err := fetchLocally(t, shell, dir+what, folder); err == nil {
					t.Errorf("%s: %q", what, got)
				}
			}
		})
	}
}
