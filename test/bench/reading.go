package main

import (
	"errors"
	"fmt"
	"strings"
)

// unitName is the victim's unit; the rest is where its files are, on both sides.
const (
	unitName   = "victim.service"
	unitPath   = "/etc/systemd/system/" + unitName
	envPath    = "/etc/default/victim"
	binaryPath = "/usr/local/bin/victim"
	victimPort = 8080
)

// unitProperties are those that evenkeel asks systemctl for (PROPS in
// hostdriver/sshdriver/script; a test holds the two together).
const unitProperties = "Id,LoadState,ActiveState,SubState,UnitFileState,Type,Result,InvocationID,MainPID,ExecMainStatus,ExecMainCode," +
	"NRestarts,NeedDaemonReload,Job,FragmentPath,DropInPaths,SourcePath,ActiveEnterTimestamp,InactiveEnterTimestamp," +
	"ExecMainStartTimestamp,EnvironmentFiles,LastTriggerUSec,NextElapseUSecRealtime,StatusText," +
	"ConditionResult,CanReload,Restart,RequiredBy,RequisiteOf,BoundBy,ConsistsOf,Triggers"

// readingCommand is the floor's reading of one host: one systemctl, one stat, one
// sha256sum. evenkeel does not hash a release whose stat is as it was when it was staged;
// hash tells whether the floor does.
func readingCommand(hash, sudo bool) string {
	files := unitPath + " " + envPath
	if hash {
		files += " " + binaryPath
	}
	command := "systemctl show --no-pager --timestamp=us+utc -p " + unitProperties + " -- " + unitName +
		" && echo -- && stat -L --printf='%f %a %s %U %u %G %g %.9Y %.9Z %i %n\\n' -- " + unitPath + " " + envPath + " " + binaryPath +
		" && echo -- && sha256sum -- " + files
	if sudo {
		return "sudo -n /bin/sh -c '" + strings.ReplaceAll(command, "'", `'\''`) + "'"
	}
	return command
}

// reading is what the floor understands of an answer.
type reading struct {
	unit  map[string]string // property to value
	stats map[string]string // path to its line
	sums  map[string]string // path to digest
}

// parseReading reads the answer to readingCommand.
func parseReading(text string) (reading, error) {
	r := reading{unit: map[string]string{}, stats: map[string]string{}, sums: map[string]string{}}
	parts := strings.Split(text, "\n--\n")
	if len(parts) != 3 {
		return r, fmt.Errorf("a reading of %d parts", len(parts))
	}
	for line := range strings.Lines(parts[0]) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			r.unit[key] = value
		}
	}
	for line := range strings.Lines(parts[1]) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 11)
		if len(fields) != 11 {
			return r, fmt.Errorf("stat printed %.80q", line)
		}
		r.stats[fields[10]] = line
	}
	for line := range strings.Lines(parts[2]) {
		sum, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || len(sum) != 64 {
			return r, fmt.Errorf("sha256sum printed %.80q", line)
		}
		r.sums[path] = sum
	}
	return r, nil
}

// check tells, as an error, what the reading lacks.
func (r reading) check(hash bool) error {
	want := 2
	if hash {
		want = 3
	}
	switch {
	case r.unit["ActiveState"] != "active":
		return fmt.Errorf("%s is %q", unitName, r.unit["ActiveState"])
	case len(r.stats) != 3 || len(r.sums) != want:
		return errors.New("paths are missing")
	}
	return nil
}
