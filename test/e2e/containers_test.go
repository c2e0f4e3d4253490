package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/lab/lab"
)

// newContainerStage is a lab of Debian 13 with its podman, `docker` of podman-docker, Compose,
// and a registry on h1 that all hosts pull from.
func newContainerStage(t *testing.T, hosts int) *stage {
	t.Helper()
	lab.Require(t)
	base := lab.Base{Suite: "trixie", Packages: []string{"podman", "crun", "podman-docker", "docker-compose", "docker-registry"}}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	if err := base.Build(ctx, nil); errors.Is(err, lab.ErrArchive) {
		without(t, "%s did without Debian 13's podman: %v", t.Name(), err)
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	s := newBareStageOf(t, lab.Options{Hosts: hosts, Base: base, Containers: true, DiskSize: 3 << 30})
	s.on(s.hosts[0], `printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/docker-registry}}\nhttp: {addr: ":5000"}\n' >/etc/docker/registry/config.yml; systemctl restart docker-registry`)
	for i, h := range s.hosts {
		s.on(h, `mkdir -p /etc/containers/registries.conf.d; printf '[[registry]]\nlocation = "h1:5000"\ninsecure = true\n' >/etc/containers/registries.conf.d/lab.conf`)
		if i > 0 {
			s.on(h, "systemctl disable -q --now docker-registry")
		}
	}
	s.image("1")
	s.image("2")
	return s
}

// image is nullspace's website with one page, put together without any other image and
// pushed to the registry; no host keeps it.
func (s *stage) image(version string) {
	s.t.Helper()
	h := s.hosts[0]
	data, err := os.ReadFile(filepath.Join(root, "examples/nullspace/dist/website"))
	must(s, err)
	must(s, h.WriteFile("/root/image/website", data, 0o755))
	must(s, h.WriteFile("/root/image/srv/index.html", []byte("page "+version+"\n"), 0o644))
	s.on(h, fmt.Sprintf(`tar -C /root/image -c website srv | podman import -q --change 'CMD ["/website"]' --change 'ENV WEBSITE_ROOT=/srv' - h1:5000/web:%[1]s 2>&1 &&
		podman push -q h1:5000/web:%[1]s && podman rmi -f h1:5000/web:%[1]s`, version))
}

// page is what a port of a host answers.
func page(h *lab.Host, port int) string {
	c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(fmt.Sprintf("http://%s:%d/", h.Address(), port))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	return strings.TrimSpace(string(text)) + strings.TrimPrefix(fmt.Sprint(err), "<nil>")
}

// containerPorts are the three ways to run a container, each with its port.
var containerPorts = map[string]int{"quad": 8081, "run": 8082, "stack": 8083}

func containersRepo(s *stage) {
	spec := func(name, units string, files map[string]string) {
		port := containerPorts[name]
		// A drain writes down which images the host had by then.
		files[name+".env"] = fmt.Sprintf("WEBSITE_LISTEN=:%d\nWEBSITE_GRACE=1s\n", port)
		s.spec(name, fmt.Sprintf(`  units:
%s
  env: [{path: /etc/%[2]s/%[2]s.env, source: %[2]s.env}]
  rollout: {minHealthyTime: 200ms, healthyDeadline: 20s}
  drain:
    - command:
        drain: "echo %[2]s $(date +%%s%%N) drain $(for i in 1 2; do podman image exists h1:5000/web:$i && echo $i; done) >>/run/traffic"
        undrain: "echo %[2]s $(date +%%s%%N) undrain >>/run/traffic"
        drained: "true"
  health: [{http: {port: %[3]d, path: /, status: 200}}]
`, units, name, port), files)
	}
	spec("quad", "    - {source: quad.container, state: started}", map[string]string{"quad.container": "[Unit]\nDescription=Website by Quadlet\n[Container]\nImage=h1:5000/web:1\nNetwork=host\nEnvironmentFile=/etc/quad/quad.env\n[Service]\nTimeoutStartSec=60\n" + install})
	spec("run", "    - {source: run.service, enabled: true, state: started}", map[string]string{"run.service": "[Service]\nType=exec\nExecStartPre=-/usr/bin/docker rm -f run\nExecStart=/usr/bin/docker run --rm --name run --network=host --env-file /etc/run/run.env h1:5000/web:1\n" + install})
	spec("stack", "    - {source: stack.service, enabled: true, state: started}\n  files: [{path: /etc/stack/compose.yaml, source: compose.yaml}]", map[string]string{
		"stack.service": "[Unit]\nRequires=podman.socket\nAfter=podman.socket\n[Service]\nType=oneshot\nRemainAfterExit=yes\nWorkingDirectory=/etc/stack\nExecStart=/usr/bin/docker compose up -d --wait\nExecStop=/usr/bin/docker compose down -t 2\n" + install,
		"compose.yaml":  "services:\n  web:\n    image: h1:5000/web:1\n    network_mode: host\n    env_file: /etc/stack/stack.env\n",
	})
}

// TestContainers: containers three ways, with real ones of Debian's podman, from a registry.
func TestContainers(t *testing.T) {
	s := newContainerStage(t, 2)
	containersRepo(s)
	services := []string{"quad", "run", "stack"}
	pages := func(want string) {
		t.Helper()
		for _, h := range s.hosts {
			for name, port := range containerPorts {
				if got := page(h, port); got != want {
					t.Errorf("%s: %s answers %q, want %q", h.Name(), name, got, want)
				}
			}
		}
	}
	ids := func(h *lab.Host) string {
		return s.on(h, "systemctl show -p InvocationID --value quad.service run.service stack.service")
	}
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	pages("page 1")
	for _, h := range s.hosts {
		if got := s.on(h, "systemctl show -p UnitFileState,ActiveState,SourcePath quad.service"); got != "ActiveState=active\nSourcePath=/etc/containers/systemd/quad.container\nUnitFileState=generated" {
			t.Errorf("%s: quad.service is %s", h.Name(), got)
		}
		for _, name := range services {
			out, _ := s.run(0, "explain", h.Name()+"/"+name)
			contains(t, out, "Synced", "Healthy")
		}
	}

	// Another image: pulled before each drain, and one host after the other.
	for _, h := range s.hosts {
		s.on(h, "rm -f /run/traffic; podman image exists h1:5000/web:2 && echo has it >&2 && exit 1; :")
	}
	s.edit("services/quad/quad.container", "web:1", "web:2")
	s.edit("services/run/run.service", "web:1", "web:2")
	s.edit("services/stack/compose.yaml", "web:1", "web:2")
	out, _ := s.run(1, "plan")
	contains(t, out, "restart quad.service", "restart run.service", "restart stack.service")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	pages("page 2")
	type away struct{ from, to string }
	var all [][]away
	for _, h := range s.hosts {
		var spans []away
		for _, name := range services {
			log := strings.Split(s.on(h, "grep '^"+name+" ' /run/traffic"), "\n")
			first, last := strings.Fields(log[0]), strings.Fields(log[len(log)-1])
			if len(first) != 5 || first[2] != "drain" || first[4] != "2" || last[2] != "undrain" {
				t.Fatalf("%s: %s was drained without its image, or not undrained: %v", h.Name(), name, log)
			}
			spans = append(spans, away{first[1], last[1]})
		}
		all = append(all, spans)
	}
	for i, name := range services {
		if a, b := all[0][i], all[1][i]; a.from < b.to && b.from < a.to {
			t.Errorf("%s was away from both hosts at once: %v, %v", name, a, b)
		}
	}

	// Another env file: the container gets it, and the others are left alone.
	before := map[string]string{}
	for _, h := range s.hosts {
		before[h.Name()] = ids(h)
	}
	for _, name := range services {
		s.edit("services/"+name+"/"+name+".env", "GRACE=1s", "GRACE=2s")
	}
	s.run(0, "apply", "--yes", "--service", "quad")
	for _, h := range s.hosts {
		was, is := strings.Fields(before[h.Name()]), strings.Fields(ids(h))
		if was[0] == is[0] || !slices.Equal(was[1:], is[1:]) {
			t.Errorf("%s: %v, then %v", h.Name(), was, is)
		}
	}
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	for _, h := range s.hosts {
		got := s.on(h, `for c in $(podman ps -q); do tr '\0' '\n' </proc/$(podman inspect -f '{{.State.Pid}}' $c)/environ | grep GRACE; done | sort | uniq -c`)
		if got != "3 WEBSITE_GRACE=2s" {
			t.Errorf("%s: the containers have %s", h.Name(), got)
		}
	}

	// What cannot be had, or made, is refused with nothing disturbed.
	h := s.hosts[0]
	still := func(what string) {
		t.Helper()
		for _, h := range s.hosts {
			if got := ids(h); got != before[h.Name()] {
				t.Errorf("%s: %s disturbed it", h.Name(), what)
			}
			if got := s.on(h, "cat /run/traffic 2>/dev/null; :"); got != "" {
				t.Errorf("%s: %s drained it: %s", h.Name(), what, got)
			}
		}
	}
	for _, h := range s.hosts {
		before[h.Name()] = ids(h)
		s.on(h, "rm /run/traffic")
	}
	s.edit("services/stack/compose.yaml", "web:2", "web:9")
	out, errs := s.run(2, "apply", "--yes")
	contains(t, out+errs, "docker cannot pull the image h1:5000/web:9", "manifest unknown", "not done")
	s.edit("services/stack/compose.yaml", "web:9", "web:2")
	still("an image that no registry has")
	s.edit("services/quad/quad.container", "Network=host\n", "Network=host\nNonsense=1\n")
	out, errs = s.run(2, "apply", "--yes")
	contains(t, out+errs, "podman's generator makes no unit of it", "Nonsense", "[quadlet-refused]")
	s.edit("services/quad/quad.container", "Nonsense=1\n", "")
	still("a Quadlet file that podman refuses")
	s.run(0, "plan")

	// A Quadlet file may call its service otherwise.
	s.spec("named", "  units: [{source: named.container, state: started}]\n  rollout: {minHealthyTime: 200ms}\n  health: [{http: {port: 8084, path: /, status: 200}}]\n", map[string]string{
		"named.container": "[Container]\nImage=h1:5000/web:2\nServiceName=shown\nNetwork=host\nEnvironment=WEBSITE_LISTEN=:8084\n" + install})
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	for _, h := range s.hosts {
		if got := s.on(h, "systemctl show -p UnitFileState,ActiveState --value shown.service; systemctl is-active named.service; :"); got != "active\ngenerated\ninactive" || page(h, 8084) != "page 2" {
			t.Errorf("%s: shown.service is %s, and answers %s", h.Name(), got, page(h, 8084))
		}
	}
	s.edit("services/named/named.container", "web:2", "web:1")
	out, _ = s.run(1, "plan")
	contains(t, out, "restart shown.service")
	s.run(0, "apply", "--yes")
	s.remove("services/named")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	if got := s.on(h, "systemctl is-active shown.service; cd /etc/containers/systemd && ls -p | grep -v /; podman ps --format '{{.Names}}' | grep -c named; :"); got != "inactive\nquad.container\n0" {
		t.Errorf("left of it: %s", got)
	}
	s.exampleContainer(h)

	// A hand stops them: drift, put right by the same path.
	s.on(h, "systemctl stop quad run stack")
	out, _ = s.run(1, "plan")
	contains(t, out, "start   quad.service", "start   run.service", "start   stack.service", "is not running")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
	pages("page 2")

	// What is wrong, as the real podman says it.
	s.explainsContainers(h)
}

// exampleContainer has the website of examples/nullspace run as its Quadlet file says, with an
// image of the lab's registry.
func (s *stage) exampleContainer(h *lab.Host) {
	s.t.Helper()
	const name = "nullspace-website-podman"
	from := filepath.Join(root, "examples/nullspace/services", name)
	for _, file := range []string{name + ".container", "website.env.tmpl", "index.html", "service.yaml"} {
		data, err := os.ReadFile(filepath.Join(from, file))
		must(s, err)
		s.file("services/"+name+"/"+file, string(data))
	}
	program, err := os.ReadFile(filepath.Join(root, "examples/nullspace/dist/website"))
	must(s, err)
	s.file("dist/website", string(program))
	dir := "services/" + name + "/"
	s.edit(dir+name+".container", "docker.io/library/busybox:1.37", "h1:5000/web:1")
	s.edit(dir+"service.yaml", "selector:\n    matchLabels: {role: edge, runtime: podman}\n  after: [nullspace-gateway]", "selector: {matchLabels: {role: units}}")
	s.edit(dir+"service.yaml", "{{ .Vars.artifacts }}", "dist")
	s.edit(dir+"service.yaml", "port: 8081", "port: 8085")
	s.edit(dir+"service.yaml", "  drain:\n    - haproxy: {address: \"tcp://{{ .Vars.lb }}\", backend: website, server: \"{{ .Host.Name }}\", timeout: 10s}\n", "")
	s.edit(dir+"website.env.tmpl", ":8081", ":8085")
	s.run(0, "apply", "--yes", "--host", h.Name())
	s.run(0, "plan", "--host", h.Name())
	contains(s.t, page(h, 8085), "nullspace")
	contains(s.t, s.on(h, `pid=$(podman inspect -f '{{.State.Pid}}' systemd-`+name+`); grep -E '^(CapEff|NoNewPrivs|Uid):' /proc/$pid/status | tr -s '\t\n' ' '`), "Uid: 65534", "CapEff: 0000000000000000", "NoNewPrivs: 1")
	s.remove("services/" + name)
	s.run(0, "apply", "--yes")
}

// explainsContainers breaks each of the three ways on a host.
func (s *stage) explainsContainers(h *lab.Host) {
	s.t.Helper()
	explained := func(service, breaks string, want ...string) {
		s.t.Helper()
		s.on(h, breaks)
		s.eventually(20*time.Second, service+" is explained", func() bool {
			out, _ := s.exit([]int{0, 1}, "explain", h.Name()+"/"+service)
			return !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(out, w) })
		})
	}
	s.on(h, "systemctl stop docker-registry")
	explained("quad", "systemctl stop quad; podman rmi -f h1:5000/web:2 >/dev/null 2>&1; systemctl start quad; :", "the container image h1:5000/web:2 is not on the host, and cannot be pulled", "podman pull h1:5000/web:2")
	s.on(h, "systemctl start docker-registry; systemctl reset-failed quad; :")
	explained("run", "systemctl stop run; sed -i /rm.-f/d /etc/systemd/system/run.service; systemctl daemon-reload; podman create --name run h1:5000/web:2 >/dev/null 2>&1; systemctl start run; :", "a container of that name is left over: run", "rm -f run")
	s.on(h, "podman rm -f run; systemctl reset-failed run; :")
	explained("stack", "systemctl stop stack podman.socket podman.service; systemctl mask --runtime -q podman.socket; sed -i /podman.socket/d /etc/systemd/system/stack.service; systemctl daemon-reload; systemctl start stack; :", "podman does not listen where Compose asks it (unix:///run/podman/podman.sock)", "systemctl enable --now podman.socket")
	s.on(h, "systemctl unmask --runtime -q podman.socket; systemctl reset-failed stack; :")
	s.run(0, "apply", "--yes")
	s.run(0, "plan")
}

// A podman without a generator (Debian 12 has 4.3) takes no Quadlet file: that is found while
// the host still serves, and explained where somebody has put one there.
func TestQuadletWithoutGenerator(t *testing.T) {
	lab.Require(t)
	base := lab.Base{Suite: "bookworm", Packages: []string{"podman", "crun"}}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	if err := base.Build(ctx, nil); errors.Is(err, lab.ErrArchive) {
		without(t, "%s did without Debian 12's podman: %v", t.Name(), err)
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	s := newBareStageOf(t, lab.Options{Hosts: 1, Base: base, Containers: true})
	h := s.hosts[0]
	must(s, h.WriteFile("/root/image/none", []byte("none\n"), 0o755))
	s.on(h, "tar -C /root/image -c none | podman import -q - localhost/web:1")
	drain := "  drain: [{command: {drain: \"echo drained >>/run/drains\", undrain: \"true\", drained: \"true\"}}]\n"
	old := "  units:\n    - {source: old.service, enabled: true, state: started}\n"
	s.spec("web", old+drain, map[string]string{"old.service": "[Service]\n" + sleeps + install})
	s.run(0, "apply", "--yes")
	before := s.on(h, "systemctl show -p InvocationID --value old; rm -f /run/drains")

	const quadlet = "[Container]\nImage=localhost/web:1\nNetwork=host\n" + install
	s.spec("web", old+"    - {source: quad.container, state: started}\n"+drain, map[string]string{
		"old.service": "[Service]\nEnvironment=A=2\n" + sleeps + install, "quad.container": quadlet})
	out, errs := s.run(2, "apply", "--yes")
	contains(t, out+errs, "quad.service: Quadlet file /etc/containers/systemd/quad.container: nothing on the host makes a unit of it: its podman (podman version 4.3",
		"[quadlet-generator-missing]", "install podman 4.4 or later there", "not done: h1")
	if after := s.on(h, "systemctl show -p InvocationID --value old; ls /run/drains /etc/containers/systemd/quad.container 2>/dev/null; :"); after != before {
		t.Errorf("it was disturbed: %s, then %s", before, after)
	}

	s.on(h, "mkdir -p /etc/containers/systemd; systemctl daemon-reload")
	must(s, h.WriteFile("/etc/containers/systemd/quad.container", []byte(quadlet), 0o644))
	out, _ = s.exit([]int{0, 1}, "explain", "h1/web")
	contains(t, out, "no unit is made of /etc/containers/systemd/quad.container, which is there", "podman --version", "its podman (podman version 4.3")
}
