package nullspace

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/desired/lint"
	"github.com/evenkeel/evenkeel/desired/secrets"
)

// programs are the services in the order in which they roll, and the program
// that each one runs.
var programs = []struct{ service, program, host string }{
	{"nullspace-simulator", "simulator", "core-1"},
	{"nullspace-node", "node", "core-1"},
	{"nullspace-auth", "auth", "core-1"},
	{"nullspace-gateway", "gateway", "web-1"},
	{"nullspace-website", "website", "web-1"},
	{"nullspace-ops", "ops", "core-1"},
	{"nullspace-economy-snapshot", "economy-snapshot", "core-1"},
}

// Beside the programs there are two services: what every host has, and the website
// as a container.
const (
	hostService      = "nullspace-host"
	containerService = "nullspace-website-podman"
)

func TestServicesHoldTogether(t *testing.T) {
	all := services(t)
	if len(all) != len(programs)+2 {
		t.Errorf("%d services are there, want %d", len(all), len(programs)+2)
	}
	for i, p := range programs {
		spec := all[p.service].Spec
		if all[p.service].Metadata.Name != p.service {
			t.Errorf("%s is named %q", p.service, all[p.service].Metadata.Name)
		}
		for _, before := range spec.After {
			if before == hostService {
				continue
			}
			if at := slices.IndexFunc(programs[:i], func(q struct{ service, program, host string }) bool { return q.service == before }); at < 0 {
				t.Errorf("%s rolls after %q, which is not before it", p.service, before)
			}
		}
		for _, env := range spec.Env {
			if env.Path != "/etc/nullspace/"+p.program+".env" || env.Owner != "root" || env.Group != "root" || env.Mode != "0600" {
				t.Errorf("%s: env file %+v", p.service, env)
			}
		}
		for _, artifact := range spec.Artifacts {
			if artifact.Path != "/opt/nullspace/"+p.program || artifact.Source != "{{ .Vars.artifacts }}/"+p.program {
				t.Errorf("%s: artifact %+v", p.service, artifact)
			}
		}
		var sources []string
		for _, unit := range spec.Units {
			sources = append(sources, unit.Source)
		}
		for _, file := range spec.Files {
			sources = append(sources, file.Source)
		}
		for _, source := range sources {
			if _, err := os.Stat(filepath.Join(repo, "services", p.service, source)); err != nil {
				t.Errorf("%s: %v", p.service, err)
			}
		}
	}
}

// exampleFiles are the fleet repo as make nullspace leaves it.
func exampleFiles(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for _, p := range programs { // what make nullspace builds
		files["dist/"+p.program] = &fstest.MapFile{Data: []byte("\x7fELF"), Mode: 0o755}
	}
	err := fs.WalkDir(os.DirFS(repo), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(name, "dist/") {
			return err
		}
		data, err := os.ReadFile(filepath.Join(repo, name))
		files[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestNothingIsFound: the example keeps to all of evenkeel's own rules.
func TestNothingIsFound(t *testing.T) {
	rev, err := desired.Load(t.Context(), exampleFiles(t), desired.LoadOptions{Decrypter: secrets.NewDecrypter(secrets.Options{IdentityFile: keyFile})})
	if err != nil {
		t.Fatal(err)
	}
	instances := 0
	count := func(_ context.Context, st desired.HostState) []desired.Fault {
		instances += len(st.Instances)
		return nil
	}
	for _, f := range desired.Validate(t.Context(), &rev, lint.New(&rev).Check, count) {
		t.Error(f)
	}
	if instances < len(programs) {
		t.Errorf("%d instances were looked at", instances)
	}
}

func TestEnvFilesRenderOnEveryHost(t *testing.T) {
	t.Setenv("SOPS_AGE_KEY_FILE", keyFile)
	r := readRepo(t)
	if len(r.Hosts) != 5 {
		t.Fatalf("%d hosts are there", len(r.Hosts))
	}
	for _, h := range r.Hosts {
		for _, p := range programs {
			if (p.host[:3] == "web") != (h.Groups[0] == "edge") {
				continue
			}
			if env := r.env(t, p.service, h.Name); env["NULLSPACE_INSTANCE"] != h.Name {
				t.Errorf("%s on %s has %d variables and calls itself %q", p.service, h.Name, len(env), env["NULLSPACE_INSTANCE"])
			}
		}
	}
	for name, want := range map[string]string{"web-1": "20s", "web-3": "40s"} {
		if got := r.env(t, "nullspace-gateway", name)["GATEWAY_GRACE"]; got != want {
			t.Errorf("GATEWAY_GRACE on %s is %q, want %q", name, got, want)
		}
	}
	nodes := "http://192.0.2.21:7102,http://192.0.2.22:7102"
	if got := r.env(t, "nullspace-gateway", "web-1")["GATEWAY_NODES"]; got != nodes {
		t.Errorf("GATEWAY_NODES is %q", got)
	}
	if got := strings.Count(r.env(t, "nullspace-ops", "core-1")["OPS_TARGETS"], "="); got != 2*3+3*2 {
		t.Errorf("OPS_TARGETS names %d targets", got)
	}
}

func TestUnitFiles(t *testing.T) {
	for _, p := range programs {
		content, err := os.ReadFile(filepath.Join(repo, "services", p.service, p.service+".service"))
		if err != nil {
			t.Fatal(err)
		}
		unit := string(content)
		want := []string{
			"After=network.target", "User=nullspace", "WorkingDirectory=/opt/nullspace",
			"EnvironmentFile=/etc/nullspace/" + p.program + ".env", "ExecStart=/opt/nullspace/" + p.program,
			"NoNewPrivileges=yes", "PrivateTmp=yes", "ProtectSystem=strict", "ProtectHome=yes",
		}
		if p.program == "economy-snapshot" {
			want = append(want, "Type=oneshot", "TimeoutStartSec=", "ReadWritePaths=/var/lib/nullspace/economy")
		} else {
			want = append(want, "Restart=on-failure", "RestartSec=5", "WantedBy=multi-user.target", "TimeoutStopSec=")
		}
		if p.program == "gateway" {
			want = append(want, "LimitNOFILE=100000", "ExecReload=/bin/kill -HUP $MAINPID")
		}
		for _, line := range want {
			if !strings.Contains(unit, "\n"+line) {
				t.Errorf("%s lacks %s", p.service, line)
			}
		}
	}
}

// A gateway that is still closing WebSockets must not be killed by systemd.
func TestGatewaysHaveTimeToStop(t *testing.T) {
	t.Setenv("SOPS_AGE_KEY_FILE", keyFile)
	unit, err := os.ReadFile(filepath.Join(repo, "services/nullspace-gateway/nullspace-gateway.service"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(unit)
	if found == nil {
		t.Fatal("the unit has no TimeoutStopSec in seconds")
	}
	limit, err := time.ParseDuration(string(found[1]) + "s")
	if err != nil {
		t.Fatal(err)
	}
	r := readRepo(t)
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		grace, err := time.ParseDuration(r.env(t, "nullspace-gateway", name)["GATEWAY_GRACE"])
		if err != nil || grace+5*time.Second > limit {
			t.Errorf("on %s the grace is %v of %v: %v", name, grace, limit, err)
		}
	}
}

// systemd itself has nothing to say about the units, not even a warning.
func TestSystemdAcceptsTheUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is missing: apt-get install systemd")
	}
	if _, err := os.Stat("/usr/lib/systemd/system/network.target"); err != nil {
		t.Skip("systemd's own units are missing: apt-get install systemd")
	}
	root := t.TempDir()
	install := func(path string, mode os.FileMode, content []byte) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(root, "usr/lib/systemd/system"), os.DirFS("/usr/lib/systemd/system")); err != nil {
		t.Fatal(err)
	}
	install("bin/kill", 0o755, []byte("#!/bin/true\n"))
	for _, p := range programs {
		install("opt/nullspace/"+p.program, 0o755, []byte("#!/bin/true\n"))
	}
	arguments := []string{"verify", "--root=" + root}
	units, err := filepath.Glob(filepath.Join(repo, "services/*/nullspace-*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range units {
		if extension := filepath.Ext(path); extension != ".service" && extension != ".timer" {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		install("etc/systemd/system/"+filepath.Base(path), 0o644, content)
		arguments = append(arguments, filepath.Base(path))
	}
	if len(arguments) != 2+len(programs)+1 {
		t.Errorf("units to verify: %v", arguments[2:])
	}
	said, err := exec.Command("systemd-analyze", arguments...).CombinedOutput()
	if err != nil || len(said) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	}
}

// The balancer's file is well formed and names the edge hosts as evenkeel does.
func TestBalancerKnowsTheEdge(t *testing.T) {
	path := filepath.Join(repo, "lb/haproxy.cfg")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := readRepo(t)
	for _, h := range r.Hosts {
		want := 0
		if h.Groups[0] == "edge" {
			want = 2 // backends
		}
		if got := strings.Count(string(content), "server "+h.Name+" "+h.Address+":"); got != want {
			t.Errorf("the balancer names %s %d times, want %d", h.Name, got, want)
		}
	}
	if address := r.vars(r.Hosts[0])["lb"]; !strings.Contains(string(content), "ipv4@"+address.(string)) {
		t.Errorf("the balancer's runtime API is not at %v", address)
	}
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("haproxy is missing: apt-get install haproxy")
	}
	if said, err := exec.Command("haproxy", "-c", "-f", path).CombinedOutput(); err != nil {
		t.Errorf("haproxy -c: %v\n%s", err, said)
	}
}

// The container serves what the program without one serves, and each edge host runs
// one of the two.
func TestContainerIsTheSameWebsite(t *testing.T) {
	for _, name := range []string{"index.html", "website.env.tmpl"} {
		one, err := os.ReadFile(filepath.Join(repo, "services/nullspace-website", name))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(repo, "services", containerService, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(one) != string(other) {
			t.Errorf("the container's %s is another", name)
		}
	}
	rev, err := desired.Load(t.Context(), exampleFiles(t), desired.LoadOptions{Decrypter: secrets.NewDecrypter(secrets.Options{IdentityFile: keyFile})})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range rev.Inventory.Hosts {
		hs, err := rev.Resolve(t.Context(), h)
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
		_, plain := hs.Instance("nullspace-website")
		_, contained := hs.Instance(containerService)
		edge := h.Labels["role"] == "edge"
		if contained != (edge && h.Labels["runtime"] == "podman") || plain != (edge && !contained) {
			t.Errorf("%s: website %v, container %v", h.Name, plain, contained)
		}
	}
}

// How far a unit is confined, by systemd's own measure: 0 is best.
func TestUnitsAreConfined(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is missing: apt-get install systemd")
	}
	level := regexp.MustCompile(`Overall exposure level for \S+: (\d+\.\d)`)
	for _, p := range programs {
		unit, err := filepath.Abs(filepath.Join(repo, "services", p.service, p.service+".service"))
		if err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command("systemd-analyze", "security", "--offline=true", unit).CombinedOutput()
		found := level.FindSubmatch(said)
		if found == nil {
			t.Fatalf("systemd-analyze security: %v\n%s", err, said)
		}
		if score, err := strconv.ParseFloat(string(found[1]), 64); err != nil || score > 2 {
			t.Errorf("%s has a score of %s", p.service, found[1])
		}
	}
}
