package hostdriver

import "strings"

// A unit that the systemd of a user runs is named USER~UNIT, such as app~worker.service,
// wherever units are named: in queries, observations, manifests and operations. No name of
// a unit, and none of an account, has a "~". The host itself knows it as UNIT.

// UnitOf names the unit of a user's systemd; of the host's own where user is "".
func UnitOf(user, unit string) string {
	if user == "" {
		return unit
	}
	return user + "~" + unit
}

// SplitUnit undoes UnitOf.
func SplitUnit(name string) (user, unit string) {
	if user, unit, ok := strings.Cut(name, "~"); ok {
		return user, unit
	}
	return "", name
}

// Systemctl is how a person on the host asks for something about a unit: the command line
// for WORDS of the systemd that the unit belongs to, with its name there.
func Systemctl(words, name string) string {
	user, unit := SplitUnit(name)
	if user != "" {
		return "systemctl --user --machine=" + user + "@ " + words + " " + unit
	}
	return "systemctl " + words + " " + unit
}

// Journalctl is how a person on the host reads a unit's journal.
func Journalctl(name string) string {
	user, unit := SplitUnit(name)
	if user != "" {
		return "journalctl _SYSTEMD_USER_UNIT=" + unit + " _UID=$(id -u " + user + ")"
	}
	return "journalctl -u " + unit
}

// Typed are words that name commands for a unit, as a person has to type them on the host:
// of a user's unit, for the systemd that it belongs to.
func Typed(words, name string) string {
	user, unit := SplitUnit(name)
	if user == "" {
		return words
	}
	return strings.NewReplacer("journalctl -u "+name, Journalctl(name), "systemctl ", "systemctl --user --machine="+user+"@ ", name, unit).Replace(words)
}
