package rollout

import (
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
)

// A file that is as it should be, on a host that is not as it says, is drift; what the host
// did not tell is none.
func TestUnapplied(t *testing.T) {
	kernel := desired.File{Path: "/etc/sysctl.d/x.conf", Content: hostdriver.NewContent([]byte("net.core.somaxconn = 4096\n"))}
	users := desired.File{Path: "/etc/sysusers.d/x.conf", Content: hostdriver.NewContent([]byte("u batch -\n"))}
	made := desired.File{Path: "/etc/tmpfiles.d/x.conf", Content: hostdriver.NewContent([]byte("d /srv/x 0750 a b\n"))}
	shown := func(text string) hostdriver.Observation {
		c := hostdriver.NewContent([]byte(text))
		return hostdriver.Observation{Paths: map[string]hostdriver.PathState{"/proc/sys/net/core/somaxconn": {Type: hostdriver.PathFile, SHA256: c.SHA256(), Content: &c}}}
	}
	folder := func(p hostdriver.PathState) hostdriver.Observation {
		return hostdriver.Observation{Paths: map[string]hostdriver.PathState{"/srv/x": p}}
	}
	for what, c := range map[string]struct {
		f    desired.File
		o    hostdriver.Observation
		want string
	}{
		"as it should be":             {kernel, shown("4096\n"), ""},
		"another value":               {kernel, shown("128\n"), "net.core.somaxconn is 128 on the host, and should be 4096"},
		"a kernel without it":         {kernel, hostdriver.Observation{Paths: map[string]hostdriver.PathState{"/proc/sys/net/core/somaxconn": {Type: hostdriver.PathAbsent}}}, ""},
		"not told":                    {kernel, hostdriver.Observation{}, ""},
		"a user who is there":         {users, hostdriver.Observation{Users: map[string]hostdriver.UserState{"batch": {Exists: true}}}, ""},
		"a user who is gone":          {users, hostdriver.Observation{Users: map[string]hostdriver.UserState{"batch": {}}}, "the user batch"},
		"a user of whom nothing said": {users, hostdriver.Observation{}, ""},
		"a directory":                 {made, folder(hostdriver.PathState{Type: hostdriver.PathDir, Owner: "a", Group: "b", Mode: 0o750}), ""},
		"a directory of another's":    {made, folder(hostdriver.PathState{Type: hostdriver.PathDir, Owner: "root", Group: "b", Mode: 0o750}), "is root:b 0750, and should be a:b 0750"},
		"a directory that is gone":    {made, folder(hostdriver.PathState{Type: hostdriver.PathAbsent}), "/srv/x, which it makes, does not exist"},
	} {
		if got := unapplied(&c.f, c.o); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
