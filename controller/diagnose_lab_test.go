package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/hostdriver/sshdriver"
	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// broken is one way in which a host breaks a service.
type broken struct {
	unit   string            // the unit's file; %[1]s is the case's name
	files  map[string]string // further files of the service's folder, by name
	units  string            // of the spec; default: the unit, enabled and started
	spec   string            // more of the spec
	before string            // on the host, before the start
	start  string            // default: systemctl start
	after  string            // on the host, once it has been started
	until  string            // a shell condition for which the look waits
	want   []string          // words of the cause and its mend
}

const runsForever = "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"

func failing(lines ...string) string {
	return "[Service]\nType=exec\n" + strings.Join(lines, "\n") + "\n[Install]\nWantedBy=multi-user.target\n"
}

func saying(text string, lines ...string) string {
	return failing(append([]string{"ExecStart=/bin/sh -c 'echo \"" + text + "\" >&2; exit 1'"}, lines...)...)
}

const failed = `systemctl is-failed -q %[1]s.service`

// brokenHosts are the failures of which every operator of systemd hosts learns.
var brokenHosts = map[string]broken{
	"chdir":       {unit: failing("WorkingDirectory=/srv/none", "ExecStart=/bin/sleep 9"), want: []string{"WorkingDirectory=/srv/none", "does not exist"}},
	"binary":      {unit: failing("ExecStart=/opt/none/run"), want: []string{"/opt/none/run is missing", "203/EXEC", "artifacts"}},
	"mode":        {unit: failing("ExecStart=/opt/%[1]s"), before: "echo x >/opt/%[1]s; chmod 644 /opt/%[1]s", want: []string{"/opt/mode may not be executed", "chmod"}},
	"interpreter": {unit: failing("ExecStart=/opt/%[1]s"), before: "printf '#!/opt/none/python3\\n' >/opt/%[1]s; chmod 755 /opt/%[1]s", want: []string{"/opt/interpreter is there", "interpreter", "its first line names /opt/none/python3", "install it there"}},
	"format":      {unit: failing("ExecStart=/opt/%[1]s"), before: "printf '\\177ELFxxxx' >/opt/%[1]s; chmod 755 /opt/%[1]s", want: []string{"/opt/format is no program of this machine", "it is built for another machine"}},
	"library": {unit: failing("ExecStart=/opt/%[1]s"), before: "printf '#!/bin/sh\\necho \"/opt/app: error while loading shared libraries: libnone.so.1: cannot open shared object file: No such file or directory\" >&2\\nexit 127\\n' >/opt/%[1]s; chmod 755 /opt/%[1]s",
		want: []string{"a library that it needs is missing: libnone.so.1", "ldd"}},
	"user":  {unit: failing("User=nosuch", "ExecStart=/bin/sleep 9"), want: []string{"its user does not exist", "User=nosuch", "users"}},
	"group": {unit: failing("Group=nosuch", "ExecStart=/bin/sleep 9"), want: []string{"its group does not exist", "Group=nosuch"}},
	"env":   {unit: failing("EnvironmentFile=/etc/none.env", "ExecStart=/bin/sleep 9"), want: []string{"EnvironmentFile=/etc/none.env"}, until: `[ "$(systemctl show -p Result --value %[1]s)" = resources ]`},
	"envunreadable": {unit: failing("EnvironmentFile=/etc/%[1]s.env", "ExecStart=/bin/sleep 9"), before: "mkdir /etc/%[1]s.env", want: []string{"EnvironmentFile", "/etc/envunreadable.env is there, but cannot be used"},
		until: `[ "$(systemctl show -p Result --value %[1]s)" = resources ]`},
	"envsyntax": {unit: failing("EnvironmentFile=/etc/%[1]s.env", `ExecStart=/bin/sh -c 'test -n "$TOKEN" && exec sleep infinity; echo no token >&2; exit 1'`), files: map[string]string{"s.env": "TOKEN=a\n"},
		spec: "  env: [{path: /etc/%[1]s.env, source: s.env, mode: \"0644\"}]\n", before: "printf 'export TOKEN=a\\n' >/etc/%[1]s.env", want: []string{"/etc/envsyntax.env", "line 1", "export", "evenkeel apply"}},
	"artifact": {unit: failing("ExecStart=/opt/%[1]s/run"), before: "ln -s /opt/.releases/%[1]s/none /opt/%[1]s", want: []string{"/opt/artifact/run is missing", "artifacts"}},
	"static":   {units: "{name: %[1]s.service, enabled: true, state: started}", before: "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/%[1]s.service; systemctl daemon-reload", until: "true", want: []string{"static", "[Install]", "systemctl cat"}},
	"aliased": {units: "{name: %[1]s.service, enabled: true, state: started}", before: "printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/%[1]s-proper.service; ln -s %[1]s-proper.service /etc/systemd/system/%[1]s.service; systemctl daemon-reload",
		until: "true", want: []string{"alias of aliased-proper.service", "systemctl enable aliased-proper.service"}},
	"dockerrun": {unit: failing("ExecStart=/usr/local/bin/docker run --rm localhost/none:1"), want: []string{"container image localhost/none is not on the host", "docker pull localhost/none"}},
	"compose": {unit: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/docker compose up -d\n[Install]\nWantedBy=multi-user.target\n",
		want: []string{"Docker does not run on the host (unix:///var/run/docker.sock)", "systemctl status docker"}},
	"leftover": {unit: failing("ExecStart=/usr/local/bin/docker run --name left localhost/app:1"), want: []string{"a container of that name is left over: left", "rm -f left"}},
	"quadlet": {units: "{source: %[1]s.container, state: started}", files: map[string]string{"quadlet.container": "[Container]\nImage=localhost/gone:2\n"},
		before: "mkdir -p /etc/containers/systemd; printf '[Container]\\nImage=localhost/gone:2\\n' >/etc/containers/systemd/quadlet.container; systemctl daemon-reload", want: []string{"container image localhost/gone:2 is not on the host", "podman pull localhost/gone:2"}},
	"namespace": {unit: failing("ReadWritePaths=/srv/none", "ExecStart=/bin/sleep 9"), want: []string{"mount namespace", "/srv/none", "directories"}},
	"readonly":  {unit: failing("ProtectSystem=strict", "ExecStart=/bin/sh -c 'echo x >/var/lib/%[1]s'"), want: []string{"may not write", "ProtectSystem", "ReadWritePaths="}},
	"owner": {unit: failing("User=nobody", "ExecStart=/bin/sh -c '. /etc/%[1]s.conf && exec sleep infinity'"), files: map[string]string{"o.conf": "A=1\n"}, spec: "  files: [{path: /etc/%[1]s.conf, source: o.conf, owner: nobody, mode: \"0600\"}]\n",
		before: "echo A=1 >/etc/%[1]s.conf; chmod 600 /etc/%[1]s.conf", want: []string{"may not read or write /etc/owner.conf", "evenkeel apply"}},
	"nofile":   {unit: saying("accept: too many open files"), want: []string{"open files", "LimitNOFILE="}},
	"port":     {unit: failing("ExecStart=/usr/bin/systemd-socket-activate -l 127.0.0.1:8097 /bin/cat"), before: "systemd-run -q --unit squatter systemd-socket-activate -l 127.0.0.1:8097 /bin/cat; sleep 0.3", want: []string{"another process has its port", "ss -ltnp"}},
	"diskfull": {unit: failing("ExecStart=/bin/dd if=/dev/zero of=/dev/full count=1"), want: []string{"filesystem is full", "df -h"}},
	"forking":  {unit: "[Service]\nType=forking\nTimeoutStartSec=2\nExecStart=/bin/sleep 99\n[Install]\nWantedBy=multi-user.target\n", start: "systemctl start --no-block %[1]s", want: []string{"never went into the background", "Type=exec"}},
	"notify":   {unit: "[Service]\nType=notify\nTimeoutStartSec=2\nExecStart=/bin/sleep 99\n[Install]\nWantedBy=multi-user.target\n", start: "systemctl start --no-block %[1]s", want: []string{"never said that it is ready", "Type=notify"}},
	"watchdog": {unit: "[Service]\nType=notify\nNotifyAccess=all\nWatchdogSec=1\nExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep infinity'\n[Install]\nWantedBy=multi-user.target\n",
		start: "systemctl start --no-block %[1]s", want: []string{"watchdog"}},
	"startlimit":       {unit: failing("ExecStart=/bin/false", "Restart=always", "RestartSec=10ms"), start: "systemctl start --no-block %[1]s", want: []string{"gave up", "reset-failed"}},
	"startlimitbinary": {unit: failing("ExecStart=/opt/none/again", "Restart=always", "RestartSec=10ms"), start: "systemctl start --no-block %[1]s", want: []string{"/opt/none/again is missing", "reset-failed"}},
	"crashloop":        {unit: "[Unit]\nStartLimitIntervalSec=0\n" + saying("panic: bad config", "Restart=always", "RestartSec=200ms"), want: []string{"restart", "journalctl"}, until: `[ "$(systemctl show -p NRestarts --value %[1]s)" -gt 2 ]`},
	"stoptimeout":      {unit: "[Service]\nType=exec\nTimeoutStopSec=1\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n[Install]\nWantedBy=multi-user.target\n", after: "sleep 0.3; systemctl stop %[1]s", want: []string{"did not stop in time", "TimeoutStopSec="}},
	"signal":           {unit: runsForever, after: "systemctl kill -s SEGV %[1]s", want: []string{"crashed (SIGSEGV)"}},
	"killed":           {unit: runsForever, after: "systemctl kill -s KILL %[1]s", want: []string{"SIGKILL ended it"}},
	"syscall":          {unit: failing("SystemCallFilter=~chmod fchmod fchmodat", "ExecStart=/bin/chmod 600 /etc/hostname"), want: []string{"system call that the unit forbids (SIGSYS)", "SystemCallFilter="}},
	"masked":           {unit: runsForever, after: "systemctl stop %[1]s; rm /etc/systemd/system/%[1]s.service; systemctl mask -q %[1]s", until: "true", want: []string{"masked", "unmask"}},
	"gone":             {unit: runsForever, after: "systemctl stop %[1]s; rm /etc/systemd/system/%[1]s.service; systemctl daemon-reload", until: "true", want: []string{"there is no such unit"}},
	"badsetting":       {unit: runsForever, after: "systemctl stop %[1]s; printf '[Service]\\nType=oneshot\\nRestart=always\\nExecStart=/bin/true\\n' >/etc/systemd/system/%[1]s.service; systemctl daemon-reload", until: "true", want: []string{"cannot read its unit file", "verify"}},
	"stopped":          {unit: runsForever, after: "systemctl stop %[1]s", until: "true", want: []string{"stopped", "systemctl start"}},
	"condition":        {unit: "[Unit]\nConditionPathExists=/srv/none\n" + runsForever, until: "true", want: []string{"Condition"}},
	"zreload":          {unit: runsForever, after: "echo '# by hand' >>/etc/systemd/system/%[1]s.service", until: "true", want: []string{"systemd was not told", "daemon-reload"}},
	"notenabled":       {unit: runsForever, after: "systemctl disable -q %[1]s", until: "true", want: []string{"not enabled", "systemctl enable"}},
	"enabled":          {unit: runsForever, units: "{source: %[1]s.service, enabled: false, state: started}", until: "true", want: []string{"a reboot starts it", "disable"}},
	"dropin": {unit: runsForever, after: "mkdir -p /etc/systemd/system/%[1]s.service.d; printf '[Service]\\nExecStart=\\nExecStart=/opt/none/other\\n' >/etc/systemd/system/%[1]s.service.d/99-hand.conf; systemctl daemon-reload; systemctl restart %[1]s; :",
		want: []string{"/opt/none/other is missing", "99-hand.conf", "systemctl cat"}},
	"dependency": {unit: "[Unit]\nRequires=%[1]s-db.service\nAfter=%[1]s-db.service\n" + runsForever, before: "printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' >/etc/systemd/system/%[1]s-db.service; systemctl daemon-reload", until: "true",
		want: []string{"a unit that it needs", "list-dependencies"}},
	"drainstop": {unit: "[Service]\nType=exec\nTimeoutStopSec=1\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n[Install]\nWantedBy=multi-user.target\n", after: "sleep 0.3; systemctl stop %[1]s",
		spec: "  drain: [{command: {drain: \"true\", undrain: \"true\", drained: \"true\", timeout: 25s}}]\n", want: []string{"its drain may take 25s, and systemd waits 1s", "TimeoutStopSec=25"}},
	"home":       {unit: failing("ProtectHome=yes", "ExecStart=/home/plain/%[1]s"), before: "printf '#!/bin/sh\\nexec sleep infinity\\n' >/home/plain/%[1]s; chmod 755 /home/plain /home/plain/%[1]s", want: []string{"/home/plain/home is hidden from it by ProtectHome=", "ProtectHome=no"}},
	"tmp":        {unit: failing("PrivateTmp=yes", "ExecStart=/bin/sh -c 'cat /tmp/%[1]s.conf && exec sleep infinity'"), before: "echo A=1 >/tmp/%[1]s.conf", want: []string{"/tmp/tmp.conf is hidden from it by PrivateTmp=", "/run"}},
	"newpriv":    {unit: failing("User=deploy", "NoNewPrivileges=yes", "ExecStart=/bin/sh -c 'sudo -n true && exec sleep infinity'"), want: []string{"NoNewPrivileges=", "without sudo"}},
	"notstarted": {unit: runsForever, start: "true", until: "true", want: []string{"never started", "systemctl"}},
	"calendar": {unit: "[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n", files: map[string]string{"calendar.timer": "[Timer]\nOnCalendar=*:*:*\nAccuracySec=100ms\n[Install]\nWantedBy=timers.target\n"},
		units: "{source: %[1]s.service}, {source: %[1]s.timer, enabled: true, state: started}", start: "systemctl enable -q --now %[1]s.timer",
		until: `[ "$(date +%%s)" -gt $(( $(date +%%s -d "$(systemctl show -p LastTriggerUSec --value %[1]s.timer)") + 61 )) ]`, want: []string{"what it starts has not ended since its run of", "was due meanwhile is missed", "systemctl status calendar.service"}},
	"timernever": {unit: "[Service]\nType=oneshot\nExecStart=/bin/true\n", files: map[string]string{"timernever.timer": "[Timer]\nOnUnitActiveSec=1h\n[Install]\nWantedBy=timers.target\n"},
		units: "{source: %[1]s.service}, {source: %[1]s.timer, enabled: true, state: started}", start: "systemctl enable -q --now %[1]s.timer", until: "true", want: []string{"it has no next run", "OnActiveSec="}},
	"timerover": {unit: "[Service]\nType=oneshot\nExecStart=/bin/true\n", files: map[string]string{"timerover.timer": "[Timer]\nOnCalendar=2020-01-01\n[Install]\nWantedBy=timers.target\n"},
		units: "{source: %[1]s.service}, {source: %[1]s.timer, enabled: true, state: started}", start: "systemctl enable -q --now %[1]s.timer", until: "true", want: []string{"it has no next run", "systemd-analyze calendar"}},
	"timer": {unit: "[Service]\nType=oneshot\nExecStart=/opt/none/job\n", files: map[string]string{"timer.timer": "[Timer]\nOnActiveSec=1\nAccuracySec=100ms\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"},
		units: "{source: %[1]s.service}, {source: %[1]s.timer, enabled: true, state: started}", start: "systemctl enable -q --now %[1]s.timer", want: []string{"/opt/none/job is missing"}},
	"template": {unit: "[Service]\nType=exec\nExecStart=/opt/none/%%i\n[Install]\nWantedBy=multi-user.target\n", units: "{source: %[1]s.service, name: \"%[1]s@.service\"}, {name: \"%[1]s@a.service\", enabled: true, state: started}",
		start: "mv /etc/systemd/system/%[1]s.service /etc/systemd/system/%[1]s@.service; systemctl daemon-reload; systemctl enable -q %[1]s@a; systemctl start %[1]s@a", until: "systemctl is-failed -q %[1]s@a", want: []string{"/opt/none/a is missing"}},
}

// dockerStandIn says what docker says of an image that is not there, of a name that is taken,
// and without its daemon; quadletStandIn makes of a Quadlet file what systemd sees of podman's.
const (
	dockerStandIn = `#!/bin/sh
case "$*" in
*compose*) echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' ;;
*left*) echo 'docker: Error response from daemon: Conflict. The container name "/left" is already in use by container "0123456789ab". You have to remove (or rename) that container to be able to reuse that name.' ;;
*) echo "Unable to find image 'localhost/none:1' locally"
	echo "docker: Error response from daemon: pull access denied for localhost/none, repository does not exist or may require 'docker login'." ;;
esac >&2
exit 125
`
	podmanStandIn = `#!/bin/sh
echo 'Trying to pull localhost/gone:2...' >&2
echo 'Error: initializing source docker://localhost/gone:2: pinging container registry localhost: Get "https://localhost/v2/": dial tcp 127.0.0.1:443: connect: connection refused' >&2
exit 125
`
	quadletStandIn = `#!/bin/sh
for f in /etc/containers/systemd/*.container; do
	[ -e "$f" ] || exit 0
	name=${f##*/}
	printf '[Unit]\nSourcePath=%s\n[Service]\nType=exec\nExecStart=/usr/local/bin/podman run localhost/gone:2\n' "$f" >"$1/${name%.container}.service"
done
`
)

// brokenRepo is a fleet repo with a service for each case.
func brokenRepo(address string) fstest.MapFS {
	fs := fstest.MapFS{}
	put := func(name, format string, args ...any) {
		fs[name] = &fstest.MapFile{Data: fmt.Appendf(nil, format, args...)}
	}
	put("fleet.yaml", "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: t}\n")
	put("inventory/h.yaml", "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: t}\nspec:\n  hosts: [{name: web-1, address: %s, labels: {r: a}}]\n", address)
	for name, b := range brokenHosts {
		dir, units := "services/"+name+"/", b.units
		if units == "" {
			units = "{source: %[1]s.service, enabled: true, state: started}"
		}
		put(dir+"service.yaml", "apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: %[1]s}\nspec:\n  selector: {matchLabels: {r: a}}\n  units: ["+units+"]\n"+b.spec, name)
		if b.unit != "" {
			put(dir+name+".service", "%s", named(b.unit, name))
		}
		for file, text := range b.files {
			put(dir+file, "%s", text)
		}
	}
	return fs
}

// named puts the case's name in.
func named(text, name string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "%[1]s", name), "%%", "%")
}

// TestBrokenHostsAreExplained breaks one real host in every way, and asks why.
// explained asks again where the journal may not have had it yet: what a process that ended at
// once said is taken in later than systemd tells of its end, on a host with much to do.
func explained(t *testing.T, ctx context.Context, f *Fleet, v *View, name string) Explanation {
	t.Helper()
	for try := 0; ; try++ {
		e, err := f.Explain(ctx, v, "web-1", name)
		if err != nil {
			t.Fatal(name, err)
		}
		var said strings.Builder
		for _, c := range e.Causes {
			said.WriteString(c.Cause + c.Mend)
		}
		if try == 3 || !slices.ContainsFunc(brokenHosts[name].want, func(w string) bool { return !strings.Contains(said.String(), w) }) {
			return e
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func TestBrokenHostsAreExplained(t *testing.T) {
	lab.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, lab.Options{Hosts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	h := l.Hosts()[0]
	repo := brokenRepo(h.Address())
	rev, err := desired.Load(ctx, repo, desired.LoadOptions{})
	if err != nil || len(rev.Quarantined) > 0 {
		t.Fatal(err, rev.Quarantined)
	}
	breakAll(t, ctx, h, repo)
	driver, err := sshdriver.New(sshdriver.Options{User: "deploy", Become: true, IdentityFiles: []string{l.IdentityFile()}, KnownHosts: []string{l.KnownHostsFile()}, ConfigFile: "none", Agent: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	f := &Fleet{Revision: rev, Driver: driver, Journals: driver, Holder: "test"}
	v, err := f.Look(ctx)
	if err != nil || len(v.Errors) > 0 {
		t.Fatal(err, v.Errors)
	}
	for _, name := range slices.Sorted(maps.Keys(brokenHosts)) {
		b := brokenHosts[name]
		e := explained(t, ctx, f, v, name)
		var said strings.Builder
		for _, c := range e.Causes {
			fmt.Fprintf(&said, "%s: %s — %s\n", c.Subject, c.Cause, c.Mend)
			if c.Mend == "" {
				t.Errorf("%s: nothing mends it: %s", name, c.Cause)
			}
		}
		t.Logf("%s: %s", name, said.String())
		for _, w := range b.want {
			if !strings.Contains(said.String(), w) {
				t.Errorf("%s: %q is not in: %s(unit %+v)\njournal %+v", name, w, said.String(), e.Units, e.Journal)
				break
			}
		}
		if e.JournalLost {
			t.Errorf("%s: the host keeps its journal, and that is not seen", name)
		}
	}
	checkJournalShown(t, ctx, f, v, h)
}

// breakAll starts every case on the host, and waits until each has gone wrong.
func breakAll(t *testing.T, ctx context.Context, h *lab.Host, repo fstest.MapFS) {
	t.Helper()
	for name, file := range repo {
		if base := name[strings.LastIndexByte(name, '/')+1:]; strings.HasSuffix(base, ".service") || strings.HasSuffix(base, ".timer") {
			if err := h.WriteFile("/etc/systemd/system/"+base, file.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range map[string]string{"/usr/local/bin/docker": dockerStandIn, "/usr/local/bin/podman": podmanStandIn, "/usr/lib/systemd/system-generators/quadlet-stand-in": quadletStandIn} {
		if err := h.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var script, waits strings.Builder
	script.WriteString("systemctl daemon-reload\n")
	for _, name := range slices.Sorted(maps.Keys(brokenHosts)) {
		b := brokenHosts[name]
		if b.before != "" {
			script.WriteString(named(b.before, name) + "\n")
		}
		if strings.Contains(b.unit, "[Install]") && !strings.Contains(b.unit, "%%i") {
			script.WriteString(named("systemctl enable -q %[1]s.service\n", name))
		}
		start := b.start
		if start == "" {
			start = "systemctl start %[1]s"
		}
		script.WriteString(named(start, name) + " >/dev/null 2>&1\n")
		if b.after != "" {
			script.WriteString(named(b.after, name) + "\n")
		}
		until := b.until
		if until == "" {
			until = failed
		}
		fmt.Fprintf(&waits, "n=0; until { %[1]s; } 2>/dev/null; do n=$((n+1)); [ $n -lt 900 ] || { echo '%[2]s did not break'; systemctl show -p ActiveState,SubState,Result,NRestarts,ExecMainStatus '%[2]s.service'; break; }; sleep 0.1; done\n", named(until, name), name)
	}
	if out, err := h.Enter(ctx, script.String()+waits.String()+"journalctl --sync"); err != nil || out != "" {
		t.Error(out, err)
	}
}

// checkJournalShown: what is shown of a journal is of the unit in trouble, and short.
func checkJournalShown(t *testing.T, ctx context.Context, f *Fleet, v *View, h *lab.Host) {
	t.Helper()
	e, err := f.Explain(ctx, v, "web-1", "crashloop")
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Journal) == 0 || len(e.Journal) > explainShown || !slices.ContainsFunc(e.Journal, func(l LogLine) bool { return l.Message == "panic: bad config" }) {
		t.Errorf("journal: %+v", e.Journal)
	}
	if out, err := h.Enter(ctx, "mv /var/log/journal /var/log/journal.away"); err != nil {
		t.Fatal(out, err)
	}
	if e, err = f.Explain(ctx, v, "web-1", "stopped"); err != nil || !e.JournalLost {
		t.Errorf("the host does not keep its journal any more, and that is not seen: %v", err)
	}
}
