package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/evenkeel/evenkeel/desired"
)

// repo is a fleet repo of one service on one host.
type repo struct {
	unit    string // of app.service
	service string // more of its spec
	fleet   string // more of the fleet's
	files   map[string]string
}

const soundService = `[Service]
Type=exec
User=app
ExecStart=/opt/app/run
Restart=on-failure
RestartSec=5
MemoryMax=1G
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
`

const install = "[Install]\nWantedBy=multi-user.target\n"

func (r repo) load(t testing.TB) desired.Revision {
	t.Helper()
	fs := fstest.MapFS{}
	put := func(name, text string) { fs[name] = &fstest.MapFile{Data: []byte(text)} }
	put("fleet.yaml", "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: t}\nspec:\n  prune: true\n"+r.fleet)
	put("inventory/h.yaml", "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: t}\nspec:\n  hosts: [{name: h, address: 192.0.2.1, labels: {r: a}}, {name: i, address: 192.0.2.2, labels: {r: a}}]\n")
	service := r.service
	if !strings.Contains(service, "units:") {
		service = "  units: [{source: app.service, enabled: true, state: started}]\n" + service
	}
	if !strings.Contains(service, "health:") {
		service += "  health: [{unit: {}}]\n"
	}
	put("services/app/service.yaml", "apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: app}\nspec:\n  selector: {matchLabels: {r: a}}\n"+service)
	unit := r.unit
	if unit == "" {
		unit = soundService + install
	}
	put("services/app/app.service", unit)
	for name, text := range r.files {
		put("services/app/"+name, text)
	}
	rev, err := desired.Load(t.Context(), fs, desired.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// found are the findings, as "FILE:LINE:COLUMN RULE", files without their folder.
func (r repo) found(t testing.TB) (short []string, faults []desired.Fault) {
	t.Helper()
	rev := r.load(t)
	faults = desired.Validate(t.Context(), &rev, New(&rev).Check)
	for _, f := range faults {
		f.Pos.File = strings.TrimPrefix(f.Pos.File, "services/app/")
		short = append(short, f.Pos.String()+" "+f.Rule)
	}
	return short, faults
}

// with is a sound unit with further lines under [Service], from line 2 on.
func with(lines string) string {
	return strings.Replace(soundService, "[Service]\n", "[Service]\n"+lines, 1) + install
}

// without is a sound unit without lines that begin so.
func without(keys ...string) string {
	var b strings.Builder
	for line := range strings.Lines(soundService + install) {
		if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(line, k) }) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestRules(t *testing.T) {
	const balanced = "  drain: [{haproxy: {address: \"tcp://lb:9999\", backend: app, server: h, timeout: 30s}}]\n"
	env := func(mode string) string {
		return "  env: [{path: /etc/app.env, source: app.env, mode: \"" + mode + "\"}]\n"
	}
	reads := with("EnvironmentFile=/etc/app.env\n")
	for name, c := range map[string]struct {
		repo repo
		want string // findings, joined by ", "
	}{
		"a sound service":                     {repo{}, ""},
		"a misspelt key":                      {repo{unit: with("MemoryMaxx=1G\n")}, "app.service:2:1 unknown-directive"},
		"a key of one's own and of systemd's": {repo{unit: with("X-Mine=1\nLogLevelMax=info\n")}, ""},
		"a limit under the wrong section":     {repo{unit: with("  StartLimitIntervalSec=60\n")}, "app.service:2:3 wrong-section"},
		"a limit where systemd once took it":  {repo{unit: with("StartLimitBurst=3\n")}, ""},
		"times that are none": {repo{unit: with("TimeoutStopSec=30 secs\nRuntimeMaxSec=1h 30min\nWatchdogSec=5x\n")},
			"app.service:2:1 bad-setting, app.service:4:1 bad-setting"},
		"amounts that are none": {repo{unit: with("MemoryHigh=500MB\nCPUQuota=2\nTasksMax=many\nLimitNOFILE=9:5\n")},
			"app.service:2:1 bad-setting, app.service:3:1 bad-setting, app.service:4:1 bad-setting, app.service:5:1 bad-setting"},
		"amounts that are some": {repo{unit: with("MemoryHigh=50%\nCPUQuota=150%\nTasksMax=10%\nLimitNOFILE=1024:infinity\nMemorySwapMax=0\n")}, ""},
		"high above max":        {repo{unit: with("MemoryHigh=2G\n")}, "app.service:2:1 bad-setting"},
		"a type there is not":   {repo{unit: with("KillMode=mix\n")}, "app.service:2:1 bad-setting"},
		"a relative path":       {repo{unit: with("ExecStartPre=bin/prepare\nWorkingDirectory=app\n")}, "app.service:2:1 exec-path, app.service:3:1 exec-path"},
		"a shell's line":        {repo{unit: with("ExecStartPre=/bin/a && /bin/b\nExecStartPre=/bin/sh -c 'a && b'\nExecStartPre=-/bin/a $(hostname)\nExecStartPre=/bin/a 2>/dev/null\n")}, "app.service:2:1 exec-shell, app.service:4:1 exec-shell, app.service:5:1 exec-shell"},
		"forking and told to stay": {repo{unit: "[Service]\nType=forking\n" + strings.Replace(soundService[strings.Index(soundService, "User="):], "/run\n", "/run --foreground\n", 1) + install},
			"app.service:4:1 forking-foreground"},
		"nginx in the foreground": {repo{unit: "[Service]\nType=forking\n" + strings.Replace(soundService[strings.Index(soundService, "User="):], "/opt/app/run\n", "/usr/sbin/nginx -g 'daemon off;'\n", 1) + install},
			"app.service:4:1 forking-foreground"},
		"forking without a file of its process": {repo{unit: "[Service]\nType=forking\n" + soundService[strings.Index(soundService, "User="):] + install}, "app.service:2:1 forking-pidfile"},
		"a container in the background":         {repo{unit: strings.Replace(soundService, "/opt/app/run", "/usr/bin/docker run --rm -d --name app app:1", 1) + install}, "app.service:4:1 container-name, app.service:4:1 detached"},
		"compose in the background":             {repo{unit: strings.Replace(soundService, "/opt/app/run", "/usr/bin/docker compose up -d", 1) + install}, "app.service:4:1 detached"},
		"compose as it is meant":                {repo{unit: strings.Replace(strings.Replace(soundService, "/opt/app/run", "/usr/bin/docker compose up -d", 1), "Type=exec", "Type=oneshot\nRemainAfterExit=yes\nTimeoutStartSec=2min", 1) + install}, ""},
		"a container in the foreground":         {repo{unit: strings.Replace(soundService, "/opt/app/run", "/usr/bin/docker run --rm app:1 serve -d --name app", 1) + install}, ""},
		"a container whose name may be taken":   {repo{unit: strings.Replace(soundService, "/opt/app/run", "/usr/bin/docker run --rm -p 80:80 --name app app:1", 1) + install}, "app.service:4:1 container-name"},
		"podman's, too":                         {repo{unit: strings.Replace(soundService, "/opt/app/run", "/usr/bin/podman run --name=%p app:1", 1) + install}, "app.service:4:1 container-name"},
		"a container that replaces it":          {repo{unit: strings.Replace(soundService, "/opt/app/run", "/usr/bin/podman run --rm --replace --name app app:1", 1) + install}, ""},
		"a container that is removed before":    {repo{unit: strings.Replace(soundService, "ExecStart=/opt/app/run", "ExecStartPre=-/usr/bin/docker rm -f app\nExecStart=/usr/bin/docker run --rm --name app app:1", 1) + install}, ""},
		"a daemon":                              {repo{unit: strings.Replace(soundService, "/opt/app/run", "/opt/app/run --daemonize", 1) + install}, "app.service:4:1 detached"},
		"nothing brings it back":                {repo{unit: without("Restart")}, "app.service:4:1 no-restart"},
		"it gives up at once":                   {repo{unit: without("RestartSec")}, "app.service:5:1 start-limit"},
		"it gives up by a wish":                 {repo{unit: "[Unit]\nOnFailure=tell.service\n" + without("RestartSec")}, ""},
		"it never gives up":                     {repo{unit: "[Unit]\nStartLimitIntervalSec=0\n" + without("RestartSec")}, ""},
		"a oneshot that comes back":             {repo{unit: strings.Replace(strings.Replace(soundService, "exec", "oneshot\nTimeoutStartSec=9", 1), "on-failure", "always", 1) + install}, "app.service:6:1 bad-setting"},
		"a oneshot that may hang":               {repo{unit: strings.Replace(soundService, "exec", "oneshot", 1) + install}, "app.service:4:1 start-timeout"},
		"it starts longer than a rollout waits": {repo{unit: with("TimeoutStartSec=10min\n"), service: "  rollout: {healthyDeadline: 1m}\n"}, "app.service:2:1 start-timeout"},
		"killed before it is drained":           {repo{unit: with("TimeoutStopSec=10\nLimitNOFILE=65536\n"), service: balanced}, "app.service:2:1 stop-timeout"},
		"few files":                             {repo{service: balanced}, "app.service:4:1 limit-nofile"},
		"too few files":                         {repo{unit: with("LimitNOFILE=1024:524288\n"), service: balanced}, "app.service:2:1 limit-nofile"},
		"no end of memory":                      {repo{unit: without("MemoryMax")}, "app.service:4:1 limit-memory"},
		"bounded by its slice":                  {repo{unit: without("MemoryMax") + "[Service]\nSlice=app.slice\n"}, ""},
		"what is off by itself":                 {repo{fleet: "  validate: {rules: {limit-cpu: warning, limit-tasks: error}}\n"}, "app.service:4:1 limit-cpu, app.service:4:1 limit-tasks"},
		"it leaves processes":                   {repo{unit: with("KillMode=process\n")}, "app.service:2:1 kill-mode"},
		"it says nothing":                       {repo{unit: with("StandardOutput=null\nStandardError=append:/var/log/x\n")}, "app.service:2:1 no-journal, app.service:3:1 no-journal"},
		"root":                                  {repo{unit: without("User")}, "app.service:3:1 runs-as-root"},
		"a user of systemd's making":            {repo{unit: strings.Replace(without("User", "NoNew", "Private", "Protect"), "Type", "DynamicUser=yes\nType", 1)}, ""},
		"no confinement":                        {repo{unit: without("ProtectHome", "PrivateTmp")}, "app.service:4:1 hardening"},
		"confinement switched off":              {repo{unit: without("ProtectHome") + "[Service]\nProtectHome=no\n"}, "app.service:4:1 hardening"},
		"a home out of reach":                   {repo{unit: with("WorkingDirectory=/home/app\n")}, "app.service:2:1 hardening-blocks"},
		"a home to read":                        {repo{unit: strings.Replace(with("WorkingDirectory=/home/app\n"), "ProtectHome=yes", "ProtectHome=read-only", 1)}, ""},
		"a directory it may not write":          {repo{service: "  directories: [{path: /var/lib/app, owner: app}]\n"}, "app.service:10:1 hardening-blocks"},
		"a directory it may write":              {repo{unit: with("ReadWritePaths=/var/lib/app\n"), service: "  directories: [{path: /var/lib/app, owner: app}]\n"}, ""},
		"a directory systemd makes":             {repo{unit: with("StateDirectory=app\n"), service: "  directories: [{path: /var/lib/app, owner: app}]\n"}, ""},
		"a path nothing makes":                  {repo{unit: with("ReadWritePaths=/srv/none -/srv/perhaps /var/log\n")}, "app.service:2:1 hardening-blocks"},
		"a file that is root's alone": {repo{unit: strings.Replace(soundService, "/opt/app/run", "/opt/app/run --config=/etc/app.conf", 1) + install, files: map[string]string{"app.conf": "x"},
			service: "  files: [{path: /etc/app.conf, source: app.conf, mode: \"0600\"}]\n"}, "app.service:4:1 closed-to-user"},
		"a file of its group": {repo{unit: strings.Replace(soundService, "/opt/app/run", "/opt/app/run --config /etc/app.conf", 1) + install, files: map[string]string{"app.conf": "x"},
			service: "  files: [{path: /etc/app.conf, source: app.conf, group: app, mode: \"0640\"}]\n"}, ""},
		"a file that root reads for it": {repo{unit: strings.Replace(soundService, "/opt/app/run", "+/opt/app/run /etc/app.conf", 1) + install, files: map[string]string{"app.conf": "x"},
			service: "  files: [{path: /etc/app.conf, source: app.conf, mode: \"0600\"}]\n"}, ""},
		"a directory it may not enter": {repo{unit: with("WorkingDirectory=/srv/app\n"), service: "  directories: [{path: /srv/app, mode: \"0700\"}]\n"}, "app.service:2:1 closed-to-user"},
		"a directory it may enter":     {repo{unit: with("WorkingDirectory=/srv/app\n"), service: "  directories: [{path: /srv/app}]\n"}, ""},
		"a port of root's":             {repo{service: "  health: [{http: {port: 443, path: /}}]\n"}, "app.service:4:1 hardening-blocks"},
		"a port it is let":             {repo{unit: with("AmbientCapabilities=CAP_NET_BIND_SERVICE\n"), service: "  health: [{http: {port: 443, path: /}}]\n"}, ""},
		"a Quadlet, which its [Install] enables": {repo{service: "  units: [{source: app.container, state: started}]\n",
			files: map[string]string{"app.container": "[Container]\nImage=app:1\n" + install}}, ""},
		"a Quadlet that nothing enables": {repo{service: "  units: [{source: app.container, state: started}]\n",
			files: map[string]string{"app.container": "[Container]\nImage=app:1\n"}}, "app.container:2:1 not-enabled"},
		"started, not enabled": {repo{service: "  units: [{source: app.service, state: started}]\n"}, "app.service:13:1 not-enabled"},
		"enabled, stopped":     {repo{service: "  units: [{source: app.service, state: stopped, enabled: true}]\n"}, "app.service:13:1 enabled-stopped"},
		"a timer of nothing": {repo{service: "  units: [{source: app.service, enabled: true, state: started}, {source: x.timer, enabled: true, state: started}]\n",
			files: map[string]string{"x.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"}}, "x.timer:2:1 timer-alone, x.timer:2:1 timer-persistent"},
		"a timer at no time": {repo{service: "  units: [{source: app.service, enabled: true, state: started}, {source: x.timer, enabled: true, state: started}]\n",
			files: map[string]string{"x.timer": "[Timer]\nOnCalendar=dayly\nOnCalendar=daily Europe/Berlin\nUnit=app.service\nPersistent=no\n[Install]\nWantedBy=timers.target\n"}}, "x.timer:2:1 bad-setting"},
		"a timer of an instance": {repo{service: "  units: [{source: app.service, enabled: true, state: started}, {source: x.timer, enabled: true, state: started}, {source: j@.service}]\n",
			files: map[string]string{"x.timer": "[Timer]\nOnCalendar=daily\nUnit=j@1.service\nPersistent=no\n[Install]\nWantedBy=timers.target\n", "j@.service": without("Restart", "[Install]", "WantedBy")}}, ""},
		"a secret in a unit":                      {repo{unit: with("Environment=A=1 \"API_TOKEN=abc\" TOKEN_TTL=5 KEY_FILE=/x\n")}, "app.service:2:1 secret-in-unit"},
		"a secret in git":                         {repo{unit: reads, service: env("0600"), files: map[string]string{"app.env": "A=1\nDB_PASSWORD=x\nTOKEN_FILE=/x\nEMPTY_TOKEN=\n"}}, "app.env:2:1 secret-in-git"},
		"a secret in a URL":                       {repo{unit: reads, service: env("0600"), files: map[string]string{"app.env": "DB=postgres://u:pw@db/x\n"}}, "app.env:1:1 secret-in-git"},
		"a secret for all":                        {repo{unit: reads, service: env("0644"), files: map[string]string{"app.env": "DB_PASSWORD=x\n"}}, "app.env:1:1 secret-in-git, service.yaml:7:53 readable-secret"},
		"no secret for all, where that is asked":  {repo{unit: reads, service: env("0644"), fleet: "  validate: {rules: {readable-env: warning}}\n", files: map[string]string{"app.env": "A=1\n"}}, "service.yaml:7:53 readable-env"},
		"no secret for all":                       {repo{unit: reads, service: env("0644"), files: map[string]string{"app.env": "A=1\n"}}, ""},
		"a dollar":                                {repo{unit: reads, service: env("0600"), files: map[string]string{"app.env": "A=1\nB=${A}/x\nC=$A\nD=US$\nE=$NONE\n"}}, "app.env:2:1 env-dollar, app.env:3:1 env-dollar"},
		"nobody reads it":                         {repo{service: env("0600"), files: map[string]string{"app.env": "A=1\n"}}, "service.yaml:7:16 unread-env"},
		"metrics for all":                         {repo{unit: reads, service: env("0600"), files: map[string]string{"app.env": "A=1\nMETRICS_LISTEN=:9100\n"}}, "app.env:2:1 metrics-token"},
		"metrics at home":                         {repo{unit: reads, service: env("0600"), files: map[string]string{"app.env": "METRICS_LISTEN=127.0.0.1:9100\n"}}, ""},
		"an empty token":                          {repo{unit: reads, service: env("0600"), files: map[string]string{"app.env": "METRICS_AUTH_TOKEN=\n"}}, "app.env:1:1 metrics-token"},
		"metrics with a token in a file":          {repo{unit: reads, service: env("0600"), files: map[string]string{"app.env": "METRICS_ADDR=:9\nMETRICS_TOKEN_FILE=/etc/t\n"}}, ""},
		"a setting whose name does not end right": {repo{service: "  files: [{path: /etc/sysctl.d/x, source: j.conf}]\n", files: map[string]string{"j.conf": "net.core.somaxconn = 1\n"}}, "service.yaml:7:11 setting-ignored"},
		"a rotation that others may write":        {repo{service: "  files: [{path: /etc/logrotate.d/x, source: j, mode: \"0664\"}]\n", files: map[string]string{"j": "/var/log/x {\n}\n"}}, "service.yaml:7:11 setting-ignored"},
		"a rotation that is another's":            {repo{service: "  files: [{path: /etc/logrotate.d/x, source: j, owner: app}]\n", files: map[string]string{"j": "/var/log/x {\n}\n"}}, "service.yaml:7:11 setting-ignored"},
		"a sound rotation":                        {repo{service: "  files: [{path: /etc/logrotate.d/x, source: j}]\n", files: map[string]string{"j": "/var/log/x {\n}\n"}}, ""},
		"a kernel parameter without a value":      {repo{service: "  files: [{path: /etc/sysctl.d/x.conf, source: j.conf}]\n", files: map[string]string{"j.conf": "# x\nnet.core.somaxconn 1\n-net.a.*\nnet.b = 2\n"}}, "j.conf:2:1 setting-ignored"},
		"a journal that is lost":                  {repo{service: "  files: [{path: /etc/systemd/journald.conf.d/x.conf, source: j.conf}]\n", files: map[string]string{"j.conf": "[Journal]\nStorage=volatile\n"}}, "j.conf:2:1 journal-lost"},
		"a rule that is off, here":                {repo{unit: without("MemoryMax"), service: "  validate: {rules: {limit-memory: off}}\n"}, ""},
		"a rule off for all, on here": {repo{unit: without("MemoryMax"), fleet: "  validate: {rules: {limit-memory: off, runs-as-root: off}}\n",
			service: "  validate: {rules: {limit-memory: error}}\n"}, "app.service:4:1 limit-memory"},
		"an older rule that is off": {repo{service: "  health: []\n", fleet: "  validate: {rules: {no-health: off}}\n"}, ""},
		"a rule there is not":       {repo{service: "  validate: {rules: {limit-memry: off}}\n"}, "service.yaml:7:35 wrong-value"},
		"a rule that is fixed":      {repo{service: "  validate: {rules: {missing-key: off}}\n"}, "service.yaml:7:35 wrong-value"},
		"a level there is not":      {repo{service: "  validate: {rules: {limit-memory: maybe}}\n"}, "service.yaml:7:36 wrong-value"},
	} {
		t.Run(name, func(t *testing.T) {
			got, faults := c.repo.found(t)
			slices.Sort(got)
			if strings.Join(got, ", ") != c.want {
				t.Errorf("got %s\nwant %s\n%s", strings.Join(got, ", "), c.want, desired.Faults(faults))
			}
			for _, f := range faults {
				if f.Message == "" || f.Mend == "" || f.Rule == "" || f.Pos.Line == 0 || f.Pos.Column == 0 {
					t.Errorf("a part is missing: %+v", f)
				}
				if strings.Contains(f.String(), "pw@") || strings.Contains(f.Message, "=abc") {
					t.Errorf("it tells a secret: %s", f)
				}
			}
		})
	}
}

// TestFindingsAreOnce: hosts that are alike, and they alone, are looked at once.
func TestFindingsAreOnce(t *testing.T) {
	rev := repo{unit: without("MemoryMax")}.load(t)
	l := New(&rev)
	states, err := rev.ResolveAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range states {
		if found := l.Check(t.Context(), st); len(found) != 1 {
			t.Errorf("%s: %v", st.Host.Name, found)
		}
	}
	if len(l.seen) != 1 {
		t.Errorf("looked at %d times", len(l.seen))
	}
}

// TestManyServices: of 500 services on 100 hosts each every one is told once; -v tells how long it takes.
func TestManyServices(t *testing.T) {
	fs := fstest.MapFS{"fleet.yaml": {Data: []byte("apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: t}\n")}}
	var hosts strings.Builder
	for i := range 100 {
		fmt.Fprintf(&hosts, "    - {name: h%d, address: 10.0.0.%d, labels: {r: a}}\n", i, i)
	}
	fs["inventory/h.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: t}\nspec:\n  hosts:\n" + hosts.String())}
	for i := range 500 {
		dir := fmt.Sprintf("services/s%d/", i)
		fs[dir+"service.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, "apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: s%d}\nspec:\n  selector: {matchLabels: {r: a}}\n  units: [{source: s%d.service, enabled: true, state: started}]\n  health: [{unit: {}}]\n  env: [{path: /etc/s%d.env, source: [e.env.tmpl]}]\n", i, i, i)}
		fs[dir+fmt.Sprintf("s%d.service", i)] = &fstest.MapFile{Data: []byte(strings.Replace(without("MemoryMax"), "[Service]\n", fmt.Sprintf("[Service]\nEnvironmentFile=/etc/s%d.env\n", i), 1))}
		fs[dir+"e.env.tmpl"] = &fstest.MapFile{Data: []byte("HOST={{ .Host.Name }}\n")}
	}
	rev, err := desired.Load(t.Context(), fs, desired.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	desired.Validate(t.Context(), &rev)
	t.Logf("without these rules: %s", time.Since(begun))
	begun = time.Now()
	found := desired.Validate(t.Context(), &rev, New(&rev).Check)
	t.Logf("500 services on 100 hosts each: %s", time.Since(begun))
	if len(found) != 500 {
		t.Errorf("%d findings", len(found))
	}
}

func FuzzLint(f *testing.F) {
	f.Add(soundService, "A=1\nTOKEN=x\n")
	f.Add(with("ExecStart=\nMemoryMax=1.5G\nTimeoutStopSec=1h 3min 2\nReadWritePaths=- + /\n"), "B=${A}\n")
	f.Add("[Service]\nExecStart=@-\nProtectHome=yes\nExecStartPre=/home\nUser=x\n[Timer]\nOnCalendar=\n", "")
	f.Fuzz(func(t *testing.T, unit, env string) {
		rev := repo{unit: unit, service: "  env: [{path: /etc/app.env, source: app.env}]\n", files: map[string]string{"app.env": env}}.load(t)
		for _, fault := range desired.Validate(t.Context(), &rev, New(&rev).Check) {
			if fault.Message == "" || fault.Rule == "" {
				t.Errorf("%+v", fault)
			}
		}
	})
}

func TestValues(t *testing.T) {
	for text, want := range map[string]time.Duration{"5": 5 * time.Second, "1h 30min": 90 * time.Minute, "2min30s": 150 * time.Second, "100ms": 100 * time.Millisecond, "1.5s": 1500 * time.Millisecond,
		"infinity": forever, "0": 0, "1y": 31557600 * time.Second, "99999999y": forever, "": -1, "5x": -1, "s": -1, "1 2": 3 * time.Second, "-1": -1, "1h,": -1} {
		got, ok := desired.ParseSpan(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]uint64{"512": 512, "1K": 1024, "2G": 2 << 30, "1.5M": 3 << 19, "0": 0, "100B": 100, "infinity": infinite, "12%": infinite} {
		if got, ok := parseMemory(text); !ok || got != want {
			t.Errorf("%q is %d %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "1MB", "G", "x", "-1", "1 G x", "5%%"} {
		if got, ok := parseMemory(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}
