package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	state, start, err := parseStat("12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n")
	if state != "S" || start != 4711 || err != nil {
		t.Error(state, start, err)
	}
	for _, bad := range []string{"", "12 sh S 1", "12 (sh) S 1 2"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if self := thisProcess(); !self.alive() {
		t.Errorf("%+v, this process, is not alive", self)
	}
	if other := (owner{PID: os.Getpid(), Start: 1}); other.alive() {
		t.Error("a recycled pid passes for its owner")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("12 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n")
	f.Add("12 (sh")
	f.Fuzz(func(t *testing.T, text string) {
		if state, _, err := parseStat(text); err == nil && state == "" {
			t.Error("no state and no error")
		}
	})
}

func TestParseMounts(t *testing.T) {
	got := parseMounts("36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n" +
		"junk\n37 35 0:1 / /cg rw - cgroup none rw,name=systemd\n38 1 0:2 / /x rw - tmpfs\n")
	want := []mount{{"/mnt/a b", "ext3", "rw,errors=continue"}, {"/cg", "cgroup", "rw,name=systemd"}, {"/x", "tmpfs", ""}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("36 35 98:0 / /mnt rw master:1 - ext3 /dev/root rw\n")
	f.Add("1 2 3 4 - - -")
	f.Fuzz(func(t *testing.T, text string) {
		if got := parseMounts(text); len(got) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mounts in %q", len(got), text)
		}
	})
}

const stat = "# pxname,svname,scur,stot,status,econ,eresp,\n" +
	"app-in,FRONTEND,1,9,OPEN,,,\napp,h1,2,5,UP,1,2,\napp,h2,,,DRAIN,,,\napp,BACKEND,2,5,UP,0,0,\nweb,h1,0,0,DOWN,0,0,\n"

func TestParseServers(t *testing.T) {
	got, err := parseServers(stat, "app")
	if err != nil || len(got) != 2 || got["h1"] != (Server{"UP", 2, 5, 3}) || got["h2"].Status != "DRAIN" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := parseServers("", "app"); err == nil {
		t.Error("nothing passes for an answer")
	}
}

func FuzzParseServers(f *testing.F) {
	f.Add(stat, "app")
	f.Add("# a,b\n\"", "")
	f.Fuzz(func(t *testing.T, text, backend string) {
		servers, err := parseServers(text, backend)
		if _, ok := servers["BACKEND"]; ok || err != nil && servers != nil {
			t.Errorf("%v, %v", servers, err)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{}, {Hosts: -1}, {Hosts: 241}, {Hosts: 1, Prefix: "a-b"}, {Hosts: 1, Prefix: "1a"}, {Hosts: 1, Prefix: "toolongname"},
		{Hosts: 1, Prefix: "../x"}, {Hosts: 1, DiskSize: -1}, {Hosts: 1, DiskDir: "relative"}, {Hosts: 1, DiskDir: "/a:b"},
		{Hosts: 1, Bases: make([]Base, 2)}, {Bases: []Base{{Suite: "../x"}}}, {Hosts: 1, Base: Base{Shell: "fish"}},
	} {
		if _, err := o.record(); err == nil {
			t.Errorf("%+v passes", o)
		}
	}
	r, err := Options{Hosts: 240, Prefix: "abcdefgh"}.record()
	if err != nil {
		t.Fatal(err)
	}
	if name := r.link(240); len(name) > 15 {
		t.Errorf("%s is longer than a network interface's name may be", name)
	}
	if r.address(240) != "10.213.0.250" {
		t.Error(r.address(240))
	}
}

func TestRecipeNamesTheImage(t *testing.T) {
	t.Setenv("EVENKEEL_LAB_CACHE", "/c")
	usual := Base{}.dir()
	if !strings.HasPrefix(usual, "/c/bookworm-") || usual != (Base{Suite: "bookworm"}).dir() {
		t.Error(usual)
	}
	for _, other := range []Base{{Suite: "trixie"}, {Suite: "noble"}, {Packages: []string{"podman"}}, {Packages: []string{"busybox"}}, {Shell: "busybox"}} {
		if other.dir() == usual {
			t.Errorf("%+v has the usual image", other)
		}
	}
	if (Base{Packages: []string{"a", "b"}}).dir() != (Base{Packages: []string{"b", "a", "b"}}).dir() {
		t.Error("the order of packages makes another image")
	}
}

// asked stands in for a testing.T and notes what Require does to it.
type asked struct{ skipped, failed string }

func (a *asked) Helper()                           {}
func (a *asked) Skip(args ...any)                  { a.skipped = fmt.Sprint(args...) }
func (a *asked) Fatalf(format string, args ...any) { a.failed = fmt.Sprintf(format, args...) }

func TestRequireSkipsOnlyWhenTold(t *testing.T) {
	t.Setenv("EVENKEEL_LAB", "off")
	var a asked
	if Require(&a); a.skipped == "" || a.failed != "" {
		t.Errorf("%+v", a)
	}
	t.Setenv("EVENKEEL_LAB", "")
	a = asked{}
	if Require(&a); a.skipped != "" || (a.failed == "") != (Needs() == nil) {
		t.Errorf("%+v", a)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	err := error(&ExitError{Host: "h1", User: "root", Command: "false", Code: 1, Stderr: "no\n"})
	if err.Error() != `h1: root: exit code 1 of "false": no` {
		t.Error(err)
	}
	if text := said(strings.Repeat("x", 5000)); len(text) > 2100 {
		t.Errorf("%d bytes", len(text))
	}
	if !errors.Is(ignoreGone(fmt.Errorf("x: %w", os.ErrPermission)), os.ErrPermission) || ignoreGone(os.ErrNotExist) != nil {
		t.Error("ignoreGone ignores another error")
	}
}
