package lint

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
)

// secretKey is how variables are called whose values are secrets. What ends otherwise
// (TOKEN_FILE, TOKEN_TTL, KEY_ID) is about one.
var secretKey = regexp.MustCompile(`(?i)(?:^|_)(?:TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|SECRET|API_?KEY|PRIVATE_?KEY|SECRET_?KEY|ACCESS_?KEY|SIGNING_?KEY|ENCRYPTION_?KEY|CREDENTIALS)$`)

// isSecret tells whether a variable holds a secret in the clear.
func isSecret(key, value string) bool {
	value = strings.TrimSpace(value)
	if value == "" || strings.EqualFold(key, "PWD") || strings.EqualFold(key, "OLDPWD") {
		return false
	}
	if u, err := url.Parse(value); err == nil && u.User != nil && u.Host != "" {
		if _, has := u.User.Password(); has {
			return true
		}
	}
	return secretKey.MatchString(key) && !path.IsAbs(value) && !strings.HasPrefix(value, "%d/") && !strings.HasPrefix(value, "file:")
}

// LooksSecret tells whether a variable, by its name and value, holds a secret in the clear.
func LooksSecret(key, value string) bool { return isSecret(key, value) }

// environment looks at env files, and at what units say themselves.
func (c *check) environment() {
	for i := range c.in.Units {
		for _, d := range c.in.Units[i].Text.Directives {
			if d.Key == "Environment" && d.Value != "" {
				c.inUnit(d)
			}
		}
	}
	for i := range c.in.Files {
		if f := &c.in.Files[i]; f.Kind == desired.FileEnv {
			c.envFile(f)
		}
	}
	c.metrics()
}

// inUnit finds secrets in Environment=, which everybody on the host can read.
func (c *check) inUnit(d desired.UnitDirective) {
	for _, word := range strings.Fields(d.Value) {
		key, value, ok := strings.Cut(strings.Trim(word, `"'`), "=")
		if ok && isSecret(key, value) {
			c.say(at(d), "secret-in-unit", "Environment= holds what looks like a secret ("+clip(key)+"): unit files and systemctl show are for everybody on the host", "put it into an env file encrypted with SOPS, with EnvironmentFile=")
		}
	}
}

func (c *check) envFile(f *desired.File) {
	secret := false // of what is encrypted, package desired tells: open-secret
	keys := map[string]bool{}
	for _, v := range f.Vars {
		keys[v.Key] = true
	}
	for _, v := range f.Vars {
		value := string(v.Value.Bytes())
		pos := desired.Position{File: v.Source, Line: v.Line, Column: 1}
		if !v.Secret && isSecret(v.Key, value) {
			secret = true
			c.say(pos, "secret-in-git", v.Key+" looks like a secret, and is not encrypted", "move it into a SOPS file (sops encrypt), and name that as a further source")
		}
		if name := dollar(value, keys); name != "" && !v.Secret && !isSecret(v.Key, value) {
			c.say(pos, "env-dollar", v.Key+" holds "+name+", which systemd does not expand in an env file", "write its value; or expand it where the program is started, with /bin/sh -c")
		}
	}
	at := c.place(f.Path)
	switch {
	case secret && f.Mode&0o007 != 0:
		c.say(c.svc.At(at+".mode"), "readable-secret", fmt.Sprintf("%s holds secrets, and everybody on the host may read it (mode %04o)", f.Path, f.Mode), `write mode: "0600": systemd reads it as root`)
	case f.Mode&0o004 != 0:
		c.say(c.svc.At(at+".mode"), "readable-env", fmt.Sprintf("everybody on the host may read %s (mode %04o)", f.Path, f.Mode), `write mode: "0600": systemd reads it as root`)
	}
	if c.unread(f.Path) {
		c.say(c.svc.At(at+".path"), "unread-env", "no unit of the service reads "+f.Path, "write EnvironmentFile="+f.Path+" into one, or correct the path")
	}
}

var dollarName = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Z_][A-Z0-9_]*))`)

// dollar is the first reference to another variable, as a shell would have it. Of those
// without braces only known names count: a dollar may be meant.
func dollar(value string, keys map[string]bool) string {
	for _, m := range dollarName.FindAllStringSubmatch(value, -1) {
		if m[1] != "" || keys[m[2]] || slices.Contains([]string{"HOME", "PATH", "USER", "HOSTNAME", "PWD"}, m[2]) {
			return clip(m[0])
		}
	}
	return ""
}

// place is where in the spec a file stands.
func (c *check) place(p string) string {
	for i, e := range c.svc.Spec.Env {
		if e.Path == p {
			return fmt.Sprintf("env[%d]", i)
		}
	}
	for i, f := range c.svc.Spec.Files {
		if f.Path == p {
			return fmt.Sprintf("files[%d]", i)
		}
	}
	return "env"
}

// unread tells that all units of the service are known, and none reads the env file.
func (c *check) unread(p string) bool {
	if len(c.in.Units) == 0 {
		return false
	}
	for i := range c.in.Units {
		u := &c.in.Units[i]
		if len(u.Text.Directives) == 0 || slices.Contains(u.EnvFiles, p) || strings.Contains(u.Name, "@.") {
			return false
		}
		for _, d := range u.Text.Directives { // a program may read it itself; a Quadlet names it otherwise
			if strings.Contains(d.Value, p) || d.Key == "EnvironmentFile" && strings.ContainsAny(d.Value, "%*?[") {
				return false
			}
		}
	}
	return true
}

var (
	metricsListen = regexp.MustCompile(`(?i)(?:^|_)(?:METRICS|PROMETHEUS)_(?:[A-Z]+_)?(?:LISTEN|ADDR|ADDRESS|BIND|PORT|HOST)$`)
	metricsGuard  = regexp.MustCompile(`(?i)(?:^|_)(?:METRICS|PROMETHEUS)_(?:.*_)?(?:TOKEN|PASSWORD|AUTH|SECRET|USER|CA|CLIENT_CA|TOKEN_FILE|AUTH_FILE)$`)
)

// metrics finds numbers that are told to everybody on the network.
func (c *check) metrics() {
	var open *desired.EnvVar
	var guard *desired.EnvVar
	guarded := false
	for i := range c.in.Files {
		for j := range c.in.Files[i].Vars {
			v := &c.in.Files[i].Vars[j]
			value := strings.TrimSpace(string(v.Value.Bytes()))
			switch {
			case metricsGuard.MatchString(v.Key):
				guard, guarded = v, guarded || value != ""
			case metricsListen.MatchString(v.Key) && value != "" && value != "0" && !loopback(value):
				open = v
			}
		}
	}
	switch {
	case guarded:
	case guard != nil:
		c.say(desired.Position{File: guard.Source, Line: guard.Line, Column: 1}, "metrics-token", guard.Key+" is empty, so metrics are told to everybody", "give it a value, in a SOPS file")
	case open != nil:
		c.say(desired.Position{File: open.Source, Line: open.Line, Column: 1}, "metrics-token", open.Key+" opens metrics to the network, and no token guards them", "give them a token in a SOPS file, or listen on 127.0.0.1")
	}
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback() || strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "/")
}

// files looks at other files: those that set something on the host.
func (c *check) files() {
	for i := range c.in.Files {
		f := &c.in.Files[i]
		at := slices.IndexFunc(c.svc.Spec.Files, func(s desired.FileSpec) bool { return s.Path == f.Path })
		if f.Kind == desired.FilePlain && at >= 0 {
			c.settings(f, at)
		}
	}
}

func (c *check) journald(f *desired.File) {
	text, _ := desired.ParseUnit(f.Content.Bytes())
	for _, d := range text.Directives {
		if d.Section == "Journal" && d.Key == "Storage" && (d.Value == "volatile" || d.Value == "none") {
			pos := desired.Position{File: f.Sources[0], Line: d.Line, Column: d.Column}
			c.say(pos, "journal-lost", "Storage="+d.Value+": after a reboot nothing tells what went wrong before it", "write Storage=persistent, and SystemMaxUse= to bound it")
		}
	}
}
