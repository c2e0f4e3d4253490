package adopt

import (
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel/evenkeel/hostdriver"
)

const ledgerUnit = "[Service]\nUser=ledger\nEnvironmentFile=/etc/ledger/ledger.env\nExecStart=/usr/local/bin/ledgerd --config=/etc/ledger/ledger.json\nWorkingDirectory=/var/lib/ledger\n[Install]\nWantedBy=multi-user.target\n"

// ledgers are hosts with the same service, whose env files tests change.
func ledgers(n int) []*world {
	var out []*world
	for i := range n {
		w := newWorld("web-" + itoa(i+1))
		w.unit("ledger.service", ledgerUnit)
		w.file("/etc/ledger/ledger.env", "# settings\nPORT=8080\n\nTOKEN='s3cret value'\n", 0o640, "root", "ledger")
		w.file("/etc/ledger/ledger.json", `{"level": "info"}`, 0o644)
		w.file("/usr/local/bin/ledgerd", "\x7fELF\x00\xff", 0o755)
		w.folder("/var/lib/ledger", "ledger", "ledger", 0o750)
		w.users["ledger"] = hostdriver.UserState{Exists: true, UID: 998, Group: "ledger", Home: "/var/lib/ledger"}
		out = append(out, w)
	}
	return out
}

func names(repo *Repo) (out []string) {
	for _, s := range repo.Services {
		out = append(out, s.Name+" "+strings.Join(s.Hosts, ",")+" "+strings.Join(s.Units, ","))
	}
	return out
}

func reason(repo *Repo, what string) string {
	for _, f := range repo.Alone {
		if f.What == what {
			return f.Reason
		}
	}
	return ""
}

func TestEqualHostsBecomeOneService(t *testing.T) {
	ws := ledgers(3)
	repo := adopted(ws, nil, Options{})
	if got := names(repo); !slices.Equal(got, []string{"ledger web-1,web-2,web-3 ledger.service"}) || len(repo.Alone) > 0 {
		t.Fatalf("%q, left alone %v", got, repo.Alone)
	}
	same(t, ws, repo)
	if strings.Contains(tells(repo), "s3cret") {
		t.Errorf("the secret stands in\n%s", tells(repo))
	}
	yaml := string(repo.Services[0].YAML(nil))
	for _, want := range []string{
		`{path: /etc/ledger/ledger.env, source: [ledger.env, ledger.secrets.env], merge: in-place, owner: root, group: ledger, mode: "0640"}`,
		`{path: /usr/local/bin/ledgerd, source: ledgerd, owner: root, group: root, mode: "0755"}`,
		`{name: ledger, home: /var/lib/ledger}`, `{path: /var/lib/ledger, owner: ledger, group: ledger, mode: "0750"}`, `{path: /etc/ledger, owner: root, group: root, mode: "0755"}`,
		`{source: ledger.service, enabled: true, state: started}`,
	} {
		if !strings.Contains(yaml, want) {
			t.Errorf("it lacks %s\n%s", want, yaml)
		}
	}
}

func TestWhatDiffersFromHostToHost(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(ws []*world)
		want   []string // services
		files  []string // that are there
		differ string
	}{
		"a value becomes a var": {func(ws []*world) {
			for i, w := range ws {
				w.file("/etc/ledger/ledger.env", "PORT=8080\nSHARD=\""+itoa(i)+"\"\nTOKEN=abc\n", 0o640)
			}
		}, []string{"ledger web-1,web-2 ledger.service"}, []string{"services/ledger/ledger.env.tmpl", "inventory/host_vars/web-1/ledger.yaml"}, "/etc/ledger/ledger.env: SHARD, by vars of the hosts"},
		"a secret becomes a file for each host": {func(ws []*world) {
			for i, w := range ws {
				w.file("/etc/ledger/ledger.env", "PORT=8080\nTOKEN=abc"+itoa(i)+"\n", 0o640)
			}
		}, []string{"ledger web-1,web-2 ledger.service"}, []string{"services/ledger/ledger.env"}, "/etc/ledger/ledger.env: a file of secrets for each host"},
		"other lines become a file for each host": {func(ws []*world) {
			ws[1].file("/etc/ledger/ledger.env", "PORT=8080\nMORE=1\n", 0o640, "root", "ledger")
		}, []string{"ledger web-1,web-2 ledger.service"}, []string{"services/ledger/web-1/ledger.env", "services/ledger/web-2/ledger.env"}, "/etc/ledger/ledger.env: a file for each host"},
		"braces are no template": {func(ws []*world) {
			ws[1].file("/etc/ledger/ledger.env", "PORT={{ .Host.Name }}\n", 0o640, "root", "ledger")
		}, []string{"ledger web-1,web-2 ledger.service"}, []string{"services/ledger/web-2/ledger.env"}, "/etc/ledger/ledger.env: a file for each host"},
		"a unit becomes a file for each host": {func(ws []*world) {
			ws[1].unit("ledger.service", ledgerUnit+"# other\n")
		}, []string{"ledger web-1,web-2 ledger.service"}, []string{"services/ledger/web-2/ledger.service"}, "/etc/systemd/system/ledger.service: a file for each host"},
		"a program called like a host": {func(ws []*world) {
			for i, w := range ws {
				w.unit("ledger.service", ledgerUnit+"[Service]\nExecReload=/usr/local/bin/web-1\n# "+itoa(i)+"\n")
				w.file("/usr/local/bin/web-1", "x", 0o755)
			}
		}, []string{"ledger web-1,web-2 ledger.service"}, []string{"services/ledger/web-1/ledger.service", "services/ledger/web-1-2"}, "/etc/systemd/system/ledger.service: a file for each host"},
		"another mode is another service": {func(ws []*world) {
			ws[1].file("/etc/ledger/ledger.env", "PORT=1\n", 0o600)
		}, []string{"ledger web-1 ledger.service", "ledger-2 web-2 ledger.service"}, nil, ""},
		"a stopped one is another service": {func(ws []*world) {
			ws[1].units["ledger.service"] = hostdriver.UnitState{Load: "loaded", Active: "inactive", File: "disabled", Type: "simple"}
		}, []string{"ledger web-1 ledger.service", "ledger-2 web-2 ledger.service"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ws := ledgers(2)
			tt.change(ws)
			repo := adopted(ws, nil, Options{})
			if got := names(repo); !slices.Equal(got, tt.want) {
				t.Fatalf("%q, want %q; %v", got, tt.want, repo.Alone)
			}
			for _, f := range tt.files {
				if repo.Files[f] == nil {
					t.Errorf("no %s among %v", f, sorted(repo.Files))
				}
			}
			if tt.differ != "" && !slices.Contains(repo.Services[0].Differs, tt.differ) {
				t.Errorf("it differs in %q", repo.Services[0].Differs)
			}
			same(t, ws, repo)
			if strings.Contains(tells(repo), "abc") {
				t.Error("a secret is told")
			}
		})
	}
}

func TestWhatBelongsTogether(t *testing.T) {
	w := newWorld("web-1")
	w.unit("app-web.service", "[Service]\nEnvironmentFile=/etc/default/app\nExecStart=/usr/bin/true\n")
	w.unit("app-worker.service", "[Service]\nEnvironmentFile=/etc/default/app\nExecStart=/usr/bin/true\n")
	w.file("/etc/default/app", "A=1\n", 0o644)
	w.unit("report.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
	w.unit("report.service", "[Service]\nType=oneshot\nExecStart=/usr/bin/true\n")
	w.units["report.service"] = hostdriver.UnitState{Load: "loaded", Active: "inactive", File: "static", Type: "oneshot"}
	w.unit("alone.service", "[Service]\nExecStart=/usr/bin/true\n")
	w.unit("job@.service", "[Service]\nEnvironmentFile=-/etc/job/%i.env\nExecStart=/usr/bin/true %i\n[Install]\nWantedBy=multi-user.target\n")
	delete(w.units, "job@.service")
	w.units["job@a.service"] = hostdriver.UnitState{Load: "loaded", Active: "active", File: "enabled", Type: "simple", Fragment: unitFolder + "/job@.service"}
	w.file("/etc/job/a.env", "N=1\n", 0o600)
	w.loaded = []string{"job@a.service", "getty@tty1.service"}
	w.file(unitFolder+"/alone.service.d/10-x.conf", "[Service]\nNice=5\n", 0o644)
	w.file(unitFolder+"/ssh.service.d/10-x.conf", "[Service]\nNice=5\n", 0o644)
	ws := []*world{w}
	repo := adopted(ws, nil, Options{})
	if n := repo.Services[0].Notes; !slices.Contains(n, "alone.service starts at boot, and its file says nothing under [Install]: that is left out") {
		t.Errorf("of what is enabled without [Install]: %q", n)
	}
	want := []string{"alone web-1 alone.service", "app web-1 app-web.service,app-worker.service", "job web-1 job@.service,job@a.service", "report web-1 report.service,report.timer"}
	if got := names(repo); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	same(t, ws, repo)
	if r := reason(repo, unitFolder+"/ssh.service.d/10-x.conf"); !strings.Contains(r, "a drop-in of ssh.service") {
		t.Errorf("of the drop-in: %q, %v", r, repo.Alone)
	}
	if yaml := string(repo.Services[0].YAML(nil)); !strings.Contains(yaml, "dropIn: alone.service") {
		t.Error(yaml)
	}
}

func TestWhatIsLeftAlone(t *testing.T) {
	w := newWorld("web-1")
	w.unit("open.service", "[Service]\nEnvironment=DB_PASSWORD=hunter2\nExecStart=/usr/bin/true\n")
	w.unit("loose.service", "[Service]\nExecStart=/usr/bin/true\n")
	w.file(unitFolder+"/loose.service", "[Service]\n", 0o664)
	w.unit("arg.service", "[Service]\nExecStart=/usr/bin/true --db-password hunter2x --verbose\n")
	w.unit("old.service", "[Service]\n#Environment=DB_PASSWORD=hunter2\nExecStart=/usr/bin/true\n")
	w.link(unitFolder+"/alias.service", unitFolder+"/other.service")
	w.link(unitFolder+"/linked.service", "/opt/x/linked.service")
	w.link(unitFolder+"/sshd.service", "/lib/systemd/system/ssh.service")
	w.link(unitFolder+"/masked.service", "/dev/null")
	w.unit("snap.lxd.daemon.service", "[Service]\nExecStart=/usr/bin/true\n")
	w.unit("other.service", "[Service]\nExecStart=/usr/bin/true\n")
	w.file("/etc/containers/systemd/db.container", "[Container]\nImage=db:1\n", 0o644)
	w.file("/etc/containers/systemd/db.env", "A=1\n", 0o644)
	w.file(unitFolder+"/ssh.service.d/x.conf", "[Service]\n", 0o644)
	w.unit("taken.service", "[Service]\nEnvironmentFile=/etc/taken.env\nExecStart=/usr/bin/true\n")
	w.file("/etc/taken.env", "A=1\n", 0o644)
	o := Options{Claimed: map[string]map[string]string{"web-1": {"/etc/taken.env": "old"}}}
	repo := adopted([]*world{w}, Wanted{"open", "loose", "linked", "sshd", "masked", "snap*", "taken", "arg", "old", "alias"}, o)
	if len(repo.Services) > 0 {
		t.Errorf("adopted %q", names(repo))
	}
	for what, why := range map[string]string{
		"open.service": "a secret stands in Environment= (line 2)", "loose.service": "root:root 0664", "linked.service": "a link to /opt/x/linked.service",
		"masked.service": "masked", "snap.lxd.daemon.service": "snapd", "other.service": "not asked for", "taken.service": "service old's already", "sshd.service": "", "alias.service": "",
		"arg.service": "a secret stands in ExecStart= (line 2)", "old.service": "a secret stands in a comment (line 2) of old.service",
	} {
		if got := reason(repo, what); !strings.Contains(got, why) || (why == "") != (got == "") {
			t.Errorf("%s: %q, want %q", what, got, why)
		}
	}
	for what, how := range map[string]string{
		"linked.service": `on the host: cp -p --remove-destination "$(readlink -f /etc/systemd/system/linked.service)" /etc/systemd/system/linked.service && chown root:root ` +
			`/etc/systemd/system/linked.service && chmod 0644 /etc/systemd/system/linked.service && systemctl daemon-reload; then evenkeel adopt --unit linked.service web-1`,
		"other.service":                        "evenkeel adopt --unit other.service web-1",
		"/etc/containers/systemd/db.container": "take it into the repo as services/db/db.container, and write units: [{source: db.container, state: started}] in the service; evenkeel plan then finds it as it is",
		"/etc/containers/systemd/db.env":       "take it over under files of the service whose Quadlet reads it",
		unitFolder + "/ssh.service.d/x.conf":   "take it into the repo and write units: [{source: x.conf, dropIn: ssh.service}] in a service",
	} {
		i := slices.IndexFunc(repo.Alone, func(f Foreign) bool { return f.What == what })
		if i < 0 || repo.Alone[i].Mend != how || repo.Alone[i].Reason == "" {
			t.Errorf("%s is not taken over by %q: %+v", what, how, repo.Alone)
		}
	}
	if strings.Contains(tells(repo), "hunter2") {
		t.Error("the secret is told")
	}
	// Somebody says that it is none.
	repo = adopted([]*world{w}, Wanted{"open"}, Options{Secrets: Secrets{Plain: []string{"DB_*"}}})
	if got := names(repo); len(got) != 1 {
		t.Errorf("%q, %v", got, repo.Alone)
	}
}

func TestAProgramBehindALink(t *testing.T) {
	w := newWorld("web-1")
	w.unit("app.service", "[Service]\nExecStart=/opt/app/current/bin/app\n")
	w.file("/opt/app/releases/1/bin/app", "x", 0o755)
	w.link("/opt/app/current", "releases/1")
	repo := adopted([]*world{w}, nil, Options{})
	want := Tree{Host: "web-1", Link: "/opt/app/current", Target: "/opt/app/releases/1", Folder: true, Source: "artifacts/app.tar.zst"}
	if len(repo.Services) != 1 || !slices.Equal(repo.Services[0].Trees, []Tree{want}) {
		t.Fatalf("%+v", repo.Services)
	}
	if yaml := string(repo.Services[0].YAML(nil)); !strings.Contains(yaml, "  #   - {name: app, source: artifacts/app.tar.zst, path: /opt/app/current}\n") {
		t.Error(yaml)
	}
	same(t, []*world{w}, repo)
}

func TestConfigurationWithSecrets(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		mode   uint32
		hidden bool
	}{
		"nothing in it":      {"level: info\n", 0o644, false},
		"a password":         {"database:\n  password: hunter2hunter\n", 0o644, true},
		"a password in JSON": {"{\n  \"db_password\": \"hunter2hunter\",\n}\n", 0o644, true},
		"a key":              {"-----BEGIN RSA PRIVATE KEY-----\n", 0o644, true},
		"closed":             {"level: info\n", 0o600, true},
	} {
		t.Run(name, func(t *testing.T) {
			ws := ledgers(1)
			ws[0].file("/etc/ledger/ledger.json", tt.text, tt.mode)
			repo := adopted(ws, nil, Options{})
			_, sealed := repo.Secrets["services/ledger/ledger.json.sops"]
			if sealed != tt.hidden || strings.Contains(tells(repo), "hunter2") {
				t.Errorf("encrypted: %v\n%v", sealed, sorted(repo.Files))
			}
			same(t, ws, repo)
		})
	}
}

func TestServiceName(t *testing.T) {
	for want, units := range map[string][]string{
		"ledger": {"ledger.service"}, "app": {"app-web.service", "app-worker.service"}, "a": {"a.service", "b.service"}, "x": {"x.timer"},
		"big-one": {"Big_One.service"}, "job": {"job@.service"}, "service": {"....service"}, "ledger-2": {"ledger.service", "ledger-sync.service"},
	} {
		taken := map[string]bool{"ledger": want == "ledger-2"}
		if got := serviceName(units, taken); got != want {
			t.Errorf("%v: %q, want %q", units, got, want)
		}
	}
}

// What hosts say, whatever it is, makes no path outside of the repo, ends, and puts no
// secret into what is plain.
func FuzzHost(f *testing.F) {
	f.Add("ledger.service", ledgerUnit, "/etc/ledger/ledger.env", "PORT=1\nTOKEN=x\n", "l", "/opt/x")
	f.Add("../../x.service", "[Service]\nEnvironmentFile=/etc/../x.env\nExecStart=/opt/a/../../b", "/etc/x.env", "A='\nTOKEN=\n'", "f", "")
	f.Fuzz(func(t *testing.T, unit, text, file, content, kind, target string) {
		w := newWorld("web-1")
		w.unit("fixed.service", ledgerUnit)
		p := unitFolder + "/" + unit
		if hostdriver.CheckPath(p) == nil {
			w.file(p, text, 0o644)
		}
		w.file("/etc/ledger/ledger.env", content+"\nDB_PASSWORD=canary-7f3a91\n", 0o600)
		if hostdriver.CheckPath(file) == nil {
			w.file(file, content, 0o644)
			if kind == "l" {
				w.link(file, target)
			}
		}
		other := newWorld("web-2")
		for p, st := range w.paths {
			other.paths[p] = st
		}
		other.unit("fixed.service", ledgerUnit)
		other.file("/etc/ledger/ledger.env", text+"\nDB_PASSWORD=canary-7f3a91\n", 0o600)
		repo := adopted([]*world{w, other}, nil, Options{})
		for _, name := range append(sorted(repo.Files), sorted(repo.Secrets)...) {
			if strings.Contains(name, "..") || strings.HasPrefix(name, "/") || hostdriver.HasControl(name) {
				t.Fatalf("it would write %q", name)
			}
		}
		if !strings.Contains(content+text+unit+file+target, "canary") && strings.Contains(tells(repo), "canary-7f3a91") {
			t.Fatalf("the secret is told:\n%s", tells(repo))
		}
	})
}
