package nullspace

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/lint"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

// Where the variants are planted.
const (
	gatewayUnit = "services/nullspace-gateway/nullspace-gateway.service"
	gatewaySpec = "services/nullspace-gateway/service.yaml"
	gatewayEnv  = "services/nullspace-gateway/gateway.env.tmpl"
	nodeEnv     = "services/nullspace-node/node.env.tmpl"
	opsSpec     = "services/nullspace-ops/service.yaml"
	runTimer    = "services/nullspace-economy-snapshot/nullspace-economy-snapshot.timer"
	runUnit     = "services/nullspace-economy-snapshot/nullspace-economy-snapshot.service"
	runSpec     = "services/nullspace-economy-snapshot/service.yaml"
	quadlet     = "services/nullspace-website-podman/nullspace-website-podman.container"
	journald    = "services/nullspace-host/journald.conf"
)

// variant is the example with one mistake in it.
type variant struct {
	file, old, now string
	rule           string // by which it is found
	words          string // of what is said
	also           func(fstest.MapFS)
}

// brokenVariants are the mistakes of which every operator of systemd hosts learns, as far as the
// repo alone shows them. What only a host shows is broken on hosts: TestPrecheck and
// TestNullspace of test/e2e, TestBrokenHostsAreExplained of the controller.
var brokenVariants = map[string]variant{
	"a working directory that is hidden":      {gatewayUnit, "WorkingDirectory=/opt/nullspace", "WorkingDirectory=/home/nullspace", "hardening-blocks", "/home/nullspace", nil},
	"a working directory that is not whole":   {gatewayUnit, "WorkingDirectory=/opt/nullspace", "WorkingDirectory=nullspace", "exec-path", "not absolute", nil},
	"a working directory of root's":           {runUnit, "WorkingDirectory=/opt/nullspace", "WorkingDirectory=/var/lib/nullspace/economy", "closed-to-user", "200/CHDIR", rootsFolder},
	"an env file that nobody brings or reads": {gatewayUnit, "EnvironmentFile=/etc/nullspace/gateway.env", "EnvironmentFile=/etc/nullspace/gatway.env", "unread-env", "/etc/nullspace/gateway.env", nil},
	"an env file as for a shell":              {gatewayEnv, "GATEWAY_LISTEN", "export GATEWAY_LISTEN", "env-syntax", "export", nil},
	"a quote that is never closed":            {gatewayEnv, "GATEWAY_LISTEN=", "GATEWAY_LISTEN=\"", "env-syntax", "quote", nil},
	"a variable in an env file":               {gatewayEnv, "GATEWAY_LISTEN=:8080", "GATEWAY_LISTEN=${HOST}:8080", "env-dollar", "does not expand", nil},
	"an env file for everybody": {gatewaySpec, `group: root
      mode: "0600"`, `group: root
      mode: "0644"`, "open-secret", "every user of the host", nil},
	"few open files":                     {gatewayUnit, "LimitNOFILE=100000", "LimitNOFILE=1024", "limit-nofile", "1024", nil},
	"a program without its path":         {gatewayUnit, "ExecStart=/opt/nullspace/gateway", "ExecStart=bin/gateway", "exec-path", "bin/gateway", nil},
	"a build that is not there":          {gatewaySpec, "}}/gateway\"", "}}/gatway\"", "missing-source", "gatway", nil},
	"a shell's command line":             {gatewayUnit, "ExecStart=/opt/nullspace/gateway", "ExecStart=/opt/nullspace/gateway >/var/log/gateway", "exec-shell", "no shell", nil},
	"forking without a pid":              {gatewayUnit, "Type=exec", "Type=forking", "forking-pidfile", "PIDFile=", nil},
	"forking, and told to stay":          {gatewayUnit, "Type=exec\nUser", "Type=forking\nExecStart=\nExecStart=/opt/nullspace/gateway --foreground\nUser", "refused-by-systemd", "several", nil},
	"a daemon":                           {gatewayUnit, "ExecStart=/opt/nullspace/gateway", "ExecStart=/opt/nullspace/gateway --daemonize", "detached", "background", nil},
	"a crash loop that ends it":          {gatewayUnit, "RestartSec=5", "RestartSec=100ms", "start-limit", "stays down", nil},
	"a start limit where it is not read": {gatewayUnit, "Type=exec", "Type=exec\nStartLimitIntervalSec=0", "wrong-section", "[Service]", nil},
	"nothing brings it back":             {gatewayUnit, "Restart=on-failure\n", "", "no-restart", "crashed", nil},
	"killed before it is drained":        {gatewayUnit, "TimeoutStopSec=60", "TimeoutStopSec=2", "stop-timeout", "drain may take 5s", nil},
	"a start that a rollout gives up":    {gatewayUnit, "Type=exec", "Type=exec\nTimeoutStartSec=10min", "start-timeout", "2m0s", nil},
	"a run that may hang":                {runUnit, "TimeoutStartSec=60\n", "", "start-timeout", "never ended", nil},
	"it leaves processes behind":         {gatewayUnit, "Type=exec", "Type=exec\nKillMode=process", "kill-mode", "behind", nil},
	"started, and gone after a reboot":   {gatewaySpec, "enabled: true, state: started", "state: started", "not-enabled", "after a reboot", nil},
	"stopped, until a reboot":            {gatewaySpec, "enabled: true, state: started", "enabled: true, state: stopped", "enabled-stopped", "next reboot", nil},
	"masked":                             {runTimer, "", "# nothing\n", "empty-unit", "masked", nil},
	"static, and to be enabled":          {gatewayUnit, "[Install]\nWantedBy=multi-user.target\n", "", "not-installable", "[Install]", nil},
	"a template, started":                {gatewaySpec, "{source: nullspace-gateway.service, enabled", "{source: nullspace-gateway.service, name: \"gateway@.service\", enabled", "template-unit", "gateway@.service", nil},
	"no confinement":                     {gatewayUnit, "ProtectHome=yes\n", "", "hardening", "ProtectHome=", nil},
	"root":                               {gatewayUnit, "User=nullspace\n", "", "runs-as-root", "root", nil},
	"a shelf that it may not write":      {runUnit, "ReadWritePaths=/var/lib/nullspace/economy\n", "", "hardening-blocks", "read-only", nil},
	"a path that nothing makes":          {runUnit, "ReadWritePaths=/var/lib/nullspace/economy", "ReadWritePaths=/var/lib/nullspace/economy /srv/none", "hardening-blocks", "226/NAMESPACE", nil},
	"a timer at no time":                 {runTimer, "OnCalendar=*:0/30", "OnCalendar=*:*/30", "bad-setting", "calendar event", nil},
	"a timer that misses runs":           {runTimer, "Persistent=yes\n", "", "timer-persistent", "reboot", nil},
	"a timer of nothing":                 {runTimer, "[Timer]", "[Timer]\nUnit=snapshot.service", "timer-alone", "snapshot.service", nil},
	"a container, gone after a reboot":   {quadlet, "[Install]\nWantedBy=multi-user.target\n", "", "not-enabled", "no [Install]", nil},
	"a container whose name is taken":    {gatewayUnit, "ExecStart=/opt/nullspace/gateway", "ExecStart=/usr/bin/docker run --rm --name gateway example.com/gateway:1", "container-name", "gateway", nil},
	"a container in the background":      {gatewayUnit, "ExecStart=/opt/nullspace/gateway", "ExecStart=/usr/bin/docker compose up -d", "detached", "background", nil},
	"a journal that a reboot takes":      {journald, "Storage=persistent", "Storage=volatile", "journal-lost", "reboot", nil},
	"output that nobody sees":            {gatewayUnit, "Type=exec", "Type=exec\nStandardOutput=null", "no-journal", "journal", nil},
	"memory without an end":              {gatewayUnit, "MemoryMax=2G\n", "", "limit-memory", "MemoryMax=", nil},
	"memory that systemd cannot read":    {gatewayUnit, "MemoryMax=2G", "MemoryMax=2GB", "bad-setting", "2GB", nil},
	"a secret in a unit":                 {gatewayUnit, "Type=exec", "Type=exec\nEnvironment=API_TOKEN=abcdef", "secret-in-unit", "API_TOKEN", nil},
	"a secret in git":                    {gatewayEnv, "GATEWAY_LISTEN", "DB_PASSWORD=abcdef\nGATEWAY_LISTEN", "secret-in-git", "DB_PASSWORD", nil},
	"metrics without a token":            {nodeEnv, "NODE_LISTEN", "METRICS_LISTEN=:9100\nNODE_LISTEN", "metrics-token", "METRICS_LISTEN", nil},
	"a misspelt key":                     {gatewayUnit, "LimitNOFILE", "LimitNOFILES", "unknown-directive", "LimitNOFILE=", nil},
	"nothing proves it healthy":          {opsSpec, "\n  health:", "\n  #health:", "no-health", "proves", nil},
}

// TestBrokenVariantsAreFound: each mistake in the example is found, in the file in which it is,
// with what mends it.
func TestBrokenVariantsAreFound(t *testing.T) {
	whole := exampleFiles(t)
	for name, v := range brokenVariants {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for p, f := range whole {
				files[p] = f
			}
			text := string(files[v.file].Data)
			if !strings.Contains(text, v.old) {
				t.Fatalf("%s has no %q", v.file, v.old)
			}
			now := strings.Replace(text, v.old, v.now, 1)
			if v.old == "" {
				now = v.now
			}
			files[v.file] = &fstest.MapFile{Data: []byte(now), Mode: 0o644}
			if v.also != nil {
				v.also(files)
			}
			rev, err := desired.Load(t.Context(), files, desired.LoadOptions{Decrypter: secrets.NewDecrypter(secrets.Options{IdentityFile: keyFile})})
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, f := range desired.Validate(t.Context(), &rev, lint.New(&rev).Check) {
				all = append(all, f.String())
				if f.Rule == v.rule && strings.Contains(f.Message+f.Mend, v.words) && f.Mend != "" && f.Pos.File != "" {
					return
				}
			}
			t.Errorf("%s is not found, with %q:\n%s", v.rule, v.words, strings.Join(all, "\n"))
		})
	}
}

// rootsFolder has the runs' folder be root's.
func rootsFolder(files fstest.MapFS) {
	text := strings.Replace(string(files[runSpec].Data), `owner: nullspace, group: nullspace, mode: "0750"`, `mode: "0700"`, 1)
	files[runSpec] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
}
