package drivertest

import (
	"strconv"
	"strings"
	"time"
)

// unitFile is what the Fake understands of a unit file; the rest is ignored.
type unitFile struct {
	kind          string // Type=
	argv          []string
	reload        bool
	envFiles      []string // as written, with a leading "-"
	environment   []string // KEY=VALUE
	user          string
	dir           string
	restart       string
	restartPause  time.Duration
	limitInterval time.Duration
	limitBurst    int
	remain        bool     // RemainAfterExit
	wantedBy      bool     // has something in [Install] that can be linked
	alsoOnly      bool     // has only Also= there
	links         []string // what enabling it makes
	pidTimeout    time.Duration
}

// parseUnitFile reads a unit file and its drop-ins, in order.
func parseUnitFile(texts ...string) unitFile {
	u := unitFile{kind: "simple", restart: "no", restartPause: 100 * time.Millisecond, limitInterval: 10 * time.Second, limitBurst: 5,
		pidTimeout: 90 * time.Second, dir: "/"}
	for _, text := range texts {
		section := ""
		for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				section = line
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
				continue
			}
			u.set(section+strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
	return u
}

func (u *unitFile) set(key, value string) {
	switch key {
	case "[Service]Type":
		u.kind = value
	case "[Service]ExecStart":
		u.argv = strings.Fields(strings.TrimLeft(value, "-@:+!"))
	case "[Service]ExecReload":
		u.reload = value != ""
	case "[Service]EnvironmentFile":
		u.envFiles = appendOrReset(u.envFiles, value)
	case "[Service]Environment":
		u.environment = appendOrReset(u.environment, strings.Trim(value, `"`))
	case "[Service]User":
		u.user = value
	case "[Service]WorkingDirectory":
		u.dir = value
	case "[Service]Restart":
		u.restart = value
	case "[Service]RestartSec":
		u.restartPause = seconds(value)
	case "[Service]TimeoutStartSec":
		u.pidTimeout = seconds(value)
	case "[Service]RemainAfterExit":
		u.remain = value == "yes"
	case "[Unit]StartLimitIntervalSec":
		u.limitInterval = seconds(value)
	case "[Unit]StartLimitBurst":
		u.limitBurst, _ = strconv.Atoi(value)
	case "[Install]WantedBy", "[Install]RequiredBy", "[Install]Alias":
		u.wantedBy = u.wantedBy || value != ""
		for _, name := range strings.Fields(value) {
			u.links = append(u.links, name+map[string]string{"[Install]WantedBy": ".wants", "[Install]RequiredBy": ".requires"}[key])
		}
	case "[Install]Also":
		u.alsoOnly = true
	}
}

// appendOrReset: an empty assignment resets the list, systemd.syntax(7).
func appendOrReset(list []string, value string) []string {
	if value == "" {
		return nil
	}
	return append(list, value)
}

// seconds reads a plain number of seconds or Go's notation, which agrees with systemd's
// for the units a test uses: ms, s, m, h.
func seconds(s string) time.Duration {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Duration(n * float64(time.Second))
	}
	d, err := time.ParseDuration(strings.ReplaceAll(s, "min", "m"))
	if err != nil {
		return 0
	}
	return d
}

// parseEnvFile reads an env file as systemd does in the plain cases: one KEY=VALUE a
// line, whitespace around it and quotes around the value taken off.
func parseEnvFile(text string) [][2]string {
	var out [][2]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		out = append(out, [2]string{strings.TrimSpace(key), value})
	}
	return out
}
