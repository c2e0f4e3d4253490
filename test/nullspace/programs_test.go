package nullspace

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is where buildPrograms put the programs, or "" if nobody asked.
var built string

// buildPrograms builds every program the way `make nullspace` does, once.
var buildPrograms = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nullspace")
	if err != nil {
		return "", err
	}
	built = dir
	arguments := []string{
		"build", "-trimpath", "-ldflags", "-s -w -X github.com/evenkeel/evenkeel/test/nullspace/service.Version=1.4.2",
		"-o", dir + string(filepath.Separator),
	}
	for _, p := range programs {
		arguments = append(arguments, "./"+p.program)
	}
	command := exec.Command("go", arguments...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the programs: %w\n%s", err, said)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// process is a program that runs.
type process struct {
	t       *testing.T
	name    string
	command *exec.Cmd
	addr    string
	ended   chan struct{}
	state   error // of the process, once ended
	mu      sync.Mutex
	log     bytes.Buffer
}

var listening = regexp.MustCompile(`msg=listening .*addr=(\S+)`)

// launch starts a program with exactly env and waits until it listens or ends.
func launch(t *testing.T, program string, env map[string]string) *process {
	t.Helper()
	dir, err := buildPrograms()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: program, command: exec.Command(filepath.Join(dir, program)), ended: make(chan struct{})}
	p.command.Env = []string{}
	for key, value := range env {
		p.command.Env = append(p.command.Env, key+"="+value)
	}
	stderr, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(p.ended)
		p.follow(stderr, ready)
		p.state = p.command.Wait()
	}()
	t.Cleanup(func() { _ = p.command.Process.Kill(); <-p.ended })
	select {
	case p.addr = <-ready:
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s neither listens nor ends:\n%s", program, p.said())
	}
	return p
}

func (p *process) follow(stderr io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			ready <- found[1]
		}
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// end sends a signal, waits for the process's end and returns how it ended.
func (p *process) end(signal os.Signal) error {
	p.t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("%s does not end on %v:\n%s", p.name, signal, p.said())
	}
	return p.state
}

// get asks until the status is the one wanted, for 10 seconds at most.
func (p *process) get(path, bearer string, want int) string {
	p.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.addr+path, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+bearer)
		answer, err := client.Do(request)
		if err != nil {
			p.t.Fatalf("%s: %v\n%s", p.name, err, p.said())
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		if answer.StatusCode == want {
			return string(body)
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s%s answers %d %s, want %d", p.name, path, answer.StatusCode, body, want)
		}
	}
}

// The programs run together with the very settings that the fleet repo renders
// for them, except where those name addresses and paths of real hosts.
func TestProgramsRunWithTheRenderedSettings(t *testing.T) {
	t.Setenv("SOPS_AGE_KEY_FILE", keyFile)
	r, all, running := readRepo(t), services(t), map[string]*process{}
	snapshots := t.TempDir()
	start := func(i int, instead map[string]string) *process {
		t.Helper()
		p := programs[i]
		env := r.env(t, p.service, p.host)
		for key := range instead {
			if env[key] == "" {
				t.Errorf("the env file of %s does not set %s", p.service, key)
			}
		}
		maps.Copy(env, instead)
		for _, c := range all[p.service].Spec.Credentials {
			dir := t.TempDir()
			write(t, filepath.Join(dir, c.Name), 0o400, unseal(t, filepath.Join(repo, "services", p.service, c.Source))[oneValue])
			env["CREDENTIALS_DIRECTORY"] = dir
		}
		running[p.program] = launch(t, p.program, env)
		return running[p.program]
	}
	free := "127.0.0.1:0"
	simulator := start(0, map[string]string{"SIMULATOR_LISTEN": free})
	node := start(1, map[string]string{"NODE_LISTEN": free, "NODE_SIMULATOR_URL": "http://" + simulator.addr})
	auth := start(2, map[string]string{"AUTH_LISTEN": free})
	gateway := start(3, map[string]string{
		"GATEWAY_LISTEN": free, "GATEWAY_NODES": "http://" + node.addr,
		"GATEWAY_CONFIG": filepath.Join(repo, "services/nullspace-gateway/gateway.json"),
	})
	website := start(4, map[string]string{"WEBSITE_LISTEN": free, "WEBSITE_ROOT": filepath.Join(repo, "services/nullspace-website")})
	ops := start(5, map[string]string{
		"OPS_LISTEN": free, "OPS_TARGETS": "node=http://" + node.addr + ",auth=http://" + auth.addr,
		"OPS_METRICS": "metrics=http://" + gateway.addr,
	})
	for _, p := range running {
		p.get("/healthz", "", http.StatusOK)
	}
	token := r.env(t, "nullspace-gateway", "web-1")["METRICS_AUTH_TOKEN"]
	if body := gateway.get("/api/world", token, http.StatusOK); !strings.Contains(body, `"void-glass"`) || !strings.Contains(body, `"instance":"core-1"`) {
		t.Errorf("the world by way of the gateway is %s", body)
	}
	if body := gateway.get("/", token, http.StatusOK); !strings.Contains(body, `"version":"1.4.2"`) || !strings.Contains(body, "Mind the gap") {
		t.Errorf("the gateway is %s", body)
	}
	gateway.get("/api/world", "a wrong token", http.StatusUnauthorized)
	if body := website.get("/", "", http.StatusOK); !strings.Contains(body, "void-glass") {
		t.Errorf("the website is %s", body)
	}
	waitForWell(t, ops, 3)

	snapshot := start(6, map[string]string{"SNAPSHOT_SIMULATOR_URL": "http://" + simulator.addr, "SNAPSHOT_DIR": snapshots})
	if <-snapshot.ended; snapshot.state != nil {
		t.Errorf("the snapshot ended with %v:\n%s", snapshot.state, snapshot.said())
	}
	if files, err := filepath.Glob(filepath.Join(snapshots, "economy-*Z.json")); err != nil || len(files) != 1 {
		t.Errorf("snapshots are %v: %v", files, err)
	}
	delete(running, "economy-snapshot")
	for name, p := range running {
		if err := p.end(syscall.SIGTERM); err != nil {
			t.Errorf("%s ended with %v:\n%s", name, err, p.said())
		}
		if said := p.said(); strings.Contains(said, token) || !strings.Contains(said, "msg=stopped") {
			t.Errorf("%s logged:\n%s", name, said)
		}
	}
}

// waitForWell waits until ops finds that many targets, all of them well.
func waitForWell(t *testing.T, ops *process, want int) {
	t.Helper()
	body := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var report struct{ Lines []struct{ Well bool } }
		body = ops.get("/status.json", "", http.StatusOK)
		if err := json.Unmarshal([]byte(body), &report); err != nil {
			t.Fatal(err)
		}
		well := 0
		for _, line := range report.Lines {
			if line.Well {
				well++
			}
		}
		if well == want && len(report.Lines) == want {
			return
		}
	}
	t.Fatalf("ops finds %s", body)
}

func TestGatewayAsAProcess(t *testing.T) {
	config := filepath.Join(t.TempDir(), "gateway.json")
	write(t, config, 0o600, `{"messageOfTheDay":"calm"}`)
	env := func(more ...string) map[string]string {
		values := map[string]string{"METRICS_AUTH_TOKEN": "token-of-this-test", "GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_CONFIG": config}
		for i := 0; i+1 < len(more); i += 2 {
			values[more[i]] = more[i+1]
		}
		return values
	}
	t.Run("without its token it ends with 1 and says so", func(t *testing.T) {
		p := launch(t, "gateway", env("METRICS_AUTH_TOKEN", ""))
		var exit *exec.ExitError
		if !errors.As(p.state, &exit) || exit.ExitCode() != 1 {
			t.Errorf("it ended with %v", p.state)
		}
		if want := "gateway: METRICS_AUTH_TOKEN is not set: add it to the service's env file\n"; p.said() != want {
			t.Errorf("it said %q, want %q", p.said(), want)
		}
	})
	t.Run("SIGHUP loads the settings again", func(t *testing.T) {
		p := launch(t, "gateway", env())
		write(t, config, 0o600, `{"messageOfTheDay":"storm"}`)
		if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.get("/config", "", 200), `"storm"`); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the settings are not loaded:\n%s", p.said())
			}
		}
		if err := p.end(syscall.SIGTERM); err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("with no grace SIGTERM kills it", func(t *testing.T) {
		err := launch(t, "gateway", env("GATEWAY_GRACE", "0")).end(syscall.SIGTERM)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("a startup delay holds back the listener", func(t *testing.T) {
		begun := time.Now()
		p := launch(t, "gateway", env("GATEWAY_STARTUP_DELAY", "300ms"))
		if took := time.Since(begun); p.addr == "" || took < 300*time.Millisecond {
			t.Errorf("it listens on %q after %v", p.addr, took)
		}
	})
}
