package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// foreigners are what adopt has left alone, each with how it is taken over.
func (s *stage) foreigners(out string) map[string]string {
	s.t.Helper()
	var report struct {
		Alone []struct{ What, Mend string } `json:"leftAlone"`
	}
	if err := json.Unmarshal([]byte(out[max(0, strings.Index(out, "{\n")):]), &report); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	alone := map[string]string{}
	for _, f := range report.Alone {
		alone[f.What] = f.Mend
	}
	return alone
}

// asTold runs a command as adopt names it: in the repo's folder, and nothing added.
func (s *stage) asTold(line string) string {
	s.t.Helper()
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	must(s, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	c.Dir = s.repo
	c.Env = append(os.Environ(), "NO_COLOR=1", "PATH="+bin+":"+os.Getenv("PATH"), "EVENKEEL_SSH_IDENTITY="+s.lab.IdentityFile(), "EVENKEEL_SSH_KNOWNHOSTS="+s.lab.KnownHostsFile())
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// What adopt leaves alone is taken over one by one, by the very words that stand beside it:
// then the plan is empty, no process is another one, and the others are as alone as before.
func TestAdoptTakesOverOneByOne(t *testing.T) {
	s := newHandmade(t, 1)
	h := s.hosts[0]
	s.on(h, "mkdir -p /opt/backup /etc/containers/systemd /etc/systemd/system/ssh.service.d /etc/systemd/system/linked.service.d")
	for name, text := range map[string]string{
		"/opt/backup/backup.service":                     "[Service]\nExecStart=/bin/sleep infinity\n" + install,
		"/etc/containers/systemd/quad.container":         "[Container]\nImage=localhost/quad:1\n" + install,
		"/etc/systemd/system/ssh.service.d/10-nice.conf": "[Service]\nNice=5\n",
	} {
		must(s, h.WriteFile(name, []byte(text), 0o644))
	}
	for name, text := range map[string]string{"/usr/lib/systemd/system-generators/quadlet-stand-in": quadletStandIn, "/usr/local/bin/docker": dockerStandIn} {
		must(s, h.WriteFile(name, []byte(text), 0o755))
	}
	s.on(h, "systemctl link -q /opt/backup/backup.service && systemctl daemon-reload && systemctl enable -q backup && systemctl start backup quad && sleep 1.1")
	key := filepath.Join(t.TempDir(), "fleet.agekey")
	t.Setenv("SOPS_AGE_KEY_FILE", key)
	ids := func() string {
		return s.processes() + s.on(h, "systemctl show -p InvocationID --value backup quad ssh other")
	}
	before := ids()
	alone := s.foreigners(s.adopts(0, h.Name()+"="+h.Address(), "--unit", "ledger", "--age-key", key, "-o", "json"))
	const dropIn, quadlet = "/etc/systemd/system/ssh.service.d/10-nice.conf", "/etc/containers/systemd/quad.container"
	same := func(what string) {
		t.Helper()
		s.run(0, "validate")
		s.run(0, "plan")
		s.run(0, "apply", "--yes")
		if now := ids(); now != before {
			t.Errorf("taking over %s changed the host:\n%s\n\n%s", what, before, now)
		}
	}

	// A unit that was not asked for: the command, as it stands there.
	contains(t, s.asTold(alone["other.service"]), "other.service", "nothing to change")
	same("other.service")

	// A link to elsewhere: on the host what is to be done there, then the command.
	there, here, ok := strings.Cut(strings.TrimPrefix(alone["backup.service"], "on the host: "), "; then ")
	if !ok {
		t.Fatalf("of the link: %q", alone["backup.service"])
	}
	s.on(h, there)
	before = ids() // the link is a file now, and nothing else is
	contains(t, s.asTold(here), "backup.service", "nothing to change")
	same("backup.service")

	// A Quadlet file, and a drop-in of a package's unit: the same bytes in the repo, and the line.
	selector := regexp.MustCompile(`(?m)^  selector:.*\n(   .*\n)*`).FindString(read(t, s, "services/ledger/service.yaml"))
	contains(t, alone[quadlet], "services/quad/quad.container", "units: [{source: quad.container, state: started}]")
	contains(t, alone[dropIn], "units: [{source: 10-nice.conf, dropIn: ssh.service}]")
	for service, file := range map[string]string{"quad": quadlet, "nice": dropIn} {
		_, line, _ := strings.Cut(alone[file], "write ")
		line, _, _ = strings.Cut(line, " in ")
		line, _, _ = strings.Cut(line, " in the service")
		s.file("services/"+service+"/"+filepath.Base(file), s.on(h, "cat "+file)+"\n")
		s.file("services/"+service+"/service.yaml", "apiVersion: evenkeel/v1\nkind: Service\nmetadata: {name: "+service+"}\nspec:\n"+selector+"  "+line+"\n")
		if out, _ := s.run(0, "status"); !strings.Contains(out, service) {
			t.Errorf("the host does not have %s:\n%s", service, out)
		}
		same(file)
	}

	// Nobody else was touched by it: they are what is still left alone.
	now := s.foreigners(s.adopts(0, h.Name(), "--unit", "worker", "--no-artifacts", "-o", "json"))
	var names []string
	for what := range now {
		names = append(names, what)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "report.service report.timer" {
		t.Errorf("what is left alone: %s", got)
	}
	same("worker.service")
}
