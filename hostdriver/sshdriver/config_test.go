package sshdriver

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// configFrom makes a resolver over one ssh_config text.
func configFrom(t testing.TB, text string, o Options) *resolver {
	t.Helper()
	all, err := parseConfig([]byte(text), "config")
	if err != nil {
		t.Fatal(err)
	}
	return &resolver{options: o.withDefaults(), config: &sshConfig{directives: all}, home: "/home/ops", localUser: "ops", hostname: "desk.example.com"}
}

func TestSSHConfig(t *testing.T) {
	cases := []struct {
		name, config string
		options      Options
		target       Target
		want         login
	}{
		{"nothing said", "", Options{}, Target{Name: "web-1"}, login{address: "web-1", port: 22, user: "ops"}},
		{"a Host block", "Host web-1\n HostName 192.0.2.11\n Port 2222\n User deploy\n HostKeyAlias the-web\n", Options{}, Target{Name: "web-1"},
			login{address: "192.0.2.11", port: 2222, user: "deploy", alias: "the-web"}},
		{"the first value counts", "Host web-*\n User first\nHost *\n User second\n Port 2222\n", Options{}, Target{Name: "web-1"},
			login{address: "web-1", port: 2222, user: "first"}},
		{"before any Host", "User early\nHost *\n User late\n", Options{}, Target{Name: "web-1"}, login{address: "web-1", port: 22, user: "early"}},
		{"negation", "Host web-* !web-1\n User no\nHost *\n User yes\n", Options{}, Target{Name: "web-1"}, login{address: "web-1", port: 22, user: "yes"}},
		{"tabs, quotes, equals, comments", "Host\tdb-1\t\"web-1\"\t# both\n\tUser=\"de ploy\" # really\n\tport = 2222\n", Options{}, Target{Name: "web-1"},
			login{address: "web-1", port: 2222, user: "de ploy"}},
		{"a question mark is one character", "Host web-1?\n User no\nHost web-?\n User yes\n", Options{}, Target{Name: "web-1"}, login{address: "web-1", port: 22, user: "yes"}},
		{"by the inventory's address", "Host 192.0.2.*\n User deploy\n", Options{}, Target{Name: "web-1", Address: "192.0.2.11"},
			login{address: "192.0.2.11", port: 22, user: "deploy"}},
		{"the inventory wins", "Host web-1\n HostName 198.51.100.1\n Port 2222\n User no\n", Options{}, Target{Name: "web-1", Address: "192.0.2.11", Port: 22, User: "yes"},
			login{address: "192.0.2.11", port: 22, user: "yes"}},
		{"flags win over all", "Host web-1\n User no\n", Options{User: "flag"}, Target{Name: "web-1", User: "neither"}, login{address: "web-1", port: 22, user: "flag"}},
		{"tokens", "Host web-1\n HostName %h.example.com\n", Options{}, Target{Name: "web-1"}, login{address: "web-1.example.com", port: 22, user: "ops"}},
		{"Match host, after HostName", "Host web-1\n HostName a.example.com\nMatch host *.example.com\n User matched\n", Options{}, Target{Name: "web-1"},
			login{address: "a.example.com", port: 22, user: "matched"}},
		{"Match originalhost and localuser", "Match originalhost web-*,db-* localuser ops\n User matched\n", Options{}, Target{Name: "web-1"},
			login{address: "web-1", port: 22, user: "matched"}},
		{"Match user", "User deploy\nMatch user=deploy\n Port 2222\n", Options{}, Target{Name: "web-1"}, login{address: "web-1", port: 2222, user: "deploy"}},
		{"Match user of a flag", "Match user flag\n Port 2222\n", Options{User: "flag"}, Target{Name: "web-1"}, login{address: "web-1", port: 2222, user: "flag"}},
		{"Match negated", "Match !host web-1\n User no\nMatch all\n User yes\n", Options{}, Target{Name: "web-1"}, login{address: "web-1", port: 22, user: "yes"}},
		{"Match final adds at the end", "Match final\n User late\n Port 2222\nHost web-1\n User early\n", Options{}, Target{Name: "web-1"},
			login{address: "web-1", port: 2222, user: "early"}},
		{"Match exec is left out and remembered", "Match host web-1 exec \"touch /tmp/x\"\n User no\n", Options{}, Target{Name: "web-1"},
			login{address: "web-1", port: 22, user: "ops", skipped: []string{"config:1: Match exec"}}},
		{"brackets around an address", "", Options{}, Target{Name: "web-1", Address: "[2001:db8::1]"}, login{address: "2001:db8::1", port: 22, user: "ops"}},
	}
	for _, c := range cases {
		got, err := configFrom(t, c.config, c.options).resolve(c.target)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.address != c.want.address || got.port != c.want.port || got.user != c.want.user || got.alias != c.want.alias || !slices.Equal(got.skipped, c.want.skipped) {
			t.Errorf("%s: got %s alias %q skipped %q", c.name, got, got.alias, got.skipped)
		}
	}
}

func TestIdentitiesAndFilesFromSSHConfig(t *testing.T) {
	const text = `
Host web-*
 IdentityFile ~/.ssh/%r@%n
 IdentityFile none
 CertificateFile %d/certs/%h-%p.pub
 IdentitiesOnly yes
 IdentityAgent /run/agent-%u
 UserKnownHostsFile ~/.ssh/fleet "/etc/known hosts"
 GlobalKnownHostsFile none
 ConnectTimeout 7
Host *
 IdentityFile /etc/keys/%L
 IdentityFile ~/.ssh/%r@%n
`
	l, err := configFrom(t, text, Options{}).resolve(Target{Name: "web-1", Address: "192.0.2.11", User: "deploy"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/home/ops/.ssh/deploy@web-1", "/etc/keys/desk"}; !slices.Equal(l.identities, want) {
		t.Errorf("identities %q", l.identities)
	}
	if want := []string{"/home/ops/certs/192.0.2.11-22.pub"}; !slices.Equal(l.certificates, want) {
		t.Errorf("certificates %q", l.certificates)
	}
	if want := []string{"/home/ops/.ssh/fleet", "/etc/known hosts"}; !slices.Equal(l.knownHosts, want) || l.knownHostsGiven {
		t.Errorf("known hosts %q", l.knownHosts)
	}
	if !l.identitiesOnly || !l.identitiesGiven || l.agent != "/run/agent-ops" || l.timeout != 7*time.Second {
		t.Errorf("only %v, given %v, agent %q, timeout %s", l.identitiesOnly, l.identitiesGiven, l.agent, l.timeout)
	}
	// Flags replace the files of ssh_config, and of the defaults.
	l, err = configFrom(t, text, Options{IdentityFiles: []string{"/k"}, KnownHosts: []string{"/h"}, Agent: "none", ConnectTimeout: time.Second}).resolve(Target{Name: "web-1"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.identities, []string{"/k"}) || !slices.Equal(l.knownHosts, []string{"/h"}) || !l.knownHostsGiven || l.agent != "" || l.timeout != time.Second {
		t.Errorf("with flags: %q %q %q %s", l.identities, l.knownHosts, l.agent, l.timeout)
	}
}

func TestIncludesKeepTheirScope(t *testing.T) {
	home := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(home, ".ssh", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("conf.d/a", "Host db-*\n User dba\n")
	write("conf.d/b", "Port 2222\n") // in a file of its own: not under db-*
	write("inner", "Host *\n User inner\n")
	write("config", "Include conf.d/*\nHost web-*\n Include inner\nHost *\n User outer\n")
	c, err := loadConfig("", home)
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{options: Options{}.withDefaults(), config: c, home: home, localUser: "ops"}
	for name, user := range map[string]string{"db-1": "dba", "web-1": "inner", "lb-1": "outer"} {
		l, err := r.resolve(Target{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if l.user != user || l.port != 2222 {
			t.Errorf("%s: %s", name, l)
		}
	}
	write("conf.d/a", "Include conf.d/a\n")
	if _, err := loadConfig("", home); err == nil || !strings.Contains(err.Error(), "levels of Include") {
		t.Errorf("a circle of Includes: %v", err)
	}
	write("config", "Host \"web\n")
	if _, err := loadConfig("", home); err == nil || !strings.Contains(err.Error(), "config:1") {
		t.Errorf("a quote that is not closed: %v", err)
	}
	write("config", "")
	if err := os.Chmod(filepath.Join(home, ".ssh", "config"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig("", home); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("a file that others may write: %v", err)
	}
}

func TestMistakesInSSHConfigAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"Port x":                `Port "x"`,
		"Port 70000":            "port 70000",
		"HostName %x":           "%x is not understood",
		"IdentityFile ${NOPE_}": "NOPE_ is not set",
		"IdentityFile ${":       "is not closed",
		"ConnectTimeout -1":     "ConnectTimeout",
		"ProxyCommand nc %h":    "ProxyCommand",
		"ProxyJump a,,b":        "jump",
		"UserKnownHostsFile %":  "ends in %",
		"ProxyJump web-1,b":     "in a circle",
	} {
		_, err := configFrom(t, text, Options{}).resolve(Target{Name: "web-1"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestJumpHosts(t *testing.T) {
	inventory := map[string]Target{
		"bastion-1": {Name: "bastion-1", Address: "198.51.100.1", User: "jump"},
		"bastion-2": {Name: "bastion-2", Address: "198.51.100.2", Port: 2222, Jump: "bastion-1"},
		"loop-1":    {Name: "loop-1", Jump: "loop-2"},
		"loop-2":    {Name: "loop-2", Jump: "loop-1"},
	}
	resolve := func(name string) (Target, bool) { t, ok := inventory[name]; return t, ok }
	const config = "Host edge\n HostName 203.0.113.9\n User edgeuser\nHost behind-edge\n ProxyJump edge\n"
	cases := []struct {
		name   string
		jump   string
		host   string
		user   string // Options.User
		config string
		want   string
	}{
		{"none set", "", "web-1", "", "", "deploy@192.0.2.11:22"},
		{"by address", "ops@203.0.113.1:2022", "web-1", "", "", "deploy@192.0.2.11:22 through ops@203.0.113.1:2022"},
		{"by name in the inventory", "bastion-1", "web-1", "", "", "deploy@192.0.2.11:22 through jump@198.51.100.1:22"},
		{"whose own jump host counts", "bastion-2", "web-1", "", "", "deploy@192.0.2.11:22 through local@198.51.100.2:2222 through jump@198.51.100.1:22"},
		{"a list, nearest first", "x@203.0.113.1,bastion-2", "web-1", "", "", "deploy@192.0.2.11:22 through local@198.51.100.2:2222 through x@203.0.113.1:22"},
		{"by alias in ssh_config", "edge", "web-1", "", config, "deploy@192.0.2.11:22 through edgeuser@203.0.113.9:22"},
		{"from ssh_config", "", "behind-edge", "", config, "deploy@192.0.2.11:22 through edgeuser@203.0.113.9:22"},
		{"none wins over ssh_config", "none", "behind-edge", "", config, "deploy@192.0.2.11:22"},
		{"a flag's user goes for the inventory's hosts", "bastion-1", "web-1", "flag", "", "flag@192.0.2.11:22 through flag@198.51.100.1:22"},
		{"but not over what a jump says", "edge", "web-1", "flag", config, "flag@192.0.2.11:22 through edgeuser@203.0.113.9:22"},
		{"except where it says nothing", "203.0.113.1", "web-1", "flag", "", "flag@192.0.2.11:22 through flag@203.0.113.1:22"},
		{"IPv6", "[2001:db8::1]:2022", "web-1", "", "", "deploy@192.0.2.11:22 through local@[2001:db8::1]:2022"},
		{"a jump host is not its own", "web-1", "web-1", "", "", "deploy@192.0.2.11:22"},
	}
	for _, c := range cases {
		r := configFrom(t, c.config, Options{User: c.user, ResolveJump: resolve})
		r.localUser = "local"
		l, err := r.resolve(Target{Name: c.host, Address: "192.0.2.11", User: "deploy", Jump: c.jump})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if l.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.name, l, c.want)
		}
	}
	_, err := configFrom(t, "", Options{ResolveJump: resolve}).resolve(Target{Name: "web-1", Jump: "loop-1"})
	if err == nil || !strings.Contains(err.Error(), "web-1 through loop-1 through loop-2 through loop-1") {
		t.Errorf("a circle: %v", err)
	}
}

func TestOneJumpHostIsOneLogin(t *testing.T) {
	r := configFrom(t, "", Options{})
	a, err := r.resolve(Target{Name: "web-1", Jump: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.resolve(Target{Name: "web-2", Jump: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	if a.via.key() != b.via.key() {
		t.Errorf("%q and %q", a.via.key(), b.via.key())
	}
	if a.key() == b.key() {
		t.Error("two hosts share a connection")
	}
}

func FuzzSSHConfig(f *testing.F) {
	f.Add("Host a\n User b\nMatch host x exec \"y\"\n Port 3\nInclude z", "a")
	f.Add("Host=\"a b\" c # d\n\tUser\t= e\\\" f\n= x\n\"", "a b")
	f.Add("ProxyJump u@[::1]:22,ssh://x:1/,b\nIdentityFile %%%d${HOME}\nMatch", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		all, err := parseConfig([]byte(text), "fuzz")
		if err != nil {
			return
		}
		r := &resolver{options: Options{}.withDefaults(), config: &sshConfig{directives: all}, home: "/h", localUser: "u"}
		l, err := r.resolve(Target{Name: name})
		if err != nil {
			return
		}
		if l.port < 1 || l.port > 65535 || l.user == "" || l.timeout <= 0 {
			t.Errorf("nonsense: %+v", l)
		}
	})
}

func FuzzParseJump(f *testing.F) {
	for _, s := range []string{"", "none", "a,b", "u@h:22", "[::1]:22", "ssh://u@h:1/", "a,,b", "-oProxyCommand=x", "u@@h", ":22", "[", "[x]y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseJump(s)
		if err != nil {
			return
		}
		for _, spec := range all {
			if spec.host == "" || spec.host[0] == '-' || strings.ContainsAny(spec.host, " @/\x00\n") || spec.port < 0 || spec.port > 65535 {
				t.Errorf("%q: %+v", s, spec)
			}
		}
	})
}

func FuzzPatterns(f *testing.F) {
	f.Add("web-*", "web-1")
	f.Add("*a*b*?", "xaxbx")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !strings.ContainsAny(pattern, "*?") && matchPattern(pattern, s) != (pattern == s) {
			t.Errorf("plain pattern %q, %q", pattern, s)
		}
		if !matchPattern("*", s) || !matchPattern("*"+s, s) {
			t.Errorf("* does not match %q", s)
		}
	})
}
