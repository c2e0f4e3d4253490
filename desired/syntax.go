package desired

import "io"

// What package adopt needs to know of how units, env files and services are written.

// UnitWords splits a unit's value into words as systemd does (systemd.syntax(7), "Quoting").
func UnitWords(value string) ([]string, error) { return unitWords(value) }

// ExpandSpecifiers puts in what systemd's specifiers (systemd.unit(5)) stand for in a unit
// of that name. It reports false where one is left that only the host knows.
func ExpandSpecifiers(value, unit string) (string, bool) { return expandSpecifiers(value, unit) }

// SplitExec is an Exec line without its prefixes (systemd.service(5), "Command lines"), in words.
func SplitExec(line string) []string {
	for line != "" && in("@-:+!|", line[0]) {
		line = line[1:]
	}
	words, _ := unitWords(line)
	return words
}

// IsQuadlet tells whether podman's generator makes a unit of a file of that name.
func IsQuadlet(name string) bool { return quadletUnit(name) != "" }

// QuadletUnit is the service that podman generates of a Quadlet file, or "".
func QuadletUnit(file string) string { return quadletUnit(file) }

// CheckEnvKey says what is wrong with a variable's name; "" where nothing is.
func CheckEnvKey(key string) string { return checkEnvKey(key) }

// MeansInEnv tells whether systemd reads the line KEY=TEXT of an env file as just this value.
func MeansInEnv(key, text, value string) bool { return means(key, text, value) }

// CheckServiceName says what is wrong with a service's, a fleet's or an artifact's name.
func CheckServiceName(name string) string { return checkName(name) }

// CheckSystemUser says what is wrong with the name of a user that is to be made.
func CheckSystemUser(name string) string { return checkUser(name) }

// CheckTargetPath says what is wrong with a path on a host that a service is to have.
func CheckTargetPath(p string) string {
	message, _ := checkTarget(p)
	return message
}

// CheckBundle reads a tar and tells what in it an artifact may not have.
func CheckBundle(r io.Reader) error { return checkTar(r) }

// MaxSource is the largest file that a service may name as a source.
const MaxSource = maxSource
