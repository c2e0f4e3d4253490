package desired

import (
	"archive/tar"
	"strings"
	"testing"
)

const someCommit = "0123456789abcdef0123456789abcdef01234567"

func TestParseGitArchive(t *testing.T) {
	for source, want := range map[string]GitArchive{
		"git+https://git.example.com/team/site.git?tag=v1.4.2&commit=" + someCommit:        {URL: "https://git.example.com/team/site.git", Tag: "v1.4.2", Commit: someCommit, Path: "."},
		"git+ssh://git@git.example.com/site?branch=a/b&commit=" + someCommit + "&path=a/b": {URL: "ssh://git@git.example.com/site", Branch: "a/b", Commit: someCommit, Path: "a/b"},
		"git+file:///srv/site.git?branch=main&commit=" + someCommit:                        {URL: "file:///srv/site.git", Branch: "main", Commit: someCommit, Path: "."},
	} {
		if got, err := ParseGitArchive(source); err != nil || got != want {
			t.Errorf("%s: %+v, %v", source, got, err)
		}
	}
	pinned := "&commit=" + someCommit
	for source, want := range map[string]string{
		"git+https://h/r?tag=v1":                      "it needs the commit",
		"git+https://h/r?tag=v1&commit=0123456":       "it needs the commit",
		"git+https://h/r?commit=" + someCommit:        "it needs the tag",
		"git+https://h/r?tag=v1&branch=main" + pinned: "one of the two",
		"git+https://h/r?tag=v1&tag=v2" + pinned:      "tag wants one value",
		"git+https://h/r?tag=v1&ref=v2" + pinned:      `there is no "ref"`,
		"git+https://h/r?tag=v1&path=../x" + pinned:   "is no folder of the repository",
		"git+https://h/r?tag=v1&path=/x" + pinned:     "is no folder of the repository",
		"git+https://me:word@h/r?tag=v1" + pinned:     "holds a password",
		"git+http://h/r?tag=v1" + pinned:              "git is not asked by http://",
		"git+https:///r?tag=v1" + pinned:              "names no repository",
		"git+file://host/r?tag=v1" + pinned:           "names no repository",
		"git+https://h?tag=v1" + pinned:               "names no repository",
	} {
		if got, err := ParseGitArchive(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", source, got, err)
		}
		if _, mend := checkArtifactSource(source, ""); mend != gitArchiveMend {
			t.Errorf("%s: the mend is %q", source, mend)
		}
	}
}

// An archive of a commit needs no sha256, is a bundle, and has neither signature nor another form.
func TestGitArchiveOfAService(t *testing.T) {
	source := "git+https://git.example.com/site.git?tag=v{{ .Vars.version }}&commit=" + someCommit
	data := makeTar(t, tar.Header{Name: "x", Typeflag: tar.TypeReg})
	spec := func(more string) string {
		return "  artifacts: [{name: site, path: /srv/site, source: \"" + source + "\"" + more + "}]\n"
	}
	got, err := artifactsOf(t, spec(""), nil, memoryStore{strings.Replace(source, "{{ .Vars.version }}", "1.2", 1): data})
	if err != nil || got[0].Form != "tar" || got[0].Release != "/srv/.releases/site/"+hexSHA(data) {
		t.Errorf("%+v, %v", got, err)
	}
	if offline, err := artifactsOf(t, spec(""), nil, nil); err != nil || offline[0].Open != nil || offline[0].Size != -1 {
		t.Errorf("%+v, %v", offline, err)
	}
	for more, want := range map[string]string{
		", unpack: none":                 "is always unpacked",
		", unpack: zip":                  "is always unpacked",
		", signature: {cosign: key.pub}": "the commit's ID pins the files",
	} {
		if _, err := artifactsOf(t, spec(more), nil, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "services/a/service.yaml:6:") {
			t.Errorf("%s: %v", more, err)
		}
	}
}
