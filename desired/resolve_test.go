package desired

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// stateStory writes a HostState for comparison; secret values are not in it.
func stateStory(st HostState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "host %s\n", st.Host.Name)
	for _, in := range st.Instances {
		fmt.Fprintf(&b, "service %s after %v\n", in.Service, in.After)
		for _, u := range in.Users {
			fmt.Fprintf(&b, "  user %s %s\n", u.Name, u.Home)
		}
		for _, d := range in.Directories {
			fmt.Fprintf(&b, "  dir %s %s:%s %04o\n", d.Path, d.Owner, d.Group, d.Mode)
		}
		for _, f := range in.Files {
			fmt.Fprintf(&b, "  %s %s %s:%s %04o %s", f.Kind, f.Path, f.Owner, f.Group, f.Mode, f.ChangeMode)
			if f.Unit != "" {
				fmt.Fprintf(&b, " of %s", f.Unit)
			}
			if f.Secret {
				b.WriteString(" secret")
			}
			fmt.Fprintf(&b, " from %s", strings.Join(f.Sources, "+"))
			for _, v := range f.Vars {
				value := string(v.Value.Bytes())
				if v.Secret {
					value = v.Value.String()
				}
				fmt.Fprintf(&b, " %s=%q", v.Key, value)
			}
			b.WriteString("\n")
		}
		for _, a := range in.Artifacts {
			fmt.Fprintf(&b, "  artifact %s %s %s %s\n", a.Name, a.Link, a.Form, a.ChangeMode)
		}
		for _, u := range in.Units {
			fmt.Fprintf(&b, "  unit %s", u.Name)
			if u.File != "" {
				fmt.Fprintf(&b, " file %s", u.File)
			}
			if u.Enabled != nil {
				fmt.Fprintf(&b, " enabled=%t", *u.Enabled)
			}
			if u.State != "" {
				fmt.Fprintf(&b, " %s", u.State)
			}
			for _, l := range []struct {
				name string
				list []string
			}{{"env", u.EnvFiles}, {"foreign", u.ForeignEnv}, {"uncertain", u.Uncertain}, {"reads", u.Reads}, {"unset", u.Unset}} {
				if len(l.list) > 0 {
					fmt.Fprintf(&b, " %s=%s", l.name, strings.Join(l.list, ","))
				}
			}
			b.WriteString("\n")
		}
		for _, d := range in.Drain {
			if d.HAProxy != nil {
				fmt.Fprintf(&b, "  drain haproxy %s %s/%s %s\n", d.HAProxy.Address, d.HAProxy.Backend, d.HAProxy.Server, d.HAProxy.Timeout)
			}
		}
		for _, h := range in.Health {
			if h.HTTP != nil {
				fmt.Fprintf(&b, "  health http :%d%s %d\n", h.HTTP.Port, h.HTTP.Path, h.HTTP.Status)
			}
		}
	}
	if len(st.Held) > 0 {
		fmt.Fprintf(&b, "held %v\n", st.Held)
	}
	return b.String()
}

// resolveOn resolves one host of a repo in which nothing may be wrong.
func resolveOn(t *testing.T, repo files, opt LoadOptions, host string) HostState {
	t.Helper()
	rev, err := load(t, repo, opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(rev.Quarantined) > 0 {
		t.Fatal(Faults(rev.Quarantined))
	}
	h, ok := rev.Inventory.Find(host)
	if !ok {
		t.Fatalf("no host %s", host)
	}
	st, err := rev.Resolve(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestResolveUnits(t *testing.T) {
	repo := plain.with(files{
		"services/a/service.yaml": service("a", `
  users: [{name: app, home: /opt/app}]
  directories: [{path: /var/lib/app, owner: app, mode: "0750"}, {path: /var/log/app}]
  units:
    - {source: web.service, enabled: true, state: started}
    - {source: worker@.service}
    - {name: worker@1.service, enabled: true, state: started}
    - {source: worker@.service, name: worker@2.service, state: started}
    - {source: limits.conf, dropIn: worker@.service}
    - {source: job.timer, enabled: true, state: started}
    - {source: job.service.tmpl}
    - {name: nginx.service, state: started}
    - {source: 10-nginx.conf, dropIn: nginx.service}
    - {source: cache.container, state: started}
    - {source: named.container.tmpl, state: started}
  env:
    - {path: /etc/app/web.env, source: [a.env, b.env], owner: app, group: app, mode: "0640", changeMode: reload}
    - {path: /etc/app/worker-1.env, source: a.env}
    - {path: /etc/app/d/x.env, source: a.env}
    - {path: /etc/app/orphan.env, source: a.env}
  files:
    - {path: /etc/app/app.json, source: app.json.tmpl, changeMode: reload}
    - {path: /etc/app/conf.d/x, source: app.json.tmpl}
    - {path: /etc/nginx/x.conf, source: app.json.tmpl}
    - {path: /srv/orphan, source: app.json.tmpl, changeMode: none}
  artifacts:
    - {name: web, source: dist/web, path: /opt/app/web}
    - {name: lib, source: dist/web, path: /opt/app/lib}
  health: [{unit: {}}]
`),
		"dist/web":                        "\x7fELF",
		"services/a/a.env":                "A=1\nB=2\n",
		"services/a/b.env":                "B=3\nC=x y\n",
		"services/a/app.json.tmpl":        "{\"host\": \"{{ .Host.Name }}\"}",
		"services/a/limits.conf":          "[Service]\nEnvironmentFile=-/etc/app/d/*.env\n",
		"services/a/10-nginx.conf":        "[Service]\nExecStartPre=/bin/test -f /etc/nginx/x.conf\n",
		"services/a/cache.container":      "[Container]\nImage=x\nEnvironmentFile=/etc/app/web.env\n",
		"services/a/named.container.tmpl": "[Container]\nImage=x:{{ .Host.Name }}\nServiceName=shown\n",
		"services/a/job.timer":            "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
		"services/a/job.service.tmpl":     "[Service]\nExecStart=/opt/app/lib/job --host {{ .Host.Name }}\n",
		"services/a/web.service": "[Service]\nEnvironment=\"MODE=a b\" TEAM=%n HERE=%H\nEnvironmentFile=/etc/app/none.env\nEnvironmentFile=\n" +
			"EnvironmentFile=/etc/app/web.env\nEnvironmentFile=-/etc/default/web\nUnsetEnvironment=C D=4\n" +
			"ExecStart=/opt/app/web --config=/etc/app/app.json --dir \"/etc/app/conf.d\"\nWorkingDirectory=/opt/app\n[Install]\nWantedBy=multi-user.target\n",
		"services/a/worker@.service": "[Service]\nEnvironmentFile=/etc/app/worker-%i.env\nExecStart=/usr/bin/worker %i\n[Install]\nWantedBy=multi-user.target\n",
	})
	equal(t, stateStory(resolveOn(t, repo, LoadOptions{}, "h1")), strings.TrimLeft(`
host h1
service a after []
  user app /opt/app
  dir /var/lib/app app:app 0750
  dir /var/log/app root:root 0755
  file /etc/app/app.json root:root 0644 reload from services/a/app.json.tmpl
  file /etc/app/conf.d/x root:root 0644 restart from services/a/app.json.tmpl
  env /etc/app/d/x.env root:root 0600 restart from services/a/a.env A="1" B="2"
  env /etc/app/orphan.env root:root 0600 restart from services/a/a.env A="1" B="2"
  env /etc/app/web.env app:app 0640 reload from services/a/a.env+services/a/b.env A="1" B="3" C="x y"
  env /etc/app/worker-1.env root:root 0600 restart from services/a/a.env A="1" B="2"
  unit /etc/containers/systemd/cache.container root:root 0644 restart of cache.service from services/a/cache.container
  unit /etc/containers/systemd/named.container root:root 0644 restart of shown.service from services/a/named.container.tmpl
  file /etc/nginx/x.conf root:root 0644 restart from services/a/app.json.tmpl
  unit /etc/systemd/system/job.service root:root 0644 restart of job.service from services/a/job.service.tmpl
  unit /etc/systemd/system/job.timer root:root 0644 restart of job.timer from services/a/job.timer
  drop-in /etc/systemd/system/nginx.service.d/10-nginx.conf root:root 0644 restart of nginx.service from services/a/10-nginx.conf
  unit /etc/systemd/system/web.service root:root 0644 restart of web.service from services/a/web.service
  unit /etc/systemd/system/worker@.service root:root 0644 restart of worker@.service from services/a/worker@.service
  drop-in /etc/systemd/system/worker@.service.d/limits.conf root:root 0644 restart of worker@.service from services/a/limits.conf
  file /srv/orphan root:root 0644 none from services/a/app.json.tmpl
  artifact web /opt/app/web file restart
  artifact lib /opt/app/lib file restart
  unit cache.service file /etc/containers/systemd/cache.container started reads=/etc/app/orphan.env,/etc/app/web.env,/srv/orphan
  unit job.service file /etc/systemd/system/job.service reads=/opt/app/lib
  unit job.timer file /etc/systemd/system/job.timer enabled=true started
  unit nginx.service started reads=/etc/app/orphan.env,/etc/nginx/x.conf,/srv/orphan
  unit shown.service file /etc/containers/systemd/named.container started reads=/etc/app/orphan.env,/srv/orphan
  unit web.service file /etc/systemd/system/web.service enabled=true started env=/etc/app/web.env foreign=/etc/default/web uncertain=/etc/app/web.env reads=/etc/app/app.json,/etc/app/conf.d/x,/etc/app/orphan.env,/opt/app/web,/srv/orphan unset=C,D=4
  unit worker@.service file /etc/systemd/system/worker@.service
  unit worker@1.service file /etc/systemd/system/worker@.service enabled=true started env=/etc/app/worker-1.env,/etc/app/d/x.env foreign=/etc/app/d/*.env uncertain=/etc/app/worker-1.env,/etc/app/d/x.env reads=/etc/app/orphan.env,/srv/orphan
  unit worker@2.service file /etc/systemd/system/worker@.service started env=/etc/app/d/x.env foreign=/etc/app/worker-2.env,/etc/app/d/*.env uncertain=/etc/app/d/x.env reads=/etc/app/orphan.env,/srv/orphan
`, "\n"))
}

func TestEnviron(t *testing.T) {
	unit := func(text string) []EnvVar {
		repo := plain.with(files{
			"services/a/service.yaml": service("a", "  units: [{source: a.service, state: started}]\n  env: [{path: /e/1, source: a.env}, {path: /e/2, source: b.env}]\n  health: [{unit: {}}]\n"),
			"services/a/a.env":        "A=1\nB=1\n", "services/a/b.env": "B=2\nC=2\n",
			"services/a/a.service": "[Service]\nExecStart=/x\nEnvironment=A=0 Z=0 H=%H\n" + text,
		})
		return resolveOn(t, repo, LoadOptions{}, "h1").Instances[0].Environ("a.service")
	}
	for text, want := range map[string]string{
		"": "A=0 Z=0",
		"EnvironmentFile=/e/1\nEnvironmentFile=/e/2\n":                            "A=1 B=2 C=2 Z=0",
		"EnvironmentFile=/e/2\nEnvironmentFile=/e/1\n":                            "A=1 B=1 C=2 Z=0",
		"EnvironmentFile=/e/*\n":                                                  "",
		"EnvironmentFile=/e/1\nUnsetEnvironment=A B=2 Z=0\n":                      "B=1",
		"EnvironmentFile=/foreign\nEnvironmentFile=/e/1\n":                        "A=1 B=1",
		"EnvironmentFile=/e/1\nEnvironmentFile=-/foreign\n":                       "",
		"EnvironmentFile=/e/1\nEnvironmentFile=-/foreign\nEnvironmentFile=/e/2\n": "B=2 C=2",
	} {
		var got []string
		for _, v := range unit(text) {
			got = append(got, v.Key+"="+string(v.Value.Bytes()))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: got %s, want %s", text, s, want)
		}
	}
}

// What differs by host differs, and what does not is shared.
func TestResolveByHost(t *testing.T) {
	repo := plain.with(files{
		"services/a/service.yaml": service("a", `
  env: [{path: /etc/a.env, source: a.env.tmpl}, {path: /etc/b.env, source: "{{ .Host.Labels.role }}.env"}]
  files: [{path: /etc/c, source: c, template: true}, {path: /etc/d, source: d.tmplx}]
  drain: [{haproxy: {address: "tcp://lb:1", backend: web, server: "{{ .Host.Name }}", timeout: 30s}}, {none: }]
  health: [{http: {port: 80, path: "/{{ .Service.Name }}", headers: {X-Host: "{{ .Host.Address }}"}}}]
`),
		"services/a/a.env.tmpl": "HOST={{ .Host.Name }}\nVERSION={{ .Vars.version }}\n",
		"services/a/web.env":    "ROLE=web\n",
		"services/a/c":          "{{ .Host.Address }}",
		"services/a/d.tmplx":    "{{ stays }}",
	})
	rev, err := load(t, repo, LoadOptions{})
	if err != nil || len(rev.Quarantined) > 0 {
		t.Fatal(err, rev.Quarantined)
	}
	states, err := rev.ResolveAll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	a, b := states[0].Instances[0], states[1].Instances[0]
	if got := string(b.Files[0].Content.Bytes()); got != "HOST=h2\nVERSION=1.2\n" {
		t.Errorf("got %q", got)
	}
	if a.Files[0].SHA256 == b.Files[0].SHA256 || string(a.Files[2].Content.Bytes()) != "192.0.2.1" || string(a.Files[3].Content.Bytes()) != "{{ stays }}" {
		t.Error("templates are mixed up")
	}
	if &a.Files[1].Content.Bytes()[0] != &b.Files[1].Content.Bytes()[0] {
		t.Error("what is the same is there twice")
	}
	if a.Drain[0].HAProxy.Server != "h1" || b.Drain[0].HAProxy.Server != "h2" || b.Health[0].HTTP.Headers["X-Host"] != "192.0.2.2" || b.Health[0].HTTP.Path != "/a" {
		t.Errorf("got %+v %+v", a.Drain[0].HAProxy, b.Health[0].HTTP)
	}
	if a.Drain[1].None == nil || len(states[2].Instances) != 0 {
		t.Error("none is not none")
	}
}

func TestStrategyDefaults(t *testing.T) {
	repo := plain.with(files{"fleet.yaml": fleetHead + "  rollout: {maxUnavailable: 2, minHealthyTime: 3s, order: inventory}\n  vars: {version: x}\n",
		"services/a/service.yaml": service("a", "  rollout: {maxUnavailable: \"50%\", minHealthyTime: 0, autoRevert: false, progressDeadline: 0, batches: [1, \"25%\"]}\n")})
	s := resolveOn(t, repo, LoadOptions{}, "h1").Instances[0].Strategy
	if s.MaxUnavailable != Percent(50) || s.MinHealthyTime != 0 || s.AutoRevert || s.ProgressDeadline != 0 || s.HealthyDeadline != DefaultHealthyDeadline ||
		s.DrainTimeout != DefaultDrainTimeout || s.Order != OrderInventory || s.OnUnreachable != UnreachableCount || s.Batches[1] != Percent(25) || s.MinHealthy.Set {
		t.Errorf("got %+v", s)
	}
	if s := (RolloutSpec{}).Strategy(); s.MaxUnavailable != Count(1) || !s.AutoRevert || s.Order != OrderUnhealthyFirst || s.ProgressDeadline != DefaultProgressDeadline {
		t.Errorf("got %+v", s)
	}
}

func TestIntOrPercentOf(t *testing.T) {
	for _, c := range []struct {
		p        IntOrPercent
		total    int
		down, up int
	}{{Count(3), 10, 3, 3}, {Percent(25), 10, 2, 3}, {Percent(0), 10, 0, 0}, {Percent(100), 7, 7, 7}, {Percent(1), 1, 0, 1}, {Percent(50), 0, 0, 0}} {
		if c.p.Of(c.total, false) != c.down || c.p.Of(c.total, true) != c.up {
			t.Errorf("%s of %d: %d and %d", c.p, c.total, c.p.Of(c.total, false), c.p.Of(c.total, true))
		}
	}
}

// bigFleet is 10,000 hosts and 5 services of the usual kinds.
func bigFleet(hosts int) files {
	repo := files{"fleet.yaml": fleetHead + "  vars: {version: \"1.2\"}\n"}
	var b strings.Builder
	b.WriteString("[all:vars]\nevenkeel_labels={'role': 'web'}\n[web]\n")
	for i := range hosts {
		fmt.Fprintf(&b, "web-%d ansible_host=10.%d.%d.%d rack=r%d\n", i, i>>16, i>>8&255, i&255, i%40)
	}
	repo["inventory/hosts"] = b.String()
	for i := range 5 {
		name := fmt.Sprintf("s%d", i)
		dir := "services/" + name + "/"
		repo[dir+"service.yaml"] = service(name, fmt.Sprintf(`
  units: [{source: %[1]s.service, enabled: true, state: started}]
  env: [{path: /etc/%[1]s/a.env, source: [a.env, b.env.tmpl]}]
  files: [{path: /etc/%[1]s/c.json, source: c.json, changeMode: reload}]
  drain: [{haproxy: {address: "tcp://lb:1", backend: web, server: "{{ .Host.Name }}"}}]
  health: [{http: {port: 80, path: /}}]
`, name))
		repo[dir+name+".service"] = fmt.Sprintf("[Service]\nEnvironmentFile=/etc/%[1]s/a.env\nExecStart=/opt/%[1]s --config /etc/%[1]s/c.json\n[Install]\nWantedBy=multi-user.target\n", name)
		repo[dir+"a.env"] = "A=1\nB=2\n"
		repo[dir+"b.env.tmpl"] = "HOST={{ .Host.Name }}\nRACK={{ .Vars.rack }}\nVERSION={{ .Vars.version | upper }}\n"
		repo[dir+"c.json"] = strings.Repeat("{}", 500)
	}
	return repo
}

func BenchmarkResolve(b *testing.B) {
	repo := bigFleet(10_000).fs()
	rev, err := Load(context.Background(), repo, LoadOptions{ID: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		states, err := rev.ResolveAll(context.Background())
		if err != nil || len(states) != 10_000 || len(states[9].Instances) != 5 {
			b.Fatal(len(states), err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	repo := bigFleet(10_000).fs()
	b.ReportAllocs()
	for b.Loop() {
		rev, err := Load(context.Background(), repo, LoadOptions{ID: "bench"})
		if err != nil || len(rev.Inventory.Hosts) != 10_000 || len(rev.Services) != 5 {
			b.Fatal(err)
		}
	}
}
