package sshdriver

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// BecomeRefusal recognises in what a command that failed wrote to stderr that sudo did
// not let us do the work at all, and returns an error of kind Become, or nil. Call it
// for a command made by BecomeLine that exited with another status than 0 without
// having begun its work.
func (c *Conn) BecomeRefusal(r Result) error {
	if r.Exit == 0 && r.Signal == "" {
		return nil
	}
	return BecomeRefusal(c.login.name, c.login.user, c.options.BecomeUser, r.Stderr)
}

// BecomeRefusal is the same for stderr alone: of user, who wanted to become another.
func BecomeRefusal(host, user, become string, stderr []byte) error {
	for _, line := range bytes.Split(firstBytes(stderr, 8<<10), []byte("\n")) {
		said := printable(string(line), 300)
		for _, r := range sudoRefusals {
			if !r.says.MatchString(said) {
				continue
			}
			mend := r.mend
			if mend == "" {
				mend = "allow it there, with visudo -f /etc/sudoers.d/evenkeel: " + sudoRule(user, become)
			}
			return &hostdriver.Error{Kind: hostdriver.Become, Host: host, Op: fmt.Sprintf("become %s on", become),
				Mend: mend, Err: fmt.Errorf("as %s: %s", user, said)}
		}
	}
	return nil
}

// sudoRule is the least that sudo must allow: all that BecomeLine is given is /bin/sh, with -c
// and a script. Its arguments are left out, which means any of them: sudo-rs knows no pattern
// for them, and whoever may run one script of his own as root may run all.
func sudoRule(user, become string) string {
	return fmt.Sprintf("%s ALL=(%s) NOPASSWD: /bin/sh", user, become)
}

type sudoRefusal struct {
	says *regexp.Regexp
	mend string // "": a line in sudoers
}

// sudoRefusals are what sudo 1.8 to 1.9, sudo-rs and the shells say. Warnings with
// which sudo goes on, such as "unable to resolve host", are not among them.
var sudoRefusals = []sudoRefusal{
	{regexp.MustCompile(`^sudo: (a password is required|a terminal is required|no tty present|no password was provided|interactive authentication is required|Authentication failed)`), ""},
	{regexp.MustCompile(`^[^ ]+ is not in the sudoers file`), ""},
	{regexp.MustCompile(`^Sorry, user [^ ]+ (is not allowed to execute|may not run sudo)`), ""},
	{regexp.MustCompile(`^sudo: I'm sorry [^ ]+\. I'm afraid I can't do that`), ""},
	{regexp.MustCompile(`^(sudo: )?sorry, you must have a tty to run sudo`), "remove requiretty there, with visudo: Defaults !requiretty"},
	{regexp.MustCompile(`^(.*: )?sudo: (command )?not found$|^sudo: Command not found\.$|command not found: sudo$|Unknown command:? '?sudo'?$|^env: .?sudo.?: No such file or directory`),
		"install sudo there, or log in as root"},
	{regexp.MustCompile(`^sudo: unknown user:? `), "create that user there, or name another one to become"},
	{regexp.MustCompile(`^sudo: (account validation failure|PAM account management error|PAM authentication error)`), "see whether the account is locked or expired there: chage -l, passwd -S"},
	{regexp.MustCompile(`^sudo: .*(must be owned by uid 0 and have the setuid bit|effective uid is not 0)`),
		"sudo has lost its setuid bit, or lies on a filesystem mounted nosuid: chmod 4755 /usr/bin/sudo"},
	{regexp.MustCompile(`^sudo: .*no new privileges`), "its sshd runs without the right to gain privileges: remove NoNewPrivileges from the unit ssh.service there"},
	{regexp.MustCompile(`^sudo: .*(unable to initialize policy plugin|no valid sudoers sources found|parse error in|syntax error)`),
		"repair sudo there: visudo -c tells what is wrong with its rules"},
	{regexp.MustCompile(`^(>>> )?/etc/sudoers(\.d/[^ :]+)?:.*syntax error`), "repair sudo's rules there: visudo -c tells what is wrong"},
}

// loginRefusal recognises an account that may log in and may not run anything.
func (c *Conn) loginRefusal(r Result) error {
	if r.Exit == 0 || len(r.Stdout) > 2048 {
		return nil
	}
	said := printable(string(r.Stdout)+" "+string(firstBytes(r.Stderr, 2048)), 400)
	for _, l := range loginRefusals {
		if strings.Contains(said, l.says) {
			mend := strings.ReplaceAll(l.mend, "USER", c.login.user)
			return c.fail(hostdriver.Unauthorized, opRun, errors.New("the account "+c.login.user+" may not: "+said), mend)
		}
	}
	return nil
}

var loginRefusals = []struct{ says, mend string }{
	{"This account is currently not available", "its login shell is nologin; give it another one there: usermod -s /bin/sh USER"},
	{"Please login as the user", "log in as the user it names (--ssh-user NAME), and become root through sudo"},
	{"Your password has expired", "the account's password has expired, though it logs in by key; there: chage -M -1 USER, or passwd USER"},
	{"You are required to change your password", "the account's password has expired, though it logs in by key; there: chage -M -1 -d -1 USER"},
}

func firstBytes(b []byte, n int) []byte {
	if len(b) > n {
		return b[:n]
	}
	return b
}
