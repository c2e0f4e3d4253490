package sshdriver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const defaultJobTimeout = 90 * time.Second

func (d *Driver) unitOps(f hostdriver.Fence, op hostdriver.UnitOps) (*change, error) {
	s := d.mutation(f, "facts", "manager", "units")
	var actions []string
	for _, a := range op.Actions {
		line, err := actionLine(a)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", a.Verb, a.Unit, err)
		}
		actions = append(actions, line)
	}
	timeout := op.Timeout
	if timeout <= 0 {
		timeout = defaultJobTimeout
	}
	s.set("ACTIONS", strings.Join(actions, "\n"))
	s.setInt("TIMEOUT", seconds(timeout))
	if err := s.setRecord(op.Record); err != nil {
		return nil, err
	}
	return &change{request: request{script: s, call: "op_units"}, result: unitsResult, failure: tellUnitFailure}, nil
}

func actionLine(a hostdriver.UnitAction) (string, error) {
	if err := hostdriver.CheckUnit(a.Unit); err != nil {
		return "", err
	}
	if hostdriver.IsTemplate(a.Unit) {
		return "", errors.New("a template cannot run; name an instance of it")
	}
	if !slices.Contains([]hostdriver.UnitVerb{hostdriver.VerbStart, hostdriver.VerbStop, hostdriver.VerbRestart, hostdriver.VerbReload}, a.Verb) {
		return "", errors.New("the verb is not known")
	}
	if strings.Trim(a.OnlyIf, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%q is not an InvocationID", a.OnlyIf)
	}
	fields := []string{a.Unit, string(a.Verb), firstOf(a.OnlyIf, "-"), strconv.FormatUint(a.Generation, 10)}
	for _, path := range slices.Sorted(maps.Keys(a.Inputs)) {
		digest := a.Inputs[path]
		if err := hostdriver.CheckPath(path); err != nil {
			return "", err
		}
		if digest == "" || strings.ContainsAny(digest, " ") || hostdriver.HasControl(digest) {
			return "", fmt.Errorf("the digest %q of %s is not one word", digest, path)
		}
		fields = append(fields, digest+" "+path)
	}
	return strings.Join(fields, "\t"), nil
}

// tellUnitFailure says in words what systemd says in states.
func tellUnitFailure(e *hostdriver.Error, records []record) {
	res, err := unitsResult(records)
	if err != nil {
		return
	}
	for _, r := range records {
		if st, ok := res.Units[r.arg(0)]; ok && r.kind == "failed" {
			said := e.Err
			e.Err = errors.New(unitFailure(r.arg(0), hostdriver.UnitVerb(r.arg(1)), st, said.Error()))
			if mend := unitMend(st); mend != "" {
				e.Mend = mend
			}
		}
	}
}

func unitFailure(unit string, verb hostdriver.UnitVerb, st hostdriver.UnitState, said string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "systemctl %s %s: it is %s (%s)", verb, unit, st.Active, st.Sub)
	switch st.Result {
	case "", "success":
		fmt.Fprintf(&b, "; systemctl says: %s", said)
	case "exit-code":
		fmt.Fprintf(&b, ", its process ended with status %s", exitStatusName(st.ExecStatus))
	case "signal", "core-dump":
		fmt.Fprintf(&b, ", its process was ended by signal %d (%s)", st.ExecStatus, st.Result)
	case "start-limit-hit":
		b.WriteString(", it was started too often in too short a time (start-limit-hit)")
	case "timeout":
		b.WriteString(", it was not ready, or did not stop, in time (timeout)")
	case "resources":
		b.WriteString(", something it needs could not be set up (resources), such as its env file")
	default:
		fmt.Fprintf(&b, ", result %s", printable(st.Result, 60))
	}
	return b.String()
}

func unitMend(st hostdriver.UnitState) string {
	if st.Result == "exit-code" {
		return exitMends[st.ExecStatus]
	}
	return ""
}

// exitStatusNames are those of systemd.exec(5), "Process exit codes".
var exitStatusNames = map[int]string{
	200: "CHDIR", 201: "NICE", 202: "FDS", 203: "EXEC", 204: "MEMORY", 205: "LIMITS", 206: "OOM_ADJUST", 207: "SIGNAL_MASK",
	208: "STDIN", 209: "STDOUT", 210: "CHROOT", 211: "IOPRIO", 212: "TIMERSLACK", 213: "SECUREBITS", 214: "SETSCHEDULER",
	215: "CPUAFFINITY", 216: "GROUP", 217: "USER", 218: "CAPABILITIES", 219: "CGROUP", 220: "SETSID", 221: "CONFIRM",
	222: "STDERR", 224: "PAM", 225: "NETWORK", 226: "NAMESPACE", 227: "NO_NEW_PRIVILEGES", 228: "SECCOMP",
	229: "SELINUX_CONTEXT", 230: "PERSONALITY", 231: "APPARMOR_PROFILE", 232: "ADDRESS_FAMILIES",
	233: "RUNTIME_DIRECTORY", 235: "CHOWN", 236: "SMACK_PROCESS_LABEL", 237: "KEYRING", 238: "STATE_DIRECTORY",
	239: "CACHE_DIRECTORY", 240: "LOGS_DIRECTORY", 241: "CONFIGURATION_DIRECTORY", 242: "NUMA_POLICY", 243: "CREDENTIALS",
}

func exitStatusName(status int) string {
	if name := exitStatusNames[status]; name != "" {
		return strconv.Itoa(status) + "/" + name
	}
	return strconv.Itoa(status)
}

var exitMends = map[int]string{
	200: "correct the unit's WorkingDirectory=: it must exist and be open to the unit's user",
	203: "correct the unit's ExecStart=: the program must exist and be executable",
	216: "correct the unit's Group=: there is no such group",
	217: "correct the unit's User=: there is no such user",
	226: "see the unit's ProtectSystem=, ReadWritePaths= and the like: a path it names must exist",
	238: "see the unit's StateDirectory= and who owns it",
}
