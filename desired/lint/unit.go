package lint

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver"
	"github.com/evenkeel/evenkeel/inventory/fault"
)

// unit is one unit being looked at, with its drop-ins.
type unit struct {
	*desired.Unit
	*check
}

// last is the assignment that holds, or ok is false.
func (u *unit) last(section string, keys ...string) (d desired.UnitDirective, ok bool) {
	for _, e := range u.Text.Directives {
		if e.Section == section && slices.Contains(keys, e.Key) {
			d, ok = e, e.Value != "" || len(keys) > 1
		}
	}
	return d, ok
}

func (u *unit) value(section, key string) string { return u.Text.Last(section, key) }

func (u *unit) yes(key string) bool {
	switch strings.ToLower(u.value("Service", key)) {
	case "1", "yes", "y", "true", "t", "on":
		return true
	}
	return false
}

func at(d desired.UnitDirective) desired.Position {
	return desired.Position{File: d.File, Line: d.Line, Column: d.Column}
}

// head is where a section begins to say something, for what is missing in it.
func (u *unit) head(section string) desired.Position {
	for _, d := range u.Text.Directives {
		if d.Section == section {
			return at(d)
		}
	}
	return at(u.Text.Directives[0])
}

// exec is where the unit's program is named, else the head of [Service].
func (u *unit) exec() desired.Position {
	if d, ok := u.last("Service", "ExecStart"); ok {
		return at(d)
	}
	return u.head("Service")
}

// kind is the service's Type= with systemd's default.
func (u *unit) kind() string {
	if t := u.value("Service", "Type"); t != "" {
		return t
	}
	if u.value("Service", "BusName") != "" {
		return "dbus"
	}
	return "simple"
}

func (u *unit) suffix() string { return strings.TrimPrefix(path.Ext(u.Name), ".") }

func (c *check) unit(u *unit) {
	u.directives()
	u.settings()
	u.enablement()
	switch u.suffix() {
	case "service":
		if _, quadlet := u.quadlet(); quadlet {
			return
		}
		u.execs()
		u.lifecycle()
		u.limits()
		if user, _ := hostdriver.SplitUnit(u.Name); user == "" { // a user's systemd can confine little, and has nothing of root's to give away
			u.rights()
		}
	case "timer":
		u.timer()
	}
}

// quadlet tells whether the unit is generated from a Quadlet file, whose keys are others.
func (u *unit) quadlet() (section string, is bool) {
	for _, d := range u.Text.Directives {
		switch d.Section {
		case "Container", "Pod", "Volume", "Network", "Kube", "Image", "Build":
			return d.Section, true
		}
	}
	return "", false
}

//go:embed directives.txt
var directiveList string

// directives are all keys that systemd 257 knows in unit files, sorted.
var directives = strings.Fields(directiveList)

// sections are those whose keys are held against directives.
var sections = []string{"Unit", "Service", "Socket", "Timer", "Path", "Mount", "Automount", "Swap", "Slice", "Scope", "Install"}

// directives finds keys that systemd does not know, and those that are not in their place.
func (u *unit) directives() {
	for _, d := range u.Text.Directives {
		if !slices.Contains(sections, d.Section) || strings.HasPrefix(d.Key, "X-") {
			continue
		}
		if section, ok := misplaced[d.Key]; ok && d.Section != section && !(d.Section == "Service" && legacy[d.Key]) {
			u.say(at(d), "wrong-section", fmt.Sprintf("systemd ignores %s= under [%s]", d.Key, d.Section), "move it to ["+section+"]")
			continue
		}
		if _, ok := slices.BinarySearch(directives, d.Key); ok || slices.Contains(installKeys, d.Key) {
			continue
		}
		mend := "systemd.directives(7) lists all; a key of your own begins with X-"
		if near, ok := fault.Nearest(d.Key, directives); ok {
			mend = "did you mean " + near + "=?"
		}
		u.say(at(d), "unknown-directive", fmt.Sprintf("systemd ignores %s=, which it does not know", d.Key), mend)
	}
}

var installKeys = []string{"WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also", "DefaultInstance"}

// misplaced are keys that are often written into another section than theirs.
var misplaced = map[string]string{
	"StartLimitIntervalSec": "Unit", "StartLimitInterval": "Unit", "StartLimitBurst": "Unit", "StartLimitAction": "Unit", "OnFailure": "Unit", "After": "Unit", "Before": "Unit", "Requires": "Unit", "Wants": "Unit",
	"BindsTo": "Unit", "PartOf": "Unit", "Conflicts": "Unit", "Description": "Unit", "WantedBy": "Install", "RequiredBy": "Install",
	"ExecStart": "Service", "ExecReload": "Service", "ExecStop": "Service", "Restart": "Service", "RestartSec": "Service",
}

// legacy are those of misplaced that systemd still takes under [Service]: load-fragment-gperf.
var legacy = map[string]bool{"StartLimitInterval": true, "StartLimitBurst": true, "StartLimitAction": true}

// timeKeys are settings whose value is a time span, by section.
var timeKeys = map[string][]string{
	"Service": {"TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec", "RestartSec", "RestartMaxDelaySec", "RuntimeMaxSec", "WatchdogSec"},
	"Unit":    {"StartLimitIntervalSec", "JobTimeoutSec", "JobRunningTimeoutSec"},
	"Timer":   {"OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec", "AccuracySec", "RandomizedDelaySec"},
}

// settings finds values that systemd cannot read: it ignores the line, and a default holds.
func (u *unit) settings() {
	for _, d := range u.Text.Directives {
		if d.Value == "" || strings.Contains(d.Value, "%") && d.Key != "CPUQuota" && !strings.HasPrefix(d.Key, "Memory") && d.Key != "TasksMax" {
			continue
		}
		problem, mend := "", ""
		switch {
		case slices.Contains(timeKeys[d.Section], d.Key):
			if _, ok := desired.ParseSpan(d.Value); !ok {
				problem, mend = "is no time", "such as 30s, 5min or 1h 30min (systemd.time(7))"
			}
		case d.Section == "Timer" && d.Key == "OnCalendar":
			if _, ok := desired.ParseCalendar(d.Value); !ok {
				problem, mend = "is no calendar event", "such as daily, Mon..Fri 9:00 or *:0/15 (systemd.time(7)); systemd-analyze calendar tries one"
			}
		case slices.Contains(memoryKeys, d.Key):
			if _, ok := parseMemory(d.Value); !ok {
				problem, mend = "is no amount of memory", "such as 512M, 2G, 10% or infinity"
			}
		case d.Key == "TasksMax":
			if _, ok := parseTasks(d.Value); !ok {
				problem, mend = "is no number of tasks", "such as 512, 10% or infinity"
			}
		case d.Key == "CPUQuota":
			if !percent.MatchString(d.Value) {
				problem, mend = "is no share of a CPU", "such as 50%, or 200% for two whole ones"
			}
		case d.Key == "LimitNOFILE":
			if _, ok := parseLimit(d.Value); !ok {
				problem, mend = "is no limit", "such as 65536, 1024:65536 or infinity"
			}
		case d.Section == "Service" && allowed[d.Key] != nil:
			if !slices.Contains(allowed[d.Key], d.Value) {
				problem, mend = "is not one of its values", fault.DidYouMean(d.Value, allowed[d.Key])
			}
		}
		if problem != "" {
			u.say(at(d), "bad-setting", fmt.Sprintf("systemd ignores the line: %s=%s %s", d.Key, clip(d.Value), problem), mend)
		}
	}
	high, max := u.amount("MemoryHigh"), u.amount("MemoryMax")
	if high > 0 && max > 0 && high > max {
		d, _ := u.last("Service", "MemoryHigh")
		u.say(at(d), "bad-setting", "MemoryHigh= is above MemoryMax=, so it never holds", "make it smaller")
	}
}

func (u *unit) amount(key string) uint64 {
	n, ok := parseMemory(u.value("Service", key))
	if !ok || n == infinite {
		return 0
	}
	return n
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// allowed are settings of services with few values (systemd.service(5), systemd.kill(5),
// systemd.exec(5)).
var allowed = map[string][]string{
	"Type":                    {"simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"},
	"Restart":                 {"no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"},
	"KillMode":                {"control-group", "mixed", "process", "none"},
	"NotifyAccess":            {"none", "main", "exec", "all"},
	"ProtectSystem":           append([]string{"full", "strict"}, booleans...),
	"ProtectHome":             append([]string{"read-only", "tmpfs"}, booleans...),
	"NoNewPrivileges":         booleans,
	"RemainAfterExit":         booleans,
	"DynamicUser":             booleans,
	"OOMPolicy":               {"continue", "stop", "kill"},
	"RestartMode":             {"normal", "direct", "debug"},
	"PrivateDevices":          booleans,
	"TimeoutStartFailureMode": {"terminate", "abort", "kill"},
}

var booleans = []string{"1", "yes", "y", "true", "t", "on", "0", "no", "n", "false", "f", "off"}

// enablement compares what is started with what starts at boot.
func (u *unit) enablement() {
	pos := u.head("Install")
	section, quadlet := u.quadlet()
	switch {
	case quadlet:
		// The generator itself makes the links that [Install] asks for.
		if u.State == "started" && !u.Text.Installs() && slices.Contains([]string{"Container", "Pod", "Kube"}, section) {
			u.say(u.head(section), "not-enabled", u.Name+" is started, and after a reboot it is not: its Quadlet file has no [Install]", "write [Install] with WantedBy=multi-user.target into it")
		}
	case u.State == "started" && (u.Enabled == nil || !*u.Enabled) && u.Text.Installs() && u.suffix() != "target":
		u.say(pos, "not-enabled", u.Name+" is started, and after a reboot it is not: nothing enables it", "write enabled: true beside state: started")
	case u.State == "stopped" && u.Enabled != nil && *u.Enabled:
		u.say(pos, "enabled-stopped", u.Name+" is stopped, and the next reboot starts it: it is enabled", "write enabled: false, or state: started")
	}
}

// timer finds timers that start nothing, and runs that a reboot swallows.
func (u *unit) timer() {
	target := u.value("Timer", "Unit")
	if target == "" {
		target = strings.TrimSuffix(u.Name, ".timer") + ".service"
	} else if user, _ := hostdriver.SplitUnit(u.Name); user != "" {
		target = hostdriver.UnitOf(user, target)
	}
	if !slices.ContainsFunc(u.in.Units, func(o desired.Unit) bool { return o.Name == target || o.Name == templateOf(target) }) && !strings.Contains(target, "%") {
		u.say(u.head("Timer"), "timer-alone", u.Name+" starts "+target+", which is no unit of the service", "add it under units, or name another with Unit=")
	}
	if d, ok := u.last("Timer", "OnCalendar"); ok {
		if _, said := u.last("Timer", "Persistent"); !said {
			u.say(at(d), "timer-persistent", "a run that falls into a reboot is left out until the next one: Persistent= is not said", "write Persistent=yes, or Persistent=no if that is meant")
		}
	}
}

// templateOf is the template of an instance's name.
func templateOf(name string) string {
	i, j := strings.IndexByte(name, '@'), strings.LastIndexByte(name, '.')
	if i < 0 || j < i {
		return name
	}
	return name[:i+1] + name[j:]
}

// span is a setting that is a time, or its default.
func (u *unit) span(section, key string, standard time.Duration) time.Duration {
	if d, ok := desired.ParseSpan(u.value(section, key)); ok {
		return d
	}
	return standard
}
