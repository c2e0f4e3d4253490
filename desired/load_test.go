package desired

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/evenkeel/evenkeel/inventory"
)

// files is a fleet repo by its files.
type files map[string]string

func (f files) fs() fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range f {
		m[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return m
}

// with is the repo with some files changed; "" deletes one.
func (f files) with(changed files) files {
	out := maps.Clone(f)
	for name, text := range changed {
		if text == "" {
			delete(out, name)
			continue
		}
		out[name] = text
	}
	return out
}

const (
	fleetHead   = "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: test}\nspec:\n"
	serviceHead = "apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: %s}\nspec:\n"
	unitText    = "[Service]\nExecStart=/bin/sleep 9\n[Install]\nWantedBy=multi-user.target\n"
)

// plain is a small repo in which nothing is wrong.
var plain = files{
	"fleet.yaml":              fleetHead + "  vars: {version: \"1.2\"}\n",
	"inventory/hosts.yaml":    "apiVersion: evenkeel/v1\nkind: Inventory\nspec:\n  hosts:\n    - {name: h1, address: 192.0.2.1, labels: {role: web}}\n    - {name: h2, address: 192.0.2.2, labels: {role: web}}\n    - {name: h3, address: 192.0.2.3, labels: {role: db}}\n",
	"services/a/a.service":    unitText,
	"services/a/a.env":        "PORT=1\n",
	"services/a/service.yaml": service("a", "  units: [{source: a.service, enabled: true, state: started}]\n  health: [{unit: {}}]\n"),
}

// service is a service.yaml for the hosts with role web; the spec begins in line 6.
func service(name, spec string) string {
	return fmt.Sprintf(serviceHead, name) + "  selector: {matchLabels: {role: web}}\n" + spec
}

func load(t *testing.T, repo files, opt LoadOptions) (Revision, error) {
	t.Helper()
	return Load(context.Background(), repo.fs(), opt)
}

// findings is all that is wrong with a repo, as Validate has it or as Load's error.
func findings(t *testing.T, repo files, opt LoadOptions) string {
	t.Helper()
	rev, err := load(t, repo, opt)
	if err != nil {
		return err.Error()
	}
	return Faults(Validate(context.Background(), &rev)).Error()
}

func equal(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestServiceFaults(t *testing.T) {
	const at = "services/a/service.yaml:"
	for name, c := range map[string]struct{ spec, want string }{
		"nothing": {"", ""},
		"a misspelt key": {"  unts: []\n",
			at + `6:3: unknown key "unts": did you mean "units"?`},
		"a misspelt key far below": {"  drain: [{haproxy: {address: \"tcp://l:1\", backend: b, sever: x}}]\n",
			at + "6:21: missing key \"server\" in \"haproxy\"\n" + at + `6:56: unknown key "sever": did you mean "server"?`},
		"a unit that is not there": {"  units: [{source: b.service}]\n",
			at + `6:20: no file services/a/b.service: did you mean "services/a/a.service"?`},
		"an absolute source":    {"  files: [{path: /etc/x, source: /etc/passwd}]\n", at + `6:34: source "/etc/passwd" is an absolute path: name a file in the service's folder`},
		"a source elsewhere":    {"  files: [{path: /etc/x, source: ../../fleet.yaml}]\n", at + `6:34: source "../../fleet.yaml" leaves the service's folder: put the file into it`},
		"a folder as a source":  {"  files: [{path: /etc/x, source: .}]\n", at + `6:34: source "." leaves the service's folder: put the file into it`},
		"a path with a newline": {"  files: [{path: \"/etc/x\\ny\", source: a.env}]\n", at + `6:18: path "/etc/x\ny" has control characters`},
		"a relative path":       {"  files: [{path: etc/x, source: a.env}]\n", at + `6:18: path "etc/x" is not absolute: begin it with /`},
		"a crooked path":        {"  files: [{path: /etc/../x/, source: a.env}]\n", at + `6:18: path "/etc/../x/" is not in its plain form: write /x`},
		"the kernel's path":     {"  files: [{path: /proc/sys/x, source: a.env}]\n", at + `6:18: path "/proc/sys/x" is in the kernel's own file system`},
		"a mode that is a number": {"  files: [{path: /x/y, source: a.env, mode: 0644}]\n",
			at + `6:45: "mode" must be text, not the number 0644: write it in quotes: "0644"`},
		"a mode of no octal":   {"  files: [{path: /x/y, source: a.env, mode: rw-}]\n", at + `6:45: mode "rw-" is not octal such as "0640"`},
		"an owner with a dash": {"  files: [{path: /x/y, source: a.env, owner: -x}]\n", at + `6:46: owner "-x" is neither a user's name nor a number`},
		"a change mode":        {"  files: [{path: /x/y, source: a.env, changeMode: restrat}]\n", at + `6:51: "changeMode" cannot be "restrat": did you mean "restart"?`},
		"twice the same path": {"  files: [{path: /x/y, source: a.env}]\n  env: [{path: /x/y, source: a.env}]\n",
			at + "6:18: path /x/y is here twice: env[0].path has it already: drop one of them"},
		"a path below a file": {"  files: [{path: /x/y, source: a.env}, {path: /x/y/z, source: a.env}]\n",
			at + "6:47: path /x/y/z lies below path /x/y, which is a file or artifact: files[0].path has it: choose another path"},
		"a folder twice, the same": {"  directories: [{path: /x/y}, {path: /x/y, owner: root}]\n", ""},
		"a folder twice, not the same": {"  directories: [{path: /x/y}, {path: /x/y, owner: bin}]\n",
			at + "6:38: path /x/y is here twice: directories[0].path has it already: drop one of them"},
		"evenkeel's own place": {"  files: [{path: /var/lib/evenkeel/x, source: a.env}]\n",
			at + `6:18: path "/var/lib/evenkeel/x" is evenkeel's own place on the host: choose another`},
		"a state like no other": {"  units: [{source: a.service, state: running}]\n",
			at + `6:38: "state" cannot be "running": it is one of started, stopped`},
		"a unit without a type":   {"  units: [{name: a}]\n", at + `6:18: unit name "a" has no type: write a.service?`},
		"a unit of an odd type":   {"  units: [{name: a.servic}]\n", at + `6:18: unit name "a.servic" has an unknown type: did you mean "service"?`},
		"a unit called an option": {"  units: [{name: -a.service}]\n", at + `6:18: unit name "-a.service" begins with "-"`},
		"a unit with a slash":     {"  units: [{name: ../a.service}]\n", at + `6:18: unit name "../a.service" has other than letters, digits and ":-_.\@": systemd-escape writes names`},
		"a template is not started": {"  units: [{name: a@.service, state: started}]\n  health: [{unit: {}}]\n",
			at + "6:37: a@.service is a template, which is never started itself: name an instance in a further entry: name: a@1.service"},
		"a drop-in's ending": {"  units: [{source: a.service, dropIn: x.service}]\n",
			at + `6:11: drop-in "a.service" does not end in .conf, so systemd would not read it: rename it, or write name: FILE.conf`},
		"enabled without [Install]": {"  units: [{source: b.service, enabled: true}]\n",
			at + "6:40: b.service cannot be enabled, for its file says nothing under [Install]: write [Install] and WantedBy=multi-user.target into b.service, or drop enabled"},
		"a Quadlet enabled": {"  units: [{source: b.container, enabled: true}]\n",
			at + "6:42: b.service is generated from a Quadlet, so it cannot be enabled: write [Install] into b.container and drop enabled"},
		"started and not proven": {"  units: [{source: a.service, state: started}]\n",
			at + "6:10: warning: nothing proves that an instance serves once it is started: write health: [{unit: {}}], or better an http or tcp check"},
		"a health check of nothing": {"  health: [{}]\n", at + "6:12: the entry says nothing: write one of http, tcp, command, unit or journal"},
		"a health check of two": {"  health: [{tcp: {port: 1}, unit: {}}]\n",
			at + "6:12: the entry says more than one thing: write one of http, tcp, command, unit or journal, and the others as entries of their own"},
		"a port out of range": {"  health: [{tcp: {port: 70000}}]\n", at + `6:25: "port" cannot be 70000: the most is 65535`},
		"a drain's address":   {"  drain: [{haproxy: {address: \"lb:9999\", backend: b, server: s}}]\n", at + `6:31: address "lb:9999" is not HAProxy's stats socket: write tcp://HOST:PORT or unix:///PATH, or from a host of the inventory ssh+tcp://NAME/HOST:PORT or ssh+unix://NAME/PATH`},
		"a server's name that is a command": {"  drain: [{haproxy: {address: \"tcp://l:1\", backend: b, server: \"s;shutdown\"}}]\n",
			at + `6:64: server "s;shutdown" cannot be a name in HAProxy`},
		"a budget of none": {"  rollout: {maxUnavailable: 0}\n", at + "6:29: maxUnavailable 0 lets no host be touched: write at least 1"},
		"a budget of 0%":   {"  rollout: {maxUnavailable: 0%}\n", at + "6:29: maxUnavailable 0% lets no host be touched: write at least 1"},
		"more than 100%":   {"  rollout: {maxUnavailable: 101%}\n", at + `6:29: "maxUnavailable" cannot be 101%: the most is 100%`},
		"no number":        {"  rollout: {maxUnavailable: one}\n", at + `6:29: "maxUnavailable" cannot be "one": write a number such as 1, or a share such as "25%"`},
		"an endless batch": {"  rollout: {batches: [1, 0]}\n", at + "6:26: a batch of 0 hosts never ends: write at least 1"},
		"all must be healthy": {"  rollout: {minHealthy: 2}\n",
			at + "6:25: minHealthy 2 is 2 of the service's 2 hosts, which lets none be touched: write less, or add hosts"},
		"a deadline after the next": {"  rollout: {healthyDeadline: 10m, progressDeadline: 10m}\n",
			at + "6:53: healthyDeadline 10m0s is not shorter than progressDeadline 10m0s: raise progressDeadline above it, or write progressDeadline: 0 for none"},
		"a deadline after the default": {"  rollout: {healthyDeadline: 10m}\n",
			at + "6:30: healthyDeadline 10m0s is not shorter than progressDeadline 10m0s: raise progressDeadline above it, or write progressDeadline: 0 for none"},
		"no deadline at all": {"  rollout: {healthyDeadline: 10m, progressDeadline: 0}\n", ""},
		"never healthy": {"  rollout: {minHealthyTime: 5m}\n",
			at + "6:29: minHealthyTime 5m0s is not shorter than healthyDeadline 5m0s: no instance could ever count as healthy: raise healthyDeadline above it"},
		"more canaries than hosts": {"  rollout: {canary: 3}\n", at + "6:21: canary 3 is more than the service's 2 hosts: write less, or add hosts"},
		"promote without canary":   {"  rollout: {promote: manual}\n", at + "6:22: promote without canary: there is nothing to promote: write canary: 1, or drop promote"},
		"promote by whom": {"  rollout: {canary: 1, promote: auto}\n",
			at + `6:33: "promote" cannot be "auto": write manual, or how long the canaries must be healthy before they are accepted by themselves, such as 10m`},
		"an order like no other": {"  rollout: {order: unhealthyfirst}\n", at + `6:20: "order" cannot be "unhealthyfirst": did you mean "unhealthy-first"?`},
		"an order of no kind":    {"  rollout: {order: random}\n", at + `6:20: "order" cannot be "random": there are inventory, unhealthy-first; or a map: {byLabel: LABEL}, {leaderLast: {command: LINE}}`},
		"an order by no label":   {"  rollout: {order: {byLabel: rack}}\n", at + `6:30: no host of the service has the label "rack": there is role`},
		"spread over no label":   {"  rollout: {spread: rolle}\n", at + `6:21: no host of the service has the label "rolle": did you mean "role"?`},
		"spread over a label":    {"  rollout: {spread: role, order: {byLabel: role, leaderLast: {command: \"is-leader\", timeout: 10s}}, keepGenerations: 2}\n", ""},
		"a label that is none":   {"  rollout: {spread: a b}\n", at + `6:21: label "a b" must be letters, digits, "-", "_" and ".", at most 63, beginning and ending with a letter or digit`},
		"a leader unasked":       {"  rollout: {order: {leaderLast: {timeout: 3s}}}\n", at + `6:33: missing key "command" in "leaderLast"`},
		"a leader by template": {"  rollout: {order: {leaderLast: {command: \"am-i {{ .Host.Name }}\"}}}\n",
			at + "6:43: this command is not a template: it runs on the host in question, so let it find out by itself"},
		"a leader asked for long": {"  rollout: {order: {leaderLast: {command: x, timeout: 11s}}}\n",
			at + "6:55: timeout 11s: after that the answers of the other hosts are too old to go by: the most is 10s"},
		"no generation to go back to": {"  rollout: {keepGenerations: 1}\n", at + `6:30: "keepGenerations" cannot be 1: the least is 2`},
		"promote without a unit":      {"  rollout: {canary: 1, promote: 10}\n", at + `6:33: "promote" cannot be "10": it lacks a unit: 10s?`},
		"a canary and its word":       {"  rollout: {canary: 50%, promote: 0}\n", ""},
		"a window":                    {"  windows: [{kind: allow, schedule: \"0 22 * * 1-5\", duration: 4h, timeZone: Europe/Berlin, reason: nights}]\n", ""},
		"a window of no kind":         {"  windows: [{schedule: \"0 22 * * *\", duration: 4h}]\n", at + `6:13: missing key "kind" in "windows[0]"`},
		"a window of another kind":    {"  windows: [{kind: forbid, schedule: \"0 22 * * *\", duration: 4h}]\n", at + `6:20: "kind" cannot be "forbid": it is one of allow, deny`},
		"a window's schedule": {"  windows: [{kind: allow, schedule: \"22:00\", duration: 4h}]\n",
			at + `6:37: schedule "22:00" is not cron's: expected exactly 5 fields, found 1: [22:00]: write five fields: minute, hour, day of month, month, day of week, such as "0 22 * * 1-5"`},
		"an hour that is none": {"  windows: [{kind: allow, schedule: \"0 24 * * *\", duration: 4h}]\n",
			at + `6:37: schedule "0 24 * * *" is not cron's: end of range (24) above maximum (23): 24: write five fields: minute, hour, day of month, month, day of week, such as "0 22 * * 1-5"`},
		"a schedule by name": {"  windows: [{kind: allow, schedule: \"@daily\", duration: 4h}]\n",
			at + `6:37: schedule "@daily" is not cron's: parser does not accept descriptors: @daily: write five fields: minute, hour, day of month, month, day of week, such as "0 22 * * 1-5"`},
		"a schedule with its zone": {"  windows: [{kind: allow, schedule: \"CRON_TZ=UTC 0 22 * * *\", duration: 4h}]\n", at + "6:37: the schedule has a time zone: write it as timeZone"},
		"a day that never comes": {"  windows: [{kind: allow, schedule: \"0 0 30 2 *\", duration: 4h}]\n",
			at + `6:37: schedule "0 0 30 2 *" never comes: no year has such a day: write five fields: minute, hour, day of month, month, day of week, such as "0 22 * * 1-5"`},
		"a window of no length":          {"  windows: [{kind: allow, schedule: \"0 22 * * *\", duration: 0}]\n", at + "6:61: a window of 0s is not between 1m and 8784h0m0s: write it as 4h, or 90m"},
		"a window's length without unit": {"  windows: [{kind: allow, schedule: \"0 22 * * *\", duration: 4}]\n", at + `6:61: "duration" cannot be "4": it lacks a unit: 4s?`},
		"a zone that is none": {"  windows: [{kind: allow, schedule: \"0 22 * * *\", duration: 4h, timeZone: Berlin}]\n",
			at + `6:75: there is no time zone "Berlin": write it as Europe/Berlin, or leave it out for UTC`},
		"the machine's own zone": {"  windows: [{kind: allow, schedule: \"0 22 * * *\", duration: 4h, timeZone: Local}]\n",
			at + `6:75: there is no time zone "Local": write it as Europe/Berlin, or leave it out for UTC`},
		"deny that covers allow": {"  windows: [{kind: allow, schedule: \"0 22 * * *\", duration: 4h}, {kind: deny, schedule: \"0 20 * * *\", duration: 8h}]\n",
			at + "6:12: the windows never leave a time open: deny covers all that is allowed: shorten a deny window, or move an allow window out of it"},
		"deny for ever": {"  windows: [{kind: deny, schedule: \"0 0 * * *\", duration: 24h}]\n",
			at + "6:12: the windows never leave a time open: deny covers all that is allowed: shorten a deny window, or move an allow window out of it"},
		"a time without a unit": {"  rollout: {minHealthyTime: 5}\n", at + `6:29: "minHealthyTime" cannot be "5": it lacks a unit: 5s?`},
		"a negative time":       {"  rollout: {minHealthyTime: -5s}\n", at + `6:29: "minHealthyTime" cannot be negative`},
		"after what is not":     {"  after: [b]\n", at + `6:11: after names the service "b", which there is not: there is a`},
		"after itself":          {"  after: [a]\n", at + "6:11: services wait for each other: a after a: drop one after"},
		"an artifact over http": {"  artifacts: [{name: x, path: /o/x, source: \"http://e.example/x\"}]\n",
			at + "6:45: an artifact is not fetched by http://: use an https:// or oci:// URL or file:///PATH with its sha256, git+https:// with its commit, or a file of the repo"},
		"an artifact unpinned": {"  artifacts: [{name: x, path: /o/x, source: \"https://e.example/x\"}]\n",
			at + "6:45: an artifact from elsewhere needs its sha256: sha256sum FILE writes it"},
		"an artifact with a password": {"  artifacts: [{name: x, path: /o/x, source: \"https://u:p@e.example/x\", sha256: ab}]\n",
			at + "6:45: the URL holds a password: keep credentials out of the repo\n" +
				at + "6:80: sha256 is not 64 lower-case hexadecimal digits: sha256sum FILE writes it"},
		"an artifact out of the repo": {"  artifacts: [{name: x, path: /o/x, source: ../x}]\n",
			at + `6:45: source "../x" leaves the repo: name it from the folder of fleet.yaml, or from the repo's root`},
		"a user called root":      {"  users: [{name: root}]\n", at + "6:18: root is not a user to be made: drop it"},
		"a user with a colon":     {"  users: [{name: \"a:b\"}]\n", at + `6:18: user "a:b" must be letters, digits, "_" and "-", not beginning with a digit or "-", at most 31`},
		"a template that is none": {"  files: [{path: /x/y, source: \"{{ .Host.Name\"}]\n", at + `6:32: not a template: unclosed action`},
		"a function that is not": {"  files: [{path: /x/y, source: \"{{ now }}\"}]\n",
			at + `6:32: templates have no function "now": a revision renders the same at any time: write the date into vars`},
		"a function misspelt": {"  files: [{path: /x/y, source: \"{{ uper .Host.Name }}\"}]\n",
			at + `6:32: templates have no function "uper": did you mean "upper"?`},
		"several at once": {"  unts: []\n  after: [b]\n  rollout: {batches: [0]}\n",
			at + "6:3: unknown key \"unts\": did you mean \"units\"?\n" + at + "7:11: after names the service \"b\", which there is not: there is a\n" +
				at + "8:23: a batch of 0 hosts never ends: write at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := plain.with(files{"services/a/service.yaml": service("a", c.spec), "services/a/b.container": "[Container]\nImage=x\n"})
			if strings.Contains(c.spec, "enabled: true") && strings.Contains(c.spec, "b.service") {
				repo["services/a/b.service"] = "[Service]\nExecStart=/bin/true\n"
			}
			equal(t, findings(t, repo, LoadOptions{}), c.want)
		})
	}
}

func TestRepoFaults(t *testing.T) {
	for name, c := range map[string]struct {
		change files
		want   string
	}{
		"nothing":       {nil, ""},
		"no fleet.yaml": {files{"fleet.yaml": ""}, "there is no fleet.yaml: name the folder of fleet.yaml with --repo, or make one with evenkeel init"},
		"one misnamed": {files{"fleet.yaml": "", "fleet.yml": fleetHead},
			`there is no fleet.yaml: did you mean "fleet.yml"?`},
		"no Fleet in it":      {files{"fleet.yaml": "# nothing\n"}, "fleet.yaml: the file has no document of kind Fleet: write apiVersion: evenkeel/v1, kind: Fleet and metadata: {name: …}"},
		"not YAML":            {files{"fleet.yaml": "a: [\n"}, "fleet.yaml:1: not YAML: did not find expected node content"},
		"another version":     {files{"fleet.yaml": "apiVersion: evenkeel/v2\nkind: Fleet\nmetadata: {name: x}\n"}, `fleet.yaml:1:13: "apiVersion" cannot be "evenkeel/v2": did you mean "evenkeel/v1"?`},
		"a kind misspelt":     {files{"fleet.yaml": "apiVersion: evenkeel/v1\nkind: Fleat\nmetadata: {name: x}\n"}, "fleet.yaml: the file has no document of kind Fleet: write apiVersion: evenkeel/v1, kind: Fleet and metadata: {name: …}\nfleet.yaml:1:1: unknown kind \"Fleat\": did you mean \"Fleet\"?"},
		"a fleet's bad name":  {files{"fleet.yaml": "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: A_b}\n"}, `fleet.yaml:3:18: fleet name "A_b" must be lower-case letters, digits, "-" and ".", beginning and ending with a letter or digit, at most 63`},
		"impossible defaults": {files{"fleet.yaml": fleetHead + "  rollout: {maxUnavailable: 0}\n"}, "fleet.yaml:5:29: maxUnavailable 0 lets no host be touched: write at least 1"},
		"promote as a default for those with a canary": {files{"fleet.yaml": fleetHead + "  rollout: {canary: 5, promote: 10m}\n",
			"services/a/service.yaml": service("a", "  rollout: {promote: manual}\n"), "services/b/service.yaml": service("b", "  rollout: {canary: 0}\n")}, ""},
		"a fleet's window": {files{"fleet.yaml": fleetHead + "  windows: [{kind: deny, schedule: x, duration: 1h}]\n"},
			`fleet.yaml:5:36: schedule "x" is not cron's: expected exactly 5 fields, found 1: [x]: write five fields: minute, hour, day of month, month, day of week, such as "0 22 * * 1-5"`},
		"a service's windows against the fleet's": {files{"fleet.yaml": fleetHead + "  windows: [{kind: deny, schedule: \"0 8 * * *\", duration: 10h}]\n",
			"services/a/service.yaml": service("a", "  windows: [{kind: allow, schedule: \"0 12 * * *\", duration: 1h}]\n")},
			"services/a/service.yaml:6:12: together with the fleet's windows these never leave a time open: deny wins, wherever it stands: move an allow window out of it"},
		"the fleet's default against the service's own": {files{"fleet.yaml": fleetHead + "  rollout: {healthyDeadline: 8m}\n",
			"services/a/service.yaml": service("a", "  rollout: {progressDeadline: 7m}\n")},
			"services/a/service.yaml:6:31: healthyDeadline 8m0s is not shorter than progressDeadline 7m0s: raise progressDeadline above it, or write progressDeadline: 0 for none"},
		"an include outside":       {files{"fleet.yaml": fleetHead + "  include: [../x]\n"}, `fleet.yaml:5:13: include "../x" is not inside the repo: write a path from the folder of fleet.yaml, at most up to the repo's root`},
		"an include that is not":   {files{"fleet.yaml": fleetHead + "  include: [servces]\n"}, `fleet.yaml:5:13: no file servces: did you mean "services"?`},
		"two hosts of one name":    {files{"inventory/more.ini": "h1 ansible_host=192.0.2.9\n"}, `inventory/more.ini:1:1: host "h1" is declared twice: it stands at inventory/hosts.yaml:5:7 already`},
		"an executable, not run":   {files{"inventory/dyn": "#!/bin/sh\n"}, "inventory/dyn: the inventory is executable, and executables are not run here: let a job write its output into the repo, or make the file plain with chmod -x"},
		"a README beside":          {files{"inventory/README": "read me\n", "inventory/notes.md": "x", "services/README.md": "x"}, ""},
		"a service without a kind": {files{"services/a/service.yaml": "apiVersion: evenkeel/v1\n"}, `services/a/service.yaml:1:1: missing key "kind" in the document: it is one of Fleet, Inventory, Service`},
		"an empty service.yaml":    {files{"services/b/service.yaml": "# later\n"}, "services/b/service.yaml: the file is empty: write a document of kind Service, or delete it"},
		"one that is not YAML":     {files{"services/b/service.yaml": "\tx"}, "services/b/service.yaml: not YAML: found character that cannot start any token"},
		"a Fleet among services":   {files{"services/b/service.yaml": fleetHead}, "services/b/service.yaml:1:1: a service.yaml holds documents of kind Service, not Fleet: move it to fleet.yaml or into the inventory"},
		"a service without selector": {files{"services/b/service.yaml": "apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: b}\nspec: {after: []}\n"},
			`services/b/service.yaml:4:7: missing key "selector" in "spec"` + "\n" +
				"services/b/service.yaml:4:7: warning: the selector is empty, which matches no host: name labels; to mean every host, write matchExpressions: [{key: never, operator: DoesNotExist}]"},
		"a service's bad name": {files{"services/b/service.yaml": strings.Replace(service("b", ""), "name: b", "name: -b", 1)}, `services/b/service.yaml:3:18: service name "-b" must be lower-case letters, digits, "-" and ".", beginning and ending with a letter or digit, at most 63`},
		"a service twice":      {files{"services/b/service.yaml": service("a", "")}, "services/b/service.yaml:1:1: service a is declared twice: it stands at services/a/service.yaml:1:1 already"},
		"a selector's typo": {files{"services/b/service.yaml": strings.Replace(service("b", ""), "role: web", "role: wbe", 1)},
			`services/b/service.yaml:5:13: warning: the selector role=wbe matches no host: no host has role=wbe; did you mean "web"?`},
		"a label's typo": {files{"services/b/service.yaml": strings.Replace(service("b", ""), "role: web", "rolle: web", 1)},
			`services/b/service.yaml:5:13: warning: the selector rolle=web matches no host: no host has the label rolle; did you mean "role"?`},
		"a ring of services": {files{"services/b/service.yaml": service("b", "  after: [c]\n"), "services/c/service.yaml": service("c", "  after: [b]\n")},
			"services/b/service.yaml:6:11: services wait for each other: b after c after b: drop one after\n" +
				"services/c/service.yaml:6:11: services wait for each other: c after b after c: drop one after"},
		"two services, one path": {files{
			"services/b/service.yaml": service("b", "  files: [{path: /etc/x, source: f}]\n"), "services/b/f": "x",
			"services/c/service.yaml": service("c", "  env: [{path: /etc/x, source: f}]\n"), "services/c/f": "X=1\n"},
			"services/b/service.yaml:6:18: path /etc/x is also c's, on h1: see services/c/service.yaml:6:16: let one of them have it, or select other hosts\n" +
				"services/c/service.yaml:6:16: path /etc/x is also b's, on h1: see services/b/service.yaml:6:18: let one of them have it, or select other hosts"},
		"two services, one path, no host in common": {files{
			"services/b/service.yaml": service("b", "  files: [{path: /etc/x, source: f}]\n"), "services/b/f": "x",
			"services/c/service.yaml": strings.Replace(service("c", "  files: [{path: /etc/x, source: f}]\n"), "role: web", "role: db", 1), "services/c/f": "y"}, ""},
		"two services, one unit": {files{"services/b/service.yaml": service("b", "  units: [{name: a.service, enabled: true}]\n")},
			"services/a/service.yaml:6:11: unit a.service is also b's, on h1: see services/b/service.yaml:6:11: let one of them have it, or select other hosts\n" +
				"services/b/service.yaml:6:11: unit a.service is also a's, on h1: see services/a/service.yaml:6:11: let one of them have it, or select other hosts"},
		"two services, one template's file": {files{
			"services/b/service.yaml": service("b", "  units: [{source: w@.service, name: w@1.service}]\n"), "services/b/w@.service": unitText,
			"services/c/service.yaml": service("c", "  units: [{source: w@.service, name: w@2.service}]\n"), "services/c/w@.service": unitText},
			"services/b/service.yaml:6:11: path /etc/systemd/system/w@.service is also c's, on h1: see services/c/service.yaml:6:11: let one of them have it, or select other hosts\n" +
				"services/c/service.yaml:6:11: path /etc/systemd/system/w@.service is also b's, on h1: see services/b/service.yaml:6:11: let one of them have it, or select other hosts"},
		"two services, one user, one folder": {files{
			"services/b/service.yaml": service("b", "  users: [{name: u, home: /o}]\n  directories: [{path: /o, owner: u}]\n"),
			"services/c/service.yaml": service("c", "  users: [{name: u, home: /o}]\n  directories: [{path: /o, owner: u, group: u, mode: \"0755\"}]\n")}, ""},
		"two services, one user, two homes": {files{
			"services/b/service.yaml": service("b", "  users: [{name: u, home: /o}]\n"),
			"services/c/service.yaml": service("c", "  users: [{name: u, home: /p}]\n")},
			"services/b/service.yaml:6:11: user u is also c's, on h1: see services/c/service.yaml:6:11: let one of them have it, or select other hosts\n" +
				"services/c/service.yaml:6:11: user u is also b's, on h1: see services/b/service.yaml:6:11: let one of them have it, or select other hosts"},
		"a file in an artifact of another's": {files{"dist/x": "x",
			"services/b/service.yaml": service("b", "  artifacts: [{name: x, path: /opt/x, source: dist/x}]\n"),
			"services/c/service.yaml": service("c", "  files: [{path: /opt/x/y/z, source: f}]\n"), "services/c/f": "x"},
			"services/b/service.yaml:6:31: path /opt/x is in the way of c's path /opt/x/y/z, on h1: see services/c/service.yaml:6:18: choose another path, or select other hosts\n" +
				"services/c/service.yaml:6:18: path /opt/x/y/z lies below path /opt/x, which is b's file or artifact on h1: see services/b/service.yaml:6:31: choose another path, or select other hosts"},
		"no host at all":   {files{"inventory/hosts.yaml": ""}, "fleet.yaml:1:1: warning: there is no host: write an inventory into the folder inventory beside fleet.yaml"},
		"a login's option": {files{"fleet.yaml": fleetHead + "  ssh: {user: -oProxyCommand=x}\n"}, `fleet.yaml:5:8: user "-oProxyCommand=x" is not a user's name`},
		"a plain secret": {files{"services/a/service.yaml": service("a", "  env: [{path: /etc/a.env, source: [a.env, a.secrets.env]}]\n"), "services/a/a.secrets.env": "T=1\n"},
			"services/a/service.yaml:6:44: warning: services/a/a.secrets.env is called a secret and is not encrypted: evenkeel secret encrypt services/a/a.secrets.env"},
		"an env file systemd reads otherwise": {files{"services/a/service.yaml": service("a", "  env: [{path: /etc/a.env, source: a.env}]\n"),
			"services/a/a.env": "export A=1\nB\nC=1\nC=2\nD=\"open\n"},
			"services/a/a.env:1:1: warning: systemd ignores the line, for this is not a shell script: drop export\n" +
				"services/a/a.env:2:1: warning: systemd ignores the line, for it has no =: write KEY=VALUE, or # before it\n" +
				"services/a/a.env:4:1: warning: C is assigned again: this one holds, not line 3: drop one of them\n" +
				"services/a/a.env:5:1: the quote is never closed: the value takes in the rest of the file: close it"},
		"a unit systemd reads otherwise": {files{"services/a/a.service": "ExecStart=/x\n[Service\n"},
			"services/a/a.service:1:1: warning: systemd ignores the line, for it stands before any section: write [Unit], [Service] or [Install] above it\n" +
				"services/a/a.service:1:1: the unit file is empty, which systemd takes for masked: write [Service] and so on, or drop a.service\n" +
				"services/a/a.service:2:1: the section header is not closed: write [Section] on a line of its own"},
		"a var that is not set": {files{"services/a/service.yaml": service("a", "  files: [{path: /etc/x, source: x.tmpl}]\n"), "services/a/x.tmpl": "a\nb {{ .Vars.versoin }}\n"},
			`services/a/x.tmpl:2:11: .Vars has no "versoin" (on h1 and h2): did you mean "version"?`},
		"a label that is not set": {files{"services/a/service.yaml": service("a", "  drain: [{haproxy: {address: \"tcp://{{ .Host.Labels.lb }}:1\", backend: b, server: s}}]\n")},
			`services/a/service.yaml:6:45: .Host.Labels has no "lb" (on h1 and h2): there is role`},
		"a template that fills in nonsense": {files{"services/a/service.yaml": service("a", "  drain: [{haproxy: {address: \"tcp://l:1\", backend: b, server: \"{{ .Host.Name }} x\"}}]\n")},
			`services/a/service.yaml:6:64: server "h1 x" cannot be a name in HAProxy (on h1)` + "\n" +
				`services/a/service.yaml:6:64: server "h2 x" cannot be a name in HAProxy (on h2)`},
		"a source by host that is missing": {files{"services/a/service.yaml": service("a", "  files: [{path: /etc/x, source: \"{{ .Host.Name }}.conf\"}]\n"), "services/a/h1.conf": "x"},
			`services/a/service.yaml:6:34: no file services/a/h2.conf (on h2): did you mean "services/a/h1.conf"?`},
		"a source by host that escapes": {files{"services/a/service.yaml": service("a", "  files: [{path: /etc/x, source: \"../{{ .Host.Name }}\"}]\n")},
			`services/a/service.yaml:6:34: source "../h1" leaves the service's folder (on h1): put the file into it` + "\n" +
				`services/a/service.yaml:6:34: source "../h2" leaves the service's folder (on h2): put the file into it`},
	} {
		t.Run(name, func(t *testing.T) {
			repo := plain.with(c.change)
			m := repo.fs()
			if f := m["inventory/dyn"]; f != nil {
				f.Mode = 0o755
			}
			rev, err := Load(context.Background(), m, LoadOptions{})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = Faults(Validate(context.Background(), &rev)).Error()
			}
			equal(t, got, c.want)
		})
	}
}

// A bad service leaves the others as they are, and says so wherever it would be.
func TestQuarantine(t *testing.T) {
	rev, err := load(t, plain.with(files{"services/b/service.yaml": service("b", "  unts: []\n"), "services/c/service.yaml": "\tnot YAML"}), LoadOptions{ID: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	if len(rev.Services) != 1 || rev.Services[0].Name != "a" || strings.Join(rev.HeldBack(), " ") != "b c" {
		t.Fatalf("services %v, held back %v", rev.Services, rev.HeldBack())
	}
	for _, f := range rev.Quarantined {
		if f.Service != "b" && f.Service != "c" {
			t.Errorf("a fault of nobody's: %+v", f)
		}
	}
	st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err != nil || len(st.Instances) != 1 || strings.Join(st.Held, " ") != "b c" || st.Revision != "abc" {
		t.Errorf("state %+v, %v", st, err)
	}
}

// A service that cannot be resolved on a host is held there, and only there.
func TestResolveHoldsWhatFails(t *testing.T) {
	rev, err := load(t, plain.with(files{
		"services/b/service.yaml": service("b", "  files: [{path: /etc/x, source: \"{{ .Host.Name }}.conf\"}]\n"), "services/b/h1.conf": "x"}), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h1, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err != nil || len(h1.Instances) != 2 || len(h1.Held) != 0 {
		t.Errorf("h1: %+v, %v", h1, err)
	}
	h2, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[1])
	var faults Faults
	if !errors.As(err, &faults) || faults[0].Service != "b" || faults[0].Host != "h2" {
		t.Errorf("h2: %v", err)
	}
	if len(h2.Instances) != 1 || h2.Instances[0].Service != "a" || strings.Join(h2.Held, " ") != "b" {
		t.Errorf("h2: %+v", h2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := rev.Resolve(ctx, rev.Inventory.Hosts[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("a done context: %v", err)
	}
	if _, err := rev.ResolveAll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a done context: %v", err)
	}
}

// Environments share services: each its own inventory and vars.
func TestEnvironments(t *testing.T) {
	repo := files{
		"environments/staging/fleet.yaml":                   fleetHead + "  vars: {version: \"2\"}\n  include: [../../services, ../common.yaml]\n",
		"environments/common.yaml":                          "apiVersion: evenkeel/v1\nkind: Inventory\nspec: {groups: {all: {vars: {dns: x}}}}\n",
		"environments/staging/inventory/hosts":              "[web]\ns1 evenkeel_labels=\"{'role': 'web'}\"\n",
		"environments/staging/inventory/group_vars/web.yml": "tier: 9\n",
		"environments/production/fleet.yaml":                fleetHead + "  include: [../../services]\n",
		"services/a/service.yaml":                           service("a", "  files: [{path: /etc/x, source: \"{{ .Fleet.Name }}.tmpl\"}]\n"),
		"services/a/test.tmpl":                              "{{ .Vars.version }} {{ .Vars.tier }} {{ .Vars.dns }} {{ .Host.Groups }} {{ .Service.Name }}",
	}
	rev, err := load(t, repo, LoadOptions{Dir: "environments/staging"})
	if err != nil {
		t.Fatal(err)
	}
	st, err := rev.Resolve(context.Background(), rev.Inventory.Hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := string(st.Instances[0].Files[0].Content.Bytes()); got != "2 9 x [web] a" {
		t.Errorf("got %q", got)
	}
	if rev, err := load(t, repo, LoadOptions{Dir: "environments/production"}); err != nil || len(rev.Services) != 1 {
		t.Errorf("%v", err)
	}
	if _, err := load(t, repo, LoadOptions{Dir: "../x"}); err == nil {
		t.Error("a fleet outside the repo was read")
	}
}

func TestDynamicInventory(t *testing.T) {
	m := plain.with(files{"inventory/hosts.yaml": "", "inventory/cloud": "#!/bin/sh\n"}).fs()
	m["inventory/cloud"].Mode = 0o755
	run := inventory.Runner(func(_ context.Context, path string) ([]byte, error) {
		if path != "inventory/cloud" {
			return nil, errors.New("asked for " + path)
		}
		return []byte(`{"_meta": {"hostvars": {"d1": {"evenkeel_labels": {"role": "web"}}}}}`), nil
	})
	rev, err := Load(context.Background(), m, LoadOptions{InventoryRunner: run})
	if err != nil || len(rev.Inventory.Hosts) != 1 || rev.Inventory.Hosts[0].Name != "d1" {
		t.Fatalf("%+v, %v", rev.Inventory, err)
	}
}

// What a hostile repo holds is not followed and not read whole.
func TestHostileTree(t *testing.T) {
	repo := plain.with(files{"services/b/service.yaml": service("b", "  files: [{path: /etc/x, source: link}, {path: /etc/y, source: dir/x}, {path: /etc/z, source: big}]\n")}).fs()
	repo["services/b/link"] = &fstest.MapFile{Data: []byte("/etc/shadow"), Mode: fs.ModeSymlink | 0o777}
	repo["services/b/dir"] = &fstest.MapFile{Data: []byte("/etc"), Mode: fs.ModeSymlink | 0o777}
	repo["services/b/big"] = &fstest.MapFile{Data: make([]byte, maxSource+1), Mode: 0o644}
	rev, err := Load(context.Background(), repo, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, Faults(rev.Quarantined).Error(),
		"services/b/service.yaml:6:34: services/b/link is a symbolic link, which is not followed: put the file itself there\n"+
			"services/b/service.yaml:6:64: services/b/dir is a symbolic link, which is not followed: put the file itself there\n"+
			"services/b/service.yaml:6:95: services/b/big has more than 16777216 bytes: deliver it as an artifact")
}

func TestCheckoutID(t *testing.T) {
	id := func(repo files) string {
		rev, err := load(t, repo, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return rev.ID
	}
	first := id(plain)
	if !strings.HasPrefix(first, "checkout-") || id(plain) != first {
		t.Errorf("the same tree is %s and %s", first, id(plain))
	}
	if id(plain.with(files{"services/a/a.service": unitText + "# x\n"})) == first {
		t.Error("another unit, the same name")
	}
}
