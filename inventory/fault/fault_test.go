package fault

import (
	"strings"
	"testing"
)

func TestString(t *testing.T) {
	for want, f := range map[string]Fault{
		`services/x/service.yaml:12:5: unknown key "unts": did you mean "units"?`: {
			Pos: Position{"services/x/service.yaml", 12, 5}, Message: `unknown key "unts"`, Mend: `did you mean "units"?`},
		"a.env:3: warning: odd":            {Pos: Position{File: "a.env", Line: 3}, Severity: Warning, Message: "odd"},
		"f: bad (on web-1): mend it":       {Pos: Position{File: "f"}, Message: "bad", Host: "web-1", Mend: "mend it"},
		"there is no fleet.yaml: make one": {Message: "there is no fleet.yaml", Mend: "make one"},
	} {
		if got := f.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	fs := Faults{
		{Pos: Position{File: "b"}, Message: "2"},
		{Pos: Position{"a", 2, 1}, Message: "1", Severity: Warning},
		{Pos: Position{"a", 1, 9}, Message: "0"},
	}
	fs.Sort()
	if got := fs.Error(); got != "a:1:9: 0\na:2:1: warning: 1\nb: 2" {
		t.Errorf("got %q", got)
	}
	if len(fs.Errors()) != 2 || len(fs.Warnings()) != 1 || fs.Err() == nil {
		t.Error("errors and warnings are not told apart")
	}
	if err := fs.Warnings().Err(); err != nil {
		t.Errorf("warnings alone are an error: %v", err)
	}
}

func TestMergeNamesHosts(t *testing.T) {
	on := func(message string, hosts ...string) (fs Faults) {
		for _, h := range hosts {
			fs = append(fs, Fault{Message: message, Host: h})
		}
		return fs
	}
	fs := append(on("x", "a", "b", "c", "a"), on("y", "a")...)
	fs = append(fs, on("z", "", "")...)
	fs = append(fs, on("v", "a", "b")...)
	got := fs.Merge().Error()
	if got != "x (on a and 2 other hosts)\ny (on a)\nz\nv (on a and b)" {
		t.Errorf("got %q", got)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{"unts", "units"}, {"uints", "units"}, {"Units", "units"}, {"healht", "health"}, {"maxUnavailble", "maxUnavailable"},
		{"selektor", "selector"}, {"xyz", ""}, {"d", ""}, {"", ""},
	} {
		got, _ := Nearest(c.word, []string{"units", "health", "selector", "maxUnavailable", "c"})
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.word, got, c.want)
		}
	}
}

func TestQuoteEscapes(t *testing.T) {
	if got := Quote("a\n\x1b[31m\u009b\xff\""); got != `"a\n\x1b[31m\x9b`+"\uFFFD"+`""` {
		t.Errorf("got %s", got)
	}
	if got := Quote(strings.Repeat("x", 500)); len(got) > 130 {
		t.Errorf("%d bytes", len(got))
	}
}
