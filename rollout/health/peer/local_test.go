package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Neither the line nor evenkeel's own keys show in /proc, to the command or to others.
func TestRunLocalShowsNothing(t *testing.T) {
	t.Setenv("SOPS_AGE_KEY", "hunter2")
	t.Setenv("EVENKEEL_SECRETS_AGEIDENTITY", "hunter2")
	t.Setenv("LB_NAME", "lb-1")
	out, err := RunLocal(t.Context(), `tr '\0' '\n' </proc/$$/cmdline; tr '\0' '\n' </proc/$$/environ; ls /proc/self/fd; cat; echo "pass""word"`, time.Minute)
	if err != nil || out.Exit != 0 {
		t.Fatal(out.Exit, err)
	}
	text := string(out.Text)
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "LB_NAME=lb-1") || strings.Contains(text, `"word"`) || !strings.Contains(text, "password") {
		t.Errorf("the command sees:\n%s", text)
	}
}

func TestRunLocalIsBounded(t *testing.T) {
	out, err := RunLocal(t.Context(), `head -c 1000000 /dev/zero; exit 4`, time.Minute)
	if err != nil || out.Exit != 4 || len(out.Text) != localOutput {
		t.Errorf("exit %d, %d bytes, %v", out.Exit, len(out.Text), err)
	}
	out, err = RunLocal(t.Context(), "exit 5\n"+strings.Repeat("# a line that nobody reads\n", 20000), time.Minute)
	if err != nil || out.Exit != 5 {
		t.Errorf("a long script: exit %d, %v", out.Exit, err)
	}
	if _, err = RunLocal(t.Context(), "kill -9 $$", time.Minute); err == nil || !strings.Contains(err.Error(), "the command died: signal: killed") {
		t.Errorf("killed: %v", err)
	}
	if out, err = RunLocal(t.Context(), "echo begun; sleep 60", 100*time.Millisecond); err != nil || out.Exit != ExitTimeout || string(out.Text) != "begun\n" {
		t.Errorf("too slow: exit %d, %q, %v", out.Exit, out.Text, err)
	}
}

func TestRunLocalEndsWithItsContext(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := RunLocal(ctx, fmt.Sprintf("sleep 60 & echo $! >%s; wait", pidFile), time.Minute)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
		t.Fatalf("after %s: %v", time.Since(begun), err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("what it started is still there: %s", stat)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, text := range []string{"", "a b", "it's", "$(id) `id` \\", "new\nline", "''", "-n"} {
		out, err := RunLocal(t.Context(), "printf %s "+Quote(text), time.Minute)
		if err != nil || string(out.Text) != text {
			t.Errorf("%q comes out as %q, %v", text, out.Text, err)
		}
	}
}
