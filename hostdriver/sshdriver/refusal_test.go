package sshdriver

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

func TestWhatSudoSaysIsUnderstood(t *testing.T) {
	refused := map[string]string{
		"sudo: a password is required": "visudo",
		"sudo: a terminal is required to read the password; either use the -S option":                          "NOPASSWD",
		"sudo: no tty present and no askpass program specified":                                                ": deploy ALL=(root) NOPASSWD: /bin/sh",
		"deploy is not in the sudoers file.":                                                                   "NOPASSWD",
		"deploy is not in the sudoers file.  This incident will be reported.":                                  "NOPASSWD",
		"Sorry, user deploy is not allowed to execute '/bin/sh' as root on web-1.":                             "NOPASSWD",
		"Sorry, user deploy may not run sudo on web-1.":                                                        "NOPASSWD",
		"sudo: interactive authentication is required":                                                         "NOPASSWD",
		"sudo: I'm sorry deploy. I'm afraid I can't do that":                                                   "NOPASSWD",
		"sudo: sorry, you must have a tty to run sudo":                                                         "requiretty",
		"sh: 1: sudo: not found":                                                                               "install sudo",
		"bash: line 1: sudo: command not found":                                                                "install sudo",
		"sudo: Command not found.":                                                                             "install sudo",
		"zsh:1: command not found: sudo":                                                                       "install sudo",
		"fish: Unknown command: sudo":                                                                          "install sudo",
		"env: ‘sudo’: No such file or directory":                                                               "install sudo",
		"env: 'sudo': No such file or directory":                                                               "install sudo",
		"sudo: unknown user evenkeel":                                                                          "create that user",
		"sudo: unknown user: evenkeel":                                                                         "create that user",
		"sudo: account validation failure, is your account locked?":                                            "locked",
		"sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set":                               "chmod 4755",
		"sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.":               "NoNewPrivileges",
		"sudo: parse error in /etc/sudoers.d/x near line 3":                                                    "visudo -c",
		"/etc/sudoers.d/x:3:8: syntax error":                                                                   "visudo -c",
		"sudo: unable to resolve host web-1: Name or service not known\nsudo: a password is required":          "NOPASSWD",
		"\x1b[1msudo: x\nWe trust you have received the usual lecture\n\nsudo: a password is required\r\nmore": "NOPASSWD",
	}
	for said, mend := range refused {
		err := BecomeRefusal("web-1", "deploy", "root", []byte(said))
		if hostdriver.KindOf(err) != hostdriver.Become {
			t.Errorf("%q: kind %q: %v", said, hostdriver.KindOf(err), err)
			continue
		}
		wantContains(t, err.Error(), "cannot become root on web-1", "as deploy")
		wantContains(t, hostdriver.MendOf(err), mend)
	}
	for _, said := range []string{
		"", "sudo: unable to resolve host web-1: Name or service not known", "systemctl: command not found",
		"cat: /etc/sudoers: No such file or directory", "the log says sudo: a password is required",
	} {
		if err := BecomeRefusal("web-1", "deploy", "root", []byte(said)); err != nil {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func TestBecomeRefusalOfAResult(t *testing.T) {
	f := newFixture(t, nil, func(o *Options) { o.Become = true })
	c := f.conn(t)
	said := Result{Exit: 1, Stderr: []byte("sudo: a password is required\n")}
	if err := c.BecomeRefusal(said); hostdriver.KindOf(err) != hostdriver.Become {
		t.Errorf("got %v", err)
	}
	said.Exit = 0
	if err := c.BecomeRefusal(said); err != nil {
		t.Errorf("a command that succeeded: %v", err)
	}
}

func TestBecomeLines(t *testing.T) {
	cases := []struct {
		name    string
		options Options
		login   string
		want    string
	}{
		{"not asked for", Options{}, "deploy", "sh -s"},
		{"as root", Options{Become: true}, "deploy", "env LC_ALL=C sudo -n -u root -- sh -s"},
		{"root needs no sudo", Options{Become: true}, "root", "sh -s"},
		{"as somebody else", Options{Become: true, BecomeUser: "app"}, "root", "env LC_ALL=C sudo -n -u app -- sh -s"},
	}
	for _, c := range cases {
		conn := &Conn{options: c.options.withDefaults(), login: &login{user: c.login}}
		got, err := conn.BecomeLine("sh", "-s")
		if err != nil || strings.ReplaceAll(got, "'LC_ALL=C'", "LC_ALL=C") != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestAccountsThatMayNotRunAnything(t *testing.T) {
	f := newFixture(t, nil)
	c := f.conn(t)
	for said, mend := range map[string]string{
		"This account is currently not available.\n":                             "usermod -s /bin/sh deploy",
		"Please login as the user \"ubuntu\" rather than the user \"root\".\n\n": "--ssh-user",
	} {
		f.server.handle(func(c *testCommand) int { _, _ = io.WriteString(c.stdout, said); return 1 })
		_, err := c.Exec(t.Context(), Command{Line: "true"})
		if hostdriver.KindOf(err) != hostdriver.Unauthorized {
			t.Errorf("%q: kind %q: %v", said, hostdriver.KindOf(err), err)
			continue
		}
		wantContains(t, err.Error(), "web-1", "deploy")
		wantContains(t, hostdriver.MendOf(err), mend)
	}
	// The same words of a command that succeeded mean nothing.
	f.server.handle(func(c *testCommand) int {
		_, _ = io.WriteString(c.stdout, "This account is currently not available.\n")
		return 0
	})
	if _, err := c.Exec(t.Context(), Command{Line: "cat log"}); err != nil {
		t.Error(err)
	}
}

// hardWords are what login shells read differently unless they are quoted.
var hardWords = []string{"", "a b", "$HOME", "`id`", "$(id)", "*", "~", "=ls", "a;b", "a|b&c", "(x)", "{a,b}", "%1", "^x", "#c", "<x>", "\"", "é", "?", "[a]", "a=b"}

func TestLinesReadTheSameInEveryShell(t *testing.T) {
	for _, shell := range []string{"sh", "dash", "bash", "zsh", "fish", "csh", "tcsh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		for _, w := range hardWords {
			line, err := Line("printf", "%s", w)
			if err != nil {
				t.Errorf("%q: %v", w, err)
				continue
			}
			out, err := exec.Command(path, "-c", line).CombinedOutput() // #nosec G204 -- a test's own words
			if err != nil || string(out) != w {
				t.Errorf("%s read %s as %q, %v", shell, line, out, err)
			}
		}
	}
	for _, w := range []string{"it's", `back\slash`, "hey!", "two\nlines", "nul\x00", "del\x7f"} {
		if line, err := Line(w); err == nil {
			t.Errorf("%q was quoted as %s", w, line)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, w := range hardWords {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, w string) {
		line, err := Line(w)
		if err != nil {
			return
		}
		if line != w && line != "'"+w+"'" {
			t.Errorf("%q became %q", w, line)
		}
		if strings.Trim(line, bareWord) != "" && (strings.Count(line, "'") != 2 || strings.ContainsAny(line, "!\\\n")) {
			t.Errorf("%q is not safe in every shell", line)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31mb\r\n\tc", 20)
	f.Add("\u2028\xff\u009b", 3)
	f.Add(" ŷ00 00", 8)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 8), 4096)
		got := printable(s, limit)
		if len(got) > limit || strings.ContainsAny(got, "\x1b\n\r\t\x07\x7f") {
			t.Errorf("%q (limit %d) became %q", s, limit, got)
		}
		if again := printable(got, limit+8); again != got {
			t.Errorf("%q is not stable: %q", got, again)
		}
	})
}

func ExampleLine() {
	line, _ := Line("systemctl", "show", "--property=Id", "a unit.service")
	fmt.Println(line)
	_, err := Line("it's")
	fmt.Println(err)
	// Output:
	// systemctl show '--property=Id' 'a unit.service'
	// "it's" cannot be quoted for every login shell; send it on stdin
}
