package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/controller"
	"github.com/evenkeel/evenkeel/controller/api/client"
)

// keel is a controller that runs, with the git repository that it keeps the stage's
// hosts by.
type keel struct {
	*stage
	dir    string // configuration, store, socket, bare repository
	secret string
	c      *exec.Cmd
	mu     sync.Mutex
	log    bytes.Buffer
	ended  chan struct{}
	n      int
}

func (k *keel) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(b)
}

func (k *keel) logged() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.String()
}

// newKeel is a stage whose repo is in git, and a controller that has brought it out.
func newKeel(t *testing.T, hosts int) *keel {
	t.Helper()
	return newKeelOn(newStage(t, hosts))
}

func newKeelOn(s *stage) *keel {
	s.t.Helper()
	k := &keel{stage: s, secret: "a-secret-of-hooks-for-tests"}
	k.dir = s.t.TempDir()
	k.git(k.repo, "init", "-q", "-b", "main")
	k.git(k.dir, "init", "-q", "--bare", "-b", "main", "fleet.git")
	k.git(k.repo, "remote", "add", "origin", filepath.Join(k.dir, "fleet.git"))
	must(k.stage, os.WriteFile(filepath.Join(k.dir, "hook"), []byte(k.secret+"\n"), 0o600))
	k.configure("")
	k.push("first")
	k.start()
	k.reconciled()
	k.serving(len(k.hosts))
	return k
}

// configure writes the controller's configuration, with further lines.
func (k *keel) configure(more string) {
	k.t.Helper()
	must(k.stage, os.WriteFile(filepath.Join(k.dir, "evenkeel.yaml"), fmt.Appendf(nil, `name: keel-1
git: {url: "file://%[1]s/fleet.git", branch: main, poll: 10s}
ssh: {user: deploy, become: true, identity: [%[2]q], knownHosts: [%[3]q]}
store: {path: %[1]s/state/evenkeel.db}
api: {listen: "127.0.0.1:0", socket: %[1]s/ek.sock}
webhook: {secret: %[1]s/hook}
log: {level: info}
stopWithin: 30s
%[4]s`, k.dir, k.lab.IdentityFile(), k.lab.KnownHostsFile(), more), 0o600))
}

func (k *keel) git(dir string, args ...string) string {
	k.t.Helper()
	c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=ops", "-c", "user.email=ops@example.com"}, args...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		k.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits the stage's repo, pushes it, and returns the commit.
func (k *keel) push(message string, force ...string) string {
	k.t.Helper()
	k.git(k.repo, "add", "-A")
	k.git(k.repo, "commit", "-q", "--allow-empty", "-m", message)
	k.git(k.repo, append([]string{"push", "-q", "origin", "main"}, force...)...)
	return k.git(k.repo, "rev-parse", "HEAD")
}

// start starts the controller and waits until it answers.
func (k *keel) start() {
	k.t.Helper()
	k.c = exec.Command(filepath.Join(root, "bin/evenkeel"), "serve", "--config", filepath.Join(k.dir, "evenkeel.yaml"))
	k.c.Stdout, k.c.Stderr = k, k
	ended := make(chan struct{})
	k.ended = ended
	must(k.stage, k.c.Start())
	c := k.c
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	k.t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
		if k.t.Failed() {
			k.t.Logf("the controller's log:\n%.20000s", k.logged())
		}
	})
	k.eventually(20*time.Second, "the controller answers", func() bool { _, err := k.ask("status"); return err == nil })
}

// kill is kill -9; stop is SIGTERM.
func (k *keel) kill() {
	_ = k.c.Process.Kill()
	<-k.ended
}

func (k *keel) stop() {
	k.t.Helper()
	must(k.stage, k.c.Process.Signal(syscall.SIGTERM))
	select {
	case <-k.ended:
	case <-time.After(45 * time.Second):
		k.t.Fatal("it does not end after SIGTERM")
	}
}

// ask runs a verb against the controller.
func (k *keel) ask(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(root, "bin/evenkeel"), append(args, "--server", "unix://"+filepath.Join(k.dir, "ek.sock"))...)
	c.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := c.CombinedOutput()
	return string(out), err
}

// says is ask for what must go well.
func (k *keel) says(args ...string) string {
	k.t.Helper()
	out, err := k.ask(args...)
	if err != nil {
		k.t.Errorf("evenkeel %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// snapshot is the controller's, by its socket.
func (k *keel) snapshot() (controller.Snapshot, error) {
	c, err := client.New(client.Options{URL: "unix://" + filepath.Join(k.dir, "ek.sock")})
	must(k.stage, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.Snapshot(ctx)
}

// sees waits until the controller's Snapshot is so.
func (k *keel) sees(within time.Duration, what string, ok func(controller.Snapshot) bool) {
	k.t.Helper()
	k.eventually(within, what, func() bool {
		s, err := k.snapshot()
		return err == nil && ok(s)
	})
}

// reconciled waits until the controller has brought the tip out.
func (k *keel) reconciled() {
	k.t.Helper()
	tip := k.git(k.repo, "rev-parse", "HEAD")
	k.sees(90*time.Second, "the fleet is as "+tip+" wants it", func(s controller.Snapshot) bool {
		c := s.Conditions.Get(controller.Reconciled)
		return s.Source.Revision == tip && c.Status == controller.True && c.ObservedRevision == tip && (s.Rollout == nil || !s.Rollout.Ended.IsZero())
	})
}

// hook sends a signed hook, as a post-receive script does.
func (k *keel) hook() {
	k.t.Helper()
	body := fmt.Appendf(nil, `{"ref":"refs/heads/main","commit":"%s-%d"}`, k.git(k.repo, "rev-parse", "HEAD"), k.n)
	k.n++
	at := time.Now().Unix()
	mac := hmac.New(sha256.New, []byte(k.secret))
	fmt.Fprintf(mac, "%d.", at)
	mac.Write(body)
	req, err := http.NewRequest(http.MethodPost, "http://"+k.address()+"/webhook/generic", bytes.NewReader(body))
	must(k.stage, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Evenkeel-Signature", fmt.Sprintf("t=%d,v1=%s", at, hex.EncodeToString(mac.Sum(nil))))
	resp, err := http.DefaultClient.Do(req)
	must(k.stage, err)
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		k.t.Fatalf("the hook was answered %s", resp.Status)
	}
}

// address is where the API listens, by the newest log line that says so.
func (k *keel) address() string {
	k.t.Helper()
	const mark = "address=127.0.0.1:"
	log := k.logged()
	i := strings.LastIndex(log, mark)
	if i < 0 {
		k.t.Fatal("it does not say where it listens")
	}
	return strings.Fields(log[i+len("address="):])[0]
}
