package lint

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// execKeys are the command lines of services.
var execKeys = []string{"ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"}

// shellWords are what means something to a shell where it stands alone in a command line.
var shellWords = []string{"&&", "||", "|", ">", ">>", "<", "2>", "2>&1", "&>", "&", ";;"}

// redirects is a word such as 2>/var/log/x.
var redirects = regexp.MustCompile(`^[0-9&]?>>?[/$]`)

// execs finds command lines that systemd, which is no shell, reads otherwise than meant.
func (u *unit) execs() {
	for _, d := range u.Text.Directives {
		switch {
		case d.Section != "Service" || d.Value == "":
		case slices.Contains(execKeys, d.Key):
			u.exec1(d)
		case d.Key == "WorkingDirectory":
			if dir := strings.TrimPrefix(d.Value, "-"); !path.IsAbs(dir) && dir != "~" && !strings.HasPrefix(dir, "%") {
				u.say(at(d), "exec-path", "systemd ignores the line: WorkingDirectory="+clip(d.Value)+" is not absolute", "write the whole path, or ~ for the user's home")
			}
		}
	}
}

func (u *unit) exec1(d desired.UnitDirective) {
	words := strings.Fields(strings.TrimLeft(d.Value, "@-:+!|"))
	if len(words) == 0 {
		return
	}
	program := strings.Trim(words[0], `"'`)
	switch {
	case strings.HasPrefix(program, "%"), path.IsAbs(program):
	case strings.Contains(program, "/"):
		u.say(at(d), "exec-path", fmt.Sprintf("systemd refuses %s=%s, whose path is not absolute", d.Key, clip(d.Value)), "write the whole path")
		return
	}
	if isShell(program) {
		return
	}
	for _, w := range words[1:] {
		if slices.Contains(shellWords, w) || redirects.MatchString(w) || strings.Contains(w, "$(") || strings.Contains(w, "`") {
			u.say(at(d), "exec-shell", fmt.Sprintf("systemd is no shell: it hands %s to the program as it stands", clip(w)), "write "+d.Key+`=/bin/sh -c '…', or do without`)
			return
		}
	}
}

func isShell(program string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "zsh", "ksh", "env", "find", "expr", "test", "["}, path.Base(program))
}

// Flags by which programs stay in the foreground, or leave it.
var (
	stays  = regexp.MustCompile(`(?:^|\s)(?:--?foreground|--?no-?daemon(?:ize)?|--daemon(?:ize)?[= ](?:no|false|off)|["']?daemon off;?["']?)(?:\s|$)`)
	leaves = regexp.MustCompile(`(?:^|\s)(?:--?daemon(?:ize)?(?:[= ](?:yes|true|on))?|--detach|--background)(?:\s|$)`)
)

// containerRun is a command line that runs containers.
type containerRun struct {
	is       bool
	detached bool   // it leaves them in the background
	tool     string // docker, podman or one of their kin
	name     string // that the container is given
	replace  bool   // what has that name is removed first
}

// container reads a command line.
func container(line string) (c containerRun) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return c
	}
	c.tool = path.Base(strings.TrimLeft(words[0], "@-:+!|"))
	if !slices.Contains([]string{"docker", "podman", "docker-compose", "podman-compose"}, c.tool) {
		return c
	}
	verb := slices.IndexFunc(words, func(w string) bool { return w == "run" || w == "up" })
	if verb < 0 {
		return c
	}
	c.is = true
	for i := verb + 1; i < len(words); i++ {
		w := words[i]
		switch {
		case !strings.HasPrefix(w, "-"):
			return c // the image, or a service: what follows is for what runs there
		case w == "--detach", w == "--detach=true", switches.MatchString(w) && strings.Contains(w, "d"):
			c.detached = true
		case w == "--replace", w == "--replace=true":
			c.replace = true
		case strings.HasPrefix(w, "--name="):
			c.name = strings.TrimPrefix(w, "--name=")
		case !switches.MatchString(w) && !strings.Contains(w, "=") && !slices.Contains(flagsAlone, w):
			i++ // its value
			if w == "--name" && i < len(words) {
				c.name = words[i]
			}
		}
	}
	return c
}

// leftOver finds a container whose name the next start may find taken: --rm removes it only
// once it has ended, and not at all where its tool was killed.
func (u *unit) leftOver(start desired.UnitDirective, c containerRun) {
	name := strings.Trim(c.name, `"'`)
	if name == "" || c.replace || strings.HasSuffix(c.tool, "compose") {
		return
	}
	for _, before := range u.Text.Values("Service", "ExecStartPre") {
		words := strings.Fields(before)
		if slices.Contains(words, "rm") && slices.ContainsFunc(words, func(w string) bool { return strings.Trim(w, `"'`) == name }) {
			return
		}
	}
	mend := "write ExecStartPre=-/usr/bin/docker rm -f " + name + " before it"
	if c.tool == "podman" {
		mend = "write --replace"
	}
	u.say(at(start), "container-name", "a container that is called "+clip(name)+" may be left over when it is started again, which then fails: --rm may come too late", mend)
}

// Flags of run and up that have no value.
var (
	switches   = regexp.MustCompile(`^-[ditqP]+$`)
	flagsAlone = []string{"--rm", "--init", "--privileged", "--read-only", "--interactive", "--tty", "--build", "--force-recreate", "--remove-orphans", "--no-deps",
		"--no-recreate", "--no-build", "--wait", "--quiet", "--replace", "--publish-all", "--no-healthcheck", "--oom-kill-disable", "--abort-on-container-exit"}
)

// lifecycle is about how a service starts, stops and comes back.
func (u *unit) lifecycle() {
	start, _ := u.last("Service", "ExecStart")
	kind := u.kind()
	run := container(start.Value)
	detached := run.detached || !run.is && leaves.MatchString(start.Value) && !stays.MatchString(start.Value)
	switch {
	case kind == "forking" && (stays.MatchString(start.Value) || run.is && !detached):
		u.say(at(start), "forking-foreground", "Type=forking waits for the program to go into the background, and it is told to stay: its start times out", "write Type=exec, or Type=notify where the program says when it is ready")
	case kind == "forking" && u.value("Service", "PIDFile") == "":
		d, _ := u.last("Service", "Type")
		u.say(at(d), "forking-pidfile", "Type=forking without PIDFile=: systemd guesses which process is the service", "write PIDFile=/run/…, or better run it in the foreground with Type=exec")
	case kind != "forking" && detached && (kind != "oneshot" || !u.yes("RemainAfterExit")):
		mend := "leave that flag away: systemd keeps the process"
		if run.is {
			mend = "run it without -d; or, of compose, write Type=oneshot and RemainAfterExit=yes"
		}
		u.say(at(start), "detached", "the program goes into the background, so systemd takes the service for ended", mend)
	}
	u.leftOver(start, run)
	u.restarts(kind)
	u.timeouts(kind)
	if d, ok := u.last("Service", "KillMode"); ok && (d.Value == "none" || d.Value == "process") {
		u.say(at(d), "kill-mode", "KillMode="+d.Value+" leaves processes behind after a stop, which the next start meets", "drop it, or write KillMode=mixed")
	}
	for _, key := range []string{"StandardOutput", "StandardError"} {
		if d, ok := u.last("Service", key); ok && (d.Value == "null" || strings.HasPrefix(d.Value, "file:") || strings.HasPrefix(d.Value, "append:") || strings.HasPrefix(d.Value, "truncate:")) {
			u.say(at(d), "no-journal", key+"="+clip(d.Value)+": what it says is not in the journal, so neither explain nor logs shows it", "drop the line: the journal rotates, too")
		}
	}
}

func (u *unit) restarts(kind string) {
	restart, said := u.last("Service", "Restart")
	comesBack := said && restart.Value != "no"
	switch {
	case kind == "oneshot" && (restart.Value == "always" || restart.Value == "on-success"):
		u.say(at(restart), "bad-setting", "systemd refuses the unit: Type=oneshot does not go with Restart="+restart.Value, "write Restart=on-failure, or a timer")
		return
	case kind == "oneshot":
		return
	case !comesBack:
		if u.State == "started" {
			u.say(u.exec(), "no-restart", u.Name+" stays down once it has crashed: it has no Restart=", "write Restart=on-failure and RestartSec=5")
		}
		return
	}
	if _, handled := u.last("Unit", "OnFailure"); handled {
		return // giving up is part of the plan
	}
	interval := u.span("Unit", "StartLimitIntervalSec", u.span("Unit", "StartLimitInterval", u.span("Service", "StartLimitInterval", 10*time.Second)))
	burst := uint64(5)
	for _, section := range []string{"Service", "Unit"} {
		if n, ok := parseTasks(u.value(section, "StartLimitBurst")); ok {
			burst = n
		}
	}
	pause := u.span("Service", "RestartSec", 100*time.Millisecond)
	if interval == 0 || burst == 0 || burst == infinite || pause >= interval || time.Duration(min(burst, 1000))*pause >= interval {
		return
	}
	u.say(at(restart), "start-limit", fmt.Sprintf("when it fails at once, systemd gives up after %d starts, within %s, and it stays down (StartLimitBurst=, StartLimitIntervalSec=)",
		burst, time.Duration(burst)*pause), fmt.Sprintf("write RestartSec=%d, or StartLimitIntervalSec=0 under [Unit] to never give up", interval/time.Duration(burst)/time.Second+1))
}

func (u *unit) timeouts(kind string) {
	stop := u.span("Service", "TimeoutStopSec", u.span("Service", "TimeoutSec", 90*time.Second))
	if stop == 0 {
		stop = forever
	}
	drain := u.in.DrainAtMost()
	if stop < drain && (u.State == "started") {
		d, ok := u.last("Service", "TimeoutStopSec", "TimeoutSec")
		pos := at(d)
		if !ok {
			pos = u.head("Service")
		}
		u.say(pos, "stop-timeout", fmt.Sprintf("systemd kills it %s after a stop, and its drain may take %s: what is under way longer than that is cut off", stop, drain),
			fmt.Sprintf("write TimeoutStopSec=%d or more, or a shorter timeout of the drain", int((drain+time.Second-1)/time.Second)))
	}
	start, said := u.last("Service", "TimeoutStartSec", "TimeoutSec")
	switch limit, ok := desired.ParseSpan(start.Value); {
	case kind == "oneshot" && (!said || start.Value == ""):
		u.say(u.exec(), "start-timeout", "a Type=oneshot that hangs is never ended: it has no start timeout", "write TimeoutStartSec=")
	case said && ok && kind != "oneshot" && limit > u.in.Strategy.HealthyDeadline && u.in.Strategy.HealthyDeadline > 0 && u.State == "started" && limit != forever:
		u.say(at(start), "start-timeout", fmt.Sprintf("systemd gives it %s to start, and the rollout takes it for failed after %s", limit, u.in.Strategy.HealthyDeadline),
			"raise rollout.healthyDeadline above it, or write a shorter TimeoutStartSec=")
	}
}

// fewFiles is how many open files are few for a service with clients of a balancer:
// systemd's own soft limit is 1024.
const fewFiles = 4096

// limits is about what a service may use of a host.
func (u *unit) limits() {
	if u.drained() {
		d, ok := u.last("Service", "LimitNOFILE")
		n, _ := parseLimit(d.Value)
		switch {
		case !ok:
			u.say(u.exec(), "limit-nofile", "it serves a balancer's clients with at most 1024 open files, connections among them: LimitNOFILE= is not said", "write LimitNOFILE=65536")
		case n < fewFiles:
			u.say(at(d), "limit-nofile", fmt.Sprintf("it serves a balancer's clients with at most %d open files, connections among them", n), "write LimitNOFILE=65536")
		}
	}
	if u.kind() == "oneshot" && u.State != "started" {
		return
	}
	missing := func(rule, key, message, mend string) {
		if _, ok := u.last("Service", key); !ok {
			if _, sliced := u.last("Service", "Slice"); !sliced { // which may bound it
				u.say(u.exec(), rule, message, mend)
			}
		}
	}
	missing("limit-memory", "MemoryMax", "it may take all memory of the host with it: MemoryMax= is not said", "write MemoryMax= above what it needs, such as MemoryMax=1G")
	missing("limit-tasks", "TasksMax", "it may have as many tasks as systemd's default allows: TasksMax= is not said", "write TasksMax=")
	missing("limit-cpu", "CPUQuota", "it may take all CPUs of the host: CPUQuota= is not said", "write CPUQuota=, such as CPUQuota=200%")
}
