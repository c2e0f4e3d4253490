package desired

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNeedsOfAUnit(t *testing.T) {
	text, _ := ParseUnit([]byte(`[Service]
User=nullspace
Group=1000
WorkingDirectory=/srv/%p
ExecStartPre=-/usr/bin/may-fail
ExecStartPre=+/usr/bin/setup --now
ExecStart=@/opt/x/run x
EnvironmentFile=-/etc/default/x
EnvironmentFile=/etc/x/x.env
EnvironmentFile=/etc/x/*.conf
`))
	u := Unit{Name: "x.service"}
	u.readNeeds(text)
	var got []string
	for _, n := range u.Needs {
		got = append(got, fmt.Sprintf("%s %s%s %s", n.Kind, n.Key, n.Name, n.Exit))
	}
	want := []string{"program ExecStartPre=/usr/bin/setup 203/EXEC", "program ExecStart=/opt/x/run 203/EXEC", "directory WorkingDirectory=/srv/x 200/CHDIR",
		"env file EnvironmentFile=/etc/x/x.env resources", "user User=nullspace 217/USER"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	for _, unit := range []string{"[Service]\nWorkingDirectory=-/nope\nExecStart=/bin/true\nRootDirectory=/jail\nUser=a\n", "[Service]\nStateDirectory=x/y\nWorkingDirectory=/var/lib/x/y\nExecStart=true\nDynamicUser=yes\nUser=a\n"} {
		text, _ := ParseUnit([]byte(unit))
		u := Unit{Name: "x.service"}
		if u.readNeeds(text); len(u.Needs) > 0 {
			t.Errorf("%q needs %v", unit, u.Needs)
		}
	}
}

func TestRefusedBySystemd(t *testing.T) {
	for unit, refused := range map[string]bool{
		"[Service]\nType=simple\n":                                                true,
		"[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n":                         true,
		"[Service]\nType=oneshot\nExecStart=/bin/a\nExecStart=/bin/b\n":           false,
		"[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n":             false,
		"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStop=/bin/a\n":         false,
		"[Unit]\nSuccessAction=reboot\n[Service]\nType=oneshot\n":                 false,
		"[Service]\nType=simple\nExecStop=/bin/a\n":                               true,
		"[Unit]\nSuccessAction=none\n[Service]\nType=oneshot\nExecStop=/bin/a\n":  false,
		"[Unit]\nSuccessAction=none\n[Service]\nType=oneshot\nRestart=on-abort\n": true,
	} {
		text, _ := ParseUnit([]byte(unit))
		u := Unit{Name: "x.service"}
		if message, _ := u.refusedBySystemd(text); (message != "") != refused {
			t.Errorf("%q: %q", unit, message)
		}
	}
}
