package hostdriver

import (
	"strings"
	"testing"
)

func TestCheckPath(t *testing.T) {
	for path, ok := range map[string]bool{"/": true, "/etc/a b": true, "/etc/é": true, "": false, "etc": false, "/etc/": false, "/etc//a": false,
		"/etc/../x": false, "/etc/a\nb": false, "/etc/a\x7f": false, "/" + strings.Repeat("x", 5000): false} {
		if got := CheckPath(path) == nil; got != ok {
			t.Errorf("%.40q: %v", path, got)
		}
	}
}

func TestCheckUnit(t *testing.T) {
	for name, ok := range map[string]bool{"a.service": true, `srv-a\x2db.mount`: true, "a@b:c.timer": true, "a@.service": true, "": false,
		"a": false, ".service": false, "a b.service": false, "a/b.service": false, "ä.service": false, strings.Repeat("a", 250) + ".service": false} {
		if got := CheckUnit(name) == nil; got != ok {
			t.Errorf("%.40q: %v", name, got)
		}
	}
}

func TestCheckAccount(t *testing.T) {
	for name, ok := range map[string]bool{"root": true, "www-data": true, "1000": true, "machine$": true, "": false, "-x": false, "a:b": false, "a b": false,
		strings.Repeat("a", 33): false} {
		if got := CheckAccount(name) == nil; got != ok {
			t.Errorf("%.40q: %v", name, got)
		}
	}
}

func TestManifestCheck(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	file := Entry{Kind: KindFile, Service: "a", Name: "/etc/f", SHA256: sum, Mode: 0o644}
	good := Manifest{Generation: 1, Revision: "r", Entries: []Entry{file, {Kind: KindUser, Name: "u"}, {Kind: KindUnit, Name: "a.service", Enabled: "yes"},
		{Kind: KindRelease, Name: "/opt/" + sum, SHA256: sum}, {Kind: KindLink, Name: "/l", Target: "x"}, {Kind: KindDirectory, Name: "/d"}}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]Manifest{
		"no generation":      {Revision: "r"},
		"no revision":        {Generation: 1},
		"revision of lines":  {Generation: 1, Revision: "a\nb"},
		"managed twice":      {Generation: 1, Revision: "r", Entries: []Entry{file, {Kind: KindLink, Name: "/etc/f", Target: "x"}}},
		"release elsewhere":  {Generation: 1, Revision: "r", Entries: []Entry{{Kind: KindRelease, Name: "/opt/x", SHA256: sum}}},
		"mode":               {Generation: 1, Revision: "r", Entries: []Entry{{Kind: KindDirectory, Name: "/d", Mode: 0o170000}}},
		"state":              {Generation: 1, Revision: "r", Entries: []Entry{{Kind: KindUnit, Name: "a.service", State: "up"}}},
		"target is a dash":   {Generation: 1, Revision: "r", Entries: []Entry{{Kind: KindLink, Name: "/l", Target: "-"}}},
		"home":               {Generation: 1, Revision: "r", Entries: []Entry{{Kind: KindUser, Name: "u", Target: "x"}}},
		"owner":              {Generation: 1, Revision: "r", Entries: []Entry{{Kind: KindDirectory, Name: "/d", Owner: "a b"}}},
		"service with a tab": {Generation: 1, Revision: "r", Entries: []Entry{{Kind: KindUnit, Service: "a\tb", Name: "a.service"}}},
	} {
		if bad.Check() == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
