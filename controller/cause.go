package controller

import (
	"fmt"
	"strings"

	"github.com/evenkeel/evenkeel/hostdriver"
)

// Cause is why something is as it is, as far as it can be told from outside, and
// what mends it.
type Cause struct {
	Subject string `json:"subject"`
	Cause   string `json:"cause"`
	Mend    string `json:"mend,omitempty"` // a command on the host, or what to change in the repo
}

// exitCauses are what the exit statuses mean that systemd itself sets before a
// program runs (systemd.exec(5), "Process Exit Codes").
var exitCauses = map[int][2]string{
	200: {"WorkingDirectory= does not exist there, or the user may not enter it", "declare it under directories, or correct the unit"},
	203: {"the program of ExecStart= is missing, not executable, or for another architecture", "systemctl show -p ExecStart %s; then declare it under artifacts, or correct the path"},
	204: {"the host has no memory for it", "free -m; systemctl status %s"},
	205: {"a limit of the unit cannot be set", "look at the Limit… lines of the unit"},
	208: {"StandardInput= cannot be opened", "look at StandardInput= of the unit"},
	209: {"StandardOutput= cannot be opened", "look at StandardOutput= of the unit: does its folder exist?"},
	216: {"its group does not exist", "declare it under users"},
	217: {"its user does not exist", "declare it under users"},
	218: {"a capability cannot be set", "look at CapabilityBoundingSet= and AmbientCapabilities= of the unit"},
	226: {"its mount namespace cannot be made: most often a path of ReadWritePaths=, ReadOnlyPaths= or BindPaths= does not exist", "declare the path under directories, or begin it with - in the unit"},
	228: {"a system call filter of the unit cannot be set", "look at SystemCallFilter= of the unit"},
	233: {"its runtime directory cannot be made", "look at RuntimeDirectory= of the unit"},
	238: {"its state directory cannot be made", "look at StateDirectory= of the unit"},
	239: {"its cache directory cannot be made", "look at CacheDirectory= of the unit"},
	240: {"its logs directory cannot be made", "look at LogsDirectory= of the unit"},
	241: {"its configuration directory cannot be made", "look at ConfigurationDirectory= of the unit"},
	243: {"a credential cannot be loaded", "look at LoadCredential= and SetCredential= of the unit"},
}

// resultCauses are what the Result of a unit means where no exit status says more
// (systemd.service(5), org.freedesktop.systemd1(5)).
var resultCauses = map[string][2]string{
	"resources":         {"systemd could not even start it: most often an EnvironmentFile= that is missing or cannot be read", "systemctl status %s"},
	"timeout":           {"it did not start, or stop, in time", "journalctl -u %s -n 50; then raise TimeoutStartSec= or TimeoutStopSec="},
	"watchdog":          {"it stopped telling the watchdog that it lives", "journalctl -u %s -n 50"},
	"start-limit-hit":   {"it was started too often, and systemd gave up", "journalctl -u %[1]s -n 50; once it is mended: systemctl reset-failed %[1]s"},
	"oom-kill":          {"the kernel killed it for want of memory", "journalctl -k | grep -i oom; then raise MemoryMax=, or find the leak"},
	"core-dump":         {"it crashed", "coredumpctl info %s"},
	"signal":            {"a signal killed it", "journalctl -u %s -n 50"},
	"protocol":          {"it did not keep to its Type=: one of notify never said that it was ready, one of forking never forked", "compare Type= with what the program does"},
	"exec-condition":    {"its ExecCondition= said no", "systemctl show -p ExecCondition %s"},
	"condition-failed":  {"a Condition… of the unit does not hold", "systemctl status %s"},
	"assert":            {"an Assert… of the unit does not hold", "systemctl status %s"},
	"dependency":        {"a unit that it needs did not start", "systemctl list-dependencies %s"},
	"exit-code":         {"the program itself ended with an error", "journalctl -u %s -n 50"},
	"service-start-job": {"its start was refused", "systemctl status %s"},
}

// causeOf tells what is wrong with a unit that should run, and how it is mended; ok
// is false where nothing is.
func causeOf(name string, u hostdriver.UnitState) (c Cause, ok bool) {
	c.Subject = name
	say := func(cause, mend string) (Cause, bool) {
		c.Cause, c.Mend = cause, mend
		if strings.Contains(mend, "%") {
			c.Mend = fmt.Sprintf(mend, name)
		}
		return c, true
	}
	switch {
	case u.Masked():
		return say("somebody has masked it", "systemctl unmask %s")
	case u.Load == "bad-setting":
		return say("systemd cannot read its unit file", "systemd-analyze verify %s")
	case u.Load == "not-found":
		return say("there is no such unit", "evenkeel apply brings it, if the service has it as a source")
	case u.Load == "error":
		return say("its unit file cannot be read", "systemctl status %s")
	case u.Job != "" && u.Job != "0":
		return say("a job for it is queued: "+u.Job, "systemctl list-jobs")
	case u.Active == "active" && u.Restarts > 0:
		return say(fmt.Sprintf("it runs, but systemd had to restart it (%d times since it was last started by hand)", u.Restarts), "journalctl -u %s -n 50")
	case u.Active == "active" || u.Active == "reloading":
		return c, false
	case u.Active == "inactive" && !u.ConditionOK && u.Load == "loaded" && u.Result == "success":
		return say("it was never started, or a Condition… of it did not hold", "systemctl status %s")
	case u.Active == "inactive" && u.Result == "success":
		return say("it is stopped, and did not fail", "systemctl start %s, or evenkeel apply")
	}
	if e, found := exitCauses[u.ExecStatus]; found && u.Result == "exit-code" {
		return say(e[0], e[1])
	}
	if e, found := resultCauses[u.Result]; found {
		return say(e[0], e[1])
	}
	return say("it is "+u.Active+" ("+u.Sub+")", "systemctl status %s")
}
