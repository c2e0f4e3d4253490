package desired

import (
	"path"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

const (
	lowerDigits  = "abcdefghijklmnopqrstuvwxyz0123456789"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// checkName says what is wrong with the name of a fleet, service or artifact:
// lower-case letters, digits, "-" and ".", beginning and ending with a letter or
// digit, at most 63.
func checkName(name string) string {
	if name == "" {
		return "the name is empty"
	}
	if len(name) > 63 || strings.Trim(name, lowerDigits+"-.") != "" ||
		strings.IndexByte("-.", name[0]) >= 0 || strings.IndexByte("-.", name[len(name)-1]) >= 0 || strings.Contains(name, "..") {
		return "name " + fault.Quote(name) + ` must be lower-case letters, digits, "-" and ".", beginning and ending with a letter or digit, at most 63`
	}
	return ""
}

// checkUser says what is wrong with the name of a user or group that is to be
// made, by the strict rule of systemd's sysusers (systemd.io/USER_NAMES).
func checkUser(name string) string {
	if name == "" || len(name) > 31 || strings.Trim(name, lowerDigits+upperLetters+"_-") != "" ||
		strings.IndexByte("0123456789-", name[0]) >= 0 {
		return "user " + fault.Quote(name) + ` must be letters, digits, "_" and "-", not beginning with a digit or "-", at most 31`
	}
	return ""
}

// checkOwner says what is wrong with an owner or group: a name or a number.
func checkOwner(name string) string {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return ""
	}
	if checkUser(strings.TrimSuffix(name, "$")) != "" {
		return "owner " + fault.Quote(name) + " is neither a user's name nor a number"
	}
	return ""
}

// parseMode reads permission bits written in octal, such as "0640" or "2755".
func parseMode(mode string) (uint32, string) {
	v, err := strconv.ParseUint(mode, 8, 32)
	if err != nil || len(mode) < 3 || len(mode) > 4 {
		return 0, "mode " + fault.Quote(mode) + ` is not octal such as "0640"`
	}
	return uint32(v), ""
}

// checkTarget says what is wrong with a path on hosts, and how to mend it.
func checkTarget(p string) (message, mend string) {
	named := "path " + fault.Quote(p)
	switch {
	case p == "":
		return "the path is empty", ""
	case hasControl(p):
		return named + " has control characters", ""
	case !strings.HasPrefix(p, "/"):
		return named + " is not absolute", "begin it with /"
	case path.Clean(p) != p:
		return named + " is not in its plain form", "write " + path.Clean(p)
	case p == "/":
		return named + " is the root itself", ""
	case len(p) > 4095:
		return named + " is longer than 4095 bytes", ""
	}
	for _, part := range strings.Split(p[1:], "/") {
		if len(part) > 255 {
			return named + " has a part longer than 255 bytes", ""
		}
	}
	switch top, _, _ := strings.Cut(p[1:], "/"); top {
	case "proc", "sys", "dev":
		return named + " is in the kernel's own file system", ""
	}
	for _, own := range []string{"/var/lib/evenkeel", "/run/evenkeel"} {
		if p == own || strings.HasPrefix(p, own+"/") {
			return named + " is evenkeel's own place on the host", "choose another"
		}
	}
	return "", ""
}

// unitTypes are the types of units that may have a file.
var unitTypes = []string{"service", "socket", "target", "mount", "automount", "swap", "timer", "path", "slice"}

// quadletTypes are the types of Quadlet files (podman-systemd.unit(5)), each with
// what the generated service is called beyond the file's own name.
var quadletTypes = map[string]string{
	"container": "", "kube": "", "volume": "-volume", "network": "-network", "pod": "-pod", "image": "-image", "build": "-build",
}

const unitChars = lowerDigits + upperLetters + ":-_.\\"

// checkUnitName says what is wrong with a unit's name by systemd.unit(5): a
// prefix, for instances and templates an @ and what follows, a type that is known;
// at most 255 bytes.
func checkUnitName(name string) (message, mend string) {
	dot := strings.LastIndexByte(name, '.')
	named := "unit name " + fault.Quote(name)
	if dot < 0 {
		return named + " has no type", "write " + name + ".service?"
	}
	if !containsString(unitTypes, name[dot+1:]) {
		return named + " has an unknown type", fault.DidYouMean(name[dot+1:], unitTypes)
	}
	prefix, instance, _ := strings.Cut(name[:dot], "@")
	switch {
	case len(name) > 255:
		return named + " is longer than 255 bytes", ""
	case prefix == "":
		return named + " has nothing before the type or @", ""
	case name[0] == '-':
		return named + ` begins with "-"`, ""
	case strings.Trim(prefix, unitChars) != "" || strings.Trim(instance, unitChars+"@") != "":
		return named + ` has other than letters, digits and ":-_.\@"`, "systemd-escape writes names"
	}
	return "", ""
}

// isTemplateUnit tells a name such as gateway@.service.
func isTemplateUnit(name string) bool {
	at := strings.IndexByte(name, '@')
	return at > 0 && strings.LastIndexByte(name, '.') == at+1
}

// templateOf is the template that a unit is an instance of, or "".
func templateOf(name string) string {
	at, dot := strings.IndexByte(name, '@'), strings.LastIndexByte(name, '.')
	if at <= 0 || dot <= at+1 {
		return ""
	}
	return name[:at+1] + name[dot:]
}

// unitType is what follows the last dot.
func unitType(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// quadletUnit is the service that podman generates from a Quadlet file, or "".
func quadletUnit(file string) string {
	suffix, ok := quadletTypes[unitType(file)]
	if !ok || !strings.Contains(file, ".") {
		return ""
	}
	base := file[:strings.LastIndexByte(file, '.')]
	if prefix, instance, ok := strings.Cut(base, "@"); ok {
		return prefix + suffix + "@" + instance + ".service"
	}
	return base + suffix + ".service"
}

func containsString(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
