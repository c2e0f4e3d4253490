package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// newBareStage is a lab without a balancer, and an empty fleet repo.
func newBareStage(t *testing.T, hosts int) *stage {
	t.Helper()
	return newBareStageOf(t, lab.Options{Hosts: hosts})
}

// newBareStageOf is newBareStage, on hosts of another kind.
func newBareStageOf(t *testing.T, o lab.Options) *stage {
	t.Helper()
	lab.Require(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := lab.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &stage{t: t, lab: l, repo: t.TempDir(), hosts: l.Hosts()}
	s.file("fleet.yaml", "apiVersion: evenkeel/v1\nkind: Fleet\nmetadata: {name: units}\nspec: {rollout: {minHealthyTime: 100ms, healthyDeadline: 15s}}\n")
	inv := "apiVersion: evenkeel/v1\nkind: Inventory\nmetadata: {name: all}\nspec:\n  hosts:\n"
	for _, h := range s.hosts {
		inv += fmt.Sprintf("    - {name: %s, address: %s, labels: {role: units}}\n", h.Name(), h.Address())
	}
	s.file("inventory/hosts.yaml", inv)
	return s
}

// spec writes a service with its files.
func (s *stage) spec(name, spec string, files map[string]string) {
	s.t.Helper()
	s.file("services/"+name+"/service.yaml", fmt.Sprintf("apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: %s}\nspec:\n  selector: {matchLabels: {role: units}}\n%s", name, spec))
	for file, text := range files {
		s.file("services/"+name+"/"+file, text)
	}
}

// edit replaces text in a file of the fleet repo.
func (s *stage) edit(name, old, now string) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.repo, name))
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		s.t.Fatalf("no %q in %s", old, name)
	}
	s.file(name, strings.Replace(string(data), old, now, 1))
}

const (
	sleeps  = "ExecStart=/bin/sleep infinity\n"
	install = "[Install]\nWantedBy=multi-user.target\n"
)

// quadletStandIn does what podman's generator does as far as systemd sees it: no podman is
// needed to show how a generated unit is handled.
const quadletStandIn = `#!/bin/sh
for f in /etc/containers/systemd/*.container; do
	[ -e "$f" ] || exit 0
	name=$(basename "$f" .container)
	image=$(sed -n 's/^Image=//p' "$f")
	printf '[Unit]\nSourcePath=%s\n[Service]\nEnvironment=IMAGE=%s\nExecStart=/usr/local/bin/docker run %s\n' "$f" "$image" "$image" >"$1/$name.service"
	if grep -q '^WantedBy=multi-user.target' "$f"; then
		mkdir -p "$1/multi-user.target.wants"
		ln -sf "../$name.service" "$1/multi-user.target.wants/$name.service"
	fi
done
`

// dockerStandIn is a docker whose containers are processes of its own.
const dockerStandIn = "#!/bin/sh\ncase \"$1 $2\" in\n'compose up'|'compose down') echo \"$@\" >>/run/compose.log ;;\nrun*) exec sleep infinity ;;\nesac\n"

func (s *stage) kindsRepo() {
	s.spec("db", "  units: [{source: db.service, enabled: true, state: started}]\n",
		map[string]string{"db.service": "[Unit]\nDescription=DB\n[Service]\n" + sleeps + install})
	s.spec("app", "  units: [{source: app.service, enabled: true, state: started}, {source: side.service, enabled: true, state: started}]\n", map[string]string{
		"app.service":  "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\n" + sleeps + install,
		"side.service": "[Unit]\nPartOf=app.service\nAfter=app.service\n[Service]\n" + sleeps + install,
	})
	s.spec("kinds", `  units:
    - {source: tick.service}
    - {source: tick.timer, enabled: true, state: started}
    - {source: sock.socket, enabled: true, state: started}
    - {source: sock.service, state: started}
    - {source: watch.path, enabled: true, state: started}
    - {source: watch.service}
    - {source: srv-data.mount, enabled: true, state: started}
    - {source: data.service, enabled: true, state: started}
    - {source: all.target, enabled: true, state: started}
    - {source: big.slice, state: started}
    - {source: inbig.service, enabled: true, state: started}
    - {source: "many@.service"}
    - {source: many.conf, dropIn: "many@.service"}
    - {source: b.conf, dropIn: "many@b.service"}
    - {name: "many@a.service", enabled: true, state: started}
    - {name: "many@b.service", enabled: true, state: started}
    - {source: linked.service, enabled: true, state: started}
    - {source: off.service, enabled: true, state: stopped}
    - {source: once.service, enabled: false, state: started}
`, map[string]string{
		"tick.service":   "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo tick >>/run/tick'\n",
		"tick.timer":     "[Timer]\nOnCalendar=daily\nPersistent=no\n[Install]\nWantedBy=timers.target\n",
		"sock.socket":    "[Socket]\nListenStream=/run/sock.sock\n[Install]\nWantedBy=sockets.target\n",
		"sock.service":   "[Service]\n" + sleeps,
		"watch.path":     "[Path]\nPathModified=/run/watched\n" + install,
		"watch.service":  "[Service]\nType=oneshot\nExecStart=/bin/true\n",
		"srv-data.mount": "[Mount]\nWhat=tmpfs\nWhere=/srv/data\nType=tmpfs\nOptions=size=1M\n" + install,
		"data.service":   "[Unit]\nRequiresMountsFor=/srv/data\n[Service]\n" + sleeps + install,
		"all.target":     "[Unit]\nDescription=All\n" + install,
		"big.slice":      "[Slice]\nTasksMax=100\n",
		"inbig.service":  "[Unit]\nPartOf=all.target\n[Service]\nSlice=big.slice\n" + sleeps + install,
		"many@.service":  "[Service]\nEnvironment=ME=%i\n" + sleeps + install,
		"many.conf":      "[Service]\nEnvironment=ALL=1\n",
		"b.conf":         "[Service]\nEnvironment=B=1\n",
		"linked.service": "[Service]\n" + sleeps + "[Install]\nAlias=other.service\nWantedBy=multi-user.target\n",
		"off.service":    "[Service]\n" + sleeps + install,
		"once.service":   "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
	})
	s.spec("containers", `  units:
    - {source: run.service, enabled: true, state: started}
    - {source: compose.service, enabled: true, state: started}
    - {source: quad.container, state: started}
  files: [{path: /etc/stack/compose.yaml, source: compose.yaml}]
`, map[string]string{
		"run.service":     "[Service]\nExecStart=/usr/local/bin/docker run --rm --name run localhost/run:1\n" + install,
		"compose.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nWorkingDirectory=/etc/stack\nExecStart=/usr/local/bin/docker compose up -d\nExecStop=/usr/local/bin/docker compose down\n" + install,
		"compose.yaml":    "services: {web: {image: localhost/web:1}}\n",
		"quad.container":  "[Container]\nImage=localhost/quad:1\n" + install,
	})
}

// kindCase is one change in the fleet repo, and whom it disturbs.
type kindCase struct {
	what, file, old, now string
	disturbs             []string // units whose process is another one afterwards
	plan                 []string // words of the plan
}

var kindCases = []kindCase{
	{"a comment in a unit file", "db/db.service", "[Service]", "# more words\n[Service]", nil, []string{"/etc/systemd/system/db.service", "only what no process depends on changes"}},
	{"a description", "db/db.service", "Description=DB", "Description=The DB", nil, []string{"only what no process depends on changes"}},
	{"a service that others require", "db/db.service", "infinity", "100000", []string{"db.service", "app.service", "side.service"},
		[]string{"restart db.service", "restart app.service", "restart side.service", "taken along: db.service is restarted"}},
	{"a service that requires others", "app/app.service", "infinity", "100000", []string{"app.service", "side.service"}, []string{"taken along: app.service is restarted"}},
	{"a part of another", "app/side.service", "infinity", "100000", []string{"side.service"}, nil},
	{"a timer", "kinds/tick.timer", "daily", "weekly", []string{"tick.timer"}, []string{"restart tick.timer"}},
	{"what a timer starts", "kinds/tick.service", "echo tick", "echo tock", nil, nil},
	{"a socket whose service runs", "kinds/sock.socket", "sock.sock", "other.sock", []string{"sock.socket", "sock.service"}, []string{"taken along: sock.socket is restarted"}},
	{"a path", "kinds/watch.path", "/run/watched", "/run/other", []string{"watch.path"}, nil},
	{"a mount that a service needs", "kinds/srv-data.mount", "size=1M", "size=2M", []string{"srv-data.mount", "data.service"}, []string{"taken along: srv-data.mount is restarted"}},
	{"a target with parts", "kinds/all.target", "[Install]", "[Unit]\nWants=once.service\n[Install]", []string{"all.target", "inbig.service"}, []string{"taken along: all.target is restarted"}},
	{"a slice", "kinds/big.slice", "100", "200", []string{"big.slice", "inbig.service"}, []string{"taken along: big.slice is restarted"}},
	{"a template", "kinds/many@.service", "ME=", "ME=x", []string{"many@a.service", "many@b.service"}, nil},
	{"a template's drop-in", "kinds/many.conf", "1", "2", []string{"many@a.service", "many@b.service"}, nil},
	{"an instance's drop-in", "kinds/b.conf", "1", "2", []string{"many@b.service"}, nil},
	{"docker run", "containers/run.service", "run:1", "run:2", []string{"run.service"}, nil},
	{"a compose file", "containers/compose.yaml", "web:1", "web:2", []string{"compose.service"}, nil},
	{"a Quadlet file", "containers/quad.container", "quad:1", "quad:2", []string{"quad.service"}, nil},
	{"a Quadlet file's comment", "containers/quad.container", "[Container]", "# words\n[Container]", nil, nil},
}

// Every kind of unit is brought, kept and changed, and a change disturbs whom the plan has
// told, and nobody else. Containers are shown with stand-ins for docker and for podman's
// generator.
func TestUnitKinds(t *testing.T) {
	s := newBareStage(t, 1)
	h := s.hosts[0]
	for name, text := range map[string]string{"/usr/local/bin/docker": dockerStandIn, "/usr/local/bin/podman": "#!/bin/sh\n# It has every image.\n", "/usr/lib/systemd/system-generators/quadlet-stand-in": quadletStandIn} {
		if err := h.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.kindsRepo()
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	is := func(property, unit, want string) {
		t.Helper()
		if got := s.on(h, "systemctl show -p "+property+" --value "+unit); got != want {
			t.Errorf("%s of %s is %q, want %q", property, unit, got, want)
		}
	}
	for unit, state := range map[string]string{"tick.timer": "enabled active", "sock.socket": "enabled active", "sock.service": "static active", "watch.path": "enabled active",
		"srv-data.mount": "enabled active", "all.target": "enabled active", "big.slice": "static active", "many@a.service": "enabled active", "many@b.service": "enabled active",
		"linked.service": "enabled active", "off.service": "enabled inactive", "once.service": "static active", "quad.service": "generated active", "compose.service": "enabled active", "tick.service": "static inactive"} {
		file, active, _ := strings.Cut(state, " ")
		is("UnitFileState", unit, file)
		is("ActiveState", unit, active)
	}
	is("Environment", "many@b.service", "ME=b B=1 ALL=1")

	units := strings.Fields("db.service app.service side.service tick.timer sock.socket sock.service watch.path srv-data.mount data.service all.target big.slice inbig.service " +
		"many@a.service many@b.service linked.service once.service run.service compose.service quad.service")
	ids := func() map[string]string {
		out := map[string]string{}
		for i, id := range strings.Fields(s.on(h, "systemctl show -p InvocationID --value "+strings.Join(units, " "))) {
			out[units[i]] = id
		}
		return out
	}
	before := ids()
	for _, c := range kindCases {
		s.edit("services/"+c.file, c.old, c.now)
		plan, _ := s.run(1, "plan")
		contains(t, plan, c.plan...)
		s.run(0, "apply", "--yes")
		after := ids()
		var disturbed []string
		for _, u := range units {
			if after[u] != before[u] {
				disturbed = append(disturbed, u)
			}
		}
		want := slices.Clone(c.disturbs)
		slices.Sort(want)
		slices.Sort(disturbed)
		if !slices.Equal(disturbed, want) {
			t.Errorf("%s: %v have another process, want %v; the plan was\n%s", c.what, disturbed, want, plan)
		}
		if out, _ := s.run(0, "plan"); t.Failed() {
			t.Fatalf("after %s:\n%s", c.what, out)
		}
		before = after
	}
	// Once each: who is taken along is not restarted a second time.
	for unit, n := range map[string]string{"app.service": "3", "side.service": "4"} {
		if got := s.on(h, "journalctl -q -o cat -u "+unit+" | grep -c '^Started '"); got != n {
			t.Errorf("%s was started %s times, want %s", unit, got, n)
		}
	}
	is("Environment", "quad.service", "IMAGE=localhost/quad:2")
	if got := s.on(h, "cat /run/compose.log"); got != "compose up -d\ncompose down\ncompose up -d" {
		t.Errorf("compose was told %q", got)
	}
	is("Listen", "sock.socket", "/run/other.sock (Stream)")

	// A comment, and a process that systemd has started anew meanwhile: no record of its start.
	s.on(h, "systemctl restart db.service; sleep 0.2")
	before = ids()
	s.edit("services/db/db.service", "# more words", "# other words")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	if after := ids(); after["db.service"] != before["db.service"] {
		t.Error("db.service was restarted for a comment")
	}

	// What [Install] says is carried out, taken back by an undo, and put right where a hand has changed it.
	linked := func(want string) {
		t.Helper()
		if got := s.on(h, "cd /etc/systemd/system; ls -d */db.service store.service 2>/dev/null | tr '\\n' ' '; :"); got != want {
			t.Errorf("db.service is linked at %q, want %q", got, want)
		}
	}
	before = ids()
	linked("multi-user.target.wants/db.service")
	s.edit("services/db/db.service", install, "[Install]\nWantedBy=graphical.target\nAlias=store.service\n")
	linksPlan, _ := s.run(1, "plan")
	contains(t, linksPlan, "WantedBy=: multi-user.target → graphical.target, Alias=: none → store.service")
	s.run(0, "apply", "--yes")
	linked("graphical.target.wants/db.service store.service")
	s.on(h, "systemctl add-wants -q rescue.target db.service 2>/dev/null; rm /etc/systemd/system/store.service; systemctl daemon-reload")
	linksPlan, _ = s.run(1, "plan")
	contains(t, linksPlan, "WantedBy=: graphical.target rescue.target → graphical.target, Alias=: none → store.service")
	s.run(0, "apply", "--yes")
	linked("graphical.target.wants/db.service store.service")
	s.run(0, "plan")
	s.edit("services/db/db.service", "[Install]\nWantedBy=graphical.target\nAlias=store.service\n", install)
	s.run(0, "apply", "--yes")
	linked("multi-user.target.wants/db.service")
	if after := ids(); after["db.service"] != before["db.service"] {
		t.Error("db.service was restarted for its [Install]")
	}

	// Enabled and started are two things, and each is kept.
	s.on(h, "systemctl disable -q tick.timer off.service; systemctl stop many@a.service; systemctl start off.service; systemctl enable -q once.service 2>/dev/null; :")
	plan, _ := s.run(1, "plan")
	contains(t, plan, "tick.timer", "off.service", "many@a.service")
	s.run(0, "apply", "--yes")
	for _, u := range []string{"tick.timer enabled active", "off.service enabled inactive", "many@a.service enabled active"} {
		f := strings.Fields(u)
		is("UnitFileState", f[0], f[1])
		is("ActiveState", f[0], f[2])
	}
	s.timerTold(h)
	s.dependentsProven(h)
}

// timerTold: a timer's last and next run are shown, and a last run that has failed makes the
// instance Degraded, although its units are as they should be.
func (s *stage) timerTold(h *lab.Host) {
	s.t.Helper()
	out, _ := s.run(0, "explain", h.Name()+"/kinds")
	contains(s.t, out, "has not run yet, next in ")
	s.edit("services/kinds/tick.timer", "OnCalendar=weekly", "OnCalendar=weekly\nOnActiveSec=1s\nAccuracySec=1ms")
	s.edit("services/kinds/tick.service", "echo tock >>/run/tick", "echo tock >>/run/tick; exit 3")
	s.run(0, "apply", "--yes")
	s.eventually(20*time.Second, "the timer's run has failed", func() bool { return s.on(h, "systemctl is-failed tick.service; :") == "failed" })
	s.run(0, "plan")
	out, _ = s.run(0, "status")
	contains(s.t, out, "Degraded", "the last run of tick.service, which tick.timer starts, has failed (exit status 3)")
	out, _ = s.exit([]int{0, 1}, "explain", h.Name()+"/kinds")
	contains(s.t, out, "last run ", " ago (", "next in ")
	s.edit("services/kinds/tick.service", "; exit 3", "")
	s.run(0, "apply", "--yes")
	s.on(h, "systemctl start tick.service")
	out, _ = s.run(0, "status")
	if strings.Contains(out, "Degraded") {
		s.t.Errorf("the last run went well:\n%s", out)
	}
}

// dependentsProven: what is restarted with a service is proven as the service is; where it does
// not come back, the change goes back.
func (s *stage) dependentsProven(h *lab.Host) {
	s.t.Helper()
	s.edit("services/app/app.service", "[Service]\n", "[Service]\nType=exec\nExecStartPre=/bin/sh -c '! pgrep -fx \"/bin/sleep 200000\"'\n")
	s.edit("services/db/db.service", "[Service]\n", "[Service]\nType=exec\n")
	s.run(0, "apply", "--yes")
	was := s.on(h, "cat /etc/systemd/system/db.service")
	s.edit("services/db/db.service", "100000", "200000")
	out, errs := s.run(6, "apply", "--yes")
	contains(s.t, out+errs, "app.service", "reverted")
	if now := s.on(h, "cat /etc/systemd/system/db.service; systemctl is-active db app side"); now != was+"\nactive\nactive\nactive" {
		s.t.Errorf("after a change by which a dependent does not come back there is\n%s", now)
	}
}
