package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if prefix := os.Getenv("LAB_TEST_OWNER"); prefix != "" {
		ownUntilKilled(prefix)
	}
	goleak.VerifyTestMain(m)
}

// up makes a lab that is closed with the test, and checks that nothing of it is left then.
func up(t *testing.T, o Options) *Lab {
	t.Helper()
	Require(t)
	o.Log = os.Stderr
	begin := time.Now()
	l, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("lab %s of %d hosts: %.2f s", l.Prefix(), o.Hosts, time.Since(begin).Seconds())
	t.Cleanup(func() {
		begin := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		t.Logf("closed in %.2f s", time.Since(begin).Seconds())
		if left := leftovers(t, l.Prefix()); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return l
}

// leftovers lists everything on this machine that bears a lab's name.
func leftovers(t *testing.T, prefix string) []string {
	t.Helper()
	var left []string
	for _, pattern := range []string{
		stateRoot + "/" + prefix, "/run/netns/ek-" + prefix + "*", "/sys/class/net/ek-" + prefix + "*",
		"/sys/fs/cgroup/evenkeel-lab-" + prefix, "/sys/fs/cgroup/*/evenkeel-lab-" + prefix, "/run/systemd/nspawn/*/ek-" + prefix + "*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	mounts, err := readMounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.point, stateRoot+"/"+prefix+"/") {
			left = append(left, m.point)
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		text, _ := os.ReadFile(path) // gone meanwhile is fine
		if strings.Contains(string(text), "ek-"+prefix+"-") || strings.Contains(string(text), stateRoot+"/"+prefix+"/") {
			left = append(left, path+": "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return left
}

func TestLabsSideBySide(t *testing.T) {
	a, b := up(t, Options{Hosts: 2, Prefix: "sidea"}), up(t, Options{Hosts: 2, Prefix: "sideb"})
	if a.Hosts()[0].Address() == b.Hosts()[0].Address() {
		t.Fatalf("both have %s", a.Hosts()[0].Address())
	}
	if _, err := New(t.Context(), Options{Hosts: 1, Prefix: "sidea"}); err == nil || !strings.Contains(err.Error(), "in use by pid") {
		t.Errorf("a third lab of the same name: %v", err)
	}
	if err := Down(t.Context(), "sidea", nil); err == nil {
		t.Error("somebody else took a lab down whose owner lives")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if left := leftovers(t, "sidea"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, h := range b.Hosts() {
		if out, err := h.ExecAs(t.Context(), "deploy", "sudo -n hostname"); err != nil || out != h.Name()+"\n" {
			t.Errorf("the other lab's %s: %q %v", h.Name(), out, err)
		}
	}
}

// A failed New leaves nothing: here the hosts' disks are too small to write their keys to.
func TestFailedNewLeavesNothing(t *testing.T) {
	Require(t)
	if _, err := New(t.Context(), Options{Hosts: 2, Prefix: "tiny", DiskSize: 8192}); err == nil {
		t.Error("a host runs on a disk of 8 KiB")
	}
	if left := leftovers(t, "tiny"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := New(ctx, Options{Hosts: 8, Prefix: "hasty"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("eight hosts in 300 ms: %v", err)
	}
	if left := leftovers(t, "hasty"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// ownUntilKilled is the life of the process that TestCrash kills.
func ownUntilKilled(prefix string) {
	_, err := New(context.Background(), Options{Hosts: 2, Prefix: prefix})
	fmt.Println("up", err)
	select {}
}

// An owner killed at any moment, in the middle of making its lab or later, leaves a lab that the next New removes.
func TestCrash(t *testing.T) {
	Require(t)
	for _, after := range []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond, 0} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "LAB_TEST_OWNER=crash")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if after > 0 {
			time.Sleep(after)
		} else if line, err := bufio.NewReader(out).ReadString('\n'); line != "up <nil>\n" {
			t.Fatal(line, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		before := leftovers(t, "crash")
		l, err := New(t.Context(), Options{Hosts: 1, Prefix: "crash"})
		if err != nil {
			t.Fatalf("after a crash at %s with %q left: %v", after, before, err)
		}
		if after == 0 && len(before) < 8 {
			t.Errorf("the crash left only %q", before)
		}
		if _, err := l.Hosts()[0].Exec(t.Context(), "true"); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left := leftovers(t, "crash"); len(left) > 0 {
			t.Errorf("after a crash at %s with %d things left, left behind: %q", after, len(before), left)
		}
	}
}

// A persistent lab stays when its maker lets go of it, is opened by name, and comes down by name.
func TestPersistentLab(t *testing.T) {
	Require(t)
	ctx := t.Context()
	t.Cleanup(func() {
		if err := Down(context.Background(), "stays", nil); err != nil {
			t.Error(err)
		}
	})
	disks := t.TempDir()
	l, err := New(ctx, Options{Hosts: 2, Prefix: "stays", Persistent: true, DiskDir: disks})
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.HAProxy(ctx, HAProxyConfig{Backends: []Backend{{Name: "app", ServerPort: 8080}}})
	if err != nil {
		t.Fatal(err)
	}
	l.Detach()
	if other, err := New(ctx, Options{Hosts: 1, Prefix: "passing"}); err != nil { // sweeps what is dead, and only that
		t.Error(err)
	} else if err := other.Close(); err != nil {
		t.Error(err)
	}
	l, err = Open(ctx, "stays", nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Host("2")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile("/srv/file", []byte("kept"), 0o600); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(disks, "stays/h2/upper/srv/file")); err != nil || string(text) != "kept" {
		t.Errorf("a file on the host's disk: %q %v", text, err)
	}
	if err := errors.Join(h.Kill(ctx), h.Boot(ctx)); err != nil {
		t.Error(err)
	}
	if all := l.Balancers(); len(all) != 1 || all[0].FrontendAddr("app") != b.FrontendAddr("app") {
		t.Errorf("%+v", all)
	} else if err := all[0].Reload(ctx); err != nil {
		t.Error(err)
	}
	if text := l.Inventory(map[string]string{"role": "web"}); !strings.Contains(text, `{name: h2, address: `+h.Address()+`, labels: {"role": "web"}}`) {
		t.Error(text)
	}
	l.Detach()
	infos, err := List(ctx)
	if err != nil || !strings.Contains(fmt.Sprint(infos), "{stays 2 true up false}") {
		t.Errorf("%v %v", infos, err)
	}
	if err := Down(ctx, "stays", nil); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, "stays"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if left, err := os.ReadDir(disks); err != nil || len(left) > 0 {
		t.Errorf("disks left behind: %v %v", left, err)
	}
	if _, err := Open(ctx, "stays", nil); err == nil {
		t.Error("a lab that is down opens")
	}
}
