package hostdriver

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// CheckPath allows clean absolute paths without control characters, of the length that
// Linux allows. All paths that go to a host or come from one are held to it.
func CheckPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/") || path.Clean(p) != p:
		return fmt.Errorf("%q is not a clean absolute path", p)
	case HasControl(p):
		return fmt.Errorf("%q holds a control character", p)
	case len(p) > 4095:
		return fmt.Errorf("path %.40q… is longer than the 4095 bytes Linux allows", p)
	}
	return nil
}

// HasControl tells whether s has a character below space, or DEL.
func HasControl(s string) bool {
	for i := range len(s) { // all other characters have larger bytes alone
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// CheckUnit allows the names of systemd.unit(5), templates among them, and those of users'
// units (see UnitOf).
func CheckUnit(name string) error {
	if user, unit := SplitUnit(name); user != "" {
		if err := CheckAccount(user); err != nil {
			return err
		}
		name = unit
	}
	ok := name != "" && len(name) <= 255 && strings.Contains(name, ".") && !strings.HasPrefix(name, ".")
	for _, c := range name {
		ok = ok && (isAlphanumeric(c) || strings.ContainsRune(`:_.\@-`, c))
	}
	if !ok {
		return fmt.Errorf("%q is not the name of a unit", name)
	}
	return nil
}

// Check tells what no host is asked to pull.
func (i Image) Check() error {
	if i.Tool != "docker" && i.Tool != "podman" {
		return fmt.Errorf("images are not pulled with %q", i.Tool)
	}
	ok := i.Name != "" && len(i.Name) <= 512 && isAlphanumeric(rune(i.Name[0]))
	for _, c := range i.Name {
		ok = ok && (isAlphanumeric(c) || strings.ContainsRune("_.-/:@", c))
	}
	if !ok {
		return fmt.Errorf("%.80q is not the name of an image", i.Name)
	}
	return nil
}

// IsTemplate tells whether a unit's name is a template's, which is a file and never runs.
func IsTemplate(unit string) bool { return strings.Contains(unit, "@.") }

// CheckAccount allows the names of users and groups that useradd(8) and systemd allow,
// and numbers.
func CheckAccount(name string) error {
	ok := name != "" && len(name) <= 32 && name[0] != '-' && name[0] != '.'
	for _, c := range strings.TrimSuffix(name, "$") {
		ok = ok && (isAlphanumeric(c) || strings.ContainsRune("_.-", c))
	}
	if !ok {
		return fmt.Errorf("%q is not the name of a user or group", name)
	}
	return nil
}

func isAlphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// IsDigest tells whether s is a SHA-256 digest in lower-case hex.
func IsDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// Check tells what in m no host can keep.
func (m Manifest) Check() error {
	if m.Generation == 0 || m.Generation > 1<<53 {
		return fmt.Errorf("generation %d cannot be kept: they count from 1", m.Generation)
	}
	if m.Revision == "" || HasControl(m.Revision) || len(m.Revision) > 256 {
		return fmt.Errorf("revision %.40q cannot be kept: it must be one line of at most 256 bytes", m.Revision)
	}
	seen := map[string]Entry{}
	for _, e := range m.Entries {
		if err := e.Check(); err != nil {
			return fmt.Errorf("%s %q of %s: %w", e.Kind, e.Name, e.Service, err)
		}
		key := e.place()
		if other, ok := seen[key]; ok {
			return fmt.Errorf("%s %s is managed twice, by %s and by %s", e.Kind, e.Name, other.Service, e.Service)
		}
		seen[key] = e
	}
	return nil
}

// place is what an entry occupies on its host: paths share one space of names.
func (e Entry) place() string {
	if e.Kind == KindUnit || e.Kind == KindUser {
		return string(e.Kind) + " " + e.Name
	}
	return e.Name
}

// Check tells what in e no host can keep. It holds for what is sent to a host and for
// what one says it has.
func (e Entry) Check() error {
	if err := e.checkName(); err != nil {
		return err
	}
	switch {
	case (e.Kind == KindFile || e.Kind == KindRelease) && !IsDigest(e.SHA256):
		return fmt.Errorf("%q is not a SHA-256 digest", e.SHA256)
	case e.Sealed != "" && (e.Kind != KindFile || !IsDigest(e.Sealed) || e.Target != ""):
		return fmt.Errorf("%.80q does not tell what is sealed in a file", e.Sealed)
	case e.Kind == KindRelease && !strings.HasSuffix(e.Name, "/"+e.SHA256):
		return fmt.Errorf("a release's path ends in its digest, %s", e.SHA256)
	case e.Kind == KindLink && (e.Target == "" || len(e.Target) > 4095):
		return fmt.Errorf("the target %.40q is not one", e.Target)
	case e.Mode > 0o7777:
		return fmt.Errorf("mode %o has more than permission bits", e.Mode)
	case !slices.Contains([]string{"", "yes", "no"}, e.Enabled):
		return fmt.Errorf("enabled %q is neither yes nor no", e.Enabled)
	case !slices.Contains([]string{"", "started", "stopped"}, e.State):
		return fmt.Errorf("state %q is neither started nor stopped", e.State)
	}
	for _, field := range []string{e.Service, e.Owner, e.Group, e.Target} {
		if HasControl(field) || field == "-" {
			return fmt.Errorf("%q cannot be kept on a host", field)
		}
	}
	for _, a := range []string{e.Owner, e.Group} {
		if a != "" {
			if err := CheckAccount(a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e Entry) checkName() error {
	switch e.Kind {
	case KindUser:
		if err := CheckAccount(e.Name); err != nil || e.Target == "" {
			return err
		}
		return CheckPath(e.Target)
	case KindUnit:
		return CheckUnit(e.Name)
	case KindFile, KindDirectory, KindLink, KindRelease:
		if e.Name == "/" {
			return errors.New("the root directory cannot be managed")
		}
		return CheckPath(e.Name)
	}
	return errors.New("there is no such kind")
}
